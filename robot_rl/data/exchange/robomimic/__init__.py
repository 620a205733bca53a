"""robomimic HDF5, read."""
