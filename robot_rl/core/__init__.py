"""Types, specs and protocols that every station shares; numpy and the standard library only."""
