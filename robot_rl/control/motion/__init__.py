"""How one command becomes the next without breaking a limit; what the gate's bending is made of.

Pure functions of the motion so far, the arm as measured and what is asked for. No clock, no
state, no refusals: those are the gate's.
"""
