"""`python -m audio_gen` is the same as `audio-gen`."""

from audio_gen.cli.app import main

if __name__ == "__main__":
    main()
