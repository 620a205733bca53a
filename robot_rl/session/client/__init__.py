"""What every client of the page needs that is no browser: its address, and the way to it."""
