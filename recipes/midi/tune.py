"""Write a short tune of our own as MIDI: melody, chords, bass and drums.

python recipes/midi/tune.py tune.mid
"""

import argparse
from pathlib import Path

from audio_gen.midi.score import DRUM_CHANNEL, Note, Score
from audio_gen.midi.write import write_score

BPM, BEAT = 104.0, 60 / 104.0
CHORDS = ((57, 60, 64), (53, 57, 60), (60, 64, 67), (55, 59, 62))  # Am F C G
MELODY = ((0, 76, 1.5), (1.5, 74, 0.5), (2, 72, 1), (3, 69, 1), (4, 72, 1.5), (5.5, 74, 0.5), (6, 77, 2), (8, 79, 1.5),
          (9.5, 76, 0.5), (10, 72, 2), (12, 74, 1), (13, 71, 1), (14, 67, 2))  # fmt: skip
TRUMPET, STRINGS, BASS = 56, 48, 33


def tune() -> Score:
    """Four bars."""
    notes = [Note(at * BEAT, pitch, 0.95 * beats * BEAT, 96, 0, TRUMPET) for at, pitch, beats in MELODY]
    for bar, chord in enumerate(CHORDS):
        notes += [Note(4 * bar * BEAT, pitch, 3.9 * BEAT, 60, 1, STRINGS) for pitch in chord]
        for step in (0, 1.5, 2.5, 3):
            notes.append(Note((4 * bar + step) * BEAT, chord[0] - 12, 0.45 * BEAT, 100, 2, BASS))
        for step in range(8):
            notes.append(Note((4 * bar + step / 2) * BEAT, 42, 0.1, 70 if step % 2 else 90, DRUM_CHANNEL))
        for beat, key in ((0, 36), (1, 38), (2.5, 36), (3, 38)):
            notes.append(Note((4 * bar + beat) * BEAT, key, 0.1, 110, DRUM_CHANNEL))
    return Score(tuple(sorted(notes)), tempos=((0.0, BPM),))


def main() -> None:
    """Write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="the MIDI file")
    write_score(parser.parse_args().out, tune())


if __name__ == "__main__":
    main()
