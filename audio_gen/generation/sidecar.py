"""The JSON beside every WAV that is made: how it was made, so that it can be made again and varied."""

import math
import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from audio_gen import __version__
from audio_gen.audio.io import write_wav
from audio_gen.errors import DataError
from audio_gen.files import MalformedError, at_home, is_path, read_json, write_json
from audio_gen.generation.conditions import pitch_or_none
from audio_gen.generation.finish import Finish, Finished, finish
from audio_gen.generation.latents import Latents
from audio_gen.generation.pipeline import Pipeline
from audio_gen.text import clipped, one_line

LARGEST_BYTES = 1 << 22  # of a sidecar
FARTHEST_PITCH = 256  # MIDI


@dataclass(frozen=True)
class Sidecar:
    """What a sidecar holds that is needed to go on from it.

    Attributes:
        z: (D,) float32, or (K, D) with one latent for each layer of a GAN.
        class_name: Class it was decoded with.
        pitch: MIDI pitch it was decoded with.
        digest: Hash of the bundle.
        bundle_path: Where the bundle is, if neither it nor the clip was moved away from the other.
    """

    z: Tensor
    class_name: str | None
    pitch: float | None
    digest: str
    bundle_path: Path


def describe(
    pipeline: Pipeline,
    point: Latents,
    *,
    command: str,
    seed: int | None = None,
    temperature: float | None = None,
    more: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The sidecar of a clip.

    Args:
        pipeline: What made it.
        point: Its latent, a set of one.
        command: The command line that made it.
        seed: Its seed, if it was drawn.
        temperature: Its temperature, if it was drawn.
        more: What else there is to say.
    """
    return {
        "seed": seed,
        "z": point.z[0].tolist(),
        "class": pipeline.conditions.class_name(int(point.class_id[0])),
        "pitch": pitch_or_none(float(point.pitch[0])),
        "temperature": temperature,
        **(more or {}),
        "bundle": pipeline.digest,
        "bundle_path": one_line(pipeline.path.absolute()),
        "model": pipeline.kind,
        "vocoder": pipeline.vocoder.name,
        "sample_rate": pipeline.spec.sample_rate,
        "version": __version__,
        "command": command,
    }


def write_clip(path: Path, wav: Tensor, about: dict[str, Any], how: Finish | None = None) -> Finished:
    """Write a clip and its sidecar beside it.

    Args:
        path: Of the WAV.
        wav: (1, T) as the vocoder made it.
        about: What `describe` gave.
        how: Where it begins and ends, its level, rate and depth; None is `Finish()`.
    """
    how = how or Finish()
    done = finish(wav, about["sample_rate"], how)
    made = dithered(done.wav) if how.bits == "16" else done.wav
    gain = write_wav(path, made, done.sample_rate, how.subtype)
    levels = {"normalize": how.normalize, "bits": how.bits, "tail_db": how.tail_db}
    told = {**about, **done.to_json(), **levels}
    if isinstance(bundle := about.get("bundle_path"), str):
        told["bundle_path"] = shareable(Path(bundle), path.parent)
    if gain != 1:  # what lies beyond full scale is turned down
        told["gain_db"] = round(done.gain_db + 20 * math.log10(gain), 4)
    write_json(path.with_suffix(".json"), told)
    return done


def shareable(path: Path, folder: Path) -> str:
    """A path for a file in `folder` that is given to others: relative to it, so that both can be moved together.

    Where that would lead through the root or past the home folder it begins with ~, or is absolute.
    """
    own, start, home = (os.path.realpath(place) for place in (path, folder, at_home("~")))
    try:
        shared = os.path.commonpath([own, start])
        if shared != os.path.dirname(shared) and shared not in map(str, Path(home).parents):
            return Path(os.path.relpath(own, start)).as_posix()
    except ValueError:  # on another drive
        pass
    return f"~/{Path(own).relative_to(home).as_posix()}" if Path(own).is_relative_to(home) else own


def dithered(wav: Tensor) -> Tensor:
    """Add triangular noise of one 16-bit step to wav (C, T), so that quiet tails fade and do not crackle.

    The same samples get the same noise. Source: Lipshitz 1992, "Quantization and dither".
    """
    generator = torch.Generator().manual_seed(zlib.crc32(wav.numpy().tobytes()))
    noise = torch.rand(2, *wav.shape, generator=generator)
    noise[..., :1], noise[..., -1:] = 0.0, 0.0  # a clip begins and ends with silence, however soft it is
    return wav + (noise[0] - noise[1]) / 2**15


def read_sidecar(wav_path: Path) -> Sidecar | None:
    """Read the sidecar of a clip; None when it has none.

    Raises:
        DataError: It is damaged.
    """
    path = wav_path.with_suffix(".json")
    if not path.is_file():
        return None
    try:
        values = read_json(path, LARGEST_BYTES)
        if isinstance(values, dict) and "z" not in values and values.get("kind") == "vocoded":
            return None  # of `vocode`, which knows no latent
        z = torch.tensor(values["z"], dtype=torch.float32)
        pitch = values["pitch"]
        if z.ndim not in (1, 2) or not bool(torch.isfinite(z).all()):
            raise MalformedError("z")
        if not (pitch is None or (type(pitch) in (int, float) and abs(pitch) <= FARTHEST_PITCH)):
            raise MalformedError("pitch")
        if not isinstance(values["class"], str | None):
            raise MalformedError("class")
        place = values["bundle_path"]
        if not isinstance(values["bundle"], str) or not is_path(place):
            raise MalformedError("bundle")
        # Earlier versions wrote the whole path.
        bundle_path = Path(os.path.realpath(path.parent / at_home(place)))
        return Sidecar(z, values["class"], pitch, values["bundle"], bundle_path)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, OverflowError) as e:
        raise DataError(
            f"{one_line(path)}: damaged, or no sidecar of a clip ({type(e).__name__}: "
            f"{clipped(one_line(str(e)), 120)}); move it away and name the run with --run, then the WAV itself is "
            "encoded"
        ) from e
