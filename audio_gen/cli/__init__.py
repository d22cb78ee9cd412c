"""The audio-gen command, with one thin module per command."""
