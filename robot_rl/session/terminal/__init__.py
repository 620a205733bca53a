"""The session in a terminal: one more client of the page, for whoever works over SSH."""
