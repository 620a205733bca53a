"""How a chunk is made with a network: one sampler a file, see `contract.Sampler`."""
