"""The log-mel of a long sound in parts."""

import pytest
import soxr
import torch

from audio_gen.audio.long_mel import LongMel, of_wav
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


@pytest.mark.parametrize("speed", [2 ** (-1 / 6), 1.03, 2 ** (1 / 6)])
def test_a_faster_sound_has_the_mel_of_the_resampled_one(speed: float) -> None:
    torch.manual_seed(0)
    wav = 0.1 * torch.randn(1, 20_000) * torch.hann_window(20_000)
    mel = LongMel(lambda start, count: wav[:, start : start + count], 20_000, MONO, 1, speed)
    assert mel.speed == pytest.approx(speed, rel=0.03)
    resampled = soxr.resample(wav[0].numpy(), 16_000 * mel.speed, 16_000, quality="VHQ")
    other = of_wav(torch.from_numpy(resampled)[None], MONO)
    assert abs(mel.frames - other.frames) <= 1
    inner = slice(20, other.frames // 4 * 4 - 20)
    both = (one(0, other.frames // 4 * 4)[:16, inner] for one in (mel, other))  # what both rates can hold
    assert torch.allclose(*both, atol=1e-3)
