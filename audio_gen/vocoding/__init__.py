"""Vocoders: log-mel to sound."""
