"""Level difference and coherence below a log-mel: measured, packed, and made again."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from audio_gen.audio.mel import MelFrontEnd, MelSpec
from audio_gen.audio.stereo import (
    MOST_NATS,
    SIDE_STEP,
    Spread,
    Strip,
    band_weights,
    packed,
    side_share_db,
    sides,
    spread_of,
    strip_limits,
    unpacked,
)
from audio_gen.audio.stft import STFT
from audio_gen.errors import ConfigError, MelMismatchError

RATE, BANDS = 22050, 16
SPEC = MelSpec.preset("22khz_80band_256x").with_stereo(BANDS)
FRAMING = STFT(SPEC.n_fft, SPEC.hop_length)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def strip_of(wav: Tensor) -> Strip:
    return unpacked(MelFrontEnd(SPEC)(wav[None])[:, SPEC.n_mels :])


def made(wav: Tensor) -> Tensor:
    """Left and right (2, T) by the strip of wav (2, T), from its mid as the carrier."""
    whole = F.pad(wav, (0, -wav.shape[1] % SPEC.hop_length))
    carrier = whole.mean(0)[None, None]
    mid, side = (x[0, 0] for x in sides(carrier, spread_of(strip_of(wav)), SPEC, FRAMING))
    return torch.stack([mid + side, mid - side])[:, : wav.shape[1]]


def level_db(wav: Tensor) -> Tensor:
    return 10 * wav.square().mean(-1).log10()


def coherence(wav: Tensor) -> float:
    return float((wav[0] * wav[1]).sum() / (wav[0].norm() * wav[1].norm()))


def test_mono_and_silence_have_a_strip_of_zeros() -> None:
    same = noise(1, RATE).expand(2, -1)
    assert strip_of(same).difference.abs().max() < 1e-4
    assert strip_of(same).angle.max() < 2e-3
    assert not torch.cat(strip_of(torch.zeros(2, RATE))).any()
    image = MelFrontEnd(SPEC)(same[None, :1])
    assert torch.equal(image[:, : SPEC.n_mels], MelFrontEnd(SPEC.mono)(same[None, :1]))
    assert not image[:, SPEC.n_mels :].any()


@pytest.mark.parametrize("nats", [-2.0, -0.5, 0.5, 2.0])
def test_level_differences_are_measured_in_nats_of_amplitude(nats: float) -> None:
    wav = noise(1, RATE) * torch.tensor([[math.exp(nats / 2)], [math.exp(-nats / 2)]])
    found = strip_of(wav)
    assert torch.allclose(found.difference, torch.full_like(found.difference, nats), atol=0.01)
    assert found.angle.max() < 0.02


@pytest.mark.parametrize(("share", "angle"), [(0.0, math.pi / 2), (1.0, 0.0), (-1.0, math.pi)])
def test_the_angle_is_that_of_the_coherence(share: float, angle: float) -> None:
    left = noise(1, 4 * RATE)
    right = share * left + math.sqrt(1 - share**2) * noise(1, 4 * RATE, seed=1)
    found = strip_of(torch.cat([left, right])).angle
    assert abs(float(found.mean()) - angle) < 0.05


def test_a_sound_on_one_side_stays_there() -> None:
    wav = torch.cat([noise(1, RATE), torch.zeros(1, RATE)])
    assert float(strip_of(wav).difference.min()) == MOST_NATS
    left, right = level_db(made(wav))
    assert abs(left - level_db(wav[:1])) < 0.5
    assert right < left - 30


def test_independent_sides_are_independent_again() -> None:
    wav = noise(2, 4 * RATE)
    back = made(wav)
    assert torch.allclose(level_db(back), level_db(wav), atol=0.5)
    assert abs(coherence(back)) < 0.1


def test_a_single_partial_gets_no_level_difference() -> None:
    """A filtered copy would add to it on one side and subtract on the other; a turn changes the phase alone."""
    time = torch.arange(2 * RATE) / RATE
    wav = 0.3 * torch.stack([(2 * math.pi * 1000 * time).sin(), (2 * math.pi * 1000 * time + 1.2).sin()])
    back = made(wav)[:, RATE // 2 : -RATE // 2]
    left, right = level_db(back)
    assert abs(left - right) < 0.5
    assert abs(coherence(back) - math.cos(1.2)) < 0.05


def test_the_sum_of_both_sides_is_the_mid() -> None:
    wav = noise(2, RATE)
    back, mid = made(wav).mean(0), wav.mean(0)
    assert 20 * math.log10(float((back - mid).norm() / mid.norm())) < -60


def test_antiphase_has_a_mel_to_make_it_from() -> None:
    wav = noise(1, RATE) * torch.tensor([[1.0], [-1.0]])
    image = MelFrontEnd(SPEC)(wav[None])[0]
    loud = MelFrontEnd(SPEC)(wav[None, :1])[0]
    measured = slice(None, None, SIDE_STEP)
    assert torch.allclose(image[: SPEC.n_mels, measured], loud[: SPEC.n_mels, measured] + math.log(1 / 4), atol=1e-3)
    spread = spread_of(strip_of(wav))
    assert spread.mid.max() < 0.1
    assert torch.allclose(spread.common.abs(), torch.tensor(4.0), atol=0.05)


def test_the_width_of_an_image_is_that_of_the_sound() -> None:
    for share in (0.1, 1.0, 3.0):
        mid, side = noise(1, 4 * RATE), share * noise(1, 4 * RATE, seed=1)
        image = MelFrontEnd(SPEC)(torch.cat([mid + side, mid - side])[None])
        assert abs(float(side_share_db(image, SPEC)) - 20 * math.log10(share)) < 0.7


@pytest.mark.parametrize("frames", [1, 3, 4, 7, 40])
def test_packing_is_lossless(frames: int) -> None:
    count = -(-frames // 4)
    draw = torch.rand(2, 2, BANDS, count, generator=torch.Generator().manual_seed(0))
    values = Strip(2 * MOST_NATS * (draw[0] - 0.5), math.pi * draw[1])
    strip = packed(values, frames)
    assert strip.shape == (2, SPEC.rows - SPEC.n_mels, frames)
    assert torch.allclose(packed(unpacked(strip), frames), strip, atol=1e-5)
    if frames % 4 == 0:
        assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(unpacked(strip), values, strict=True))
    low, high = strip_limits(BANDS)
    assert bool(((strip >= low) & (strip <= high)).all())


def test_bands_cover_the_spectrum_once() -> None:
    assert torch.allclose(band_weights(SPEC).sum(0), torch.ones(SPEC.n_bins))
    assert float(band_weights(SPEC).sum(1).min()) > 1


def test_the_turned_sound_keeps_its_level_and_is_orthogonal() -> None:
    wav = noise(1, 1, 8 * SPEC.hop_length * 64)
    free = Spread(*(torch.full((1, BANDS, 128), value) for value in (1.0, 0.0, 1.0)))
    mid, side = sides(wav, free, SPEC, FRAMING)
    assert torch.equal(mid, wav)
    assert abs(float(10 * (side.square().mean() / wav.square().mean()).log10())) < 0.3
    assert abs(float((side * wav).mean() / wav.square().mean())) < 0.05


def test_the_side_of_a_click_is_as_sharp() -> None:
    wav = torch.zeros(1, 1, 64 * SPEC.hop_length)
    wav[..., wav.shape[-1] // 2] = 1.0
    free = Spread(*(torch.full((1, BANDS, 16), value) for value in (1.0, 0.0, 1.0)))
    energy = sides(wav, free, SPEC, FRAMING)[1][0, 0].square()
    time = (torch.arange(len(energy)) - len(energy) // 2) / RATE
    assert energy[time.abs() < 0.002].sum() > 0.5 * energy.sum()
    assert energy[time.abs() < 0.01].sum() > 0.95 * energy.sum()


def test_a_stereo_mel_has_another_digest_and_a_mono_one_keeps_its() -> None:
    mono = SPEC.mono
    assert "stereo_bands" not in mono.to_dict()
    assert mono.digest == MelSpec.preset("22khz_80band_256x").digest != SPEC.digest
    assert MelSpec.from_dict(SPEC.to_dict()) == SPEC
    assert (SPEC.channels, SPEC.rows, mono.channels, mono.rows) == (2, 88, 1, 80)
    with pytest.raises(MelMismatchError, match="channels: 2 against 1"):
        SPEC.check_same(mono, "the model", "the cache")
    with pytest.raises(MelMismatchError, match="stereo_bands 16 against 32"):
        SPEC.check_same(SPEC.with_stereo(32), "the model", "the cache")


@pytest.mark.parametrize("bands", [-4, 3, 1.5, True, 1000])
def test_a_wrong_number_of_bands_is_refused(bands: object) -> None:
    with pytest.raises(ConfigError, match="stereo_bands"):
        MelSpec.from_dict({**SPEC.mono.to_dict(), "stereo_bands": bands})


def test_antiphase_is_turned_the_same_way_in_every_cell() -> None:
    wav = noise(1, RATE) * torch.tensor([[1.0], [-1.0]])
    common = spread_of(strip_of(wav + 1e-4 * noise(2, RATE, seed=1))).common
    assert bool((common > 3).all())


def test_more_bands_than_bins_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"stereo_bands \(64\) leaves a band without an FFT bin at n_fft 64"):
        MelSpec(sample_rate=16000, n_fft=64, hop_length=32, n_mels=8, stereo_bands=64)
