"""Continue sounds with a sequence model."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from audio_gen.errors import AudioFileError
from audio_gen.generation.clip import Clips
from audio_gen.generation.continuation import FADE_SEC, LEAST_LATENTS, Prompt, continued_blocks, spare_samples
from audio_gen.generation.finish import SILENT
from audio_gen.generation.inputs import class_names
from audio_gen.generation.long_clip import LongClip
from audio_gen.generation.operations.common import FileRequest, SoundFiles, check_channels
from audio_gen.generation.operations.sequence import (
    UNIT,
    check_duration,
    describe_sequence,
    read_sound,
    refuse_options,
    seeds_from,
    turned_down,
)
from audio_gen.generation.outputs import output_stems, sound_files
from audio_gen.generation.pipeline import Pipeline, check_temperature
from audio_gen.generation.sequence import draw_latents
from audio_gen.models.contract import Conditions
from audio_gen.reporter import Reporter
from audio_gen.text import one_line


class ContinueRequest(FileRequest):
    """Options of `continue`."""

    files: SoundFiles
    """Sounds to continue, or folders of them."""
    duration_sec: float = 20.0
    """Length of what is added."""
    count: Annotated[int, Field(ge=1)] = 1
    """Continuations of each sound."""
    seed: int = 0
    """First seed."""
    class_name: str | None = None
    """Class of the continuations; None is that of the file's name or folder, or drawn."""
    temperature: float = 1.0
    """0: the most typical continuations; 1: the model's whole variety."""
    force: bool = False
    """Allow more than an hour."""


def continue_sounds(pipeline: Pipeline, request: ContinueRequest) -> Clips:
    """Continue sounds; each file holds the sound itself and what follows.

    By default the sound keeps its level.

    Args:
        pipeline: A sequence model.
        request: The options.

    Raises:
        CheckpointError: The model is of whole clips.
        ConfigError: A value is out of its range.
        AudioFileError: A file cannot be read, is silent or too short.
    """
    _ = pipeline.sequence
    check_channels(pipeline, request.channels)
    refuse_options(pipeline, {"--tail": request.tail_db})
    check_temperature(request.temperature)
    files, seeds = sound_files(request.files), seeds_from(request.seed, request.count)
    count = len(files) * len(seeds)
    check_duration("--duration", request.duration_sec, pipeline, request, count=count, force=request.force)
    pipeline.vocabulary.requested(request.class_name)  # a wrong one is an error before any file is read
    # A wrong one is an error before any sound is rendered.
    prompts_sec = sum(read_prompt(pipeline, file).wav.shape[-1] for file in files) / pipeline.spec.sample_rate
    samples = round(request.duration_sec * pipeline.spec.sample_rate)
    finish = request.finish_of_file(unchanged=False)

    def render(reporter: Reporter) -> Iterator[LongClip]:
        for i, file in enumerate(files):
            prompt = read_prompt(pipeline, file)
            for j, seed in enumerate(seeds):
                conditions, generator = _conditions(pipeline, request, file, seed)
                join = prompt.wav.shape[-1]
                more = {
                    "source": one_line(file), "source_sec": round(join / pipeline.spec.sample_rate, 6),
                    "join_sec": round(join / pipeline.spec.sample_rate, 6), "fade_sec": FADE_SEC, "seed": seed,
                    "temperature": request.temperature,
                }  # fmt: skip
                about = describe_sequence(pipeline, conditions, join + samples, command=request.origin, more=more)
                blocks = _Continuation(pipeline, prompt, conditions, generator.get_state(), samples, request)
                yield LongClip(
                    names[len(seeds) * i + j], blocks, join + samples, pipeline.spec.sample_rate, about, finish,
                    fade_in=False,
                )  # fmt: skip

    stems = output_stems(files)
    names = [f"{stem}-continued-{seed:04d}" for stem in stems for seed in seeds]
    return Clips(
        names, render, pipeline, request.origin, "Continuing", unit=UNIT,
        per_clip=request.duration_sec + prompts_sec / len(files), summary=turned_down,
    )  # fmt: skip


class _Continuation:
    """Renders a prompt and its continuation, each time from the same random state."""

    def __init__(
        self, pipeline: Pipeline, prompt: Prompt, conditions: Conditions, state: Tensor, samples: int,
        request: ContinueRequest,
    ) -> None:  # fmt: skip
        self._pipeline, self._prompt, self._conditions, self._state = pipeline, prompt, conditions, state
        self._samples, self._temperature = samples, request.temperature

    def __call__(self) -> Iterator[Tensor]:
        pipeline, generator = self._pipeline, torch.Generator()
        generator.set_state(self._state)
        spare = spare_samples(self._samples, pipeline.spec.sample_rate)
        latents = draw_latents(
            pipeline, self._conditions, generator, -(-spare // pipeline.latent_samples),
            temperature=self._temperature, before=self._prompt.z,
        )  # fmt: skip
        return continued_blocks(pipeline, self._prompt, latents, self._samples)


def read_prompt(pipeline: Pipeline, path: Path) -> Prompt:
    """Read a sound to continue, in the model's channels and at its rate.

    Raises:
        AudioFileError: It cannot be read, is silent or too short.
    """
    rate = pipeline.spec.sample_rate
    wav = read_sound(pipeline, path)
    least = LEAST_LATENTS * pipeline.latent_samples
    if wav.shape[-1] < least:
        raise AudioFileError(
            f"{one_line(path)}: is {wav.shape[-1] / rate:.3f} s long, and the model continues sounds of at least "
            f"{least / rate:.2f} s; give a longer one"
        )
    heard = wav[:, -(pipeline.sequence.context * pipeline.latent_samples) :]
    if float(heard.abs().max()) < SILENT:
        part = "is silent" if float(wav.abs().max()) < SILENT else f"ends in {heard.shape[-1] / rate:.1f} s of silence"
        raise AudioFileError(f"{one_line(path)}: {part}, which nothing continues; give a file that ends with sound")
    return Prompt.of(pipeline, wav)


def _conditions(
    pipeline: Pipeline, request: ContinueRequest, file: Path, seed: int
) -> tuple[Conditions, torch.Generator]:
    """The conditions of a continuation, and its generator after they were drawn."""
    generator = torch.Generator().manual_seed(seed)
    vocabulary = pipeline.vocabulary
    if request.class_name is not None:
        asked = vocabulary.requested(request.class_name)
    else:
        asked = vocabulary.known(class_names(file))
    return pipeline.sequence.fill(asked, [generator]), generator
