"""Between a proposed action and the robot: chunks, arbitration, the safety gate, pace."""
