"""Models that judge an instant of a task, where no simulator knows how it went."""
