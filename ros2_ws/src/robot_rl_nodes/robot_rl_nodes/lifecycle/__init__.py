"""The order in which managed nodes begin and end."""
