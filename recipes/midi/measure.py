"""Play MIDI files by the command, and measure time, memory, onsets and pitches.

    python recipes/midi/measure.py RUN.. --midi FOLDER [--work DIR] [-n 20] [--heavy]

Of each part of a file, notes that sound alone are written as a second MIDI file, which is played by the same command:
each onset in the WAV is compared with the score, and the pitch of each note with its key (pYIN; drums have none).
--heavy also plays 64 notes at once, 10,000 notes, and an hour; with -n 0 only these.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from audio_gen.audio.io import read_wav
from audio_gen.audio.onset import onset
from audio_gen.evaluation.pitch import track
from audio_gen.midi.read import read_score
from audio_gen.midi.score import Note, Score, pitch_to_hz
from audio_gen.midi.write import write_score

GAP_SEC = 1.2  # between notes of the second file: releases and tails end before the next one
NOTES_A_PART, NEAR_SEC, NEAR_CENTS = 25, 0.005, 50
EARLIEST_SEC, LATEST_SEC = 0.05, 0.25
HEARD_SEC = (0.05, 0.8)
LEAST_SEC = 0.15  # of a note whose pitch is measured
FAR = 8  # semitones around the key that are searched for its pitch


def played(sources: Sequence[Path], midi: Path, out: Path, *more: str) -> tuple[float, float]:
    """Run the command; seconds and MiB of memory at most."""
    command = [sys.executable, "-m", "audio_gen", "play", *map(str, sources), str(midi), "--out", str(out), "--force"]
    started = time.monotonic()
    child = subprocess.Popen([*command, *more], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert child.stderr is not None
    said = child.stderr.read()
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"{midi.name}: {said.splitlines()[-1] if said else status}")
    return time.monotonic() - started, usage.ru_maxrss / 1024


def alone(score: Score) -> Score:
    """Up to 25 notes of each channel, one after the other with silence in between, as long as in the score."""
    chosen: list[Note] = []
    at = 0.5
    for channel in sorted({note.channel for note in score.notes}):
        notes = [note for note in score.notes if note.channel == channel]
        picked = [notes[i] for i in np.unique(np.linspace(0, len(notes) - 1, NOTES_A_PART).astype(int))]
        for note in picked:
            length = min(note.length_sec, 3.0)
            chosen.append(Note(at, note.pitch, length, max(note.velocity, 40), channel, note.program))
            at += length + GAP_SEC
    return Score(tuple(chosen))


def heard(wav: np.ndarray, rate: int, note: Note) -> tuple[float | None, float | None]:
    """How much later than in the score a note begins, in s, and how many cents it is above its key."""
    start = round(note.start_sec * rate)
    window = wav[max(0, start - round(EARLIEST_SEC * rate)) : start + round(LATEST_SEC * rate)]
    if float(np.abs(window).max(initial=0)) < 1e-5:
        return None, None
    late = (onset(window, rate) - min(start, round(EARLIEST_SEC * rate))) / rate
    if note.is_drum or note.length_sec < LEAST_SEC:
        return late, None
    low, high = start + round(HEARD_SEC[0] * rate), start + round(min(HEARD_SEC[1], note.length_sec) * rate)
    hz = pitch_to_hz(note.pitch)
    part = torch.from_numpy(wav[low:high].copy())
    found = track(part, rate, f_min_hz=hz * 2 ** (-FAR / 12), f_max_hz=hz * 2 ** (FAR / 12))
    both = found.voiced & found.sounding & np.isfinite(found.f0_hz)
    return late, 1200 * float(np.log2(np.median(found.f0_hz[both]) / hz)) if both.any() else float("nan")


def file_figures(sources: Sequence[Path], midi: Path, work: Path) -> dict[str, object]:
    """The figures of one file."""
    score = read_score(midi)
    out = work / f"{midi.stem}.wav"
    seconds, memory = played(sources, midi, out)
    single = alone(score)
    write_score(work / f"{midi.stem}-alone.mid", single)
    played(sources, work / f"{midi.stem}-alone.mid", work / "alone.wav")
    wav, rate = read_wav(work / "alone.wav")
    found = [heard(wav[0].numpy(), rate, note) for note in single.notes]
    late = np.array([x for x, _ in found if x is not None])
    cents = np.array([x for _, x in found if x is not None])
    return {
        "file": midi.name, "notes": len(score.notes), "duration_sec": round(score.end_sec, 1),
        "render_sec": round(seconds, 1), "memory_mib": round(memory), "polyphony": score.polyphony(),
        "measured": len(found), "silent": sum(x is None for x, _ in found),
        "on_time": int((np.abs(late) <= NEAR_SEC).sum()),
        "onsets": len(late), "late_ms": [round(1000 * float(x), 1) for x in late if abs(x) > NEAR_SEC][:8],
        "in_tune": int((np.abs(cents) <= NEAR_CENTS).sum()), "pitches": len(cents),
    }  # fmt: skip


def summary(rows: Sequence[dict[str, object]]) -> dict[str, object]:
    """The figures of all files."""
    total = {key: sum(int(row[key]) for row in rows) for key in ("on_time", "onsets", "in_tune", "pitches")}
    speed = [float(row["duration_sec"]) / float(row["render_sec"]) for row in rows]  # type: ignore[arg-type]
    return {
        "files": len(rows), **total, "on_time_share": total["on_time"] / max(1, total["onsets"]),
        "in_tune_share": total["in_tune"] / max(1, total["pitches"]),
        "times_real_time_median": round(float(np.median(speed)), 1),
        "memory_mib_most": max(int(row["memory_mib"]) for row in rows),  # type: ignore[call-overload]
    }  # fmt: skip


def heavy(sources: Sequence[Path], work: Path) -> None:
    """64 notes at once, 10,000 notes, and an hour."""
    chord = Score(tuple(Note(0.5 * i, 36 + (7 * k) % 49, 4.0, 90, k % 4, 0) for i in range(4) for k in range(16)))
    write_score(work / "chord.mid", chord)
    many = Score(tuple(Note(0.06 * i, 48 + (5 * i) % 30, 0.25, 60 + i % 60, i % 3, 24) for i in range(10_000)))
    write_score(work / "many.mid", many)
    hour = Score(tuple(Note(1.2 * i, 48 + (5 * i) % 24, 1.0 + i % 3, 70 + i % 50, i % 2, 24) for i in range(3000)))
    write_score(work / "hour.mid", hour)
    for name in ("chord", "many", "hour"):
        score = read_score(work / f"{name}.mid")
        seconds, memory = played(sources, work / f"{name}.mid", work / f"{name}.wav")
        print(json.dumps({"file": name, "notes": len(score.notes), "polyphony": score.polyphony(),
                          "duration_sec": round(score.end_sec), "render_sec": round(seconds, 1),
                          "memory_mib": round(memory)}), flush=True)  # fmt: skip


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", type=Path, nargs="+", help="runs or kits: one with pitches, one of drums")
    parser.add_argument("--midi", type=Path, required=True, help="a folder of MIDI files")
    parser.add_argument("--work", type=Path, help="where WAVs are kept (default: a temporary folder)")
    parser.add_argument("-n", type=int, default=20, help="number of files")
    parser.add_argument("--heavy", action="store_true", help="also 64 notes at once, 10,000 notes, and an hour")
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        work = args.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        rows = []
        for midi in sorted(args.midi.glob("*.mid"))[: args.n]:
            rows.append(file_figures(args.sources, midi, work))
            print(json.dumps(rows[-1]), flush=True)
        if rows:
            print(json.dumps(summary(rows)), flush=True)
        if args.heavy:
            heavy(args.sources, work)


if __name__ == "__main__":
    main()
