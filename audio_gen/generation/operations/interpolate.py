"""Interpolate between two sounds, in steps and as one morph, or between four, as a grid."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Self

import torch
from pydantic import field_validator, model_validator
from torch import Tensor

from audio_gen.errors import ConfigError
from audio_gen.files import at_home
from audio_gen.generation.attack import check_attack, parse_attack, with_attack_of
from audio_gen.generation.blend import Blend, bilinear
from audio_gen.generation.clip import Clip, Clips
from audio_gen.generation.clip_file import describe
from audio_gen.generation.inputs import class_names, starting_point
from audio_gen.generation.interpolate import PathBetween, glide, parse_duration
from audio_gen.generation.latents import Latents
from audio_gen.generation.layers import mix_layers, parse_layers
from audio_gen.generation.long_clip import LongClip
from audio_gen.generation.noise_path import End, NoiseOf, between, require_invertible
from audio_gen.generation.operations.common import AT_ONCE, FileRequest, check_channels
from audio_gen.generation.operations.sequence import (
    LEAST_SEC,
    SOUND_SEC,
    UNIT,
    check_heard,
    describe_sequence,
    read_heard,
    refuse_options,
    seeds_from,
)
from audio_gen.generation.pipeline import Pipeline
from audio_gen.generation.roll import count_hits, is_percussive, parse_hits, roll
from audio_gen.generation.sequence import filled, sound_blocks
from audio_gen.generation.source import Source
from audio_gen.models.contract import CLASS, Conditions
from audio_gen.reporter import Reporter
from audio_gen.text import one_line

SEED_PREFIX = "seed:"
CORNERS = 4
MORPH_KINDS = ("auto", "roll", "glide")


class InterpolateRequest(FileRequest):
    """Options of `interpolate`."""

    start: str | None = None
    """A sound file, or seed:N, the clip that `sample` generates from N."""
    end: str | None = None
    """The same for the other end."""
    corners: list[str] | None = None
    """Four sounds instead of two ends: top left, top right, bottom left, bottom right of a grid."""
    steps: int = 8
    """Clips from end to end, both included; 0 for a morph alone. Rows and columns of a grid."""
    morph: str | None = None
    """Length of one morphing sound: 4s, 500ms."""
    morph_kind: str = "auto"
    """roll: hits, each a step; glide: one sound that changes; auto: a roll of percussive sounds, a glide of others."""
    bpm: float = 120.0
    """Tempo of a roll."""
    hits: str = "1/16"
    """Hits of a roll: a note value, or a number per second."""
    layers: str | None = None
    """Layers of a GAN that move: coarse, fine, or such as 2-4; None moves all."""
    attack: str | None = None
    """Length of the start's attack that is kept, while only the tail moves: 60ms."""
    keep_attack: str | None = None
    """Length of the start of the closest end's samples that each clip keeps, up to 100 ms: 15ms."""
    class_name: str | None = None
    """Class of an end whose file does not give one."""
    pitch: float | None = None
    """Fixed MIDI pitch while the timbre moves."""
    temperature: float = 1.0
    """Temperature of ends that are drawn by seed."""

    @field_validator("corners", mode="before")
    @classmethod
    def _read_paths(cls, corners: Any) -> Any:
        return [str(one) if isinstance(one, Path) else one for one in corners] if isinstance(corners, list) else corners

    @model_validator(mode="after")
    def _check_ends(self) -> Self:
        ends = [("--from", self.start), ("--to", self.end), *(("--corner", text) for text in self.corners or ())]
        for option, text in ends:
            if text is not None and not text.strip():
                raise ConfigError(f"{option}: is empty; give a sound file, or a seed such as seed:3")
        if self.corners is None:
            if self.start is None or self.end is None:
                missing = "--from" if self.start is None else "--to"
                raise ConfigError(f"{missing}: is missing; give --from and --to, or --corner four times")
            return self
        if len(self.corners) != CORNERS:
            raise ConfigError(f"--corner: {len(self.corners)} given; a grid has {CORNERS} corners")
        given = {"--from": self.start, "--to": self.end, "--morph": self.morph, "--layers": self.layers,
                 "--attack": self.attack}  # fmt: skip
        for option, value in given.items():
            if value is not None:
                raise ConfigError(f"{option} {value}: does not go with --corner; remove one of the two")
        return self

    @model_validator(mode="after")
    def _check_lengths(self) -> Self:
        if self.steps < 0 or self.steps == 1 or (self.steps == 0 and self.morph is None):
            raise ConfigError(f"--steps {self.steps}: must be at least 2, or 0 with --morph; try 8")
        if self.morph_kind not in MORPH_KINDS:
            raise ConfigError(f"--morph-kind {self.morph_kind}: unknown; use {', '.join(MORPH_KINDS)}")
        _ = self.attack_sec, self.kept_attack_sec
        if self.morph_sec is None:
            return self
        interval_sec = self.interval_sec
        if self.morph_kind == "roll" and count_hits(self.morph_sec, interval_sec) < 2:
            raise ConfigError(f"--morph {self.morph}: too short for a roll of 2 hits; use more --hits, or a longer one")
        return self

    @property
    def sounds(self) -> list[str]:
        """The ends, or the corners."""
        return [str(self.start), str(self.end)] if self.corners is None else self.corners

    @property
    def morph_sec(self) -> float | None:
        """Length of the morph in seconds."""
        return None if self.morph is None else parse_duration(self.morph)

    @property
    def interval_sec(self) -> float:
        """Time between the hits of a roll in seconds."""
        return parse_hits(self.hits, self.bpm)

    @property
    def attack_sec(self) -> float:
        """Length of the kept attack in seconds."""
        return 0.0 if self.attack is None else parse_duration(self.attack)

    @property
    def kept_attack_sec(self) -> float:
        """Length of the samples that are kept, in seconds."""
        return parse_attack(self.keep_attack)


def interpolate(pipeline: Pipeline, request: InterpolateRequest) -> Clips:
    """Interpolate between two sounds, or between four.

    Args:
        pipeline: The model.
        request: The options.

    Returns:
        The steps, `step-00` and on, then `morph`; of four sounds `grid-00-00` and on, row by row.

    Raises:
        ConfigError: A value is out of its range, or the model does not know the class, pitch or layers.
        AudioFileError: An end cannot be read, is silent, or has no attack to keep.
    """
    check_channels(pipeline, request.channels)
    if pipeline.is_sequence:
        return sounds_between(pipeline, request)
    pipeline.vocabulary.requested(request.class_name, request.pitch)  # a wrong one is an error even if no end needs it
    if request.corners is not None:
        return _between_corners(pipeline, request)
    shape = pipeline.codec.latent
    layers = None if request.layers is None else parse_layers(request.layers, shape.style_layers)
    first, last = (_endpoint(pipeline, text, request) for text in request.sounds)
    notes = [*first.notes, *last.notes]
    if layers is not None:
        last = Source.exact(pipeline, mix_layers(first.latents, last.latents, layers, shape))
    return clips_between(pipeline, (first, last), request, notes)


def clips_between(
    pipeline: Pipeline, ends: tuple[Source, Source], request: InterpolateRequest, notes: Sequence[str] = ()
) -> Clips:
    """Clips between two sounds; sidecars name the ends as in the request.

    Raises:
        AudioFileError: An end has no attack to keep.
    """
    labels = {"from": one_line(str(request.start)), "to": one_line(str(request.end))}
    output, path = _Output(pipeline, ends, request, labels), PathBetween(pipeline, *ends, request.attack_sec)
    morph_sec, hits = request.morph_sec, _count_hits(pipeline, ends, request)

    def sounds(positions: Tensor) -> Iterator[tuple[float, Tensor]]:
        for some in positions.split(AT_ONCE):
            for at, wav in zip(some.tolist(), pipeline.vocode(path.mel(some)), strict=True):
                yield at, output.with_attack(wav, at >= 0.5)

    def render(reporter: Reporter) -> Iterator[Clip]:
        if request.steps:
            positions, distances = path.steps(request.steps)
            points = path.points(positions)
            for i, (at, wav) in enumerate(sounds(positions)):
                exact = at in (0, 1) and ends[round(at)].residual is None and not request.attack_sec
                where = {"position": round(at, 5), "distance_db": round(float(distances[i]), 3)}
                yield output.clip(names[i], wav, points[i], where, edited=not exact)
        if morph_sec is None:
            return
        about: dict[str, Any] = {"position": 0.5, "morph_sec": morph_sec, "morph_kind": "roll" if hits else "glide"}
        if hits:
            about |= {"hits": hits, "interval_sec": round(request.interval_sec, 6)}
            strikes = (wav for _, wav in sounds(path.steps(hits)[0]))
            wav = roll(strikes, request.interval_sec, pipeline.spec.sample_rate)
        else:
            wav = output.with_attack(pipeline.vocode(glide(path, morph_sec)[None])[0], 0)
        yield output.clip(names[-1], wav, path.points(torch.tensor([0.5])), about, edited=True)

    names = [*step_names(request.steps), *(["morph"] if morph_sec else ())]
    told = [f"morph: a roll of {hits} hits, {1 / request.interval_sec:.3g} a second"] if hits else []
    return Clips(names, render, pipeline, request.origin, "Interpolating", notes=[*notes, *told])


def _count_hits(pipeline: Pipeline, ends: tuple[Source, Source], request: InterpolateRequest) -> int:
    """The number of hits of the morph; 0 if it is a glide, or there is none."""
    if request.morph_sec is None or request.morph_kind == "glide":
        return 0
    rate = pipeline.spec.sample_rate
    if request.morph_kind == "auto" and not all(is_percussive(end.rendered(pipeline), rate) for end in ends):
        return 0
    hits = count_hits(request.morph_sec, request.interval_sec)
    return hits if hits > 1 else 0


def _between_corners(pipeline: Pipeline, request: InterpolateRequest) -> Clips:
    """A grid of clips between four sounds: rows and columns are evenly spaced in the latent space."""
    texts, count = request.corners or [], request.steps
    ends = [_endpoint(pipeline, text, request) for text in texts]
    output, blend = _Output(pipeline, ends, request, {"corners": list(map(one_line, texts))}), Blend(pipeline, ends)
    row, column = (at.flatten() for at in torch.meshgrid(2 * [torch.linspace(0, 1, count)], indexing="ij"))
    weights = bilinear(row, column)

    def render(reporter: Reporter) -> Iterator[Clip]:
        points = blend.points(weights)
        for first in range(0, len(weights), AT_ONCE):
            wavs = pipeline.vocode(blend.mel(weights[first : first + AT_ONCE]))
            for i, wav in enumerate(wavs, first):
                closest = int(weights[i].argmax())
                exact = float(weights[i, closest]) == 1 and ends[closest].residual is None
                about = {"row": i // count, "column": i % count, "weights": [round(w, 5) for w in weights[i].tolist()]}
                yield output.clip(
                    names[i], output.with_attack(wav, closest), points[i], about, edited=not exact
                )  # fmt: skip

    digits = max(2, len(str(count - 1)))
    names = [f"grid-{i // count:0{digits}d}-{i % count:0{digits}d}" for i in range(count * count)]
    notes = [note for end in ends for note in end.notes]
    return Clips(names, render, pipeline, request.origin, "Interpolating", notes=notes)


class _Output:
    """Makes clips of sounds between ends, with the attack of the closest end if the request keeps it."""

    def __init__(
        self, pipeline: Pipeline, ends: Sequence[Source], request: InterpolateRequest, labels: Mapping[str, Any]
    ) -> None:
        """Check the attacks; `labels` names the ends in sidecars."""
        self._pipeline, self._request, self._labels = pipeline, request, dict(labels)
        self._rate, self._kept_sec = pipeline.spec.sample_rate, request.kept_attack_sec
        self._labels |= {"attack_sec": request.attack_sec} if request.attack_sec else {}
        self._labels |= {"kept_attack_sec": self._kept_sec} if self._kept_sec else {}
        self._attacks = [end.rendered(pipeline) for end in ends] if self._kept_sec else []
        for attack, text in zip(self._attacks, request.sounds, strict=False):
            check_attack(attack, self._rate, self._kept_sec, text)

    def with_attack(self, wav: Tensor, end: int) -> Tensor:
        """A sound (C, T) with the attack of an end, if it is kept."""
        return with_attack_of(wav, self._attacks[end], self._rate, self._kept_sec) if self._attacks else wav

    def clip(self, name: str, wav: Tensor, point: Latents, about: Mapping[str, Any], *, edited: bool) -> Clip:
        """The clip of a sound."""
        more = {**self._labels, **about, **({"edited": True} if edited or self._attacks else {})}
        contents = describe(self._pipeline, point, command=self._request.origin, more=more)
        return Clip(name, wav, self._rate, contents, self._request.finish)


def step_names(steps: int) -> list[str]:
    """Names of the steps of an interpolation."""
    digits = max(2, len(str(steps - 1)))
    return [f"step-{i:0{digits}d}" for i in range(steps)]


def _endpoint(pipeline: Pipeline, text: str, request: InterpolateRequest) -> Source:
    """The sound of an end, at the pitch of the request."""
    options: dict[str, Any] = {"class_name": request.class_name, "pitch": request.pitch}
    if not text.startswith(SEED_PREFIX):
        return starting_point(pipeline, at_home(text), **options).with_pitch(pipeline, request.pitch)
    return Source.exact(pipeline, pipeline.latents([_seed_of(text)], temperature=request.temperature, **options))


def _seed_of(text: str) -> int:
    """The number of an end such as seed:3."""
    number = text.removeprefix(SEED_PREFIX)
    if not number.isdecimal():
        raise ConfigError(f"{text}: must have a whole number after seed:; try seed:3")
    return int(number)


def sounds_between(pipeline: Pipeline, request: InterpolateRequest) -> Clips:
    """Sounds at even steps between two, and one that moves from the first to the second; see `interpolate`.

    Steps are as long as the shorter file; a morph goes on after the end of a file as `continue` does.

    Raises:
        ConfigError: The model draws one latent after the other, or an option is of models of clips.
        AudioFileError: A file cannot be read, or is silent.
    """
    require_invertible(pipeline, "interpolate")
    given = {"--corner": request.corners, "--layers": request.layers, "--attack": request.attack, "--pitch":
             request.pitch, "--keep-attack": request.keep_attack, "--tail": request.tail_db,
             "--morph-kind roll": request.morph_kind == "roll"}  # fmt: skip
    refuse_options(pipeline, given)
    pipeline.vocabulary.requested(request.class_name)
    rate = pipeline.spec.sample_rate
    ends = [_end(pipeline, text, request.class_name) for text in request.sounds]
    files = sum(end.wav is not None for end in ends)
    lengths = [end.wav.shape[-1] for end in ends if end.wav is not None] or [round(SOUND_SEC * rate)]
    if request.morph_sec is not None and request.morph_sec < LEAST_SEC:
        raise ConfigError(f"--morph {request.morph}: must be at least {LEAST_SEC:g} s; try 20s")
    for end in ends:
        if request.steps and end.wav is not None:
            check_heard(f"the first {min(lengths) / rate:.2f} s of {end.text}", end.wav[:, : min(lengths)])
    classes = {end.class_name for end in ends}
    conditions = pipeline.vocabulary.requested(classes.pop()) if len(classes) == 1 else Conditions(1)
    ways = [(name, min(lengths), (i / (request.steps - 1),) * 2) for i, name in enumerate(step_names(request.steps))]
    if request.morph_sec is not None:
        ways.append(("morph", round(request.morph_sec * rate), (0.0, 1.0)))
    names = [name for name, _, _ in ways]

    def render(reporter: Reporter) -> Iterator[LongClip]:
        count = max(-(-samples // pipeline.latent_samples) for _, samples, _ in ways)
        start, stop = (NoiseOf(pipeline, end.latents(pipeline, count, request.temperature), conditions) for end in ends)

        def blocks(samples: int, first: float, last: float) -> Iterator[Tensor]:
            weights = torch.linspace(first, last, -(-samples // pipeline.latent_samples))
            return sound_blocks(pipeline, between(pipeline, conditions, start, stop, weights), samples)

        for name, samples, (first, last) in ways:
            more: dict[str, Any] = {"from": ends[0].text, "to": ends[1].text, "position": round((first + last) / 2, 5)}
            more |= {"morph_sec": request.morph_sec} if first != last else {}
            more |= {} if files == len(ends) else {"temperature": request.temperature}
            about = describe_sequence(pipeline, conditions, samples, command=request.origin, more=more)
            sound = partial(blocks, samples, first, last)
            yield LongClip(name, sound, samples, rate, about, request.finish, fade_in=not files)

    total_sec = sum(samples for _, samples, _ in ways) / rate
    return Clips(
        names, render, pipeline, request.origin, "Interpolating", unit=UNIT, per_clip=total_sec / max(1, len(names)),
        notes=_length_notes(ends, rate) if request.steps else [],
    )  # fmt: skip


def _end(pipeline: Pipeline, text: str, class_name: str | None) -> End:
    """The end that a request names: a file, or a seed of `sample`."""
    if not text.startswith(SEED_PREFIX):
        path = at_home(text)
        class_id = int(pipeline.vocabulary.known(class_names(path, class_name)).get(CLASS)[0])
        known = pipeline.vocabulary.classes[class_id] if class_id >= 0 else None
        return End(one_line(text), read_heard(pipeline, path), 0, known)
    seed = seeds_from(_seed_of(text), 1)[0]
    class_id = int(filled(pipeline, class_name, seed).get(CLASS)[0])
    return End(text, None, seed, pipeline.vocabulary.classes[class_id] if class_id >= 0 else None)


def _length_notes(ends: list[End], rate: int) -> list[str]:
    """A note if files of different lengths are cut to the shorter one."""
    known = sorted((end.wav.shape[-1] / rate, end.text) for end in ends if end.wav is not None)
    if len(known) < 2 or known[0][0] == known[1][0]:
        return []
    return [f"{known[0][1]}: the steps have its length of {known[0][0]:.2f} s; the other has {known[1][0]:.2f} s"]
