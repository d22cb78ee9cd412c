"""A codec along time: any length, in parts as in one, in circles, causal."""

import pytest
import torch
from torch import Tensor

from audio_gen.models.codecs.local import LocalCodec
from audio_gen.models.codecs.long import BLOCK_LATENTS, encode_blocks
from audio_gen.models.codecs.patches import NOISE_LATENTS, STRIDE

BANDS, DIM = 12, 8


def tiny(**changes: object) -> LocalCodec:
    torch.manual_seed(0)
    args = {"n_mels": BANDS, "latent_dim": DIM, "width": 16, "encoder_depth": 2, "decoder_depth": 2, "noise_dim": 4}
    codec = LocalCodec(**{**args, **changes})  # type: ignore[arg-type]
    with torch.no_grad():
        for head in (codec.encoder_head, codec.decoder_head):  # they start at zero
            head.weight.normal_(std=0.1)
    return codec.eval()


def image(frames: int, rows: int = BANDS, seed: int = 1) -> Tensor:
    return torch.randn(1, rows, frames, generator=torch.Generator().manual_seed(seed)).clamp(-3, 3) - 4


@pytest.mark.parametrize("frames", [1, 4, 7, 64])
def test_any_length_has_a_latent_for_four_frames(frames: int) -> None:
    codec = tiny()
    z = codec.encode(image(frames)).mean
    assert z.shape == (1, -(-frames // STRIDE), DIM)
    assert codec.decode(z).shape == (1, BANDS, STRIDE * z.shape[1])


def test_the_start_is_the_principal_components_of_patches() -> None:
    torch.manual_seed(0)
    codec = LocalCodec(n_mels=BANDS, latent_dim=3, width=16)
    patches = torch.randn(500, 3, generator=torch.Generator().manual_seed(2)) @ torch.randn(3, BANDS * STRIDE) - 4
    mel = patches.unflatten(1, (BANDS, STRIDE)).permute(1, 0, 2).flatten(1)[None].clamp(min=-9)
    codec.initialise(mel)
    z = codec.encode(mel).mean
    mean = codec.image(codec.mean_of(z, codec.features(z)))
    # Three components hold all but the clamped values; each has unit variance.
    assert float((mean - mel).abs().mean()) < 0.1 * float((mel - mel.mean()).abs().mean())
    assert torch.allclose(z.std(dim=(0, 1), unbiased=False), torch.ones(3), atol=1e-3)
    assert float(codec.importance.mean()) == pytest.approx(1)


@pytest.mark.parametrize("causal", [False, True])
def test_parts_decode_as_the_whole(causal: bool) -> None:
    codec = tiny(causal=causal)
    z = torch.randn(1, 40, DIM, generator=torch.Generator().manual_seed(3))
    whole = codec.decode_part(z, 0, 40)
    parts = [codec.decode_part(z, first, min(40, first + 7)) for first in range(0, 40, 7)]
    assert torch.allclose(torch.cat(parts, dim=2), whole, atol=1e-5)
    # Latents before the reach may be gone.
    begin = 30 - codec.reach
    assert torch.allclose(
        codec.decode_part(z[:, begin:], 30 - begin, 40 - begin, offset=begin), whole[:, :, 120:], atol=1e-5
    )
    assert torch.allclose(codec.decode(z), whole, atol=1e-5)


def test_a_circle_has_no_start() -> None:
    codec = tiny()
    codec.noise.zero_()  # the grain has places of its own
    z = torch.randn(1, 9, DIM, generator=torch.Generator().manual_seed(3))  # shorter than the reach on both sides
    whole, turned = codec.decode_part(z, 0, 9, circular=True), codec.decode_part(z.roll(4, 1), 0, 9, circular=True)
    assert torch.allclose(whole.roll(4 * STRIDE, 2), turned, atol=1e-5)
    assert not torch.allclose(whole, codec.decode_part(z, 0, 9), atol=1e-3)


def test_a_causal_codec_does_not_look_ahead() -> None:
    codec, centred = tiny(causal=True), tiny()
    z = torch.randn(1, 40, DIM, generator=torch.Generator().manual_seed(3))
    changed = z.clone()
    changed[:, 20:] += 1
    for one, same in ((codec, True), (centred, False)):
        before, after = (one.decode_part(each, 0, 20) for each in (z, changed))
        assert torch.equal(before, after) is same


def test_grain_is_drawn_and_the_mean_is_not() -> None:
    codec = tiny()
    z = torch.randn(1, 10, DIM)
    plain, drawn = codec.decode_part(z, 0, 10, grain=0.0), codec.decode_part(z, 0, 10)
    other = codec.decode_part(z, 0, 10, offset=5)  # other noise
    assert not torch.allclose(plain, drawn) and not torch.allclose(drawn, other)
    assert torch.equal(plain, codec.decode_part(z, 0, 10, grain=0.0, offset=5))


def test_long_sounds_encode_in_blocks_as_in_one() -> None:
    codec, frames = tiny(), STRIDE * (2 * BLOCK_LATENTS + 5) - 2
    mel = image(frames)
    padded = torch.cat([mel, mel[:, :, -1:].expand(-1, -1, 2)], dim=2)[0]
    blocks = list(encode_blocks(codec, lambda first, stop: padded[:, first:stop], frames))
    assert [len(block) for block in blocks] == [BLOCK_LATENTS, BLOCK_LATENTS, 5]
    assert torch.allclose(torch.cat(blocks), codec.encode(mel).mean[0], atol=1e-4)


def test_an_image_of_stereo_keeps_its_rows() -> None:
    codec = tiny(stereo_bands=16)
    z = codec.encode(image(16, codec.rows)).mean
    assert codec.decode(z).shape == (1, BANDS + 8, 16)


def test_the_mean_has_no_steps_at_the_borders_of_patches() -> None:
    torch.manual_seed(0)
    walk = torch.randn(1, BANDS, 4000, generator=torch.Generator().manual_seed(4))
    mel = torch.nn.functional.avg_pool1d(walk, 6, 1) * 2 - 4  # changes evenly, and faster than the latents can follow
    mel = mel[:, :, : mel.shape[2] // STRIDE * STRIDE]
    codec = LocalCodec(n_mels=BANDS, latent_dim=BANDS, width=16)
    codec.initialise(mel)
    copy = codec.decode_part(codec.encode(mel).mean, 0, mel.shape[2] // STRIDE, grain=0.0)
    by_place = (copy[:, :, 1:] - copy[:, :, :-1]).abs().mean((0, 1))[: mel.shape[2] - STRIDE].view(-1, STRIDE).mean(0)
    assert float(by_place[-1] / by_place[:-1].mean()) < 2  # patches of single latents: 8.5


def test_noise_of_the_grain_has_parts_that_stay() -> None:
    codec = tiny(noise_dim=64)
    noise = codec.noise_of(0, NOISE_LATENTS)[0]
    assert torch.allclose(noise.std(0), torch.ones(64), atol=0.35)

    def stays(part: Tensor) -> float:
        return float((part[4:] * part[:-4]).mean() / part.square().mean())

    fast, slow, slowest = noise[:, :32], noise[:, 32:48], noise[:, 48:]
    assert abs(stays(fast)) < 0.1 and 0.3 < stays(slow) < 0.7 and stays(slowest) > 0.75
    circle = codec.noise_of(-3, 103, circle=100)[0]
    assert torch.equal(circle[:6], circle[100:])
    assert tiny(noise_dim=3).noise_of(0, 5).shape == (1, 5, 3)  # too few numbers for a quarter
    seam = (codec.noise_of(99, 101, circle=100)[0, :, 48:]).diff(dim=0).abs().mean()
    assert float(seam) < 0.5  # of slow noise; independent values are 1.1 apart
