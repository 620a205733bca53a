"""The robot and its cell, as others of ROS read it."""
