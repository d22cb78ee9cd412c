"""Training of networks between two domains."""
