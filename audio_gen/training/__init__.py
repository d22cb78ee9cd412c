"""Training: the engine and its tasks."""
