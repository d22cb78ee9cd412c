"""Discriminators of log-mels and waves, only for training."""
