"""Many inputs into one container: sources, worker processes, the pipeline."""
