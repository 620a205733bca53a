"""The page's process: shows a session to browsers, terminals and scripts, and hears them."""
