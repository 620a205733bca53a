"""What runs: rollouts, evaluation, improvement, the actor and learner links, checkpoints.

Not here: how a run is composed and shown to people (`robot_rl.app`).
"""
