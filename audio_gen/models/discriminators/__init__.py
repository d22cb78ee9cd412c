"""Discriminators: how real log-mels and waves look. Only training uses them."""
