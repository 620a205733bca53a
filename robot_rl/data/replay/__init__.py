"""Steps in memory, sampled as batches to learn from."""
