"""Policies: from an observation to actions. Nothing here learns."""
