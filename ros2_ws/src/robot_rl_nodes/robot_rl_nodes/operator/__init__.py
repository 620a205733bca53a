"""A person's seat at the gate."""
