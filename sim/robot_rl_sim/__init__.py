"""The simulated bench: arm, tasks, experts and randomisation in MuJoCo."""
