"""Seamless loops of bars at a tempo."""

from collections.abc import Iterator
from functools import partial
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from audio_gen.errors import ConfigError
from audio_gen.generation.clip import Clips
from audio_gen.generation.long_clip import LongClip
from audio_gen.generation.loop import draw_loop, loop_sound, turned
from audio_gen.generation.operations.common import FileRequest, check_channels
from audio_gen.generation.operations.sequence import describe_sequence, refuse_options, seeds_from
from audio_gen.generation.pipeline import Pipeline, check_temperature
from audio_gen.generation.sequence import filled
from audio_gen.models.contract import Conditions
from audio_gen.models.registry import LEAST_BPM, MOST_BPM
from audio_gen.reporter import Reporter

LOOPS = 8
LEAST_SEC, MOST_SEC = 0.5, 300.0


class LoopRequest(FileRequest):
    """Options of `loop`."""

    bars: Annotated[int, Field(ge=1)] = 4
    """Length in bars."""
    bpm: float = 120.0
    """Beats per minute."""
    beats: Annotated[int, Field(ge=1)] = 4
    """Beats per bar."""
    count: Annotated[int, Field(ge=1)] = LOOPS
    """Number of loops."""
    seed: int = 0
    """First seed."""
    class_name: str | None = None
    """Class of all loops; None draws one per loop."""
    temperature: float = 1.0
    """0: the most typical loops; 1: the model's whole variety."""

    @property
    def duration_sec(self) -> float:
        """Length of a loop in seconds.

        Raises:
            ConfigError: The tempo or the length is out of its range.
        """
        if not LEAST_BPM <= self.bpm <= MOST_BPM:
            raise ConfigError(f"--bpm {self.bpm:g}: must be between {LEAST_BPM:g} and {MOST_BPM:g}; try 120")
        duration_sec = self.bars * self.beats * 60 / self.bpm
        if not LEAST_SEC <= duration_sec <= MOST_SEC:
            raise ConfigError(
                f"--bars {self.bars}: {self.bars} x {self.beats} beats at {self.bpm:g} bpm are {duration_sec:.3g} s; "
                f"a loop has {LEAST_SEC:g} to {MOST_SEC:g} s; change --bars"
            )
        return duration_sec


def loop(pipeline: Pipeline, request: LoopRequest) -> Clips:
    """Generate loops of bars x beats x 60 / bpm seconds, exact to the sample, whose end leads to their start.

    Args:
        pipeline: A sequence model whose prior can close a circle.
        request: The options.

    Raises:
        CheckpointError: The model is of whole clips.
        ConfigError: A value is out of its range, or the prior draws no circles.
    """
    if not pipeline.sequence.loops:
        raise ConfigError(
            f"{pipeline.vocabulary.model}: its prior cannot close a loop; train one with --set prior.kind=flow"
        )
    check_channels(pipeline, request.channels)
    refuse_options(pipeline, {"--tail": request.tail_db})
    check_temperature(request.temperature)
    seeds, duration_sec = seeds_from(request.seed, request.count), request.duration_sec
    rate = request.rate or pipeline.spec.sample_rate
    samples = round(duration_sec * rate)
    more = {"bars": request.bars, "beats": request.beats, "bpm": request.bpm}

    def render(reporter: Reporter) -> Iterator[LongClip]:
        for name, conditions, seed in zip(names, fills, seeds, strict=True):
            drawn = {**more, "seed": seed, "temperature": request.temperature}
            about = describe_sequence(pipeline, conditions, samples, command=request.origin, more=drawn)
            about["duration_sec"] = round(samples / rate, 6)
            blocks = partial(_blocks, pipeline, conditions, seed, request, samples)
            yield LongClip(name, blocks, samples, rate, about, request.finish, fade_in=False, fade_out=False,
                           repeats=True)  # fmt: skip

    fills = [filled(pipeline, request.class_name, seed) for seed in seeds]
    names = [f"loop-{request.bars}bars-{request.bpm:g}bpm-{seed:04d}" for seed in seeds]
    return Clips(names, render, pipeline, request.origin, "Looping", unit="loops")


def _blocks(
    pipeline: Pipeline, conditions: Conditions, seed: int, request: LoopRequest, samples: int
) -> Iterator[Tensor]:
    """The loop of a seed as one block (C, samples) at the rate of the request."""
    length = round(request.duration_sec * pipeline.spec.sample_rate)
    generator = torch.Generator().manual_seed(seed)
    z = draw_loop(pipeline, conditions, generator, length, request.bars, request.beats, temperature=request.temperature)
    yield turned(resampled_circle(loop_sound(pipeline, z, length), samples), round(samples / request.duration_sec))


def resampled_circle(wav: Tensor, samples: int) -> Tensor:
    """A loop (C, T) with another number of samples, without an edge."""
    if wav.shape[-1] == samples:
        return wav
    from scipy.signal import resample

    return torch.from_numpy(resample(wav.numpy(), samples, axis=-1)).float()
