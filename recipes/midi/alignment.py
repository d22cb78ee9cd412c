"""Align MIDI files with recordings of them that begin later and drift, and count the notes that are found.

    python recipes/midi/alignment.py --midi FOLDER [-n 20] [--solo] [--soundfont FluidR3_GM.sf2]

Each file is moved by a random offset up to 3 s and a tempo that drifts by up to 5 %, and played by FluidSynth. Then the
unmoved file is aligned with the recording. A note is found if it starts within 50 ms of its true place; one that sounds
alone is cut right if it starts within 25 ms and lasts as long to within 80 ms or a tenth. Each file is also aligned
with the recording of the one before it, which is to be refused (F1 of onsets below 0.6). With --solo only the channel
with the most notes that sound alone is played, as where notes are cut.
"""

import argparse
import json
import subprocess
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from audio_gen.audio.io import read_wav
from audio_gen.data.midi_notes import LEAST_F1
from audio_gen.midi.alignment import align, alone
from audio_gen.midi.read import read_score
from audio_gen.midi.score import Score
from audio_gen.midi.write import write_score

RATE, MOST_OFFSET_SEC, DRIFT, LONGEST_SEC = 22050, 3.0, 0.05, 150.0
FOUND_SEC, CUT_SEC, LENGTH_SEC, LENGTH_SHARE = 0.05, 0.025, 0.08, 0.1
BEFORE_SEC, LEAST_SEC = 0.05, 0.15
LEAST_NOTES = 20  # of a file that counts


def drifted(score: Score, rng: np.random.Generator) -> Score:
    """A score that begins later, and whose tempo drifts."""
    knots = np.arange(0, score.end_sec + 20, 8.0)
    speeds = 1 + rng.uniform(-DRIFT, DRIFT, len(knots))
    times = np.linspace(0, knots[-1], 4000)
    places = np.concatenate([[0], np.cumsum(np.interp(times, knots, speeds)[:-1] * np.diff(times))])
    offset = rng.uniform(0, MOST_OFFSET_SEC)

    def at(sec: float) -> float:
        return float(np.interp(sec, times, places)) + offset

    return score.of([
        replace(note, start_sec=at(note.start_sec), length_sec=at(note.end_sec) - at(note.start_sec))
        for note in score.notes
    ])  # fmt: skip


def solo(score: Score) -> Score:
    """The channel with the most notes that sound alone."""
    channels = {note.channel for note in score.notes if not note.is_drum}
    parts = [score.of([note for note in score.notes if note.channel == channel]) for channel in channels]
    return max(parts, key=lambda part: len(alone(part, BEFORE_SEC, LEAST_SEC)))


def recorded(score: Score, folder: Path, soundfont: Path) -> np.ndarray:
    """A mono recording (T,) of a score."""
    write_score(folder / "a.mid", replace(score, tempos=((0.0, 120.0),)))
    options = ["-ni", "-r", str(RATE), "-g", "0.6", "-F", str(folder / "a.wav")]
    subprocess.run(["fluidsynth", *options, str(soundfont), str(folder / "a.mid")], check=True, capture_output=True)
    return read_wav(folder / "a.wav", sample_rate=RATE)[0][0].numpy()


def figures(score: Score, true: Score, wav: np.ndarray) -> dict[str, float]:
    """Shares of notes that are found, and of lone ones that are cut right."""
    started = time.monotonic()
    found = align(wav, RATE, score)
    seconds = time.monotonic() - started
    pairs = list(zip(_by_pitch(found.score), _by_pitch(true), strict=True))
    errors = np.array([abs(a.start_sec - b.start_sec) for a, b in pairs])
    cut, lone = alone(found.score, BEFORE_SEC, LEAST_SEC), alone(true, BEFORE_SEC, LEAST_SEC)
    right = sum(
        any(a.pitch == b.pitch and abs(a.start_sec - b.start_sec) <= CUT_SEC
            and abs(a.length_sec - b.length_sec) <= max(LENGTH_SEC, LENGTH_SHARE * b.length_sec) for b in lone)
        for a in cut
    )  # fmt: skip
    precision, recall = right / max(1, len(cut)), right / max(1, len(lone))
    return {
        "onset_f1": round(found.f1, 3), "notes_found": round(float((errors <= FOUND_SEC).mean()), 3),
        "median_error_ms": round(1000 * float(np.median(errors)), 1), "lone_notes": len(lone),
        "cut_f1": round(2 * precision * recall / max(1e-9, precision + recall), 3), "seconds": round(seconds, 1),
    }  # fmt: skip


def _by_pitch(score: Score) -> list:
    """Notes in an order that moving keeps."""
    return sorted(score.notes, key=lambda note: (note.channel, note.track, note.pitch, note.start_sec))


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--midi", type=Path, required=True, help="a folder of MIDI files")
    parser.add_argument("--soundfont", type=Path, default=Path("/usr/share/sounds/sf2/FluidR3_GM.sf2"))
    parser.add_argument("--solo", action="store_true", help="only the channel with the most lone notes")
    parser.add_argument("-n", type=int, default=20, help="number of files")
    args = parser.parse_args()
    rows, others, last = [], [], None
    for number, midi in enumerate(sorted(args.midi.glob("*.mid"))[: args.n]):
        score = read_score(midi)
        score = score.of([note for note in score.notes if note.end_sec < LONGEST_SEC])
        if args.solo:
            score = solo(score)
            if len(score.notes) < LEAST_NOTES:
                continue
        true = drifted(score, np.random.default_rng(number))
        with tempfile.TemporaryDirectory() as folder:
            wav = recorded(true, Path(folder), args.soundfont)
        rows.append(figures(score, true, wav))
        if last is not None:
            others.append(round(align(last, RATE, score).f1, 3))
        last = wav
        print(midi.name, json.dumps(rows[-1]), "another recording:", others[-1:] or "", flush=True)
    lone = [row["lone_notes"] + 1e-9 for row in rows]
    fits = [row for row in rows if row["onset_f1"] >= LEAST_F1]
    fits_lone = [row["lone_notes"] + 1e-9 for row in fits]
    print(json.dumps({
        "files": len(rows), "notes_found_mean": round(float(np.mean([row["notes_found"] for row in rows])), 3),
        "files_above_0.9": sum(row["notes_found"] >= 0.9 for row in rows),
        "cut_f1_mean": round(float(np.average([row["cut_f1"] for row in rows], weights=lone)), 3),
        "files_that_fit": len(fits),
        "their_notes_found_mean": round(float(np.mean([row["notes_found"] for row in fits])), 3),
        "their_cut_f1_mean": round(float(np.average([row["cut_f1"] for row in fits], weights=fits_lone)), 3),
        "onset_f1_least": min(row["onset_f1"] for row in rows), "onset_f1_of_others_most": max(others, default=0.0),
    }))  # fmt: skip


if __name__ == "__main__":
    main()
