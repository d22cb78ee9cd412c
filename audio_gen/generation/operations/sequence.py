"""Shared by operations on sounds of any length: lengths, conditions, provenance, and options of whole clips."""

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from audio_gen import __version__
from audio_gen.artefacts import sidecar
from audio_gen.audio.io import read_wav
from audio_gen.errors import AudioFileError, ConfigError
from audio_gen.generation.clip import Saved
from audio_gen.generation.finish import SILENT
from audio_gen.generation.long_clip import check_loudness
from audio_gen.generation.operations.common import FileRequest
from audio_gen.generation.pipeline import Pipeline, check_seeds
from audio_gen.generation.sequence import generate_long
from audio_gen.models.contract import Conditions
from audio_gen.text import one_line

SOUNDS, SOUND_SEC = 4, 10.0
UNIT = "s of sound"
HOUR_SEC, LEAST_SEC = 3600.0, 0.1
TIMED_SEC = 2.0
FILE_BYTES = {"16": 2, "24": 3, "float": 4}  # of a sample


def describe_sequence(
    pipeline: Pipeline, conditions: Conditions, samples: int, *, command: str, more: Mapping[str, Any]
) -> dict[str, Any]:
    """The sidecar of a sound of any length, with further entries `more`."""
    rate = pipeline.spec.sample_rate
    about = sidecar.of_sequence(
        labels=pipeline.vocabulary.labels(conditions), digest=pipeline.digest, bundle_path=pipeline.path,
        duration_sec=round(samples / rate, 6), more=more,
    )  # fmt: skip
    return {
        **about, "model": pipeline.kind, "vocoder": pipeline.vocoder.name, "sample_rate": rate,
        "version": __version__, "command": command,
    }  # fmt: skip


def seeds_from(first: int, count: int) -> range:
    """Seeds in a row.

    Raises:
        ConfigError: One is out of range.
    """
    seeds = range(first, first + count)
    check_seeds(seeds)
    return seeds


def refuse_options(pipeline: Pipeline, given: Mapping[str, Any]) -> None:
    """Refuse options of models of whole clips by name.

    Raises:
        ConfigError: One is given.
    """
    for option, value in given.items():
        if value is not None and value is not False and value not in ({}, []):
            raise ConfigError(
                f"{option}: is of models of clips, and {pipeline.vocabulary.model} is one of sequences; remove it"
            )


def check_duration(
    option: str, duration_sec: float, pipeline: Pipeline, request: FileRequest, *, count: int = 1, force: bool = False
) -> None:
    """Refuse a length that is no length, or takes long.

    Raises:
        ConfigError: It is below 0.1 s or not a number; or above an hour without --force.
    """
    if not (math.isfinite(duration_sec) and duration_sec >= LEAST_SEC):
        raise ConfigError(f"{option} {duration_sec:g}: must be at least {LEAST_SEC:g} s; try 30")
    check_loudness(request.finish, duration_sec)
    if duration_sec <= HOUR_SEC or force:
        return
    started = time.monotonic()
    generate_long(pipeline, TIMED_SEC)
    took_sec = count * duration_sec / TIMED_SEC * (time.monotonic() - started)
    samples = duration_sec * (request.rate or pipeline.spec.sample_rate)
    size = samples * (request.channels or pipeline.spec.channels) * FILE_BYTES[request.bits]
    raise ConfigError(
        f"{option} {duration_sec:g}: is above an hour; {'each' if count > 1 else 'the'} file gets {size / 1e9:.1f} GB, "
        f"and rendering takes about {_told(took_sec)} on this machine; add --force, or try 3600"
    )


def read_sound(pipeline: Pipeline, path: Path) -> Tensor:
    """The sound (C, T) of a file, in the model's channels and at its rate.

    Raises:
        AudioFileError: It cannot be read.
    """
    channels: Literal[1, 2] = 2 if pipeline.spec.channels == 2 else 1
    wav, _ = read_wav(path, sample_rate=pipeline.spec.sample_rate, channels=channels)
    return wav


def read_heard(pipeline: Pipeline, path: Path) -> Tensor:
    """As `read_sound`; silence is an AudioFileError."""
    wav = read_sound(pipeline, path)
    check_heard(path, wav)
    return wav


def check_heard(path: Path | str, wav: Tensor) -> None:
    """Refuse silence by an AudioFileError."""
    if float(wav.abs().max()) < SILENT:
        raise AudioFileError(f"{one_line(path)}: is silent; give a file with sound")


def _told(duration_sec: float) -> str:
    hours = duration_sec / HOUR_SEC
    if hours > 48:
        return f"{hours / 24:.1f} days"
    return f"{hours:.1f} hours" if hours > 1.5 else f"{60 * hours:.0f} minutes"


def turned_down(saved: Sequence[Saved]) -> list[str]:
    """A line for each file that would clip at the level of the sound that it comes from."""
    return [
        f"{one_line(one.path.name)}: turned down by {-one.provenance['gain_db']:.1f} dB, since it would clip"
        for one in saved
        if one.provenance["normalize"] == "none" and one.provenance["gain_db"] < 0
    ]
