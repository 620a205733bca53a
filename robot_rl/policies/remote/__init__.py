"""Base policies that run elsewhere: openpi's protocol, the client, and what they say. No torch."""
