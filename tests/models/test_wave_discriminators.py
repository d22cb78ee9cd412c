"""Discriminators of waves: shapes, gradients, and that they can tell sounds apart."""

import pytest
import torch
from torch import Tensor

from audio_gen.models.discriminators.wave import FFT_SIZES, PERIODS, PeriodDiscriminator, WaveDiscriminator


def noise(length: int = 8192, seed: int = 0) -> Tensor:
    return 0.1 * torch.randn(2, 1, length, generator=torch.Generator().manual_seed(seed))


def judges(**changes: int) -> WaveDiscriminator:
    torch.manual_seed(0)
    return WaveDiscriminator(**{"channels": 2, "bands": 1, "period_channels": 0, **changes})


@pytest.mark.parametrize(("bands", "period_channels"), [(1, 0), (5, 0), (1, 1), (5, 1)])
def test_every_band_and_period_judges(bands: int, period_channels: int) -> None:
    logits, activations = judges(bands=bands, period_channels=period_channels)(noise())
    assert len(logits) == len(FFT_SIZES) * bands + (len(PERIODS) if period_channels else 0)
    assert len(activations) == 5 * len(logits)
    assert all(x.shape[:2] == (2, 1) and bool(x.isfinite().all()) for x in logits)


def test_bands_are_all_bins_once() -> None:
    for judge in judges(bands=5).judges:
        bins = [i for low, high in judge.ranges for i in range(low, high)]  # type: ignore[union-attr,misc]
        assert bins == list(range(judge.n_fft // 2 + 1))  # type: ignore[operator]


@pytest.mark.parametrize("length", [2048, 2049, 4095])
def test_any_length_from_the_largest_window_on(length: int) -> None:
    logits, _ = judges(period_channels=1)(noise(length))
    assert all(bool(x.isfinite().all()) for x in logits)


def test_a_period_sees_only_its_own_samples() -> None:
    """A change at one sample moves one column of the logits."""
    judge = PeriodDiscriminator(period=5, channels=2)
    wav = noise(2000)[:, 0]
    other = wav.clone()
    other[:, 503] += 1
    (before,), _ = judge(wav)
    (after,), _ = judge(other)
    changed = (before != after).flatten(0, 2).any(0)
    assert changed.tolist() == [i == 503 % 5 for i in range(5)]


def test_the_wave_and_silence_get_gradients() -> None:
    for wav in (noise(), torch.zeros(1, 1, 4096)):
        wav.requires_grad_()
        logits, _ = judges(bands=5, period_channels=1)(wav)
        torch.stack([x.mean() for x in logits]).sum().backward()
        assert wav.grad is not None
        assert bool(wav.grad.isfinite().all())
    assert float(wav.grad.abs().sum()) > 0
