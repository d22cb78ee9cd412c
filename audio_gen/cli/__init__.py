"""The audio-gen command: one thin file a command."""
