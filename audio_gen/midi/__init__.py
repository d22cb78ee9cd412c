"""Scores: notes and controllers in seconds, read from MIDI files and written to them."""
