"""The simulated cell behind the topics and services of a real one."""
