"""Sounds of any length: latents drawn window by window, decoded and vocoded in parts; memory does not grow."""

import sys
from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from audio_gen.audio.long_mel import of_wav
from audio_gen.audio.stereo import on_mel
from audio_gen.generation.pipeline import Pipeline, check_temperature
from audio_gen.models.codecs.long import encode_blocks
from audio_gen.models.contract import Conditions
from audio_gen.vocoding.long import vocode_blocks
from audio_gen.vocoding.silence import subtract_floor
from audio_gen.vocoding.stream import context_frames
from audio_gen.vocoding.stream import stream as streamed

GUIDANCE = 1.7  # by a prompt; that of windows by the one before them drifts over a minute
FADE_IN_SEC, FADE_OUT_SEC = 0.005, 0.05  # of sounds that begin and end anywhere


def draw_latents(
    pipeline: Pipeline, conditions: Conditions, generator: torch.Generator, count: int, *, temperature: float = 1.0,
    before: Tensor | None = None, noise: Callable[[int, int], Tensor] | None = None,
) -> Iterator[Tensor]:  # fmt: skip
    """Yield `count` latents of one sound in parts (n, D); a longer sound begins with a shorter one of the same seed.

    Args:
        pipeline: A sequence model.
        conditions: Of this one sound.
        generator: Its random generator.
        count: Number of latents.
        temperature: See `SequencePrior.sample`.
        before: The latents (P, D) that it continues.
        noise: Returns what the latents between two numbers are made of (n, D), in place of random draws.
    """
    check_temperature(temperature)
    prior, done = pipeline.sequence, 0
    held = torch.empty(0, pipeline.codec.latent.dim) if before is None else before
    while done < count:
        held = held[len(held) - min(len(held), prior.context) :]
        length = prior.window - len(held)
        given = None
        if noise is not None:
            length = min(length, count - done)
            given = noise(done, done + length)[None]
        z = prior.sample(
            conditions, [generator], length=length, temperature=temperature,
            before=held[None] if len(held) else None, noise=given,
            guidance=1.0 if before is None or done or noise is not None else GUIDANCE,
        )[0]  # fmt: skip
        yield z[: count - done]
        done += len(z)
        held = torch.cat([held, z])


class DecodedMel:
    """The log-mel (R, L) of latents that are drawn as they are needed, for a vocoder; parts are read in order.

    Attributes:
        shape: R and L.
    """

    def __init__(self, pipeline: Pipeline, latents: Iterator[Tensor], count: int) -> None:
        """Decode `count` latents of an iterator of parts (n, D)."""
        self._pipeline, self._latents, self._reach = pipeline, latents, pipeline.sequence_codec.reach
        self._stride = pipeline.latent_samples // pipeline.spec.hop_length
        self.shape = (pipeline.spec.rows, self._stride * count)
        self._count, self._first = count, 0
        self._z = torch.empty(0, pipeline.codec.latent.dim)

    def __getitem__(self, part: tuple[slice, slice], /) -> Tensor:
        """A part of the log-mel with the floor of silence removed; its frames may not begin before the last part's."""
        start, end, _ = part[1].indices(self.shape[1])
        stride, reach = self._stride, self._reach
        first, stop = start // stride, min(self._count, -(-end // stride))
        needed = min(self._count, stop + reach)
        while self._first + len(self._z) < needed:
            self._z = torch.cat([self._z, next(self._latents)])
        begin = max(0, first - reach)
        assert begin >= self._first, "parts are read in order"
        self._z, self._first = self._z[begin - self._first :], begin
        image = decode_latents(self._pipeline, self._z[: needed - begin], first - begin, stop - begin, offset=begin)
        return image[part[0], start - stride * first : end - stride * first]


@torch.no_grad()
def decode_latents(pipeline: Pipeline, z: Tensor, first: int, stop: int, *, offset: int = 0) -> Tensor:
    """Decode latents `first` to `stop` of z (N, D) for the vocoder: (R, L), with the floor of silence removed."""
    codec = pipeline.sequence_codec
    image = codec.decode_part(z[None].to(pipeline.device), first, stop, offset=offset)[0]
    return on_mel(image, pipeline.spec.n_mels, lambda mel: subtract_floor(mel, codec.mel_floor))


def sound_blocks(pipeline: Pipeline, latents: Iterator[Tensor], samples: int) -> Iterator[Tensor]:
    """Yield the sound (C, n) of latents in blocks, `samples` in all."""
    count = -(-samples // pipeline.latent_samples)
    done = 0
    for block in vocode_blocks(pipeline.vocoder, DecodedMel(pipeline, latents, count)):
        block = block[:, : samples - done]
        done += block.shape[-1]
        yield block


def filled(pipeline: Pipeline, class_name: str | None, seed: int, **more: float | None) -> Conditions:
    """The conditions of the sound of a seed."""
    generator = torch.Generator().manual_seed(seed)
    return pipeline.sequence.fill(pipeline.vocabulary.requested(class_name, **more), [generator])  # type: ignore[arg-type]


def new_sound(
    pipeline: Pipeline, conditions: Conditions, seed: int, samples: int, temperature: float = 1.0
) -> Iterator[Tensor]:
    """Yield a new sound of `samples` samples in blocks (C, n)."""
    generator = torch.Generator().manual_seed(seed)
    count = -(-samples // pipeline.latent_samples)
    latents = draw_latents(pipeline, conditions, generator, count, temperature=temperature)
    return sound_blocks(pipeline, latents, samples)


def stream(
    pipeline: Pipeline, seed: int = 0, class_name: str | None = None, *, temperature: float = 1.0,
    lookahead_frames: int | None = None,
) -> Iterator[Tensor]:  # fmt: skip
    """Yield a sound that never ends, in blocks (1, n), each as soon as its look-ahead is there; see `look_ahead_sec`.

    Args:
        pipeline: A mono sequence model whose vocoder can stream.
        seed: Seed of the sound.
        class_name: Its class.
        temperature: See `SequencePrior.sample`.
        lookahead_frames: Frames that the vocoder waits for; see `vocoding.stream.stream`.

    Raises:
        ConfigError: The vocoder cannot stream.
    """
    conditions, generator = filled(pipeline, class_name, seed), torch.Generator().manual_seed(seed)
    latents = draw_latents(pipeline, conditions, generator, sys.maxsize, temperature=temperature)
    return streamed(pipeline.vocoder, _mel_chunks(pipeline, latents), lookahead_frames)


def look_ahead_sec(pipeline: Pipeline, lookahead_frames: int | None = None) -> float:
    """The time from a latent to the sound that `stream` yields for its first frame, without computation.

    Raises:
        ConfigError: The vocoder cannot stream.
    """
    wait = context_frames(pipeline.vocoder) if lookahead_frames is None else lookahead_frames
    codec = pipeline.sequence_codec
    return (pipeline.spec.samples(wait) + (codec.ahead + 1) * pipeline.latent_samples) / pipeline.spec.sample_rate


def _mel_chunks(pipeline: Pipeline, latents: Iterator[Tensor]) -> Iterator[Tensor]:
    """The log-mel (M, l) of latents, as far as their codec can decode it."""
    codec = pipeline.sequence_codec
    held, first, done = torch.empty(0, codec.latent.dim), 0, 0
    for z in latents:
        held = torch.cat([held, z])
        ready = first + len(held) - codec.ahead
        if ready > done:
            yield decode_latents(pipeline, held, done - first, ready - first, offset=first)
            done = ready
            begin = max(first, done - codec.reach)
            held, first = held[begin - first :], begin
    if first + len(held) > done:
        yield decode_latents(pipeline, held, done - first, len(held), offset=first)


def encode_sound(pipeline: Pipeline, wav: Tensor) -> Tensor:
    """The latents (N, D) of a sound (C, T) at the model's rate, of any length.

    The encoder sees a mirror of the sound beyond its ends: the edge of a sound that was cut is a click in its mel.
    """
    samples, length = pipeline.latent_samples, wav.shape[-1]
    beyond = (pipeline.sequence_codec.encoder_reach + 1) * samples
    before = min(beyond, (length - 1) // samples * samples)
    mel = of_wav(F.pad(wav, (before, min(beyond, length - 1)), mode="reflect"), pipeline.spec)
    z = torch.cat(list(encode_blocks(pipeline.sequence_codec, mel, mel.frames)))
    return z[before // samples :][: -(-length // samples)]


def encode_to_end(pipeline: Pipeline, wav: Tensor) -> Tensor:
    """The whole latents (N, D) of a sound (C, T) that goes on."""
    return encode_sound(pipeline, wav)[: wav.shape[-1] // pipeline.latent_samples]


def generate_long(pipeline: Pipeline, seconds: float, seed: int = 0, class_name: str | None = None) -> Tensor:
    """A new sound (C, T) of some seconds in memory, the one that `sample` writes for the seed."""
    samples = round(seconds * pipeline.spec.sample_rate)
    return torch.cat(list(new_sound(pipeline, filled(pipeline, class_name, seed), seed, samples)), dim=1)


def faded(blocks: Iterator[Tensor], samples: int, sample_rate: int, *, fade_in: bool = True) -> Iterator[Tensor]:
    """Blocks (C, n) with short fades at the start and the end of the whole."""
    rise, fall, done = round(FADE_IN_SEC * sample_rate), round(FADE_OUT_SEC * sample_rate), 0
    for block in blocks:
        place = torch.arange(done, done + block.shape[-1])
        done += block.shape[-1]
        gain = ((samples - 1 - place) / fall).clamp(max=1)
        if fade_in:
            gain = torch.minimum(gain, place / rise)
        yield block * (0.5 - 0.5 * torch.cos(torch.pi * gain))
