"""Continue a sound: its last seconds as latents, and the join of the sound itself with a vocoded continuation."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor
from torch.nn import functional as F

from audio_gen.audio.crossfade import crossfade
from audio_gen.audio.long_mel import of_wav
from audio_gen.audio.stereo import on_mel
from audio_gen.generation.pipeline import Pipeline
from audio_gen.generation.sequence import DecodedMel, encode_to_end
from audio_gen.vocoding.long import vocode_blocks
from audio_gen.vocoding.silence import subtract_floor

LEAST_LATENTS = 4  # of a prompt
LEAD_SEC = 1.0  # of the prompt that is vocoded before the continuation
FADE_SEC, LAG_SEC, COMPARED_SEC = 0.04, 0.01, 0.08
SETTLE_SEC, MOST_GAIN_DB = 4.0, 9.0  # in which the level returns to the model's
TURN_SEC = 0.05  # from the gain of the prompt's copy to that of what follows
STEP_DB = 1.5  # larger steps of the level at the join are reduced to this
SILENT_RMS = 1e-4


@dataclass(frozen=True)
class Prompt:
    """A sound to continue.

    Attributes:
        wav: (C, T) at the model's rate.
        z: Its last latents (P, D); the last one ends with the sound.
    """

    wav: Tensor
    z: Tensor

    @classmethod
    def of(cls, pipeline: Pipeline, wav: Tensor) -> "Prompt":
        """Encode the end of wav (C, T), of at least `LEAST_LATENTS` latents."""
        samples, codec = pipeline.latent_samples, pipeline.sequence_codec
        count = min(wav.shape[-1] // samples, pipeline.sequence.context + codec.encoder_reach)
        end = wav[:, wav.shape[-1] - count * samples :]
        return cls(wav, encode_to_end(pipeline, end)[-pipeline.sequence.context :])


class ContinuedMel:
    """The log-mel (R, L) of a prompt's end, as it is, and of the latents that follow; parts are read in order.

    Attributes:
        shape: R and L.
        lead: Frames of the prompt.
    """

    def __init__(self, pipeline: Pipeline, prompt: Prompt, latents: Iterator[Tensor], count: int) -> None:
        """For `count` latents of an iterator of parts (n, D)."""
        hop, stride = pipeline.spec.hop_length, pipeline.latent_samples // pipeline.spec.hop_length
        known = prompt.z[-max(1, round(LEAD_SEC * pipeline.spec.sample_rate / pipeline.latent_samples)) :]
        self.lead = stride * len(known)
        self._decoded = DecodedMel(pipeline, chain([known], latents), len(known) + count)
        self.shape = self._decoded.shape
        end = prompt.wav[:, prompt.wav.shape[-1] - self.lead * hop :]
        mirrored = F.pad(end, (0, min(end.shape[-1] - 1, 4 * hop)), mode="reflect")
        floor, n_mels = pipeline.codec.mel_floor, pipeline.spec.n_mels
        image = of_wav(mirrored, pipeline.spec)(0, self.lead)
        self._real = on_mel(image, n_mels, lambda mel: subtract_floor(mel.clamp(min=floor), floor))

    def __getitem__(self, part: tuple[slice, slice], /) -> Tensor:
        """A part of the log-mel, in rows and columns."""
        image = self._decoded[part]
        start, end, _ = part[1].indices(self.shape[1])
        if start < self.lead:
            image = image.clone()
            image[:, : self.lead - start] = self._real[part[0], start : min(end, self.lead)].to(image)
        return image


def continued_blocks(pipeline: Pipeline, prompt: Prompt, latents: Iterator[Tensor], samples: int) -> Iterator[Tensor]:
    """Yield a prompt and its continuation of `samples` samples in blocks (C, n).

    The vocoder renders the prompt's last second too. Its sound is moved by up to 10 ms to where it agrees best with the
    prompt, and fades in over the prompt's last 40 ms; its level starts near the prompt's.

    Args:
        pipeline: A sequence model.
        prompt: The prompt.
        latents: What follows, in parts (n, D); enough for `spare_samples` samples.
        samples: Length of the continuation.
    """
    rate = pipeline.spec.sample_rate
    count = -(-spare_samples(samples, rate) // pipeline.latent_samples)
    mel = ContinuedMel(pipeline, prompt, latents, count)
    blocks = vocode_blocks(pipeline.vocoder, mel)
    held, start = next(blocks), pipeline.spec.samples(mel.lead)
    fade = round(FADE_SEC * rate)
    offset, agreement = aligned(prompt.wav, held, start, rate)
    gains = level_gains_db(prompt.wav, held, start, rate)
    sign = -1.0 if agreement < 0 else 1.0
    yield prompt.wav[:, : prompt.wav.shape[-1] - fade]
    first = start + offset - fade  # of the vocoded sound that is used
    held, done, total = held[:, first:], 0, fade + samples
    for block in chain([held], blocks):
        block = sign * block[:, : total - done]
        block = block * _gain(torch.arange(done - fade, done - fade + block.shape[-1]) / rate, *gains)
        if done == 0:
            mixed = crossfade(prompt.wav[:, -fade:], block[:, :fade], abs(agreement))
            block = torch.cat([mixed, block[:, fade:]], dim=1)
        done += block.shape[-1]
        yield block


def spare_samples(samples: int, sample_rate: int) -> int:
    """Samples to render of a continuation, which may be moved by the largest lag."""
    return samples + round(LAG_SEC * sample_rate)


def aligned(wav: Tensor, vocoded: Tensor, start: int, sample_rate: int) -> tuple[int, float]:
    """Where a vocoded sound agrees best with the end of a prompt.

    Args:
        wav: The prompt (C, T).
        vocoded: (C, N), where the prompt ends at `start`.
        start: In samples.
        sample_rate: In Hz.

    Returns:
        The lag in samples, up to 10 ms, and the correlation there; negative if the polarity is the other one.
    """
    most = round(LAG_SEC * sample_rate)
    count = min(round(COMPARED_SEC * sample_rate), start - most, wav.shape[-1])
    end = wav[:, -count:]
    near = vocoded[:, start - count - most : start + most]
    dots = F.conv1d(near[None], end[None])[0, 0]  # (2 most + 1,)
    energies = F.conv1d(near.square().sum(0)[None, None], torch.ones(1, 1, count))[0, 0]
    norms = (energies.clamp(min=0) * end.square().sum()).sqrt()
    scores = torch.where(norms > 1e-9, dots / norms.clamp(min=1e-9), 0.0)
    best = int(scores.abs().argmax())
    return best - most, float(scores[best].clamp(-1, 1))


def level_gains_db(wav: Tensor, vocoded: Tensor, start: int, sample_rate: int) -> tuple[float, float]:
    """The gains in dB of a vocoded sound in which a prompt (C, T) ends at `start`.

    The first brings the copy of the prompt's last second to the prompt's level; the second brings the second after it
    to within 1.5 dB of that. They are at most 9 dB; 0 for silence.
    """
    count = min(round(LEAD_SEC * sample_rate), start, wav.shape[-1])
    parts = wav[:, -count:], vocoded[:, start - count : start], vocoded[:, start : start + count]
    real, copy, after = (max(float(x.square().mean().sqrt()), SILENT_RMS) for x in parts)
    if min(real, copy) <= SILENT_RMS:
        return 0.0, 0.0
    before_db, step_db = 20 * math.log10(real / copy), 20 * math.log10(after / copy)
    after_db = before_db + min(max(step_db, -STEP_DB), STEP_DB) - step_db
    before_db, after_db = (min(max(gain, -MOST_GAIN_DB), MOST_GAIN_DB) for gain in (before_db, after_db))
    return before_db, after_db


def _gain(time_sec: Tensor, before_db: float, after_db: float) -> Tensor:
    """Factors at times relative to the join: from the first gain to the second, and after a second to 0 dB."""
    gain_db = before_db + (after_db - before_db) * (time_sec / TURN_SEC).clamp(0, 1)
    return 10 ** (gain_db / 20 * (1 - (time_sec - LEAD_SEC) / SETTLE_SEC).clamp(0, 1))
