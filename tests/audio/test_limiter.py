"""The limiter: no peak above its ceiling, nothing else changed, and parts equal the whole."""

import numpy as np
import pytest
import torch

from audio_gen.audio.limiter import CEILING_DB, Limiter

RATE = 44100
CEILING = 10 ** (CEILING_DB / 20)


def limited(wav: torch.Tensor, *cuts: int) -> tuple[torch.Tensor, float]:
    limiter = Limiter(RATE)
    parts = torch.tensor_split(wav, list(cuts), dim=1)
    return torch.cat(list(limiter(parts)), dim=1), limiter.reduction_db


def hits(count: int = 3 * RATE) -> torch.Tensor:
    """Stereo noise with hits of up to twice full scale."""
    generator = torch.Generator().manual_seed(0)
    wav = 0.1 * torch.randn(2, count, generator=generator)
    time = torch.arange(4000) / RATE
    for i, at in enumerate((5_000, 60_000, 61_500, count - 2_000)):
        body = 2 / (1 + i % 2) * torch.exp(-20 * time) * torch.sin(2 * torch.pi * 60 * time + 1.5)
        size = min(4000, count - at)
        wav[i % 2, at : at + size] += body[:size]
    return wav


def test_peaks_reach_the_ceiling_and_the_rest_stays() -> None:
    wav = hits()
    out, reduction = limited(wav)
    assert out.shape == wav.shape
    assert CEILING - 0.05 < float(out.abs().max()) <= CEILING + 1e-6
    assert reduction == pytest.approx(20 * np.log10(float(wav.abs().max()) / CEILING), abs=0.3)
    assert torch.equal(out[:, 20_000:55_000], wav[:, 20_000:55_000])
    gain = (out / wav)[wav.abs() > 0.05]
    assert float(gain.max()) <= 1 + 1e-6


@pytest.mark.parametrize("cuts", [(1, 2, 50_000), tuple(range(1000, 132_300, 1000)), (60_001, 60_002)])
def test_parts_equal_the_whole(cuts: tuple[int, ...]) -> None:
    wav = hits()
    torch.testing.assert_close(limited(wav, *cuts)[0], limited(wav)[0], atol=1e-6, rtol=0)


def test_a_sound_below_the_ceiling_is_the_same() -> None:
    wav = 0.4 * hits()
    out, reduction = limited(wav, 7, 40_000)
    assert torch.equal(out, wav) and reduction == 0


def test_a_low_note_is_turned_down_without_distortion() -> None:
    time = torch.arange(RATE) / RATE
    wav = 1.5 * torch.sin(2 * torch.pi * 60 * time)[None]
    out = limited(wav)[0][0, 5000:-5000]
    spectrum = torch.fft.rfft(out * torch.hann_window(len(out))).abs()
    peak = int(spectrum.argmax())
    others = torch.cat([spectrum[: peak - 30], spectrum[peak + 31 :]])
    assert float(others.max()) < 1e-3 * float(spectrum.max())


@pytest.mark.parametrize("count", [0, 1, 100])
def test_tiny_sounds(count: int) -> None:
    out = list(Limiter(RATE)([torch.full((1, count), 2.0)]))
    assert sum(one.shape[1] for one in out) == count
    assert all(float(one.abs().max()) <= CEILING + 1e-6 for one in out)
