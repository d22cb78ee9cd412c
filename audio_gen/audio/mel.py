"""The mel definition: a frozen, hashed spec, and the front end that computes it with the numerics of BigVGAN v2."""

import bisect
import difflib
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property, lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from audio_gen.audio.mel_scale import hz_to_mel, mel_to_hz
from audio_gen.audio.stereo import FRAMES, SIDE_STEP, band_weights, measured, strip_rows
from audio_gen.audio.stft import MAGNITUDE_EPSILON, STFT, padding
from audio_gen.config import DEFAULT_MEL
from audio_gen.errors import ConfigError, MelMismatchError
from audio_gen.text import shortened

DB_PER_NAT = 20 / math.log(10)
MEL_FLOOR = 1e-5
LOG_FLOOR = math.log(MEL_FLOOR)
MOST = {"sample_rate": 1 << 20, "n_fft": 1 << 17, "hop_length": 1 << 17, "n_mels": 4096}
MOST_STEREO = 64  # bands
MOST_WEIGHTS = 1 << 24  # entries of the mel filter matrix


@dataclass(frozen=True)
class MelSpec:
    """The parameters of a log-mel spectrogram. Parts of a model fit together only if their specs are equal.

    The window is a periodic Hann of `n_fft` samples, the filters are Slaney's; T samples give T / hop_length frames.

    Args:
        sample_rate: In Hz.
        n_fft: Length of a frame and of its window, in samples.
        hop_length: Samples from one frame to the next.
        n_mels: Number of mel bands.
        f_min: Lower edge of the first band, in Hz.
        f_max: Upper edge of the last band, in Hz; None means the Nyquist frequency.
        stereo_bands: Bands of level difference and coherence below the log-mel, see `audio_gen.audio.stereo`; 0 for
            mono.

    Raises:
        ConfigError: A value is out of its range or does not fit the others.
    """

    sample_rate: int
    n_fft: int
    hop_length: int
    n_mels: int
    f_min: float = 0.0
    f_max: float | None = None
    stereo_bands: int = 0

    def __post_init__(self) -> None:
        """Fill in `f_max`, convert numbers to one type (so that equal specs have equal hashes), and check."""
        for name in ("sample_rate", "n_fft", "hop_length", "n_mels"):
            object.__setattr__(self, name, _positive_int(name, getattr(self, name)))
        object.__setattr__(self, "f_min", _frequency("f_min", self.f_min))
        f_max = self.sample_rate / 2 if self.f_max is None else self.f_max
        object.__setattr__(self, "f_max", _frequency("f_max", f_max))
        _check_sizes(self)
        _check_bands(self)
        _check_stereo(self)

    @classmethod
    def preset(cls, name: str) -> "MelSpec":
        """Return the preset `name`; an unknown one is a ConfigError that names the closest."""
        if name not in PRESETS:
            raise ConfigError(f"no mel preset is called {shortened(name)}; {_nearest(name, list(PRESETS))}")
        return PRESETS[name]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "MelSpec":
        """Build a spec from the result of `to_dict`; an unknown or missing key is a ConfigError."""
        known = [field.name for field in fields(cls)]
        for key in values:
            if key not in known:
                raise ConfigError(f"unknown mel setting {shortened(key)}; {_nearest(key, known)}")
        missing = [name for name in known[:4] if name not in values]
        if missing:
            raise ConfigError(
                f"mel settings lack {', '.join(missing)}; add them or use a preset ({', '.join(PRESETS)})"
            )
        return cls(**values)

    def to_dict(self) -> dict[str, int | float]:
        """Return the fields as plain numbers, for JSON and checkpoints; a mono mel has no number of stereo bands."""
        return {name: value for name, value in asdict(self).items() if name != "stereo_bands" or value}

    @cached_property
    def digest(self) -> str:
        """Twelve hex digits that identify the spec."""
        text = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def nyquist(self) -> float:
        """Half the sample rate, in Hz."""
        return self.sample_rate / 2

    @property
    def channels(self) -> int:
        """1 for mono, 2 for stereo."""
        return 2 if self.stereo_bands else 1

    @property
    def rows(self) -> int:
        """Rows of its image: mel bands, and those of stereo below them."""
        return self.n_mels + strip_rows(self.stereo_bands)

    @property
    def mono(self) -> "MelSpec":
        """The same mel of the mid alone."""
        return self.with_stereo(0)

    def with_stereo(self, bands: int) -> "MelSpec":
        """The same mel with this number of stereo bands."""
        return self if self.stereo_bands == bands else replace(self, stereo_bands=bands)

    @property
    def n_bins(self) -> int:
        """Number of FFT bins, F."""
        return self.n_fft // 2 + 1

    @property
    def frame_rate(self) -> float:
        """Frames per second."""
        return self.sample_rate / self.hop_length

    @property
    def pad(self) -> int:
        """Samples that the front end reflects at each end."""
        return padding(self.n_fft, self.hop_length)

    def frames(self, samples: int) -> int:
        """Return the number of whole frames in `samples`."""
        return samples // self.hop_length

    def samples(self, frames: int) -> int:
        """Return the number of samples of `frames`."""
        return frames * self.hop_length

    def check_same(self, other: "MelSpec", mine: str, theirs: str) -> None:
        """Raise if two parts have different mels.

        Args:
            other: The spec of the other part.
            mine: The user's name for the part with this spec ("the cache drums.cache").
            theirs: The same for `other`.

        Raises:
            MelMismatchError: The specs differ; the message names both sides and each field that differs.
        """
        if self.mono == other.mono and self.channels != other.channels:
            raise MelMismatchError(
                f"{mine} and {theirs} differ in their channels: {self.channels} against {other.channels}; make both "
                f"with data.channels=1, or both with data.channels=2"
            )
        differing = [name for name, value in asdict(self).items() if value != getattr(other, name)]
        if differing:
            details = ", ".join(f"{name} {getattr(self, name)} against {getattr(other, name)}" for name in differing)
            raise MelMismatchError(f"{mine} and {theirs} differ in their mel: {details}; make both with one mel preset")


def _positive_int(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigError(f"{name} ({shortened(value)}) must be a whole number above 0")
    if value > MOST[name]:
        raise ConfigError(f"{name} ({shortened(value)}) must be at most {MOST[name]}")
    return value


def _frequency(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= MOST["sample_rate"]:
        raise ConfigError(f"{name} ({shortened(value)}) must be a frequency in Hz")
    return float(value)


def _check_stereo(spec: MelSpec) -> None:
    bands: Any = spec.stereo_bands
    if isinstance(bands, bool) or not isinstance(bands, int) or not 0 <= bands <= MOST_STEREO or bands % FRAMES:
        raise ConfigError(
            f"stereo_bands ({shortened(bands)}) must be 0 for mono, or a multiple of {FRAMES} up to {MOST_STEREO}"
        )
    if bands and not bool(band_weights(spec).sum(1).all()):
        raise ConfigError(f"stereo_bands ({bands}) leaves a band without an FFT bin at n_fft {spec.n_fft}; use fewer")


def _nearest(name: object, known: list[str]) -> str:
    close = difflib.get_close_matches(str(name)[:100], known, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"


def _check_sizes(spec: MelSpec) -> None:
    n_fft, hop_length = spec.n_fft, spec.hop_length
    if n_fft < hop_length:
        raise ConfigError(f"n_fft ({n_fft}) must be at least hop_length ({hop_length}); try {4 * hop_length}")
    if n_fft % 2 or hop_length % 2:
        even = f"{n_fft + n_fft % 2} and {hop_length + hop_length % 2}"
        raise ConfigError(f"n_fft ({n_fft}) and hop_length ({hop_length}) must both be even; try {even}")
    if spec.n_mels * spec.n_bins > MOST_WEIGHTS:
        raise ConfigError(f"n_mels ({spec.n_mels}) at n_fft {n_fft} takes too much memory; use fewer of either")
    assert spec.f_max is not None
    if not 0 <= spec.f_min < spec.f_max <= spec.nyquist:
        raise ConfigError(
            f"f_min ({spec.f_min:g} Hz) must be at least 0 and below f_max ({spec.f_max:g} Hz), and f_max at most half"
            f" the sample rate ({spec.nyquist:g} Hz); omit both for the full range"
        )


def _check_bands(spec: MelSpec) -> None:
    """Raise if filters are narrower than the spacing of the FFT bins: their bands would be empty in every sound."""
    # A bin is in at most two bands, so far too many bands need no matrix, which may not fit in memory.
    if spec.n_mels <= 2 * spec.n_bins and not _has_empty_band(spec, spec.n_mels):
        return
    candidates = range(1, min(spec.n_mels, spec.n_bins))
    fits = bisect.bisect_left(candidates, True, key=lambda n_mels: _has_empty_band(spec, n_mels))
    fix = f"use n_mels {fits} or fewer, or a longer n_fft" if fits else "use a longer n_fft, or widen f_min to f_max"
    raise ConfigError(f"n_mels ({spec.n_mels}) leaves a mel band without an FFT bin at n_fft {spec.n_fft}; {fix}")


def _has_empty_band(spec: MelSpec, n_mels: int) -> bool:
    return bool((_slaney_filters(spec, n_mels).amax(dim=1) == 0).any())


def _slaney_filters(spec: MelSpec, n_mels: int) -> Tensor:
    """Triangles of unit area (M, F) on Slaney's scale, as in torchaudio and librosa, which import slowly."""
    assert spec.f_max is not None
    # A cached tensor made in inference mode could not be used in training later.
    with torch.inference_mode(False):
        bins_hz = torch.linspace(0, spec.sample_rate // 2, spec.n_bins)
        edges_hz = mel_to_hz(torch.linspace(hz_to_mel(spec.f_min), hz_to_mel(spec.f_max), n_mels + 2))
        widths, slopes = edges_hz.diff(), edges_hz - bins_hz[:, None]  # (M + 1), (F, M + 2)
        falling, rising = slopes[:, 2:] / widths[1:], -slopes[:, :-2] / widths[:-1]
        filters = torch.minimum(rising, falling).clamp(min=0) * (2 / (edges_hz[2:] - edges_hz[:-2]))
        return filters.T.contiguous()  # (F, M) -> (M, F)


PRESETS = {
    "44khz_128band_512x": MelSpec(sample_rate=44100, n_fft=2048, hop_length=512, n_mels=128),
    "22khz_80band_256x": MelSpec(sample_rate=22050, n_fft=1024, hop_length=256, n_mels=80),
}
DEFAULT_PRESET = DEFAULT_MEL


@lru_cache(maxsize=16)
def mel_filters(spec: MelSpec) -> Tensor:
    """Return the mel filter bank (M, F) of a spec; it is cached, so do not write into it."""
    return _slaney_filters(spec, spec.n_mels)


class MelFrontEnd(nn.Module):
    """Wave to log-mel, and the STFT and inverse STFT with the same framing; a stereo mel has rows of stereo below.

    Everything is computed in float32, also under autocast; see `STFT` for the frame positions.

    Source: BigVGAN v2 (Lee 2022), whose public checkpoints need exactly these numbers.
    """

    filters: Tensor

    def __init__(self, spec: MelSpec) -> None:
        """Compute the window and the filters of `spec`."""
        super().__init__()
        self.spec = spec
        self.framing = STFT(spec.n_fft, spec.hop_length)
        self.register_buffer("filters", mel_filters(spec.mono), persistent=False)

    def forward(self, wav: Tensor) -> Tensor:
        """Turn wav (B, C, T) into the natural-log mel (B, M, L), never below LOG_FLOOR.

        With a stereo spec, wav has 1 or 2 channels, and the result (B, spec.rows, L) has the rows of
        `audio_gen.audio.stereo` below the mel; they are zero for 1 channel. With a mono spec, wav has 1 channel.
        """
        assert 1 <= wav.shape[1] <= self.spec.channels, (wav.shape, self.spec)
        with torch.autocast(wav.device.type, enabled=False):
            if wav.shape[1] == 1:
                mel = self._log_mel(self.magnitude(wav))
                return F.pad(mel, (0, 0, 0, self.spec.rows - self.spec.n_mels)) if self.spec.stereo_bands else mel
            left, right = wav.float().chunk(2, dim=1)
            mid, side = self.stft((left + right) / 2), self.framing((left - right) / 2, SIDE_STEP)
            carrier, strip = measured(mid, side, self.spec)
            return torch.cat([self._log_mel(torch.sqrt(carrier + MAGNITUDE_EPSILON)), strip], dim=1)

    def _log_mel(self, magnitude: Tensor) -> Tensor:
        return torch.log((self.filters @ magnitude).clamp(min=MEL_FLOOR))

    def magnitude(self, wav: Tensor) -> Tensor:
        """Turn wav (B, 1, T) into STFT magnitudes (B, F, L)."""
        return torch.sqrt(torch.view_as_real(self.stft(wav)).square().sum(-1) + MAGNITUDE_EPSILON)

    def stft(self, wav: Tensor) -> Tensor:
        """Turn wav (B, 1, T) into the complex STFT (B, F, L), L = ceil(T / hop_length)."""
        return self.framing(wav)

    def istft(self, spectrum: Tensor, length: int | None = None) -> Tensor:
        """Turn a complex STFT (B, F, L) into the wav (B, 1, length) whose STFT is closest to it; see `STFT.inverse`."""
        return self.framing.inverse(spectrum)[..., :length]
