"""Parametric stereo: level difference and coherence of left and right in bands, as rows below a log-mel.

The mel describes the mid (L + R) / 2. The rows, here called the strip, say how the mid spreads to both sides: in each
of `spec.stereo_bands` bands, for every 4 frames, the level difference in nats (positive: left is louder) and the angle
acos(c) of the coherence c = Re<L, R> / (|L| |R|) in radians, which is 0 for mono, pi / 2 for independent sides and pi
for antiphase. A mono sound has a strip of zeros, and so has silence.

Source: Breebaart 2005 (parametric stereo); Faller 2004 (binaural cue coding). The angle in place of the coherence makes
equal steps about equally audible.
"""

import math
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from audio_gen.audio.mel_scale import hz_to_mel, mel_to_hz

if TYPE_CHECKING:
    from audio_gen.audio.mel import MelSpec
    from audio_gen.audio.stft import STFT

STEREO_BANDS = 16  # of stereo models; see recipes/stereo
FRAMES = 4  # of a value: its bands lie in as many columns
SIDE_STEP = 2  # frames from one measured frame of the side to the next
UNIT = 2.0  # of the strip, per nat and radian: its errors weigh as much as those of the mel
MOST_NATS = 4.0  # of the level difference, 35 dB
CANCELLED = 1 / 16  # least power of the carrier relative to the mean of both sides
SILENCE_DB = -106.0  # below a full-scale sine, for each bin: quieter bands are in the centre
WHOLE = 1 - 1e-4  # of the mid's factor: above it the mid is the carrier
TURNS_PER_BAND, TURN_EDGE = 2, 3.0  # changes of sign, and their steepness
LEAST_FREE, LEAST_POWER = 0.01, 1e-12  # limits of divisors: power relative to the carrier, and power
ALLPASS_SEC, ALLPASS_GAIN, ALLPASS_END_SEC = (0.0023, 0.0041, 0.0067), 0.6, 0.06


class Strip(NamedTuple):
    """Values (B, K, N) of K bands, each for FRAMES frames.

    Attributes:
        difference: Level difference in nats of amplitude, left above right.
        angle: acos of the coherence, 0 to pi.
    """

    difference: Tensor
    angle: Tensor


class Spread(NamedTuple):
    """Factors (B, K, N) of the carrier's spectrum.

    Attributes:
        mid: For the mid; 1 unless the sides cancel.
        common: For the part of the side that is coherent with the mid.
        free: For the part that is not.
    """

    mid: Tensor
    common: Tensor
    free: Tensor


def on_mel(image: Tensor, n_mels: int, change: Callable[[Tensor], Tensor]) -> Tensor:
    """An image (.., rows, L) with changed mel rows; the strip stays."""
    if image.shape[-2] == n_mels:
        return change(image)
    return torch.cat([change(image[..., :n_mels, :]), image[..., n_mels:, :]], dim=-2)


def strip_rows(bands: int) -> int:
    """Rows of an image below its mel."""
    return 2 * bands // FRAMES


def strip_limits(bands: int) -> tuple[Tensor, Tensor]:
    """The least and the greatest value of each row (rows, 1)."""
    half = strip_rows(bands) // 2
    low = torch.tensor([-MOST_NATS] * half + [0.0] * half)
    high = torch.tensor([MOST_NATS] * half + [math.pi] * half)
    return UNIT * low[:, None], UNIT * high[:, None]


def measured(mid: Tensor, side: Tensor, spec: "MelSpec") -> tuple[Tensor, Tensor]:
    """Measure stereo.

    The carrier is the sound that spreads to both sides: the mid. Only where the sides cancel by more than 12 dB it has
    a share of their power, since nothing can be made from silence.

    Args:
        mid: Complex STFT (B, F, L) of (L + R) / 2.
        side: That of (L - R) / 2 in every SIDE_STEP-th frame, which is enough, since windows overlap.
        spec: The mel.

    Returns:
        The power (B, F, L) of the carrier, and the strip (B, rows, L).
    """
    frames, some = mid.shape[-1], slice(None, None, SIDE_STEP)
    on_mid, on_side, cross = power(mid), power(side), _product(mid[..., some], side)
    carrier = torch.maximum(on_mid, CANCELLED * (on_mid + _repeated(on_side, frames)))
    both, alike = on_mid[..., some] + on_side, on_mid[..., some] - on_side  # the second is Re<L, R>
    bands = band_weights(spec).to(both.device)
    silence = (spec.n_fft / 4) ** 2 * 10 ** (SILENCE_DB / 10) * bands.sum(1)[:, None]
    both, alike, cross = (_pooled(bands @ x, FRAMES // SIDE_STEP) for x in (both, alike, cross))
    left, right = (x.clamp(min=0) + silence for x in (both + 2 * cross, both - 2 * cross))
    difference = 0.5 * (left / right).log()
    alike = alike + silence
    angle = torch.atan2((left * right - alike.square()).clamp(min=0).sqrt(), alike)  # exactly 0 for mono
    return carrier, packed(Strip(difference.clamp(-MOST_NATS, MOST_NATS), angle), frames)


def packed(values: Strip, frames: int) -> Tensor:
    """The values of all bands as rows of an image (B, rows, frames)."""
    rows = UNIT * torch.cat([values.difference, values.angle], dim=1)  # (B, 2 K, N)
    return rows.unflatten(1, (-1, FRAMES)).transpose(2, 3).flatten(2)[..., :frames]


def unpacked(strip: Tensor) -> Strip:
    """The inverse of `packed`, within the limits; bands that the last columns lack keep their value."""
    frames = strip.shape[-1]
    lacking = -frames % FRAMES
    strip = torch.cat([strip, strip[..., frames - FRAMES : frames - FRAMES + lacking]], 2) if frames >= FRAMES else (
        F.pad(strip, (0, lacking))
    )  # fmt: skip
    rows = strip.unflatten(2, (-1, FRAMES)).transpose(2, 3).flatten(1, 2) / UNIT  # (B, 2 K, N)
    difference, angle = rows.chunk(2, dim=1)
    return Strip(difference.clamp(-MOST_NATS, MOST_NATS), angle.clamp(0, math.pi))


def spread_of(values: Strip) -> Spread:
    """The factors that give a carrier these level differences and coherences."""
    left = 2 * torch.sigmoid(2 * values.difference)  # power, relative to the mean of both
    right = 2 - left
    cross = values.angle.cos() * (left * right).sqrt()
    mid, side = (1 + cross) / 2, (1 - cross) / 2
    carrier = mid.clamp(min=CANCELLED)
    common = (left - right) / 4 / mid.clamp(min=1e-6)
    free = ((side - common.square() * mid) / carrier).clamp(min=0).sqrt()
    scale = (mid / carrier).clamp(min=0).sqrt()
    common = common * scale
    # Where the sides cancel there is no mid to be independent of, and the carrier itself is the side.
    return Spread(scale, (common.square() + free.square() * (1 - scale.square())).sqrt().copysign(common), free * scale)


def sides(wav: Tensor, spread: Spread, spec: "MelSpec", stft: "STFT") -> tuple[Tensor, Tensor]:
    """Mid and side (B, 1, T) of a carrier wav (B, 1, T) of whole frames.

    The part of the side that is not coherent with the carrier is a copy of it through all-pass filters. In each band
    and frame the copy is made orthogonal to the carrier, so that level difference and coherence are as asked: with a
    single partial, it would otherwise change the levels. At an attack it is still to come, and the carrier, turned by a
    quarter of a period, takes its place, which is as sharp and orthogonal too.

    Args:
        wav: The carrier.
        spread: Its factors.
        spec: Its mel.
        stft: The STFT of `spec`.
    """
    carrier, copy = stft(torch.cat([wav, decorrelated(wav, spec)])).chunk(2)
    bands, turns, frames = band_weights(spec).to(wav.device), quarter_turns(spec).to(wav.device), carrier.shape[-1]
    level, other, cross = (bands @ x for x in (power(carrier), power(copy), _product(carrier, copy)))
    level = level.clamp(min=LEAST_POWER)
    alike = cross / level
    rest = (other / level - alike.square()).clamp(min=0)  # power of the copy's orthogonal part
    copied = (rest.clamp(max=1) / rest.clamp(min=LEAST_FREE)).sqrt()
    turned = (1 - rest.clamp(max=1)).sqrt()
    both = (bands @ (turns * _product(1j * carrier, copy))) / level  # these two may be alike as well
    made = turned.square() * (bands @ turns.square()) / bands.sum(1, keepdim=True)
    made = made + copied.square() * rest + 2 * turned * copied * both
    loud = _pooled(level) ** 0.25
    common, free = (_held(x, frames, loud) for x in (spread.common, spread.free))
    free = free * made.clamp(min=LEAST_FREE).rsqrt()
    over = bands.T.contiguous()
    gain = torch.complex(over @ (common - free * copied * alike), (over @ (free * turned)) * turns)
    copied = over @ (free * copied)
    side = stft.inverse(gain * carrier + copied * copy)
    if bool((spread.mid > WHOLE).all()):
        return wav, side
    return stft.inverse(over @ _held(spread.mid, frames, loud) * carrier), side


def side_share_db(image: Tensor, spec: "MelSpec") -> Tensor:
    """Energy of the side relative to that of the mid in dB (B,), by an image (B, rows, L); differentiable."""
    values = unpacked(image[..., spec.n_mels :, :])
    cross = values.angle.cos() / torch.cosh(values.difference)  # of both sides, relative to their mean power
    mid, side = (1 + cross) / 2, (1 - cross) / 2
    energy = (2 * image[..., : spec.n_mels, :]).exp()  # (B, M, L)
    carrier = _pooled(mel_weights(spec).to(image.device) @ energy) / mid.clamp(min=CANCELLED)  # (B, K, N)
    share = (carrier * side).sum((1, 2)) / (carrier * mid).sum((1, 2)).clamp(min=1e-12)
    return 10 * torch.log10(share.clamp(min=1e-9))


@lru_cache(maxsize=16)
def band_weights(spec: "MelSpec") -> Tensor:
    """Triangles (K, F), evenly spaced in mel, that add up to 1 in every bin; cached, so do not write into it."""
    bins_hz = torch.linspace(0, spec.nyquist, spec.n_bins)
    return _triangles(torch.tensor([hz_to_mel(hz) for hz in bins_hz.tolist()]), spec)


@lru_cache(maxsize=16)
def mel_weights(spec: "MelSpec") -> Tensor:
    """Weights (K, M) of mel bands' energies: as `band_weights`, times their widths in kHz.

    The filters of a mel have unit area, so that its energy is that of one bin.
    """
    assert spec.f_max is not None
    edges = torch.linspace(hz_to_mel(spec.f_min), hz_to_mel(spec.f_max), spec.n_mels + 2)
    edges_hz = mel_to_hz(edges)
    return _triangles(edges[1:-1], spec) * (edges_hz[2:] - edges_hz[:-2]) / 2000


def _triangles(mel: Tensor, spec: "MelSpec") -> Tensor:
    with torch.inference_mode(False):  # a cached tensor made in inference mode could not be used in training later
        count = spec.stereo_bands
        position = (mel.clone() / hz_to_mel(spec.nyquist) * count - 0.5).clamp(0, count - 1)
        return (1 - (position - torch.arange(count)[:, None]).abs()).clamp(min=0)


def decorrelated(wav: Tensor, spec: "MelSpec") -> Tensor:
    """A sound (.., T) through all-pass filters in series, which keep its levels and scatter its phases.

    Source: Schroeder 1962 (all-pass filters of reverberators).
    """
    impulse = _impulse(spec.sample_rate).to(wav.device)
    size = 1 << (wav.shape[-1] + len(impulse)).bit_length()
    return torch.fft.irfft(torch.fft.rfft(wav, size) * torch.fft.rfft(impulse, size), size)[..., : wav.shape[-1]]


@lru_cache(maxsize=16)
def quarter_turns(spec: "MelSpec") -> Tensor:
    """The sign (F, 1) of a turn by a quarter of a period, +1 or -1 in turn along the spectrum with soft edges."""
    with torch.inference_mode(False):
        mel = torch.tensor([hz_to_mel(hz) for hz in torch.linspace(0, spec.nyquist, spec.n_bins).tolist()])
        turns = TURNS_PER_BAND * spec.stereo_bands * mel / hz_to_mel(spec.nyquist)
        signs = (TURN_EDGE * torch.sin(math.pi * turns)).clamp(-1, 1)
        signs[0] = signs[-1] = 0  # these bins are real
        return signs[:, None]


@lru_cache(maxsize=16)
def _impulse(sample_rate: int) -> Tensor:
    """The impulse response (N,) of the filters."""
    size = 1 << round(ALLPASS_END_SEC * sample_rate).bit_length()
    with torch.inference_mode(False):
        omega = torch.linspace(0, math.pi, 4 * size + 1, dtype=torch.float64)
        response = torch.ones_like(omega, dtype=torch.complex128)
        for seconds in ALLPASS_SEC:
            delay = torch.polar(torch.ones_like(omega), -omega * max(1, round(seconds * sample_rate)))
            response = response * (delay - ALLPASS_GAIN) / (1 - ALLPASS_GAIN * delay)
        return torch.fft.irfft(response)[:size].float()


def power(spectrum: Tensor) -> Tensor:
    """The squared magnitude of a complex tensor; four times as fast as a sum over `view_as_real`."""
    return torch.addcmul(spectrum.real * spectrum.real, spectrum.imag, spectrum.imag)


def _product(a: Tensor, b: Tensor) -> Tensor:
    """Re <a, b> of each bin."""
    return torch.addcmul(a.real * b.real, a.imag, b.imag)


def _pooled(x: Tensor, frames: int = FRAMES) -> Tensor:
    """Means (B, K, N) of some frames of x (B, K, L) each; the last may be of fewer."""
    return F.avg_pool1d(x, frames, ceil_mode=True)


def _repeated(x: Tensor, frames: int) -> Tensor:
    """x (B, F, ceil(frames / SIDE_STEP)) for all frames (B, F, frames)."""
    return x.repeat_interleave(SIDE_STEP, dim=-1)[..., :frames]


def _held(x: Tensor, frames: int, loud: Tensor) -> Tensor:
    """Values (B, K, N) of FRAMES frames, joined by lines over all frames (B, K, frames), louder ones with more weight.

    So the silence beside a click does not move it to the centre.
    """
    if x.shape[-1] == 1:
        return x.expand(-1, -1, frames)
    both = F.interpolate(torch.cat([x * loud, loud]), scale_factor=FRAMES, mode="linear")[..., :frames]
    weighted, weight = both.chunk(2)
    return weighted / weight
