"""Learning algorithms, one to a file, and what they share. Nothing here touches an environment."""
