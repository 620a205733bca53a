"""From recorded topics to episodes, whatever file they were recorded in."""
