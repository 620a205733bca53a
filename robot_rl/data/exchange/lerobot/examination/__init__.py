"""What is wrong with a LeRobot v3 dataset on disk, and how much of it can be had back.

Format: LeRobotDataset `codebase_version` v3.0, as lerobot 0.6.1 writes and reads it. Nothing here
needs lerobot, except the last check of a repaired dataset. Conversion to and from episodes lives
one folder up.
"""
