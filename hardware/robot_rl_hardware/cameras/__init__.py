"""Cameras: pictures in RGB, stamped when they were taken."""
