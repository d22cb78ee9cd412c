"""Variations of a clip."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from audio_gen.artefacts.sidecar import read_sidecar, sidecar_path
from audio_gen.errors import CheckpointError, DataError
from audio_gen.generation.attack import check_attack, parse_attack, with_attack_of
from audio_gen.generation.clip import Clip, Clips
from audio_gen.generation.clip_file import describe
from audio_gen.generation.inputs import class_names, starting_point
from audio_gen.generation.long_clip import LongClip, check_loudness
from audio_gen.generation.noise_path import NewNoise, NoiseOf, between, require_invertible
from audio_gen.generation.operations.common import AT_ONCE, FileRequest, check_channels
from audio_gen.generation.operations.sequence import (
    UNIT,
    describe_sequence,
    read_heard,
    refuse_options,
    seeds_from,
    turned_down,
)
from audio_gen.generation.outputs import output_stems
from audio_gen.generation.pipeline import Pipeline
from audio_gen.generation.sequence import encode_sound, sound_blocks
from audio_gen.generation.vary import Variation, check_amount
from audio_gen.generation.vary import vary as varied
from audio_gen.reporter import Reporter
from audio_gen.text import one_line


class VaryRequest(FileRequest):
    """Options of `vary`."""

    clip: Path
    """A generated WAV with its sidecar, or any sound."""
    amount: float = 0.3
    """0: the same clip; 0.3: 3 dB from it; 1: 10 dB from it, about as far as a new one.

    Of a sequence model it is the share of the way to a new sound."""
    count: Annotated[int, Field(ge=1)] = 4
    """Number of variations."""
    seed: int = 0
    """First seed."""
    temperature: float = 1.0
    """Temperature of the new clips that variations move towards."""
    keep_attack: str | None = None
    """Length of the start of the file itself that is kept, up to 100 ms: 15ms."""

    @model_validator(mode="after")
    def _check_attack(self) -> Self:
        _ = self.attack_sec
        return self

    @property
    def attack_sec(self) -> float:
        """Length of the kept attack in seconds."""
        return parse_attack(self.keep_attack)


def vary(pipeline: Pipeline, request: VaryRequest) -> Clips:
    """Generate variations of a clip; its class and pitch are kept.

    Args:
        pipeline: The model.
        request: The options.

    Raises:
        ConfigError: A value is out of its range.
        AudioFileError: The clip has to be encoded, and cannot be read; or it has no attack to keep.
    """
    check_amount(request.amount, request.temperature)
    check_channels(pipeline, request.channels)
    if pipeline.is_sequence:
        return vary_sounds(pipeline, request)
    clip = starting_point(pipeline, request.clip)
    notes = [*clip.notes, *_twin_notes(request)]
    count, rate, attack_sec = request.count, pipeline.spec.sample_rate, request.attack_sec
    attack = clip.rendered(pipeline) if attack_sec else None
    if attack is not None:
        check_attack(attack, rate, attack_sec, request.clip)
    finish = request.finish if clip.residual is None else request.finish_of_file(unchanged=request.amount == 0)

    def about(i: int, one: Variation) -> dict[str, Any]:
        more: dict[str, Any] = {"source": one_line(request.clip), "amount": request.amount}
        more |= {"position": round(one.position, 5), "distance_db": round(one.distance_db, 3)}
        more |= {"kept_attack_sec": attack_sec} if attack_sec else {}
        more |= {"edited": True} if clip.residual is not None or attack_sec else {}
        drawn = {"seed": request.seed + i, "temperature": request.temperature}
        return describe(pipeline, one.latents, command=request.origin, more=more, **drawn)  # type: ignore[arg-type]

    def render(reporter: Reporter) -> Iterator[Clip]:
        for first in range(0, count, AT_ONCE):
            seeds = range(request.seed + first, request.seed + min(first + AT_ONCE, count))
            found = varied(pipeline, clip, request.amount, seeds, request.temperature)
            wavs = pipeline.vocode(torch.cat([one.mel for one in found]))
            for i, (one, wav) in enumerate(zip(found, wavs, strict=True), first):
                if (note := one.note(request.amount)) is not None:
                    reporter.note(f"{names[i]}: {note}")
                sound = wav if attack is None else with_attack_of(wav, attack, rate, attack_sec)
                yield Clip(names[i], sound, rate, about(i, one), finish)

    names = [f"{output_stems([request.clip])[0]}-vary-{i:02d}" for i in range(count)]
    return Clips(names, render, pipeline, request.origin, "Varying", notes=notes)


def vary_sounds(pipeline: Pipeline, request: VaryRequest) -> Clips:
    """Variations of a sound as long as it, see `vary`: its noise, turned towards new noise.

    Raises:
        ConfigError: The model draws one latent after the other, or an option is of models of clips.
        AudioFileError: The file cannot be read, or is silent.
    """
    require_invertible(pipeline, "vary")
    refuse_options(pipeline, {"--keep-attack": request.keep_attack, "--tail": request.tail_db})
    seeds, wav = seeds_from(request.seed, request.count), read_heard(pipeline, request.clip)
    samples, rate = wav.shape[-1], pipeline.spec.sample_rate
    conditions, finish = pipeline.vocabulary.known(class_names(request.clip)), request.finish_of_file(unchanged=False)
    check_loudness(finish, samples / rate)
    names = [f"{output_stems([request.clip])[0]}-vary-{i:02d}" for i in range(request.count)]

    def render(reporter: Reporter) -> Iterator[LongClip]:
        z = encode_sound(pipeline, wav)
        known = NoiseOf(pipeline, z, conditions)

        def blocks(seed: int) -> Iterator[Tensor]:
            new = NewNoise(torch.Generator().manual_seed(seed), z.shape[1], request.temperature)
            weights = torch.full((len(z),), request.amount)
            return sound_blocks(pipeline, between(pipeline, conditions, known, new, weights), samples)

        for name, seed in zip(names, seeds, strict=True):
            more = {"source": one_line(request.clip), "amount": request.amount, "seed": seed,
                    "temperature": request.temperature}  # fmt: skip
            about = describe_sequence(pipeline, conditions, samples, command=request.origin, more=more)
            yield LongClip(name, partial(blocks, seed), samples, rate, about, finish, fade_in=False, fade_out=False)

    return Clips(
        names, render, pipeline, request.origin, "Varying", unit=UNIT, per_clip=samples / rate,
        notes=_twin_notes(request), summary=turned_down,
    )  # fmt: skip


def _twin_notes(request: VaryRequest) -> list[str]:
    """A note if all variations are the same."""
    if request.amount != 0 or request.count == 1:
        return []
    return [f"--amount 0: all {request.count} are the same clip; a larger amount, such as 0.3, makes them differ"]


def model_of(clip: Path, run: Path | None = None) -> Path:
    """The run or bundle of a clip: the named one, otherwise that of the clip's sidecar.

    Raises:
        DataError: The clip is missing, or there is neither a run nor a sidecar.
        CheckpointError: The bundle was moved.
    """
    if not clip.is_file():
        raise DataError(f"{one_line(clip)}: no such file; check the path")
    sidecar = read_sidecar(clip)
    if run is not None:
        return run
    if sidecar is None:
        name = one_line(sidecar_path(clip))
        raise DataError(f"{name}: is missing, so the clip's latent is unknown; give --run to encode the clip")
    if not sidecar.bundle_path.is_dir():
        raise CheckpointError(
            f"{one_line(clip)}: its bundle is no longer at {one_line(sidecar.bundle_path)}; name it with --run"
        )
    return sidecar.bundle_path
