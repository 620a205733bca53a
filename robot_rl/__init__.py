"""robot_rl: from a handful of demonstrations to a policy that does not fail."""
