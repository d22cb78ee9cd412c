"""Write clips as files: a WAV and its sidecar."""

import math
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from audio_gen import __version__
from audio_gen.artefacts import sidecar
from audio_gen.audio.io import write_wav
from audio_gen.generation.finish import Finish, Finished, finish
from audio_gen.generation.latents import Latents
from audio_gen.generation.pipeline import Pipeline


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
        pipeline: The model.
        point: Its latent, a set of one.
        command: The command line or request.
        seed: Its seed, if it was drawn.
        temperature: Its temperature, if it was drawn.
        more: Further entries.
    """
    about = sidecar.of_clip(
        z=(point.z[0, 0] if point.z.shape[1] == 1 else point.z[0]).tolist(),
        labels=pipeline.vocabulary.labels(point.conditions), digest=pipeline.digest, bundle_path=pipeline.path,
        seed=seed, temperature=temperature, more=more or {},
    )  # fmt: skip
    return {
        **about, "model": pipeline.kind, "vocoder": pipeline.vocoder.name, "sample_rate": pipeline.spec.sample_rate,
        "version": __version__, "command": command,
    }  # fmt: skip


def write_clip(path: Path, wav: Tensor, about: dict[str, Any], how: Finish | None = None) -> Finished:
    """Write a clip and its sidecar.

    Args:
        path: The WAV.
        wav: (C, T) as the vocoder rendered it.
        about: The result of `describe`.
        how: Settings of the file; None is `Finish()`.
    """
    how = how or Finish()
    done = finish(wav, about["sample_rate"], how)
    samples = dithered(done.wav) if how.bits == "16" else done.wav
    gain = write_wav(path, samples, done.sample_rate, how.subtype)
    levels = {"normalize": how.normalize, "bits": how.bits, "tail_db": how.tail_db}
    contents = {**about, **done.to_json(), **levels}
    if gain != 1:  # `write_wav` scales peaks above full scale down
        contents["gain_db"] = round(done.gain_db + 20 * math.log10(gain), 4)
    sidecar.write_sidecar(path, contents)
    return done


def dithered(wav: Tensor) -> Tensor:
    """Add triangular noise of one 16-bit step to wav (C, T), so that quiet tails fade without crackling.

    The same samples get the same noise. Source: Lipshitz 1992, "Quantization and dither".
    """
    generator = torch.Generator().manual_seed(zlib.crc32(wav.numpy().tobytes()))
    noise = torch.rand(2, *wav.shape, generator=generator)
    noise[..., :1], noise[..., -1:] = 0.0, 0.0  # clips begin and end with exact silence
    return wav + (noise[0] - noise[1]) / 2**15
