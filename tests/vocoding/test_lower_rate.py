"""A network speaks for mels of half its rate, whose spectrum is the lower half of its own."""

import pytest
import torch

from audio_gen.audio.mel import PRESETS, MelFrontEnd, MelSpec
from audio_gen.training.tasks.vocoder import VocoderNet
from audio_gen.vocoding.griffinlim import GriffinLimVocoder
from audio_gen.vocoding.lower_rate import LowerRateVocoder, rate_factor
from audio_gen.vocoding.network import VocoderNetwork

HIGH, LOW = PRESETS["44khz_128band_512x"], PRESETS["22khz_80band_256x"]


@pytest.mark.parametrize(
    ("spec", "factor"),
    [(LOW, 2), (HIGH, None), (MelSpec(22050, 1024, 512, 80), None), (MelSpec(22050, 2048, 256, 80), None),
     (MelSpec(11025, 512, 128, 40), 4), (MelSpec(16000, 512, 128, 40), None)],
)  # fmt: skip
def test_which_frames_are_the_same_moments(spec: MelSpec, factor: int | None) -> None:
    assert rate_factor(spec, HIGH) == factor


@pytest.mark.parametrize("frames", [1, 2, 40])
@pytest.mark.parametrize("iterations", [None, 2])
def test_it_says_what_the_mel_says(frames: int, iterations: int | None) -> None:
    torch.manual_seed(0)
    speak = LowerRateVocoder(
        VocoderNetwork(**HIGH.to_dict(), **VocoderNet(dim=8, blocks=1).model_dump()).eval(), LOW, "random", iterations
    )
    time = torch.arange(LOW.samples(frames)) / LOW.sample_rate
    wav = (0.3 * torch.sin(2 * torch.pi * 440 * time) + 0.1 * torch.sin(2 * torch.pi * 3000 * time))[None, None]
    front_end = MelFrontEnd(LOW)
    made = speak(front_end(wav))
    assert made.shape == wav.shape and "22.05 kHz" in speak.name
    if frames > 2:
        classical = GriffinLimVocoder(LOW, iterations=2)(front_end(wav))
        levels = [front_end(x).exp() for x in (made, classical, wav)]
        errors = [float((x - levels[2]).norm() / levels[2].norm()) for x in levels[:2]]
        assert errors[0] < max(0.1, 2 * errors[1])
