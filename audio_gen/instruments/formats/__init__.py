"""Files that tell samplers how to play the WAVs of an instrument."""
