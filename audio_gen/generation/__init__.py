"""From a trained bundle to clips."""
