"""A simulated bench behind topics that waits for whoever commands it."""
