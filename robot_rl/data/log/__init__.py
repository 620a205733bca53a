"""The append-only log of the episode that runs, and its recovery."""
