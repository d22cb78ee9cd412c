"""Any vocoder spreads its sound to left and right."""

import math

import pytest
import torch
from torch import Tensor

from audio_gen.audio.mel import MelFrontEnd, MelSpec
from audio_gen.errors import MelMismatchError
from audio_gen.vocoding.griffinlim import GriffinLimVocoder
from audio_gen.vocoding.load import load_vocoder
from audio_gen.vocoding.long import copy_synthesis
from audio_gen.vocoding.stereo import StereoVocoder

RATE = 22050
MONO = MelSpec.preset("22khz_80band_256x")
SPEC = MONO.with_stereo(16)


def energy_db(wav: Tensor) -> Tensor:
    return 10 * wav.square().sum(-1).clamp(min=1e-12).log10()


@pytest.mark.parametrize("choice", ["griffinlim:4", "small"])
def test_a_mono_sound_is_that_of_the_mono_vocoder_on_both_sides(choice: str) -> None:
    wav = 0.1 * torch.randn(1, 1, RATE // 2, generator=torch.Generator().manual_seed(0))
    image = MelFrontEnd(SPEC)(wav)
    stereo = load_vocoder(choice, SPEC)(image)
    mono = load_vocoder(choice, MONO)(MelFrontEnd(MONO)(wav))
    assert torch.equal(stereo, mono.expand(-1, 2, -1))


def test_clicks_a_pad_and_antiphase_are_copied_where_they_were() -> None:
    generator = torch.Generator().manual_seed(1)
    wav = torch.zeros(2, 4 * RATE)
    wav[0, RATE // 4 : RATE // 4 + 200] = 0.5 * torch.randn(200, generator=generator)  # a click left
    wav[1, 3 * RATE // 4 : 3 * RATE // 4 + 200] = 0.5 * torch.randn(200, generator=generator)  # a click right
    wav[:, RATE + RATE // 4 : 2 * RATE] = 0.1 * torch.randn(2, 2 * RATE - RATE - RATE // 4, generator=generator)
    time = torch.arange(RATE // 2) / RATE
    sine = 0.2 * (2 * math.pi * 440 * time).sin() * torch.hann_window(RATE // 2)
    wav[:, 2 * RATE + RATE // 4 : 2 * RATE + 3 * RATE // 4] = torch.stack([sine, -sine])
    back = copy_synthesis(load_vocoder("small", SPEC), wav)
    assert back.shape == wav.shape
    left, right, pad, antiphase = back[:, : RATE // 2], back[:, RATE // 2 : RATE], back[:, RATE : 2 * RATE], (
        back[:, 2 * RATE : 3 * RATE]
    )  # fmt: skip
    assert energy_db(left)[0] > energy_db(left)[1] + 15
    assert energy_db(right)[1] > energy_db(right)[0] + 15
    for copied, original in ((left, wav[:, : RATE // 2]), (right, wav[:, RATE // 2 : RATE])):
        assert abs(energy_db(copied).max() - energy_db(original).max()) < 2
    for part, coherence in ((pad, 0.0), (antiphase, -1.0)):
        found = (part[0] * part[1]).sum() / (part[0].norm() * part[1].norm())
        assert abs(float(found) - coherence) < 0.15
    assert torch.allclose(energy_db(antiphase), energy_db(wav[:, 2 * RATE : 3 * RATE]), atol=2)
    assert energy_db(antiphase.mean(0)) < energy_db(antiphase).max() - 12


def test_nothing_sounds_before_the_onset() -> None:
    wav = torch.zeros(1, 2, RATE)
    onset = RATE // 3
    wav[0, :, onset:] = 0.2 * torch.randn(2, RATE - onset, generator=torch.Generator().manual_seed(2))
    spread = StereoVocoder(GriffinLimVocoder(MONO, iterations=2), SPEC)(MelFrontEnd(SPEC)(wav), float(onset))
    assert not spread[..., : onset - RATE // 1000].any()
    assert spread.abs().max() > 0.1


def test_a_vocoder_of_another_mel_is_refused() -> None:
    other = GriffinLimVocoder(MelSpec.preset("44khz_128band_512x"))
    with pytest.raises(MelMismatchError, match="sample_rate"):
        StereoVocoder(other, SPEC)
