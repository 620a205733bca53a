"""One file a task: its scene, start states, what perception estimates, and success."""
