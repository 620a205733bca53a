"""Fingers that feel: a camera that looks at the back of a soft skin."""
