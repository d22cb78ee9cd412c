"""Priors: distributions of latents."""
