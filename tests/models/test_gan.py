import math

import pytest
import torch
from torch import Tensor

from audio_gen.models.gan import GAN
from audio_gen.models.mapping import MIN_NOISE
from audio_gen.models.pitch import hz_to_mel, midi_to_hz
from audio_gen.models.vae import CEILING_MARGIN

NAN = torch.full((6,), math.nan)
NO_CLASS = torch.full((6,), -1)
ARGS = {
    "n_mels": 20, "frames": 13, "f_min": 0.0, "f_max": 8000.0, "latent_dim": 8, "noise_dim": MIN_NOISE,
    "channels": (8, 16), "mapping_width": 16, "condition_dim": 4,
}  # fmt: skip


def tiny(**changes: object) -> GAN:
    torch.manual_seed(0)
    return GAN(**{**ARGS, **changes}).requires_grad_(False)  # type: ignore[arg-type]


def trained(model: GAN) -> GAN:
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
    model.initialise(mel, NAN)
    w, logvar = model.encode(mel, NO_CLASS, NAN)
    assert torch.allclose(model.decode(w, NO_CLASS, NAN), mel.clamp(min=-9), atol=1e-3)
    assert torch.allclose(w[:, :5].var(0, unbiased=False), torch.ones(5), atol=1e-3)
    assert logvar.shape == w.shape


def test_with_few_components_the_start_is_the_nearest_that_pca_makes() -> None:
    model, mel = tiny(latent_dim=2), sounds()
    model.initialise(mel, NAN)
    flat = mel.clamp(min=-9).flatten(1)
    u, s, v = torch.linalg.svd(flat - flat.mean(0), full_matrices=False)
    nearest = (u[:, :2] * s[:2] @ v[:2] + flat.mean(0)).view_as(mel)
    made = model.decode_raw(model.encode(mel, NO_CLASS, NAN)[0], NO_CLASS, NAN)
    assert torch.allclose(made, nearest, atol=1e-3)


@pytest.mark.parametrize("count", [1, 2])
def test_one_clip_and_two_come_back(count: int) -> None:
    model, mel = tiny(), sounds(count)
    model.initialise(mel, NAN[:count])
    w = model.encode(mel, NO_CLASS[:count], NAN[:count])[0]
    assert torch.allclose(model.decode(w, NO_CLASS[:count], NAN[:count]), mel.clamp(min=-9), atol=1e-3)
    w = model.map(torch.randn(6, MIN_NOISE), NO_CLASS, NAN)
    assert torch.isfinite(model.decode(w, NO_CLASS, NAN)).all()


@pytest.mark.parametrize("pitches", [(None, None), (40.0, 70.0)])
@pytest.mark.parametrize(("n_mels", "frames"), [(20, 1), (33, 13), (40, 31), (32, 32)])
def test_shapes_of_any_size(n_mels: int, frames: int, pitches: tuple[float | None, float | None]) -> None:
    model = trained(tiny(n_mels=n_mels, frames=frames, pitch_low=pitches[0], pitch_high=pitches[1], n_classes=2))
    mel, class_id = sounds(6, n_mels, frames), torch.tensor([-1, 0, 1, -1, 0, 1])
    pitch = torch.tensor([50.0, 60, 70, math.nan, math.nan, math.nan])
    w = model.map(torch.randn(6, MIN_NOISE), class_id, pitch)
    assert w.shape == model.encode(mel, class_id, pitch)[0].shape == (6, 8)
    made = model.decode(w, class_id, pitch)
    assert made.shape == mel.shape
    assert torch.isfinite(made).all()


def test_equal_latents_give_equal_mels_in_one_layer_or_all() -> None:
    model = trained(tiny())
    model.initialise(sounds(), NAN)
    w = torch.randn(6, 8)
    made = model.decode(w, NO_CLASS, NAN)
    assert torch.equal(model.decode(w, NO_CLASS, NAN), made)
    assert torch.equal(model.decode(w[:, None].expand(-1, model.layers, -1), NO_CLASS, NAN), made)


def test_every_layer_counts() -> None:
    model = trained(tiny(channels=(8, 8, 8)))
    assert model.layers == 4
    w = torch.randn(6, model.layers, 8)
    made = model.decode_raw(w, NO_CLASS, NAN)
    for layer in range(model.layers):
        other = w.clone()
        other[:, layer] += 1
        assert not torch.allclose(model.decode_raw(other, NO_CLASS, NAN), made, atol=1e-4)


def test_other_noise_makes_another_grain() -> None:
    model = trained(tiny())
    noise = [model.draw_noise(6, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
    a, b, c = (model.decode_raw(torch.zeros(6, 8), NO_CLASS, NAN, n) for n in noise)
    assert torch.equal(a, b)
    assert not torch.allclose(a, c)


def test_weights_from_before_there_was_a_grain_make_what_they_made() -> None:
    model = trained(tiny())
    torch.nn.init.zeros_(model.synthesis.grain.weight)
    torch.nn.init.zeros_(model.synthesis.grain.bias)
    old = {key: value for key, value in model.state_dict().items() if ".grain." not in key}
    assert len(old) == len(model.state_dict()) - 2
    w, again = torch.randn(6, 8), trained(tiny())
    again.load_state_dict(old)
    assert torch.equal(again.decode_raw(w, NO_CLASS, NAN), model.decode_raw(w, NO_CLASS, NAN))


def test_the_grain_is_noise_scaled_by_place() -> None:
    """With the same bias everywhere it is white noise of that size on top of all else."""
    model = tiny()
    model.synthesis.grain.bias.fill_(0.5)
    noise = model.draw_noise(6, torch.Generator().manual_seed(0))
    whole = model.synthesis.sizes[0]
    image = torch.nn.functional.pixel_shuffle(noise, 4)[:, 0, : model.n_mels, : model.frames]
    assert image.shape[1] <= 4 * whole[0]
    silent = model.synthesis(torch.randn(6, 2, 8 + 4 + 2), None, noise)
    assert torch.allclose(silent, 0.5 * image, atol=1e-6)


def test_nothing_is_below_the_floor_or_above_what_its_band_had() -> None:
    model, mel = tiny(n_classes=3), sounds()
    model.initialise(mel, NAN)
    made = trained(model).decode(torch.randn(6, 8) * 50, NO_CLASS, NAN)
    assert made.min() == -9
    highest = mel.amax(dim=(0, 2)) + CEILING_MARGIN
    assert torch.isclose(made.amax(dim=(0, 2)), highest).any()
    assert (made.amax(dim=(0, 2)) <= highest).all()


def test_first_draws_are_between_the_clips_of_their_class() -> None:
    """The linear path and the mapping together: mels are blends of those of clips, and nothing else yet."""
    model, mel = tiny(n_classes=2, anchors=6), sounds()
    class_id = torch.tensor([0, 0, 0, 1, 1, 1])
    model.initialise(mel, NAN)
    model.mapping.initialise(model.encode(mel, class_id, NAN)[0], class_id, NAN, torch.arange(6))
    z, unknown = torch.randn(200, MIN_NOISE, generator=torch.Generator().manual_seed(0)), torch.full((200,), math.nan)
    for number in (0, 1):
        asked, own = torch.full((200,), number), mel[class_id == number].clamp(min=-9)
        made = model.decode(model.map(z, asked, unknown), asked, unknown)
        assert (made >= own.amin(0) - 1e-3).all()
        assert (made <= own.amax(0) + 1e-3).all()
        assert len(made.flatten(1).unique(dim=0)) > 20


def test_the_linear_path_is_set_and_nothing_else() -> None:
    model = tiny()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.initialise(sounds(), NAN)
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"mean", "scale", "ceiling", "analysis", "linear.weight", "linear.bias"}


def test_class_and_pitch_change_what_is_made() -> None:
    model = trained(tiny(n_classes=2, pitch_low=40.0, pitch_high=70.0))
    w, z = torch.zeros(1, 8), torch.zeros(1, MIN_NOISE)
    conditions = [(c, p) for c in (-1, 0, 1) for p in (math.nan, 45.0, 60.0)]
    inputs = [(torch.tensor([c]), torch.tensor([p])) for c, p in conditions]
    for made in ([model.decode_raw(w, *given) for given in inputs], [model.map(z, *given) for given in inputs]):
        assert len(torch.stack(made).unique(dim=0)) == len(conditions)


def test_a_model_without_pitches_does_not_hear_of_them() -> None:
    model, pitch = trained(tiny()), torch.linspace(40, 70, 6)
    w, z = torch.randn(6, 8), torch.randn(6, MIN_NOISE)
    assert torch.equal(model.decode(w, NO_CLASS, pitch), model.decode(w, NO_CLASS, NAN))
    assert torch.equal(model.map(z, NO_CLASS, pitch), model.map(z, NO_CLASS, NAN))


def test_decoding_at_another_pitch_moves_the_partials() -> None:
    """A basis learned at pitch 60 only, decoded an octave up or down, has its peak an octave away."""
    model = tiny(n_mels=80, f_max=11025.0, pitch_low=36.0, pitch_high=84.0)
    assert model.axis is not None

    def band(pitch: float) -> float:
        mels = hz_to_mel(midi_to_hz(torch.tensor(pitch)))
        return float((mels - model.axis.mel_low) / model.axis.mel_step - 1)  # type: ignore[union-attr]

    mel = -(torch.arange(80) - band(60)).abs().clamp(max=6)[None, :, None].expand(1, 80, 13)
    model.initialise(mel, torch.tensor([60.0]))
    for pitch in (54.0, 60.0, 72.0, 77.0):
        made = model.decode(torch.zeros(1, 8), NO_CLASS[:1], torch.tensor([pitch]))[0, :, 5]
        assert abs(int(made.argmax()) - band(pitch)) < 1.1


def test_what_is_below_the_floor_still_has_a_gradient() -> None:
    w = torch.zeros(6, 8, requires_grad=True)
    made = trained(tiny()).decode_raw(w, NO_CLASS, NAN)
    (made - 100).sum().backward()
    assert w.grad is not None
    assert w.grad.abs().min() > 0
