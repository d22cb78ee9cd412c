"""What the commands that make clips share: options, names of outputs, steps between two clips."""

import os
import re
import shlex
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from unicodedata import normalize

import typer

from audio_gen.artefacts.sidecar import clip_files

if TYPE_CHECKING:
    from torch import Tensor

    from audio_gen.evaluation.copies import Match
    from audio_gen.generation.finish import Finish, Finished
    from audio_gen.generation.latents import Latents
    from audio_gen.generation.pipeline import Pipeline

RunArgument = Annotated[Path, typer.Argument(help="A run of `train`, or a bundle.")]
ClassOption = Annotated[str | None, typer.Option("--class", help="A class that the model knows.")]
PitchOption = Annotated[float | None, typer.Option("--pitch", help="MIDI pitch; 60 is middle C.")]
TemperatureOption = Annotated[
    float,
    typer.Option("--temperature", "--truncation", help="0: the most typical clips; 1: the model's whole variety."),
]

NormalizeOption = Annotated[
    str, typer.Option("--normalize", help="peak: the peak at -1 dBFS; lufs: -23 LUFS; none: as the model makes it.")
]
BitsOption = Annotated[str, typer.Option("--bits", help="16 (with dither), 24 or float.")]
RateOption = Annotated[int | None, typer.Option("--rate", help="Sample rate in Hz; the model's where it is left out.")]
TailOption = Annotated[float, typer.Option("--tail", help="A file ends so many dB below its peak.")]
LengthOption = Annotated[
    str, typer.Option("--length", help="sound: from onset to end; model: all that the model makes.")
]

MAX_STEM_BYTES = 180  # file systems take 255 bytes, and something is put behind
NOTES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
STEPS_AT_ONCE = 16


def command_line() -> str:
    """The command that is running, as it can be typed again, with `~` for the user's home folder."""
    from audio_gen.text import one_line

    home = os.path.expanduser("~").rstrip("/\\")
    at_home = re.compile(rf"(^|[=:]){re.escape(home)}(?=[/\\]|$)" if home else "(?!)")
    return one_line(shlex.join(["audio-gen", *(at_home.sub(r"\1~", word) for word in sys.argv[1:])]))


def output_stems(files: Iterable[Path]) -> list[str]:
    """One name for each file, without suffix and not too long; equal names from several folders are numbered."""
    return distinct_names(file.stem for file in files)


def distinct_names(names: Iterable[str]) -> list[str]:
    """Names that are legal and not too long, and of which no two are equal but for case; equal ones are numbered."""
    from audio_gen.files import legal_name

    used: set[str] = set()
    found = []
    for name in names:
        short = legal_name(os.fsencode(name)[:MAX_STEM_BYTES].decode("utf-8", "ignore") or "clip")
        other, number = short, 1
        while other.casefold() in used:
            number += 1
            other = f"{short}-{number}"
        used.add(other.casefold())
        found.append(other)
    return found


def sound_files(files: Iterable[Path]) -> list[Path]:
    """Files, with the audio files of each folder, sorted, in its place.

    Raises:
        DataError: A folder holds none.
    """
    from audio_gen.data.scan import scan_folder
    from audio_gen.errors import DataError
    from audio_gen.text import one_line

    found: list[Path] = []
    for file in files:
        if not file.is_dir():
            found.append(file)
            continue
        held = [one.path for one in scan_folder(file).found if one.problem is None and one.link_to is None]
        if not held:
            raise DataError(
                f"{one_line(file)}: is a folder without audio files; name files, or a folder that holds some"
            )
        found += held
    return found


def with_sidecars(stems: Iterable[str]) -> list[str]:
    """The files that `write_clip` makes for clips of these names."""
    return [name for stem in stems for name in clip_files(stem)]


def step_stems(steps: int) -> list[str]:
    """Names of the steps of an interpolation."""
    digits = max(2, len(str(steps - 1)))
    return [f"step-{i:0{digits}d}" for i in range(steps)]


def write_clips(
    pipeline: "Pipeline",
    points: "Latents",
    paths: Sequence[Path],
    about: Callable[[int], dict[str, Any]],
    advance: Callable[[float], object],
    batch: int = STEPS_AT_ONCE,
    how: "Finish | None" = None,
    compare: "Callable[[Tensor], list[Match]] | None" = None,
) -> "tuple[list[Finished], list[Match]]":
    """Decode points and write each as a WAV with its sidecar, so many at a time that memory stays small.

    Args:
        pipeline: The model.
        points: B points.
        paths: B paths of WAVs.
        about: The sidecar of the clip with the number given.
        advance: Told how many clips were written.
        batch: Clips at a time.
        how: Their levels and ends, see `write_clip`.
        compare: Compares clips with training sounds, for their sidecars.

    Returns:
        What was written, and what `compare` found.
    """
    from audio_gen.generation.clip_file import write_clip

    done: list[Finished] = []
    matches: list[Match] = []
    for first in range(0, len(points), batch):
        wav = pipeline.vocode(pipeline.decode(points[first : first + batch], batch), batch)
        found = compare(wav) if compare else []
        for i, clip in enumerate(wav):
            more = {"original": found[i].to_json()} if found else {}
            done.append(write_clip(paths[first + i], clip, {**about(first + i), **more}, how))
        matches += found
        advance(len(wav))
    return done, matches


def clip_stems(pipeline: "Pipeline", points: "Latents", seeds: Sequence[int], folders: bool = False) -> list[str]:
    """Names that say what clips are, such as `kick-0003` and `violin-C4-0003` of the seed 3.

    Args:
        pipeline: The model.
        points: B clips.
        seeds: Theirs, B.
        folders: Put each class into a folder of its own.
    """
    kinds = distinct_names(
        "".join(c if c.isalnum() or c in " -_.()#&+" else "_" for c in normalize("NFC", name)).strip(". ") or "class"
        for name in pipeline.conditions.classes
    )
    stems = []
    for i, seed in enumerate(seeds):
        class_id, pitch = int(points.class_id[i]), float(points.pitch[i])
        kind = kinds[class_id] if class_id >= 0 else ""
        parts = [kind or "seed", *([note_name(pitch)] if pitch == pitch else []), f"{seed:04d}"]
        stems.append(f"{kind}/{'-'.join(parts)}" if folders and kind else "-".join(parts))
    return stems


def note_name(pitch: float) -> str:
    """The nearest note to a MIDI pitch: 60 is C4."""
    octave, note = divmod(round(pitch), len(NOTES))
    return f"{NOTES[note]}{octave - 1}"


def ends_note(pipeline: "Pipeline", done: "Sequence[Finished]") -> str:
    """How long clips are, and how many the model's length cut."""
    lengths = [one.wav.shape[-1] / one.sample_rate for one in done]
    cut = sum(one.cut for one in done)
    told = f"{min(lengths):.2f} to {max(lengths):.2f} s long"
    if cut:
        told += (
            f"; {cut} of {len(done)} reach the model's length of {pipeline.duration_sec:.2f} s and fade out there "
            "(a longer data.segment_sec makes room)"
        )
    return told


def rate_note(pipeline: "Pipeline", how: "Finish") -> str | None:
    """What a lower sample rate takes away, if it does."""
    if how.rate is None or how.rate >= pipeline.spec.sample_rate:
        return None
    return (
        f"--rate {how.rate}: resampled from {pipeline.spec.sample_rate} Hz, nothing above {how.rate / 2:g} Hz is left"
    )


def write_steps(
    pipeline: "Pipeline",
    ends: "tuple[Latents, Latents]",
    names: tuple[str, str],
    out: Path,
    steps: int,
    advance: Callable[[float], object] = lambda amount: None,
    attack_sec: float = 0.0,
    how: "Finish | None" = None,
) -> list[Path]:
    """Write clips at even steps from one end to the other.

    Args:
        pipeline: The model.
        ends: Two sets of one.
        names: What the ends are called in sidecars.
        out: Folder.
        steps: How many, ends included.
        advance: Told how many clips were written.
        attack_sec: So much of the start is held.
        how: Levels and ends, see `write_clip`.

    Returns:
        The paths.
    """
    import torch

    from audio_gen.generation.clip_file import describe, write_clip
    from audio_gen.generation.interpolate import between, decode_between

    paths = [out / f"{stem}.wav" for stem in step_stems(steps)]
    positions = torch.linspace(0, 1, steps)
    points = between(*ends, positions)
    for first in range(0, steps, STEPS_AT_ONCE):
        some = slice(first, first + STEPS_AT_ONCE)
        wav = pipeline.vocode(decode_between(pipeline, *ends, positions[some], attack_sec=attack_sec))
        for i, clip in enumerate(wav, first):
            way = {"from": names[0], "to": names[1], "position": float(positions[i]), **_attack(attack_sec)}
            write_clip(paths[i], clip, describe(pipeline, points[i], command=command_line(), more=way), how)
        advance(len(wav))
    return paths


def write_morph(
    pipeline: "Pipeline", ends: "tuple[Latents, Latents]", names: tuple[str, str], path: Path, duration_sec: float,
    attack_sec: float = 0.0, how: "Finish | None" = None,
) -> None:  # fmt: skip
    """Write one sound that moves from one end to the other, with a sidecar whose z is half-way."""
    import torch

    from audio_gen.generation.clip_file import describe, write_clip
    from audio_gen.generation.interpolate import between, morph

    wav = pipeline.vocode(morph(pipeline, *ends, duration_sec, attack_sec=attack_sec)[None])[0]
    middle = between(*ends, torch.tensor([0.5]))
    way = {"from": names[0], "to": names[1], "position": 0.5, "morph_sec": duration_sec, **_attack(attack_sec)}
    write_clip(path, wav, describe(pipeline, middle, command=command_line(), more=way), how)


def _attack(attack_sec: float) -> dict[str, float]:
    return {"attack_sec": attack_sec} if attack_sec else {}
