"""What a person meets: the command line, the pipeline's phases, progress and the report."""
