"""Codecs: log-mel <-> latents."""
