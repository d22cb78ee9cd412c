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

from audio_gen.audio.channels import CANCELS
from audio_gen.audio.mel_scale import hz_to_mel, mel_to_hz

if TYPE_CHECKING:
    from audio_gen.audio.mel import MelSpec
    from audio_gen.audio.stft import STFT

STEREO_BANDS = 16  # of stereo models; see recipes/stereo
FRAMES = 4  # of a value: its bands lie in as many columns
SIDE_STEP = 2  # frames from one measured frame of the side to the next
UNIT = 2.0  # of the strip, per nat and radian: its errors weigh as much as those of the mel
MOST_NATS = 4.0  # of the level difference, 35 dB
SILENCE_DB = -106.0  # below a full-scale sine, for each bin: quieter bands are in the centre
WHOLE = 1 - 1e-4  # of the mid's factor: above it the mid is the carrier
TURNS_PER_BAND, TURN_EDGE, MOST_GAIN = 4, 3.0, 2.0  # changes of sign, their steepness, and what makes up for blur
LEAST_POWER, LOUD_POWER = 1e-12, 0.25  # of a band; how much more a louder neighbour counts


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


def row_floors(n_mels: int, bands: int, mel_floor: float) -> Tensor:
    """The least value of each row (rows, 1) of a stereo image: `mel_floor` in nats, or the limit of the strip."""
    return torch.cat([torch.full((n_mels, 1), mel_floor), strip_limits(bands)[0]])


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
    carrier = torch.maximum(on_mid, CANCELS * (on_mid + _repeated(on_side, frames)))
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
    carrier = mid.clamp(min=CANCELS)
    common = (left - right) / 4 / mid.clamp(min=1e-6)
    free = ((side - common.square() * mid) / carrier).clamp(min=0).sqrt()
    scale = (mid / carrier).clamp(min=0).sqrt()
    common = common * scale
    # Where the sides cancel there is no mid to be independent of, and the carrier itself is the side.
    whole = (common.square() + free.square() * (1 - scale.square())).sqrt()
    return Spread(scale, common + whole - common.abs(), free * scale)  # never of changing sign


def sides(wav: Tensor, spread: Spread, spec: "MelSpec", stft: "STFT") -> tuple[Tensor, Tensor]:
    """Mid and side (B, 1, T) of a carrier wav (B, 1, T) of whole frames.

    The part of the side that is not coherent with the carrier is the carrier turned by a quarter of a period, forwards
    and backwards in turn along the spectrum. Left and right then differ from it in phase alone: no side is coloured,
    a partial gets no level difference, and attacks stay sharp.

    Args:
        wav: The carrier.
        spread: Its factors.
        spec: Its mel.
        stft: The STFT of `spec`.

    Source: Kendall 1995 (decorrelation by phase).
    """
    carrier = stft(wav)
    bands, turns, frames = band_weights(spec).to(wav.device), quarter_turns(spec).to(wav.device), carrier.shape[-1]
    over = bands.T.contiguous()
    loud = _pooled((bands @ power(carrier)).clamp(min=LEAST_POWER)) ** LOUD_POWER
    common, free = (over @ _held(x, frames, loud) for x in (spread.common, spread.free))
    side = stft.inverse(torch.complex(common, free * turns) * carrier)
    if bool((spread.mid > WHOLE).all()):
        return wav, side
    return stft.inverse(over @ _held(spread.mid, frames, loud) * carrier), side


def side_share_db(image: Tensor, spec: "MelSpec") -> Tensor:
    """Energy of the side relative to that of the mid in dB (B,), by an image (B, rows, L); differentiable."""
    values = unpacked(image[..., spec.n_mels :, :])
    cross = values.angle.cos() / torch.cosh(values.difference)  # of both sides, relative to their mean power
    mid, side = (1 + cross) / 2, (1 - cross) / 2
    energy = (2 * image[..., : spec.n_mels, :]).exp()  # (B, M, L)
    carrier = _pooled(mel_weights(spec).to(image.device) @ energy) / mid.clamp(min=CANCELS)  # (B, K, N)
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


@lru_cache(maxsize=16)
def quarter_turns(spec: "MelSpec") -> Tensor:
    """Factors (F, 1) of a spectrum turned by a quarter of a period: about +1 and -1 in turn along the spectrum.

    Where turns are close, the windows of an STFT blur them; the factors are larger there, so that the power is kept.
    """
    size, ends = spec.n_fft, torch.ones(spec.n_bins)
    ends[0] = ends[-1] = 0  # these bins are real
    with torch.inference_mode(False):
        mel = torch.tensor([hz_to_mel(hz) for hz in torch.linspace(0, spec.nyquist, spec.n_bins).tolist()])
        turns = TURNS_PER_BAND * spec.stereo_bands * mel / hz_to_mel(spec.nyquist)
        signs = (TURN_EDGE * torch.sin(math.pi * turns)).clamp(-1, 1) * ends
        window = torch.hann_window(size)
        blur = torch.fft.irfft(torch.fft.rfft(window, 2 * size).abs().square(), 2 * size)[:size]
        blur = torch.maximum(blur, F.pad(blur[1:].flip(0), (1, 0))) / blur[0]  # of an impulse response, both ways
        heard = power(torch.fft.rfft(torch.fft.irfft(1j * signs, size) * blur))
        bands = band_weights(spec)
        gain = (bands.sum(1) / (bands @ heard).clamp(min=LEAST_POWER)).sqrt().clamp(max=MOST_GAIN)
        return (signs * (bands.T @ gain))[:, None]


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
