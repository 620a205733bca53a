"""The closed loop over a live graph, for whoever acts in it."""
