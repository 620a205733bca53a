"""The robot's side of the gate: one driver in a process of its own, and the gate's line to it."""
