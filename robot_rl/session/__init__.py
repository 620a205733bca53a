"""The correction session: one person, one page, and what both may do when."""
