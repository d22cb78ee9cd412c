"""Audio files, resampling, and the mel definition."""
