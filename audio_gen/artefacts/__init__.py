"""What this package leaves on disk: every file name and file format, once."""
