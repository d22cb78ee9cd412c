"""Training of models that play sounds in the timbre of a folder."""
