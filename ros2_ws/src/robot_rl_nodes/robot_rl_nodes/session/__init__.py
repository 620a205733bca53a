"""The line to a correction session, and what goes over it."""
