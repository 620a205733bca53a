"""What is wrong with a store, and what of it can be kept."""
