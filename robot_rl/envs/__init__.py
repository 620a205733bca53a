"""The closed loop around a bench: one control period a step, and its gymnasium face."""
