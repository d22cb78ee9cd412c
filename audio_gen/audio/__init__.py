"""Audio in and out: files, resampling, the mel definition and its inversion."""
