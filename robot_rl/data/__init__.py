"""What was recorded, kept and handed to learning.

`disk` writes durably, `log` keeps the steps of the episode that runs, `store` keeps finished ones,
`replay` samples from them, `exchange` reads and writes the formats of others. Not here: the loop
that records (`robot_rl.runtime`) and losses (`robot_rl.learning`). Only `replay` imports torch.
"""
