"""The append-only log of the episode that runs, its recovery, and MCAP files of finished ones.

`episode_log` writes, `recovery` reads, `export` makes a file of a finished episode. Topics and
messages are documented in README.md. Not here: where logs lie and who seals them (`store`).
"""
