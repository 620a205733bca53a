"""Chunks that are planned while others play: see `async_player`. The blocking player is apart."""
