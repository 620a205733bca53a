"""A model that judges, beside the node that hosts it."""
