"""Cut single notes out of recordings that have a MIDI file of the same name, as labelled sounds to learn from."""

import csv
import io
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soundfile as sf

from audio_gen.audio.io import read_wav
from audio_gen.data.label_files import LABEL_FILES
from audio_gen.data.scan import AUDIO_SUFFIXES
from audio_gen.errors import AudioFileError, DataError, OutputError
from audio_gen.files import legal_name, write_atomic, write_text
from audio_gen.midi.alignment import Alignment, align, alone
from audio_gen.midi.general_midi import DRUMS, PROGRAMS
from audio_gen.midi.read import read_score
from audio_gen.midi.score import Note, Score
from audio_gen.reporter import SILENT, Reporter
from audio_gen.text import one_line

MIDI_SUFFIXES = (".mid", ".midi")
LEAST_F1 = 0.6
ALIGNED_RATE = 22050
OVERLAP_SEC, LEAST_SEC = 0.04, 0.15  # of the note before one that counts as alone, and the least time that it is
LEAD_SEC, TAIL_SEC, FADE_SEC = 0.003, 0.3, 0.01  # before its start, after its end, and of its end
RISE_SEC, ATTACK_SEC, STEP_SEC = 0.12, 0.08, 0.002  # how far before and after an aligned start its rise is searched
RISEN = 0.06  # of the way from the level before it to its peak, in amplitude
LEAST_LEVEL = 1e-3  # of the recording's peak; softer notes are left out


@dataclass(frozen=True)
class Pair:
    """A recording and its score."""

    audio: Path
    midi: Path


@dataclass(frozen=True)
class CutNotes:
    """What was cut.

    Attributes:
        folder: The folder of the notes, with their labels in a table.
        count: Number of notes that were cut.
        notes: Number of notes of the recordings that were used.
        pairs: Recordings with notes.
        refused: Recordings whose score does not fit, with the F1 of onsets.
    """

    folder: Path
    count: int
    notes: int
    pairs: int
    refused: dict[Path, float]


def find_pairs(folder: Path) -> list[Pair]:
    """Recordings with a MIDI file of the same name in the same folder.

    Raises:
        DataError: There are none.
    """
    if not folder.is_dir():
        raise DataError(f"{one_line(folder)}: is not a folder; give a folder with pairs such as a.wav and a.mid")
    files = sorted(folder.rglob("*"))
    scores = {path.with_suffix(""): path for path in files if path.suffix.lower() in MIDI_SUFFIXES}
    found = [
        Pair(path, scores[path.with_suffix("")])
        for path in files
        if path.suffix.lower() in AUDIO_SUFFIXES and path.with_suffix("") in scores
    ]
    if not found:
        raise DataError(
            f"{one_line(folder)}: --midi needs pairs of a recording and a MIDI file of the same name, such as a.wav "
            f"and a.mid; it has {len(scores)} MIDI files and no pair"
        )
    return found


def cut_notes(folder: Path, out: Path, reporter: Reporter = SILENT) -> CutNotes:
    """Align each recording of a folder with its score, and write the notes that sound alone.

    Args:
        folder: Recordings and MIDI files of the same names.
        out: Folder for the notes; it must be empty or missing.
        reporter: Gets progress, and notes on recordings that are left out.

    Raises:
        DataError: There is no pair, no score fits its recording, or no note sounds alone.
        OutputError: `out` holds files.
    """
    pairs = find_pairs(folder)
    if out.exists() and any(out.iterdir()):
        raise OutputError(f"{one_line(out)}: holds files already; move it away, or choose another --out")
    part = out.with_name(f".{out.name}.part")
    shutil.rmtree(part, ignore_errors=True)  # of a killed run
    try:
        found = _cut_into(part, folder, pairs, reporter)
        if out.exists():
            out.rmdir()
        part.rename(out)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return replace(found, folder=out)


def _cut_into(out: Path, folder: Path, pairs: Sequence[Pair], reporter: Reporter) -> CutNotes:
    """Write the notes of pairs into a folder."""
    rows: list[dict[str, str]] = []
    refused: dict[Path, float] = {}
    used = notes = 0
    with reporter.progress("Aligning", len(pairs), "recordings") as advance:
        for pair in pairs:
            try:
                found, here = _notes_of(pair, out, len(rows))
            except (AudioFileError, DataError) as e:
                reporter.note(f"left out: {e}")
            else:
                if found.f1 < LEAST_F1:
                    refused[pair.audio] = found.f1
                    reporter.note(
                        f"left out: {one_line(pair.audio)}: does not fit {one_line(pair.midi.name)} (F1 of onsets "
                        f"{found.f1:.2f}, {LEAST_F1:g} is needed); check that the score is of this recording"
                    )
                used += bool(here)
                notes += len(found.score.notes) if here else 0
                rows += here
            advance(1)
    if not rows:
        if refused:
            best, f1 = max(refused.items(), key=lambda one: one[1])
            raise DataError(
                f"{one_line(folder)}: no score fits its recording; the best is {one_line(best.name)} with an F1 of "
                f"onsets of {f1:.2f}, and {LEAST_F1:g} is needed"
            )
        raise DataError(f"{one_line(folder)}: no note of its recordings sounds alone; give recordings of single lines")
    _write_table(out / LABEL_FILES[0], rows)
    return CutNotes(out, len(rows), notes, used, refused)


def _notes_of(pair: Pair, out: Path, number: int) -> tuple[Alignment, list[dict[str, str]]]:
    """Write the lone notes of a recording; its alignment, and their labels."""
    score = read_score(pair.midi)
    mono = read_wav(pair.audio, sample_rate=ALIGNED_RATE)[0][0].numpy()
    found = align(mono, ALIGNED_RATE, score)
    if found.f1 < LEAST_F1:
        return found, []
    wav, rate = read_wav(pair.audio, channels=None)
    x = wav.numpy()
    starts = np.array(sorted(note.start_sec for note in found.score.notes))
    rows: list[dict[str, str]] = []
    for aligned in alone(found.score, -OVERLAP_SEC, LEAST_SEC):
        start = rise_start(x, rate, aligned.start_sec)
        note = replace(aligned, start_sec=start, length_sec=max(LEAST_SEC, aligned.end_sec - start))
        part = _cut(x, rate, note, starts[starts > aligned.start_sec + OVERLAP_SEC])
        if float(np.abs(part).max(initial=0)) < LEAST_LEVEL * float(np.abs(x).max(initial=0)):
            continue
        class_name = class_of(note, score)
        name = f"{legal_name(pair.audio.stem)}-{number + len(rows):05d}-{note.pitch:03d}-{note.velocity:03d}.flac"
        _write_flac(out / name, part, rate)
        rows.append({
            "file": name, "class": class_name, "pitch": "" if note.is_drum else f"{note.pitch}",
            "velocity": f"{note.velocity}", "length_sec": f"{note.length_sec:.4f}", "recording": pair.audio.name,
            "start_sec": f"{note.start_sec:.4f}",
        })  # fmt: skip
    return found, rows


def class_of(note: Note, score: Score) -> str:
    """The class of a note: the name of its track, or of its programme; of a drum its name."""
    if note.is_drum:
        return DRUMS[note.pitch][0].lower() if note.pitch in DRUMS else "percussion"
    return score.track_names.get(note.track) or PROGRAMS[note.program].lower()


def rise_start(x: np.ndarray, rate: int, near_sec: float) -> float:
    """When a sound in (C, T) begins to rise to its attack near a time, in seconds; that time if nothing rises."""
    step = max(1, round(STEP_SEC * rate))
    first = max(0, round((near_sec - RISE_SEC) * rate))
    part = x[:, first : round((near_sec + ATTACK_SEC) * rate)]
    count = part.shape[1] // step
    if count < 4:
        return near_sec
    level = np.abs(part[:, : count * step]).reshape(len(part), count, step).max((0, 2))
    at = min(count - 1, round((near_sec * rate - first) / step))
    peak = at + int(np.argmax(level[at:]))
    before = float(level[: peak + 1].min())
    low = np.flatnonzero(level[:peak] <= before + RISEN * (level[peak] - before))
    return (first + int(low[-1]) * step) / rate if len(low) else near_sec


def _cut(x: np.ndarray, rate: int, note: Note, later: np.ndarray) -> np.ndarray:
    """A note (C, T) with its tail, at most until the first of some later ones begins."""
    end = note.end_sec + TAIL_SEC if not len(later) else min(note.end_sec + TAIL_SEC, float(later[0]) - LEAD_SEC)
    first, stop = max(0, round((note.start_sec - LEAD_SEC) * rate)), round(end * rate)
    part = x[:, first:stop].copy()
    rise = min(part.shape[1], round(LEAD_SEC * rate))
    part[:, :rise] *= np.linspace(0, 1, rise, dtype=np.float32)
    fade = min(part.shape[1], round(FADE_SEC * rate))
    if fade:
        part[:, -fade:] *= np.linspace(1, 0, fade, dtype=np.float32)
    return part


def _write_flac(path: Path, x: np.ndarray, rate: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    peak = max(1.0, float(np.abs(x).max(initial=0)))
    write_atomic(path, lambda temporary: sf.write(temporary, x.T / peak, rate, "PCM_24", format="FLAC"))


def _write_table(path: Path, rows: Sequence[dict[str, str]]) -> None:
    text = io.StringIO()
    table = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    write_text(path, text.getvalue())
