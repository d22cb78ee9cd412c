import math
from typing import TypeVar

import pytest
import torch
from torch import Tensor, nn

from audio_gen.models.codecs.gan import GANCodec
from audio_gen.models.codecs.trunk import CEILING_MARGIN
from audio_gen.models.contract import Conditions
from audio_gen.models.earlier import split_gan_args
from audio_gen.models.generator import Generator
from audio_gen.models.pitch_axis import hz_to_mel, midi_to_hz
from audio_gen.models.priors.mapped import MIN_NOISE
from tests.given import given

UNKNOWN = Conditions(6)
Network = TypeVar("Network", bound=nn.Module)
ARGS = {
    "n_mels": 20, "frames": 13, "f_min": 0.0, "f_max": 8000.0, "latent_dim": 8, "noise_dim": MIN_NOISE,
    "channels": (8, 16), "mapping_width": 16, "condition_dim": 4, "blocks": 1, "mel_floor": -9.0,
}  # fmt: skip


def whole(**changes: object) -> Generator:
    """Mapping network and codec."""
    torch.manual_seed(0)
    codec, mapping = split_gan_args({**ARGS, **changes})
    return Generator(codec=codec, mapping=mapping).requires_grad_(False)


def tiny(**changes: object) -> GANCodec:
    return whole(**changes).codec


def trained(model: Network) -> Network:
    """The model as if it had been trained: nothing is zero any more."""
    torch.manual_seed(1)
    for parameter in model.parameters():
        parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def sounds(count: int = 6, n_mels: int = 20, frames: int = 13) -> Tensor:
    return torch.randn(count, n_mels, frames, generator=torch.Generator().manual_seed(1)) * 2 - 4


def test_the_start_is_pca() -> None:
    """With at least as many components as clips less one, PCA gives the clips back, and w is white."""
    model, mel = tiny(), sounds()
    model.initialise(mel, UNKNOWN)
    posterior = model.encode(mel, UNKNOWN)
    w = posterior.mean
    assert torch.allclose(model.decode(w, UNKNOWN), mel.clamp(min=-9), atol=1e-3)
    assert torch.allclose(w[:, 0, :5].var(0, unbiased=False), torch.ones(5), atol=1e-3)
    assert posterior.logvar is None and torch.equal(posterior.sample(torch.randn_like(w)), w)


def test_with_few_components_the_start_is_the_nearest_that_pca_makes() -> None:
    model, mel = tiny(latent_dim=2), sounds()
    model.initialise(mel, UNKNOWN)
    flat = mel.clamp(min=-9).flatten(1)
    u, s, v = torch.linalg.svd(flat - flat.mean(0), full_matrices=False)
    nearest = (u[:, :2] * s[:2] @ v[:2] + flat.mean(0)).view_as(mel)
    made = model.decode_raw(model.encode(mel, UNKNOWN).mean, UNKNOWN)
    assert torch.allclose(made, nearest, atol=1e-3)


@pytest.mark.parametrize("count", [1, 2])
def test_one_clip_and_two_come_back(count: int) -> None:
    generator, mel = whole(), sounds(count)
    model = generator.codec
    model.initialise(mel, UNKNOWN[:count])
    w = model.encode(mel, UNKNOWN[:count]).mean
    assert torch.allclose(model.decode(w, UNKNOWN[:count]), mel.clamp(min=-9), atol=1e-3)
    assert torch.isfinite(generator(torch.randn(6, MIN_NOISE), UNKNOWN)).all()


@pytest.mark.parametrize("pitches", [(None, None), (40.0, 70.0)])
@pytest.mark.parametrize(("n_mels", "frames"), [(20, 1), (33, 13), (40, 31), (32, 32)])
def test_shapes_of_any_size(n_mels: int, frames: int, pitches: tuple[float | None, float | None]) -> None:
    model = trained(whole(n_mels=n_mels, frames=frames, pitch_low=pitches[0], pitch_high=pitches[1], n_classes=2))
    mel, class_id = sounds(6, n_mels, frames), torch.tensor([-1, 0, 1, -1, 0, 1])
    pitch = torch.tensor([50.0, 60, 70, math.nan, math.nan, math.nan])
    known = given(class_id, pitch)
    w = model.mapping(torch.randn(6, MIN_NOISE), known)
    assert w.shape == model.codec.encode(mel, known).mean.shape == (6, 1, 8)
    made = model.codec.decode(w, known)
    assert made.shape == mel.shape
    assert torch.isfinite(made).all()


def test_equal_latents_give_equal_mels_in_one_layer_or_all() -> None:
    model = trained(tiny())
    model.initialise(sounds(), UNKNOWN)
    w = torch.randn(6, 1, 8)
    made = model.decode(w, UNKNOWN)
    assert torch.equal(model.decode(w, UNKNOWN), made)
    assert torch.equal(model.decode(w.expand(-1, model.latent.style_layers, -1), UNKNOWN), made)


def test_every_layer_counts() -> None:
    model = trained(tiny(channels=(8, 8, 8)))
    assert model.latent.style_layers == 4
    w = torch.randn(6, 4, 8)
    made = model.decode_raw(w, UNKNOWN)
    for layer in range(4):
        other = w.clone()
        other[:, layer] += 1
        assert not torch.allclose(model.decode_raw(other, UNKNOWN), made, atol=1e-4)


def test_other_noise_makes_another_grain() -> None:
    model = trained(tiny())
    noise = [model.draw_noise(6, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
    a, b, c = (model.decode_raw(torch.zeros(6, 1, 8), UNKNOWN, n) for n in noise)
    assert torch.equal(a, b)
    assert not torch.allclose(a, c)


def test_weights_from_before_there_was_a_grain_make_what_they_made() -> None:
    model = trained(tiny())
    torch.nn.init.zeros_(model.synthesis.grain.weight)
    torch.nn.init.zeros_(model.synthesis.grain.bias)
    old = {key: value for key, value in model.state_dict().items() if ".grain." not in key}
    assert len(old) == len(model.state_dict()) - 2
    w, again = torch.randn(6, 1, 8), trained(tiny())
    again.load_state_dict(old)
    assert torch.equal(again.decode_raw(w, UNKNOWN), model.decode_raw(w, UNKNOWN))


def test_weights_from_before_codec_and_mapping_were_parts_make_what_they_made() -> None:
    model = trained(whole())
    trunk = {"codec.trunk.linear.": "linear.", "codec.trunk.": "", "codec.": ""}
    old = {}
    for key, value in model.state_dict().items():
        start = next((name for name in trunk if key.startswith(name)), None)
        old[key if start is None else trunk[start] + key.removeprefix(start)] = value.clone()
    assert {"mean", "linear.weight", "synthesis.stem.weight", "mapping.corners", "analysis"} <= old.keys()
    z, again = torch.randn(6, MIN_NOISE), whole()
    again.load_state_dict(old)
    assert torch.equal(again(z, UNKNOWN), model(z, UNKNOWN))
    outer, kept = nn.ModuleDict({"model": whole()}), dict(old)
    outer.load_state_dict({f"model.{key}": value for key, value in old.items()})
    assert torch.equal(outer["model"](z, UNKNOWN), model(z, UNKNOWN))
    assert kept.keys() == old.keys()


def test_the_grain_is_noise_scaled_by_place() -> None:
    """With the same bias everywhere it is white noise of that size on top of all else."""
    model = tiny()
    model.synthesis.grain.bias.fill_(0.5)
    noise = model.draw_noise(6, torch.Generator().manual_seed(0))
    height = model.synthesis.sizes[0][0]
    image = torch.nn.functional.pixel_shuffle(noise, 4)[:, 0, : model.trunk.rows, : model.frames]
    assert image.shape[1] <= 4 * height
    silent = model.synthesis(torch.randn(6, 2, 8 + 4 + 2), None, noise)
    assert torch.allclose(silent, 0.5 * image, atol=1e-6)


def test_nothing_is_below_the_floor_or_above_what_its_band_had() -> None:
    model, mel = tiny(n_classes=3), sounds()
    model.initialise(mel, UNKNOWN)
    made = trained(model).decode(torch.randn(6, 1, 8) * 50, UNKNOWN)
    assert made.min() == -9
    highest = mel.amax(dim=(0, 2)) + CEILING_MARGIN
    assert torch.isclose(made.amax(dim=(0, 2)), highest).any()
    assert (made.amax(dim=(0, 2)) <= highest).all()


def test_first_draws_are_between_the_clips_of_their_class() -> None:
    """The linear path and the mapping together: mels are blends of those of clips, and nothing else yet."""
    model, mel = whole(n_classes=2, anchors=6), sounds()
    class_id = torch.tensor([0, 0, 0, 1, 1, 1])
    known = given(class_id, torch.full((6,), math.nan))
    model.codec.initialise(mel, known)
    model.mapping.initialise(model.codec.encode(mel, known).mean, known, torch.arange(6))
    z, unknown = torch.randn(200, MIN_NOISE, generator=torch.Generator().manual_seed(0)), torch.full((200,), math.nan)
    for number in (0, 1):
        asked, own = torch.full((200,), number), mel[class_id == number].clamp(min=-9)
        made = model(z, given(asked, unknown))
        assert (made >= own.amin(0) - 1e-3).all()
        assert (made <= own.amax(0) + 1e-3).all()
        assert len(made.flatten(1).unique(dim=0)) > 20


def test_the_linear_path_is_set_and_nothing_else() -> None:
    model = tiny()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.initialise(sounds(), UNKNOWN)
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {
        "trunk.mean", "trunk.scale", "trunk.ceiling", "analysis", "trunk.linear.weight", "trunk.linear.bias",
    }  # fmt: skip


def test_class_and_pitch_change_what_is_made() -> None:
    model = trained(whole(n_classes=2, pitch_low=40.0, pitch_high=70.0))
    w, z = torch.zeros(1, 1, 8), torch.zeros(1, MIN_NOISE)
    inputs = [Conditions.one({"class": c, "pitch": p}) for c in (-1, 0, 1) for p in (math.nan, 45.0, 60.0)]
    for made in ([model.codec.decode_raw(w, one) for one in inputs], [model.mapping(z, one) for one in inputs]):
        assert len(torch.stack(made).unique(dim=0)) == len(inputs)


def test_a_model_without_pitches_does_not_hear_of_them() -> None:
    model, pitch = trained(tiny()), torch.linspace(40, 70, 6)
    w = torch.randn(6, 1, 8)
    assert torch.equal(model.decode(w, given(torch.full((6,), -1), pitch)), model.decode(w, UNKNOWN))


def test_decoding_at_another_pitch_moves_the_partials() -> None:
    """A basis learned at pitch 60 only, decoded an octave up or down, has its peak an octave away."""
    model = tiny(n_mels=80, f_max=11025.0, pitch_low=36.0, pitch_high=84.0)
    axis = model.trunk.axis
    assert axis is not None

    def band(pitch: float) -> float:
        mels = hz_to_mel(midi_to_hz(torch.tensor(pitch)))
        return float((mels - axis.mel_low) / axis.mel_step - 1)

    mel = -(torch.arange(80) - band(60)).abs().clamp(max=6)[None, :, None].expand(1, 80, 13)
    model.initialise(mel, Conditions.one({"pitch": 60.0}))
    for pitch in (54.0, 60.0, 72.0, 77.0):
        made = model.decode(torch.zeros(1, 1, 8), Conditions.one({"pitch": pitch}))[0, :, 5]
        assert abs(int(made.argmax()) - band(pitch)) < 1.1


def test_what_is_below_the_floor_still_has_a_gradient() -> None:
    w = torch.zeros(6, 1, 8, requires_grad=True)
    made = trained(tiny()).decode_raw(w, UNKNOWN)
    (made - 100).sum().backward()
    assert w.grad is not None
    assert w.grad.abs().min() > 0
