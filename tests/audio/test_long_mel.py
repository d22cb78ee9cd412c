"""The log-mel of a long sound in parts."""

import pytest
import torch

from audio_gen.audio.long_mel import of_wav
from audio_gen.audio.mel import MelFrontEnd, MelSpec
from audio_gen.audio.stereo import FRAMES

MONO = MelSpec(sample_rate=16_000, n_fft=512, hop_length=128, n_mels=20)


@pytest.mark.parametrize("spec", [MONO, MONO.with_stereo(16)], ids=["mono", "stereo"])
def test_parts_equal_the_whole_between_silences(spec: MelSpec) -> None:
    torch.manual_seed(0)
    wav = 0.1 * torch.randn(spec.channels, spec.samples(100) - 50)
    mel = of_wav(wav, spec)
    assert mel.frames == 100
    margin = spec.samples(4 * FRAMES)
    padded = torch.nn.functional.pad(wav, (margin, margin + 50))
    whole = MelFrontEnd(spec)(padded[None])[0][:, 4 * FRAMES : 4 * FRAMES + 100]
    parts = torch.cat([mel(first, min(100, first + 24)) for first in range(0, 100, 24)], dim=1)
    assert torch.allclose(parts, whole, atol=1e-4)


def test_outside_is_silent() -> None:
    mel = of_wav(torch.ones(1, MONO.samples(8)), MONO)
    assert float(mel(20, 24).max()) == pytest.approx(float(MelFrontEnd(MONO)(torch.zeros(1, 1, 512)).max()))
