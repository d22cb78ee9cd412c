"""Findings for a sampler: each one fires on clips made for it, none on real against real."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from audio_gen.audio.similarity import view
from audio_gen.evaluation import signal
from audio_gen.evaluation.copies import duplicates
from audio_gen.evaluation.playability import playability

RATE = 22_050


def hit(seed: int, *, lead_sec: float = 0.01, rise_sec: float = 0.001) -> Tensor:
    """Noise that begins after a little silence, rises, and decays to nothing."""
    generator = torch.Generator().manual_seed(seed)
    time = torch.arange(round(0.6 * RATE)) / RATE
    decay = 15 + 20 * float(torch.rand(1, generator=generator))
    noise = torch.randn(len(time), generator=generator)
    body = noise * torch.exp(-decay * time) * (time / rise_sec).clamp(max=1)
    return 0.1 * torch.cat([torch.zeros(round(lead_sec * RATE)), body])


def clicking(seed: int) -> Tensor:
    wav = hit(seed)
    return torch.cat([0.5 * wav.abs().max() * torch.ones(1), wav[1:]])


def cut(seed: int) -> Tensor:
    wav = hit(seed)
    return torch.cat([wav, 0.2 * wav.abs().max() * torch.ones(1)])


def padded(seed: int) -> Tensor:
    return torch.cat([hit(seed), torch.zeros(2 * RATE)])


def preceded(seed: int) -> Tensor:
    """Noise 35 dB below the peak for 100 ms before the hit."""
    generator = torch.Generator().manual_seed(seed + 1000)
    wav = hit(seed, lead_sec=0.1)
    lead = round(0.1 * RATE)
    return torch.cat([0.018 * wav.abs().max() * (2 * torch.rand(lead, generator=generator) - 1) * 0.5, wav[lead:]])


def figures(make: Callable[[int], Tensor]) -> dict:
    real = [hit(seed) for seed in range(20)]
    made = [make(seed) for seed in range(20, 40)]
    sides = {
        name: {key: torch.tensor([signal.describe(wav, RATE)[key] for wav in wavs]).numpy() for key in signal.FIELDS}
        for name, wavs in (("real", real), ("made", made))
    }
    both = {
        "real": duplicates(torch.stack([view(wav, RATE) for wav in real])),
        "generated": duplicates(torch.stack([view(wav, RATE) for wav in made])),
    }
    return {"signal": signal.compare(sides["real"], sides["made"]), "twins": both}


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (clicking, "click_at_start"),
        (cut, "click_at_end"),
        (padded, "padding"),
        (preceded, "before_onset"),
        (lambda seed: hit(seed, rise_sec=0.05), "slow_attack"),
        (lambda seed: hit(seed) * 10 ** (-(seed % 5)), "level_spread"),
        (lambda seed: hit(seed // 2), "twins"),
    ],
)
def test_each_finding_fires_on_its_fault(make: Callable[[int], Tensor], name: str) -> None:
    found = {finding.name: finding for finding in playability(figures(make))}
    assert name in found
    assert ";" in found[name].text and found[name].text.endswith(".")  # what is wrong; what to do


def test_real_against_real_has_no_finding() -> None:
    assert playability(figures(hit)) == []


def test_the_edges_of_a_clip_are_known() -> None:
    wav = torch.cat([torch.zeros(1000), torch.full((1000,), 0.5), torch.zeros(2000)])
    wav[0], wav[-1] = 0.001, 0.0002
    found = signal.describe(wav, RATE)
    assert found["first_sample"] == pytest.approx(0.002) and found["last_sample"] == pytest.approx(0.0004)
    assert found["padding_share"] == 0.75 and found["before_onset_db"] < -50
