"""What was recorded, kept and handed to learning: store, replay, sampling, batches.

Not here: recording itself (`robot_rl.runtime`) and losses (`robot_rl.learning`). Only `batch`
imports torch.
"""
