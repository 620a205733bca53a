"""Motion of the tool in space: inverse kinematics, admittance, impedance, jerk-limited ways.

Frames are named wherever they matter: `base` is the robot's base frame, `tcp` the tool's own.
Poses are the tcp's in the base frame, position [m] and quaternion xyzw; deltas and twists are
along the base's axes; a wrench is what the environment exerts on the tool, in the tcp frame.
"""
