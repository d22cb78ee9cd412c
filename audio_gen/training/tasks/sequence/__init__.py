"""The training task of sequence models: a codec along time, then a prior over its latents."""
