import math

import pytest
import torch
from torch import Tensor

from audio_gen.models.codecs.vae import VAE
from audio_gen.models.contract import Conditions
from audio_gen.models.pitch_axis import HarmonicAxis, hz_to_mel, mel_to_hz, midi_to_hz
from tests.given import given

UNKNOWN = Conditions(6)


def tiny(**changes: object) -> VAE:
    torch.manual_seed(0)
    args = {
        "n_mels": 20,
        "frames": 13,
        "f_min": 0.0,
        "f_max": 8000.0,
        "latent_dim": 8,
        "channels": (8, 16),
        "blocks": 1,
        "mel_floor": -9.0,
    }
    return VAE(**{**args, **changes})  # type: ignore[arg-type]


def sounds(count: int = 6) -> Tensor:
    return torch.randn(count, 20, 13, generator=torch.Generator().manual_seed(1)) * 2 - 4


@pytest.mark.parametrize("n_mels", [20, 33])
@pytest.mark.parametrize("frames", [1, 13, 32])
def test_shapes_of_any_size(n_mels: int, frames: int) -> None:
    model = tiny(n_mels=n_mels, frames=frames, n_classes=2, pitch_low=40.0, pitch_high=70.0, channels=(8, 16, 24))
    mel = torch.zeros(6, n_mels, frames)
    known = given(torch.zeros(6, dtype=torch.long), torch.full((6,), 50.0))
    posterior = model.encode(mel, known)
    assert posterior.logvar is not None
    assert posterior.mean.shape == posterior.logvar.shape == (6, 1, 8)
    assert model.decode(posterior.mean, known.subset(["class"])).shape == mel.shape


def test_the_first_step_is_pca() -> None:
    """With at least as many components as clips less one, PCA gives the clips back."""
    model, mel = tiny(), sounds()
    model.initialise(mel, UNKNOWN)
    mu = model.encode(mel, UNKNOWN).mean
    assert torch.allclose(model.decode(mu, UNKNOWN), mel.clamp(min=-9), atol=1e-3)
    assert torch.allclose(mu[:, 0, :5].var(0, unbiased=False), torch.ones(5), atol=1e-3)


def test_one_clip_is_its_own_mean() -> None:
    model, mel = tiny(), sounds(1)
    model.initialise(mel, UNKNOWN[0])
    mu = model.encode(mel, UNKNOWN[0]).mean
    assert torch.allclose(model.decode(mu, UNKNOWN[0]), mel.clamp(min=-9), atol=1e-4)


def test_it_overfits_one_batch() -> None:
    model, mel = tiny(latent_dim=2), sounds()
    model.initialise(mel, UNKNOWN)
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)
    errors = []
    for _ in range(150):
        made = model.decode_raw(model.encode(mel, UNKNOWN).mean, UNKNOWN)
        loss = (made - mel).abs().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        errors.append(float(loss.detach()))
    assert errors[-1] < 0.4 * errors[0]


def test_nothing_below_the_floor_and_unknown_conditions_are_fine() -> None:
    model = tiny(n_classes=3, pitch_low=40.0, pitch_high=70.0)
    made = model.decode(torch.randn(6, 1, 8) * 10, UNKNOWN)
    assert torch.isfinite(made).all()
    assert made.min() >= -9


def test_mel_scale_there_and_back() -> None:
    hz = torch.tensor([0.0, 65.0, 999.0, 1000.0, 5000.0, 22050.0])
    assert torch.allclose(mel_to_hz(hz_to_mel(hz)), hz, rtol=1e-4, atol=1e-3)
    import librosa

    assert torch.allclose(hz_to_mel(hz), torch.tensor(librosa.hz_to_mel(hz.numpy())).float(), rtol=1e-4)
    assert float(midi_to_hz(torch.tensor(69.0))) == 440


def axis() -> HarmonicAxis:
    return HarmonicAxis(n_mels=80, f_min=0.0, f_max=11025.0, pitch_low=36.0, pitch_high=84.0)


def test_a_partial_keeps_its_row_at_every_pitch() -> None:
    """The third harmonic, a peak in the mel, lies in the same row for two pitches."""
    layout = axis()
    rows = []
    for pitch in (60.0, 67.0):
        third = 3 * midi_to_hz(torch.tensor(pitch))
        band = float((hz_to_mel(third) - layout.mel_low) / layout.mel_step - 1)
        mel = (4 - (torch.arange(80) - band).abs()).clamp(min=0)[None, :, None]
        rows.append(int(layout.to_rows(mel, torch.tensor([pitch]))[0, :, 0].argmax()))
    assert abs(rows[0] - rows[1]) <= 1
    assert float(layout.harmonic[rows[0]]) == pytest.approx(3, rel=0.08)


def test_the_harmonic_axis_there_and_back() -> None:
    layout = axis()
    smooth = torch.sin(torch.arange(80) / 9)[None, :, None].expand(2, -1, 5)
    pitch = torch.tensor([40.0, 76.5])
    assert (layout.to_mel(layout.to_rows(smooth, pitch), pitch) - smooth).abs().mean() < 0.03


def test_rows_that_are_fitted_give_the_mel_back() -> None:
    """Sharp partials are blurred by interpolating twice, and are not when the rows are fitted."""
    layout = axis()
    mel = torch.sin(torch.arange(80) * 1.2)[None, :, None].expand(3, -1, 5)  # a partial every five bands
    pitch = torch.tensor([40.0, 60.5, math.nan])
    blurred = layout.to_mel(layout.to_rows(mel, pitch), pitch) - mel
    left = layout.to_mel(layout.fit_rows(mel, pitch), pitch) - mel
    assert left.abs().mean() < 0.35 * blurred.abs().mean()
    flat = torch.full((1, 80, 2), -3.0)
    torch.testing.assert_close(layout.fit_rows(flat, pitch[:1]), layout.to_rows(flat, pitch[:1]))


def test_decoding_at_another_pitch_moves_the_partials() -> None:
    """A basis learned at pitch 60 only, decoded an octave up, has its peak an octave higher."""
    model = tiny(n_mels=80, f_max=11025.0, pitch_low=36.0, pitch_high=84.0)
    axis_of = model.trunk.axis
    assert axis_of is not None
    band = (hz_to_mel(midi_to_hz(torch.tensor(60.0))) - axis_of.mel_low) / axis_of.mel_step - 1
    mel = -(torch.arange(80) - band).abs().clamp(max=6)[None, :, None].expand(1, 80, 13)
    model.initialise(mel, Conditions.one({"pitch": 60.0}))
    made = model.decode(torch.zeros(1, 1, 8), Conditions.one({"pitch": 72.0}))[0, :, 5]
    wanted = (hz_to_mel(midi_to_hz(torch.tensor(72.0))) - axis_of.mel_low) / axis_of.mel_step - 1
    assert abs(int(made.argmax()) - float(wanted)) <= 1


def test_weights_of_earlier_versions_make_what_they_made() -> None:
    model, again = tiny(), tiny()
    torch.nn.init.normal_(model.trunk.linear.weight)
    names = {"analysis.": "linear_in.", "trunk.linear.": "linear_out.", "trunk.": ""}
    old = {}
    for key, value in model.state_dict().items():
        start = next((name for name in names if key.startswith(name)), None)
        old[key if start is None else names[start] + key.removeprefix(start)] = value
    assert {"mean", "linear_in.weight", "linear_out.bias", "encoder.head.weight"} <= old.keys()
    again.load_state_dict(old)
    z = torch.randn(6, 1, 8)
    assert torch.equal(again.decode(z, UNKNOWN), model.decode(z, UNKNOWN))


def test_noise_changes_the_grain_and_the_fixed_draw_none() -> None:
    model, z = tiny(grain=True), torch.randn(4, 1, 8)
    noise = [model.draw_noise(4, torch.Generator().manual_seed(i)) for i in range(2)]
    start = [model.decode_raw(z, UNKNOWN[slice(0, 4)], one) for one in noise]
    assert torch.equal(*start)  # at the start noise has no effect
    torch.nn.init.normal_(model.decoder.grain.weight)  # type: ignore[union-attr]
    a, b = (model.decode_raw(z, UNKNOWN[slice(0, 4)], one) for one in noise)
    assert (a - b).abs().mean().item() > 1e-3
    assert torch.equal(model.decode_raw(z, UNKNOWN[slice(0, 4)]), model.decode_raw(z, UNKNOWN[slice(0, 4)]))
    silent = model.decode_raw(z, UNKNOWN[slice(0, 4)], model.no_noise())
    assert (silent - a).abs().mean().item() > 1e-3 and tiny().no_noise() is None


def test_a_model_with_grain_starts_as_pca() -> None:
    model, mel = tiny(grain=True), sounds()
    model.initialise(mel, UNKNOWN)
    assert torch.allclose(model.decode(model.encode(mel, UNKNOWN).mean, UNKNOWN), mel.clamp(min=-9), atol=1e-3)
