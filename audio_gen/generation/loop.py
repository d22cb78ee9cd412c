"""Seamless loops of an exact length: a circle of latents, decoded and vocoded as one."""

import math

import torch
from torch import Tensor

from audio_gen.audio.crossfade import crossfade
from audio_gen.audio.stereo import FRAMES, Strip, packed, unpacked
from audio_gen.generation.pipeline import Pipeline, check_temperature
from audio_gen.models.contract import BAR, BEAT, Conditions
from audio_gen.vocoding.silence import subtract_floor

AROUND_FRAMES = 96  # of the neighbouring rounds, so that the vocoder sees a loop's surroundings; a multiple of 4
LEAST_LATENTS = 8
SAME_TEMPO = 0.02  # octaves
GUIDANCE = 2.5  # by the beats: librosa finds the tempo of 73 to 91 % of the loops, without it of 27 to 45 %
FADE_SEC = 0.02
SEARCHED, STEP_SEC = 0.5, 0.001  # share of the surroundings in which the join is searched, and in which steps
TURN_SEC, NEAR_ZERO = 0.005, 0.004  # how far a loop is turned, and what is near zero, over the peak


def draw_loop(
    pipeline: Pipeline, conditions: Conditions, generator: torch.Generator, samples: int, bars: int, beats: int, *,
    temperature: float = 1.0,
) -> Tensor:  # fmt: skip
    """Draw the latents (N, D) of a loop, whose end leads to its start.

    A model that knows beats draws them at its usual tempo nearest to the asked one (or at half or double of it), and
    `loop_sound` changes the speed of the rest.

    Args:
        pipeline: A sequence model.
        conditions: Of this one loop.
        generator: Its random generator.
        samples: Length of the loop.
        bars: Bars in it.
        beats: Beats of a bar.
        temperature: See `SequencePrior.sample`.

    Raises:
        ConfigError: The model cannot draw a circle.
    """
    check_temperature(temperature)
    seconds = samples / pipeline.spec.sample_rate
    bpm = 60 * bars * beats / seconds
    count = max(LEAST_LATENTS, round(samples / pipeline.latent_samples * bpm / usual_tempo(bpm, pipeline.tempo_range)))
    guidance = 1.0
    if BEAT in pipeline.sequence.conditions:
        bar = bars * torch.arange(count)[None] / count
        conditions, guidance = conditions.replaced(BEAT, beats * bar % 1).replaced(BAR, bar % 1), GUIDANCE
    return pipeline.sequence.sample(
        conditions, [generator], length=count, temperature=temperature, circular=True, guidance=guidance
    )[0]


def usual_tempo(bpm: float, known: tuple[float, float] | None) -> float:
    """The tempo, of those that a model knows, that is nearest to `bpm` or its half or double; `bpm` if it knows none.

    Half a tempo is as good as the tempo itself: drums at 87 bpm fit a song of 174.
    """
    if known is None:
        return bpm
    clamped = {factor: min(max(bpm * factor, known[0]), known[1]) / factor for factor in (1.0, 0.5, 2.0)}
    return min(clamped.values(), key=lambda one: (abs(math.log2(one / bpm)) > SAME_TEMPO, abs(math.log2(one / bpm))))


@torch.no_grad()
def loop_sound(pipeline: Pipeline, z: Tensor, samples: int) -> Tensor:
    """The sound of a circle of latents.

    The mel is read at evenly spaced points of the circle, so the length is exact to the sample. The vocoder renders a
    little more than one round; the join lies where both ends agree best, and fades over 20 ms.

    Args:
        pipeline: A sequence model.
        z: (N, D), whose end leads to its start.
        samples: Length of the loop.

    Returns:
        wav (C, samples).
    """
    spec, codec = pipeline.spec, pipeline.sequence_codec
    image = codec.decode_part(z[None].to(pipeline.device), 0, len(z), circular=True)[0]
    frames = samples / spec.hop_length
    count = FRAMES * (-(-(2 * AROUND_FRAMES + int(frames) + 1) // FRAMES))
    mel = circular_read(image[: spec.n_mels], frames, count)
    mel = subtract_floor(mel, codec.mel_floor)
    if spec.stereo_bands:
        mel = torch.cat([mel, _strip(image[spec.n_mels :], frames, count)])
    wav = pipeline.vocoder(mel[None])[0].float().cpu()
    return joined_circle(wav, spec.samples(AROUND_FRAMES), samples, spec.sample_rate)


def circular_read(image: Tensor, period: float, count: int, before: float = AROUND_FRAMES) -> Tensor:
    """Read an image (R, L) of a circle at `count` steps of L / period, from `before` steps before its start."""
    length = image.shape[1]
    place = ((torch.arange(count, dtype=torch.float64) - before) * length / period) % length
    low = place.floor().long() % length
    share = (place - place.floor()).to(image)
    return torch.lerp(image[:, low], image[:, (low + 1) % length], share)


def _strip(strip: Tensor, frames: float, count: int) -> Tensor:
    """The rows of stereo of a loop, which hold one value for every 4 frames."""
    values = unpacked(strip[None])
    parts = [circular_read(part[0], frames / FRAMES, count // FRAMES, AROUND_FRAMES / FRAMES) for part in values]
    return packed(Strip(*(part[None] for part in parts)), count)[0]


def joined_circle(wav: Tensor, start: int, samples: int, sample_rate: int) -> Tensor:
    """One round of a sound that repeats every `samples`, up to its waveform, as a loop without a jump.

    Args:
        wav: (C, T), at least `start` samples more than a round on both sides.
        start: First sample of the round.
        samples: Length of a round.
        sample_rate: In Hz.
    """
    fade = min(round(FADE_SEC * sample_rate), samples // 2)
    later = start + samples
    most = max(1, min(int(SEARCHED * start), wav.shape[-1] - later - fade))
    offsets = range(0, most, max(1, round(STEP_SEC * sample_rate)))
    scores = torch.tensor([_agreement(wav, start + offset, later + offset, fade) for offset in offsets])
    offset = offsets[int(scores.argmax())]
    body = wav[:, start + offset : later + offset].clone()
    after = wav[:, later + offset : later + offset + fade]
    body[:, :fade] = crossfade(after, body[:, :fade], max(-0.5, float(scores.max())))
    return body.roll(offset, dims=1)


def turned(wav: Tensor, sample_rate: int) -> Tensor:
    """A loop (C, T), turned by up to 5 ms to start where its waveform crosses zero, so that players do not click."""
    most = min(round(TURN_SEC * sample_rate), wav.shape[-1] // 2)
    high = torch.maximum(wav.abs(), wav.roll(1, dims=1).abs()).amax(0)  # of each sample and the one before it
    turns = torch.tensor(sorted(range(-most, most + 1), key=abs))
    near = high[turns % wav.shape[-1]]
    low = (near <= NEAR_ZERO * float(wav.abs().max())).nonzero()
    best = int(low[0]) if len(low) else int(near.argmin())
    return wav.roll(-int(turns[best]), dims=1)


def _agreement(wav: Tensor, first: int, second: int, count: int) -> float:
    """Correlation of two parts, -1 to 1; 1 for silence."""
    a, b = wav[:, first : first + count], wav[:, second : second + count]
    norm = float(a.norm() * b.norm())
    return float((a * b).sum()) / norm if norm > 1e-9 else 1.0
