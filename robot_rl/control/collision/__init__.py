"""Bodies of an arm and of the scene around it, and the distances between them."""
