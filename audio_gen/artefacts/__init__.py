"""File names and file formats of everything that this package writes."""
