"""The gate as a process of its own beside the robot: nothing else may command the arm.

Three kinds of process: one driver holds the robot, one gate holds the driver, and commanders (an
actor, a person's device or page) ask the gate. Nothing here imports torch.
"""
