"""robot_rl as ROS 2 nodes: parameters, topics and one call into the library each."""
