"""Generation: from a bundle to clips."""
