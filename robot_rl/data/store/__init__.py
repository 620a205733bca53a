"""Finished episodes on disk: saved, labelled, deleted, undone, purged."""
