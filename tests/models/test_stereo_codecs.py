"""Codecs of images with rows of stereo below the mel."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from audio_gen.audio.stereo import MOST_NATS, UNIT, Strip, packed, strip_limits, strip_rows
from audio_gen.models.codecs.gan import GANCodec
from audio_gen.models.codecs.vae import VAE
from audio_gen.models.contract import Conditions
from audio_gen.training.tasks.gan.adaptive_augmentation import AdaptiveAugment
from tests.given import given

MELS, BANDS, FRAMES, COUNT = 20, 8, 14, 6
STRIP = strip_rows(BANDS)
ARGS = {
    "n_mels": MELS, "frames": FRAMES, "f_min": 0.0, "f_max": 8000.0, "latent_dim": 8, "channels": (8, 16), "blocks": 1,
    "mel_floor": -9.0, "stereo_bands": BANDS,
}  # fmt: skip
Make = Callable[..., GANCodec | VAE]


def gan(**changes: object) -> GANCodec:
    torch.manual_seed(0)
    return GANCodec(**{**ARGS, **changes}).requires_grad_(False)  # type: ignore[arg-type]


def vae(**changes: object) -> VAE:
    torch.manual_seed(0)
    return VAE(**{**ARGS, "grain": True, **changes}).requires_grad_(False)  # type: ignore[arg-type]


def images(mel: Tensor | None = None) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    if mel is None:
        mel = torch.randn(COUNT, MELS, FRAMES, generator=generator) * 2 - 4
    draw = torch.rand(2, COUNT, BANDS, -(-FRAMES // 4), generator=generator)
    return torch.cat([mel, packed(Strip(4 * draw[0] - 2, 2 * draw[1]), FRAMES)], dim=1)


@pytest.mark.parametrize("make", [gan, vae])
@pytest.mark.parametrize("pitched", [False, True])
@pytest.mark.parametrize("decay", [False, True])
def test_the_start_is_pca_of_the_whole_image(make: Make, pitched: bool, decay: bool) -> None:
    args: dict[str, object] = {"pitch_low": 40.0, "pitch_high": 70.0} if pitched else {}
    args |= {"decay_onset": 2.0, "decay_attack": 1.0} if decay else {}
    model = make(**args)
    pitch = torch.linspace(45, 65, COUNT) if pitched else torch.full((COUNT,), math.nan)
    known, image = given(torch.full((COUNT,), -1), pitch), images()
    model.initialise(image, known)
    back = model.decode(model.encode(image, known).mean, known)
    assert back.shape == image.shape
    assert torch.allclose(back[:, MELS:], image[:, MELS:], atol=1e-3)
    if not pitched and not decay:
        assert torch.allclose(back[:, :MELS], image[:, :MELS].clamp(min=-9), atol=1e-3)


@pytest.mark.parametrize("make", [gan, vae])
def test_a_decoded_strip_stays_within_its_limits(make: Make) -> None:
    model, known, image = make(), Conditions(COUNT), images()
    model.initialise(image, known)
    far = 100 * model.encode(image, known).mean
    strip = model.decode(far, known)[:, MELS:]
    low, high = strip_limits(BANDS)
    assert bool(((strip >= low) & (strip <= high)).all())
    assert float(strip.max()) == pytest.approx(UNIT * MOST_NATS)
    assert float(strip.min()) == -UNIT * MOST_NATS


@pytest.mark.parametrize("make", [gan, vae])
def test_a_mono_codec_has_the_weights_of_before(make: Make) -> None:
    mono = make(stereo_bands=0)
    assert not [name for name in mono.state_dict() if "strip" in name or "least" in name]
    assert mono.trunk.rows == MELS
    assert mono.trunk.floor == -9.0


def test_stereo_keeps_time_and_band_when_a_sound_moves_to_other_axes() -> None:
    model = gan(decay_onset=2.0, decay_attack=1.0, pitch_low=40.0, pitch_high=70.0)
    known = given(torch.full((COUNT,), -1), torch.linspace(45, 65, COUNT))
    image = images()
    model.initialise(image, known)
    z = model.encode(image, known).mean
    order = torch.arange(COUNT).flip(0)
    carried = model.carry(image, z, known, z[order], known[order])
    assert torch.equal(carried[:, MELS:], image[:, MELS:])
    assert not torch.allclose(carried[:, :MELS], image[:, :MELS])


def test_augmented_images_keep_their_stereo_up_to_a_shift() -> None:
    augment = AdaptiveAugment(floor=-9.0, shift_bands=True, target=0.6, images=100.0, strip=STRIP)
    augment.p.fill_(1.0)
    time = torch.arange(1, 9, dtype=torch.float32).expand(COUNT, BANDS, 8)  # a count of 4 frames each
    mel = torch.randn(COUNT, MELS, 32, generator=torch.Generator().manual_seed(2))
    image = torch.cat([mel, packed(Strip(time / 10, time / 10), 32)], dim=1)
    changed = augment(image, torch.Generator().manual_seed(3))
    moved = set()
    for before, after in zip(image[:, MELS:], changed[:, MELS:], strict=True):
        fits = []
        for shift in range(-8, 9, 4):
            source = (torch.arange(32) - shift).clamp(max=31)
            wanted = torch.where(source < 0, 0.0, before[:, source.clamp(min=0)])
            if torch.equal(wanted, after):
                fits.append(shift)
        assert fits
        moved.add(fits[0])
    assert len(moved) > 1
    assert not torch.allclose(changed[:, :MELS], mel)
