"""An episode or a label as a zip of zarr 3, and back."""
