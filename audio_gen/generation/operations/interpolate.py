"""Interpolate between two sounds, in steps and as one morph."""

from collections.abc import Iterator, Sequence
from typing import Any, Self

import torch
from pydantic import model_validator
from torch import Tensor

from audio_gen.errors import ConfigError
from audio_gen.files import at_home
from audio_gen.generation.attack import check_attack, parse_attack, with_attack_of
from audio_gen.generation.clip import Clip, Clips
from audio_gen.generation.clip_file import describe
from audio_gen.generation.inputs import starting_point
from audio_gen.generation.interpolate import PathBetween, glide, parse_duration
from audio_gen.generation.latents import Latents
from audio_gen.generation.layers import mix_layers, parse_layers
from audio_gen.generation.operations.common import AT_ONCE, FileRequest
from audio_gen.generation.pipeline import Pipeline
from audio_gen.generation.source import Source
from audio_gen.reporter import Reporter
from audio_gen.text import one_line

SEED_PREFIX = "seed:"


class InterpolateRequest(FileRequest):
    """Options of `interpolate`."""

    start: str
    """A sound file, or seed:N, the clip that `sample` generates from N."""
    end: str
    """The same for the other end."""
    steps: int = 8
    """Clips from end to end, both included; 0 for a morph alone."""
    morph: str | None = None
    """Length of one morphing sound: 4s, 500ms."""
    layers: str | None = None
    """Layers of a GAN that move: coarse, fine, or such as 2-4; None moves all."""
    attack: str | None = None
    """Length of the start's attack that is kept, while only the tail moves: 60ms."""
    keep_attack: str | None = None
    """Length of the start of the closer end's samples that each step keeps, up to 100 ms: 15ms."""
    class_name: str | None = None
    """Class of an end whose file does not give one."""
    pitch: float | None = None
    """Fixed MIDI pitch while the timbre moves."""
    temperature: float = 1.0
    """Temperature of ends that are drawn by seed."""

    @model_validator(mode="after")
    def _check_ends(self) -> Self:
        for option, text in (("--from", self.start), ("--to", self.end)):
            if not text.strip():
                raise ConfigError(f"{option}: is empty; give a sound file, or a seed such as seed:3")
        return self

    @model_validator(mode="after")
    def _check_lengths(self) -> Self:
        if self.steps < 0 or self.steps == 1 or (self.steps == 0 and self.morph is None):
            raise ConfigError(f"--steps {self.steps}: must be at least 2, or 0 with --morph; try 8")
        _ = self.morph_sec, self.attack_sec, self.kept_attack_sec
        return self

    @property
    def morph_sec(self) -> float | None:
        """Length of the morph in seconds."""
        return None if self.morph is None else parse_duration(self.morph)

    @property
    def attack_sec(self) -> float:
        """Length of the kept attack in seconds."""
        return 0.0 if self.attack is None else parse_duration(self.attack)

    @property
    def kept_attack_sec(self) -> float:
        """Length of the samples that are kept, in seconds."""
        return parse_attack(self.keep_attack)


def interpolate(pipeline: Pipeline, request: InterpolateRequest) -> Clips:
    """Interpolate between two sounds.

    Args:
        pipeline: The model.
        request: The options.

    Returns:
        The steps, `step-00` and on, then `morph`.

    Raises:
        ConfigError: A value is out of its range, or the model does not know the class, pitch or layers.
        AudioFileError: An end cannot be read.
    """
    pipeline.vocabulary.requested(request.class_name, request.pitch)  # a wrong one is an error even if no end needs it
    shape = pipeline.codec.latent
    layers = None if request.layers is None else parse_layers(request.layers, shape.style_layers)
    ends = _endpoint(pipeline, request.start, request), _endpoint(pipeline, request.end, request)
    first, last = (end.with_pitch(pipeline, request.pitch) for end in ends)
    if layers is not None:
        last = Source.exact(pipeline, mix_layers(first.latents, last.latents, layers, shape))
    return clips_between(pipeline, (first, last), request, notes=[*ends[0].notes, *ends[1].notes])


def clips_between(
    pipeline: Pipeline, ends: tuple[Source, Source], request: InterpolateRequest, notes: Sequence[str] = ()
) -> Clips:
    """Clips between two sounds; sidecars name the ends as in the request.

    Raises:
        AudioFileError: An end has no attack to keep.
    """
    named: dict[str, Any] = {"from": one_line(request.start), "to": one_line(request.end)}
    attack_sec, morph_sec, kept_sec, rate = (
        request.attack_sec, request.morph_sec, request.kept_attack_sec, pipeline.spec.sample_rate
    )  # fmt: skip
    named |= {"attack_sec": attack_sec} if attack_sec else {}
    attacks = [end.rendered(pipeline) for end in ends] if kept_sec else []
    for attack, name in zip(attacks, named.values(), strict=False):
        check_attack(attack, rate, kept_sec, name)
    path = PathBetween(pipeline, *ends, attack_sec)

    def clip(name: str, wav: Tensor, at: float, point: Latents, **more: Any) -> Clip:
        exact = at in (0, 1) and ends[round(at)].residual is None and not attack_sec
        if attacks:
            wav, exact = with_attack_of(wav, attacks[at >= 0.5], rate, kept_sec), False
            more |= {"kept_attack_sec": kept_sec}
        more |= {} if exact else {"edited": True}
        about = describe(pipeline, point, command=request.origin, more={**named, "position": round(at, 5), **more})
        return Clip(name, wav, rate, about, request.finish)

    def render(reporter: Reporter) -> Iterator[Clip]:
        positions, distances = path.steps(request.steps) if request.steps else (torch.empty(0), torch.empty(0))
        points = path.points(positions)
        for first in range(0, request.steps, AT_ONCE):
            wavs = pipeline.vocode(path.mel(positions[first : first + AT_ONCE]))
            for i, wav in enumerate(wavs, first):
                yield clip(names[i], wav, float(positions[i]), points[i], distance_db=round(float(distances[i]), 3))
        if morph_sec is not None:
            wav = pipeline.vocode(glide(path, morph_sec)[None])[0]
            yield clip(names[-1], wav, 0.5, path.points(torch.tensor([0.5])), morph_sec=morph_sec)

    names = [*step_names(request.steps), *(["morph"] if morph_sec else ())]
    return Clips(names, render, pipeline, request.origin, "Interpolating", notes=notes)


def step_names(steps: int) -> list[str]:
    """Names of the steps of an interpolation."""
    digits = max(2, len(str(steps - 1)))
    return [f"step-{i:0{digits}d}" for i in range(steps)]


def _endpoint(pipeline: Pipeline, text: str, request: InterpolateRequest) -> Source:
    """The sound of an end."""
    options: dict[str, Any] = {"class_name": request.class_name, "pitch": request.pitch}
    if not text.startswith(SEED_PREFIX):
        return starting_point(pipeline, at_home(text), **options)
    number = text.removeprefix(SEED_PREFIX)
    if not number.isdecimal():
        raise ConfigError(f"{text}: must have a whole number after seed:; try seed:3")
    return Source.exact(pipeline, pipeline.latents([int(number)], temperature=request.temperature, **options))
