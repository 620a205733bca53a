"""Episodes of a live graph: who may begin one, and how it ends."""
