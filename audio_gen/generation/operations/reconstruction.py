"""Send whole files of any length through a sequence model and back."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from audio_gen.audio.io import info
from audio_gen.audio.long_mel import LongMel, of_wav
from audio_gen.audio.stereo import on_mel
from audio_gen.generation.clip import Clips
from audio_gen.generation.finish import Finish
from audio_gen.generation.inputs import class_names
from audio_gen.generation.inversion import log_mel_l1
from audio_gen.generation.long_clip import LongClip
from audio_gen.generation.operations.sequence import describe_sequence, read_sound, turned_down
from audio_gen.generation.pipeline import Pipeline
from audio_gen.generation.sequence import encode_sound, sound_blocks
from audio_gen.reporter import Reporter
from audio_gen.text import one_line
from audio_gen.vocoding.long import vocode_blocks
from audio_gen.vocoding.silence import subtract_floor

COMPARED_LATENTS = 512


class RealMel:
    """The log-mel (R, L) of a sound for the vocoder.

    Attributes:
        shape: R and L.
    """

    def __init__(self, pipeline: Pipeline, wav: Tensor) -> None:
        """For wav (C, T) at the model's rate."""
        stride = pipeline.latent_samples // pipeline.spec.hop_length
        self._mel, self._stride = of_wav(wav, pipeline.spec), stride
        self._floor, self._n_mels, self._device = pipeline.codec.mel_floor, pipeline.spec.n_mels, pipeline.device
        self.shape = (pipeline.spec.rows, stride * -(-self._mel.frames // stride))

    def __getitem__(self, part: tuple[slice, slice], /) -> Tensor:
        """A part of the log-mel, in rows and columns, with the floor of silence removed."""
        start, end, _ = part[1].indices(self.shape[1])
        first = start // self._stride * self._stride
        image = self._mel(first, -(-end // self._stride) * self._stride)
        floor = self._floor
        image = on_mel(image, self._n_mels, lambda mel: subtract_floor(mel.clamp(min=floor), floor))
        return image[part[0], start - first : end - first].to(self._device)


def rebuilt_sounds(
    pipeline: Pipeline, files: Sequence[Path], names: Sequence[str], kinds: Sequence[str], command: str, finish: Finish,
    *, class_name: str | None = None, real: bool = False,
) -> Clips:  # fmt: skip
    """The model's version of each file, as long as the file, and with a second kind its copy through the vocoder.

    Args:
        pipeline: A sequence model.
        files: Sound files.
        names: Names of the results, a file's kinds in a row.
        kinds: What the sidecars call them.
        command: The command line.
        finish: Settings of files.
        class_name: Class to note for files that do not give one.
        real: Render the real mel in the first kind too.

    Raises:
        AudioFileError: A file cannot be read.
    """
    vocabulary = pipeline.vocabulary
    vocabulary.requested(class_name)
    for file in files:
        info(file)

    def render(reporter: Reporter) -> Iterator[LongClip]:
        for i, file in enumerate(files):
            wav = read_sound(pipeline, file)
            z, samples = encode_sound(pipeline, wav), wav.shape[-1]
            score = mel_l1(pipeline, wav, z)
            conditions = vocabulary.known(class_names(file, class_name))
            for j, kind in enumerate(kinds):
                more: dict[str, Any] = {"source": one_line(file), "of": kind, "mel_l1": round(score, 5)}
                about = describe_sequence(pipeline, conditions, samples, command=command, more=more)
                blocks = partial(_copied, pipeline, wav) if real or j else partial(_decoded, pipeline, z, samples)
                yield LongClip(
                    names[len(kinds) * i + j], blocks, samples, pipeline.spec.sample_rate, about, finish,
                    {"mel_l1": score, "mel_l1_start": score}, fade_in=False, fade_out=False,
                )  # fmt: skip

    return Clips(
        names, render, pipeline, command, "Reconstructing", unit="files", per_clip=1 / len(kinds), summary=turned_down
    )


def _decoded(pipeline: Pipeline, z: Tensor, samples: int) -> Iterator[Tensor]:
    return sound_blocks(pipeline, iter([z]), samples)


def _copied(pipeline: Pipeline, wav: Tensor) -> Iterator[Tensor]:
    done = 0
    for block in vocode_blocks(pipeline.vocoder, RealMel(pipeline, wav)):
        yield block[:, : wav.shape[-1] - done]
        done += block.shape[-1]


@torch.no_grad()
def mel_l1(pipeline: Pipeline, wav: Tensor, z: Tensor) -> float:
    """Mean distance in nats of the mel of wav (C, T) from that of its latents (N, D), computed in parts."""
    codec, n_mels, total, frames = pipeline.sequence_codec, pipeline.spec.n_mels, 0.0, 0
    mel: LongMel = of_wav(wav, pipeline.spec)
    stride = pipeline.latent_samples // pipeline.spec.hop_length
    for first in range(0, len(z), COMPARED_LATENTS):
        stop = min(len(z), first + COMPARED_LATENTS)
        begin, end = max(0, first - codec.reach), min(len(z), stop + codec.reach)
        part = z[None, begin:end].to(pipeline.device)
        image = codec.decode_part(part, first - begin, stop - begin, offset=begin)[0, :n_mels].cpu()
        count = min(mel.frames, stride * stop) - stride * first
        real = mel(stride * first, stride * stop)[:n_mels].clamp(min=codec.mel_floor)
        total += count * log_mel_l1(real, image, count)
        frames += count
    return total / frames
