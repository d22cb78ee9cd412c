"""The harmonic axis: log-mel spectrograms by harmonic number instead of frequency."""

import math

import torch
from torch import Tensor, nn

A4_HZ, A4_MIDI = 440.0, 69.0
LOWEST_HARMONIC = 0.25
FEATURES = 4  # channels of HarmonicAxis.features
FIT_RIDGE = 0.3  # keeps rows that no band reads at their interpolated values


def midi_to_hz(pitch: Tensor) -> Tensor:
    """Frequency in Hz of a MIDI pitch (12-tone equal temperament, A4 = 440 Hz), any shape."""
    return A4_HZ * torch.exp2((pitch - A4_MIDI) / 12)


def hz_to_mel(frequency_hz: Tensor) -> Tensor:
    """Slaney's mel scale: linear to 1 kHz, logarithmic above, any shape."""
    linear = frequency_hz / (200 / 3)
    return torch.where(
        frequency_hz < 1000, linear, 15 + 27 * torch.log(frequency_hz.clamp(min=1) / 1000) / math.log(6.4)
    )


def mel_to_hz(mel: Tensor) -> Tensor:
    """The inverse of `hz_to_mel`, any shape."""
    return torch.where(mel < 15, mel * (200 / 3), 1000 * torch.exp((mel - 15) * math.log(6.4) / 27))


def interpolation_matrix(position: Tensor, size: int) -> Tensor:
    """Weights (..., size) of linear interpolation in a grid of `size` points at positions (...), clamped."""
    grid = torch.arange(size, device=position.device, dtype=position.dtype)
    return (1 - (position.clamp(0, size - 1)[..., None] - grid).abs()).clamp(min=0)


class HarmonicAxis(nn.Module):
    """Conversion of log-mel spectrograms between the mel axis and an axis of log harmonic number f / f0.

    On that axis a partial has the same row at every pitch. So a timbre learned at one pitch applies to all others, and
    a decoded sound has the requested pitch.
    """

    log_centre: Tensor
    harmonic: Tensor

    def __init__(
        self, *, n_mels: int, f_min: float, f_max: float, pitch_low: float, pitch_high: float, rows_per_mel: int = 2
    ) -> None:
        """An axis for pitches from `pitch_low` to `pitch_high` (MIDI) on mel bands from `f_min` to `f_max` (Hz)."""
        super().__init__()
        self.n_mels, self.rows = n_mels, rows_per_mel * n_mels
        mel_low, mel_high = hz_to_mel(torch.tensor([f_min, f_max], dtype=torch.float64)).tolist()
        self.mel_low, self.mel_step = mel_low, (mel_high - mel_low) / (n_mels + 1)
        centre_hz = mel_to_hz(mel_low + self.mel_step * torch.arange(1, n_mels + 1, dtype=torch.float64))
        highest = float(centre_hz[-1] / midi_to_hz(torch.tensor(pitch_low)))
        self.log_low = math.log(LOWEST_HARMONIC)
        self.log_step = (math.log(highest) - self.log_low) / (self.rows - 1)
        log_rows = self.log_low + self.log_step * torch.arange(self.rows, dtype=torch.float64)
        self.register_buffer("log_centre", centre_hz.log().float(), persistent=False)
        self.register_buffer("harmonic", log_rows.exp().float(), persistent=False)
        self.pitch_low, self.pitch_high = pitch_low, pitch_high

    def known(self, pitch: Tensor) -> Tensor:
        """Pitch (B,) with NaN replaced by the middle of the range."""
        return torch.nan_to_num(pitch, nan=(self.pitch_low + self.pitch_high) / 2)

    def to_rows(self, mel: Tensor, pitch: Tensor) -> Tensor:
        """mel (B, M, L) at pitch (B,) in MIDI -> (B, rows, L)."""
        frequency_hz = midi_to_hz(self.known(pitch))[:, None] * self.harmonic  # (B, rows)
        position = (hz_to_mel(frequency_hz) - self.mel_low) / self.mel_step - 1
        return interpolation_matrix(position, self.n_mels) @ mel

    def fit_rows(self, mel: Tensor, pitch: Tensor) -> Tensor:
        """As `to_rows`, corrected so that `to_mel` restores the mel: interpolating twice would blur it."""
        with torch.autocast(mel.device.type, enabled=False):
            mel, reading = mel.float(), self._reading(pitch)  # (B, M, rows)
            rows = self.to_rows(mel, pitch)
            ridge = FIT_RIDGE * torch.eye(self.n_mels, device=mel.device)
            missing = torch.linalg.solve(reading @ reading.mT + ridge, mel - reading @ rows)
            return rows + reading.mT @ missing

    def to_mel(self, rows: Tensor, pitch: Tensor) -> Tensor:
        """rows (B, rows, L) at pitch (B,) in MIDI -> (B, M, L)."""
        return self._reading(pitch) @ rows

    def _reading(self, pitch: Tensor) -> Tensor:
        """Weights (B, M, rows) that read bands at pitch (B,) from rows."""
        log_harmonic = self.log_centre - midi_to_hz(self.known(pitch)).log()[:, None]  # (B, M)
        return interpolation_matrix((log_harmonic - self.log_low) / self.log_step, self.rows)

    def reading(self, source: "HarmonicAxis") -> Tensor:
        """Weights (rows, rows of `source`) that read the rows of another axis at the harmonics of this one."""
        harmonic = self.log_low + self.log_step * torch.arange(self.rows, dtype=torch.float64)
        return interpolation_matrix((harmonic - source.log_low) / source.log_step, source.rows).float()

    def features(self, pitch: Tensor) -> Tensor:
        """Features (B, 4, M) of bands at pitch (B,): cos and sin of 2 pi f/f0, log2 f/f0, 1 for a known pitch."""
        log_harmonic = self.log_centre - midi_to_hz(self.known(pitch)).log()[:, None]  # (B, M)
        turns = 2 * math.pi * log_harmonic.exp()
        # Partials closer than two bands cannot be separated: fade the waves there to avoid aliasing.
        width_hz = mel_to_hz(hz_to_mel(self.log_centre.exp()) + self.mel_step) - self.log_centre.exp()
        resolved = torch.sigmoid(4 - 4 * width_hz / midi_to_hz(self.known(pitch))[:, None])
        waves = torch.stack([turns.cos() * resolved, turns.sin() * resolved, log_harmonic / math.log(2) / 4], dim=1)
        known = torch.isfinite(pitch).to(waves.dtype)[:, None, None].expand(-1, 1, self.n_mels)
        return torch.cat([waves, known], dim=1) * known
