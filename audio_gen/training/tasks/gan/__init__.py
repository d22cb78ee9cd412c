"""Training of a GAN."""
