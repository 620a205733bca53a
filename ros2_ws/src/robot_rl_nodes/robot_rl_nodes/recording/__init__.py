"""What is written of a graph: raw messages, and episodes of what was seen."""
