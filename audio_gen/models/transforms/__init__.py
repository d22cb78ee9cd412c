"""Transforms of sounds of one domain into another."""
