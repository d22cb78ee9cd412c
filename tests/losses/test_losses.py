import math

import pytest
import torch

from audio_gen.audio.distance import BANDS_BY_N_FFT
from audio_gen.losses.latent import active_dimensions, kl_divergence
from audio_gen.losses.spectral import MultiResolutionMel, difference_l1, mel_l1


def test_kl_of_the_standard_normal_is_zero() -> None:
    assert float(kl_divergence(torch.zeros(5, 8), torch.zeros(5, 8))) == 0


def test_kl_against_its_closed_form() -> None:
    mu, var = 1.5, 0.25
    expected = 8 * 0.5 * (mu**2 + var - 1 - math.log(var))
    made = kl_divergence(torch.full((5, 8), mu), torch.full((5, 8), math.log(var)))
    assert float(made) == pytest.approx(expected, rel=1e-6)


def test_free_nats_take_the_gradient_from_cheap_dimensions() -> None:
    mu = torch.tensor([[0.1, 2.0]], requires_grad=True)
    kl_divergence(mu, torch.zeros(1, 2), free_nats=0.5).backward()
    assert mu.grad is not None
    assert mu.grad[0, 0] == 0
    assert mu.grad[0, 1] == 2


def test_active_dimensions_counts_those_that_vary() -> None:
    mu = torch.zeros(50, 6)
    mu[:, :2] = torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
    assert active_dimensions(mu) == 2


def test_mel_l1_by_hand() -> None:
    made = torch.tensor([[[1.0, -20.0], [0.0, -5.0]]])  # (1, 2, 2)
    target = torch.tensor([[[0.0, -12.0], [0.0, -11.0]]])
    assert float(mel_l1(made, target, -9.0)) == pytest.approx((1 + 0 + 0 + 4) / 4)
    weight = torch.tensor([[1.0, 0.0]])
    assert float(mel_l1(made, target, -9.0, weight)) == pytest.approx(0.5)


def test_differences_ignore_level() -> None:
    x = torch.randn(2, 8, 9)
    assert float(difference_l1(x + 1, x, -9.0, -1)) == pytest.approx(0, abs=1e-6)
    assert float(difference_l1(2 * x, x, -90.0, -2)) > 0.1


def test_multi_resolution_mel_agrees_with_auraloss() -> None:
    """On sounds far above the floor, the log-mel part is that of auraloss, averaged over the sizes."""
    freq = pytest.importorskip("auraloss.freq")
    made, target = (torch.randn(2, 1, 8192, generator=torch.Generator().manual_seed(i)) for i in (0, 1))
    theirs = [
        freq.STFTLoss(n, n // 4, n, w_sc=0.0, sample_rate=22050, scale="mel", n_bins=m)(made, target)
        for n, m in BANDS_BY_N_FFT.items()
    ]
    ours = MultiResolutionMel(22050)
    convergence = []
    for n in BANDS_BY_N_FFT:
        a, b = (
            torch.stft(x[:, 0], n, n // 4, window=torch.hann_window(n), return_complex=True).abs()
            for x in (made, target)
        )
        convergence.append(((a - b).flatten(1).norm(dim=1) / b.flatten(1).norm(dim=1)).mean())
    expected = torch.stack(theirs).mean() + 0.5 * torch.stack(convergence).mean()
    assert float(ours(made, target)) == pytest.approx(float(expected), rel=1e-4)


def test_multi_resolution_mel_is_zero_for_equal_sounds_and_grows_with_noise() -> None:
    loss = MultiResolutionMel(22050)
    wav = torch.randn(2, 1, 8192, generator=torch.Generator().manual_seed(0)) * 0.1
    noise = torch.randn(2, 1, 8192, generator=torch.Generator().manual_seed(1))
    values = [float(loss(wav + amount * noise, wav)) for amount in (0.0, 0.01, 0.1)]
    assert values[0] == pytest.approx(0, abs=1e-6)
    assert values[0] < values[1] < values[2]
