"""Base policies from everywhere behind one contract, `robot_rl.policies.base`."""
