"""Force-torque sensors, and what has to be taken off what they say."""
