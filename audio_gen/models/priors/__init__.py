"""Priors: what latents are drawn from."""
