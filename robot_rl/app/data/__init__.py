"""The `robot-rl data` command: looks at, repairs, labels and exchanges stored episodes.

No torch here, so that it starts at once; each verb is one class, loaded when it is asked for.
"""
