"""How good what was made is, and reports that show it."""
