"""One robot state out of what each robot's driver says."""
