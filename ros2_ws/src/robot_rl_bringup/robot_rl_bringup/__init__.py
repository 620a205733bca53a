"""Launch files and layouts of the graph; what they start comes from `robot_rl.app.ros`."""
