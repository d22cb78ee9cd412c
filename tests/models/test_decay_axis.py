"""The decay axis: lengths, the way there and back, and what a blend on it sounds like."""

import math

import pytest
import torch
from torch import Tensor

from audio_gen.models.codecs.trunk import Trunk
from audio_gen.models.contract import Conditions
from audio_gen.models.decay_axis import DECAY_DB, LONGEST, DecayAxis, decay_end, frame_levels

FRAMES, ONSET, FLOOR, BANDS = 80, 2.0, -9.0, 6
NATS = DECAY_DB * math.log(10) / 20


def decay(end: float, peak: float = 0.0, bands: int = BANDS) -> Tensor:
    """Log-mel (bands, FRAMES) of a hit at ONSET that has fallen by 50 dB at frame `end`."""
    frame = torch.arange(FRAMES, dtype=torch.float32)
    level = peak - NATS * (frame - ONSET).clamp(min=0) / (end - ONSET)
    return torch.where(frame < ONSET, FLOOR, level).clamp(min=FLOOR).expand(bands, -1)


def axis() -> DecayAxis:
    return DecayAxis(frames=FRAMES, onset=ONSET, attack=3.0, floor=FLOOR)


@pytest.mark.parametrize("end", [12.0, 30.5, 60.25, 78.0])
def test_the_end_is_50_db_below_the_peak(end: float) -> None:
    assert float(decay_end(decay(end)[None], FLOOR)) == pytest.approx(end, abs=0.1)


def test_a_decay_that_leaves_the_clip_is_continued() -> None:
    assert float(decay_end(decay(100.0)[None], FLOOR)) == pytest.approx(100, abs=0.5)
    assert float(decay_end(torch.zeros(1, BANDS, FRAMES), FLOOR)) == LONGEST * FRAMES  # it does not fall


def test_a_soft_sound_is_about_as_long_as_a_loud_one() -> None:
    soft = decay(40.0, peak=-6.0)[None]  # it reaches the floor 26 dB below its peak
    assert float(decay_end(soft, FLOOR)) == pytest.approx(40, rel=0.15)


@pytest.mark.parametrize(("onset", "attack"), [(-5.0, 3.0), (2.0, -1.0), (79.0, 1.0), (1e6, 3.0), (math.nan, 3.0)])
def test_an_axis_lies_within_the_clip(onset: float, attack: float) -> None:
    with pytest.raises(AssertionError, match="decay_onset"):
        DecayAxis(frames=FRAMES, onset=onset, attack=attack, floor=FLOOR)


def test_silence_has_a_length() -> None:
    silent = torch.full((1, BANDS, FRAMES), FLOOR)
    assert bool(axis().lengths(silent).isfinite().all())
    there = axis().to_columns(silent, axis().lengths(silent))
    torch.testing.assert_close(axis().to_time(there, axis().lengths(silent)), silent)


@pytest.mark.parametrize("end", [9.0, 20.0, 50.0, 79.0, 110.0])
def test_there_and_back_at_the_own_length(end: float) -> None:
    mel, one = decay(end)[None], axis()
    length = one.lengths(mel)
    back = one.to_time(one.to_columns(mel, length), length).clamp(min=FLOOR)
    heard = slice(0, int(end))
    torch.testing.assert_close(back[..., heard], mel[..., heard], atol=0.06, rtol=0)
    assert torch.equal(back[..., :5], mel[..., :5])  # the attack is not scaled


@pytest.mark.parametrize("ends", [(12.0, 60.0), (20.0, 45.0), (30.0, 100.0)])
def test_a_blend_has_the_geometric_mean_of_the_lengths_and_one_slope(ends: tuple[float, float]) -> None:
    one, mels = axis(), torch.stack([decay(end) for end in ends])
    lengths = one.lengths(mels)
    middle = lengths.mean(0, keepdim=True)
    blend = one.to_time(one.to_columns(mels, lengths).mean(0, keepdim=True), middle)
    wanted = math.sqrt((ends[0] - ONSET) * (ends[1] - ONSET))
    assert float(decay_end(blend, FLOOR) - ONSET) == pytest.approx(wanted, rel=0.05)
    assert largest_kink(blend, wanted) < 0.05 < largest_kink(mels.mean(0, keepdim=True), ends[1])


def largest_kink(mel: Tensor, end: float) -> float:
    """The largest change of slope between the attack and a frame, in nats a frame."""
    return float(frame_levels(mel)[0, 6 : int(end)].diff().diff().abs().max())


def test_a_mark_is_carried_with_the_decay() -> None:
    one = axis()
    frame = torch.arange(FRAMES)
    image = (-((frame - 35) / 12.0).square()).exp().expand(1, BANDS, -1).clone()  # half-way through 65 frames
    image[..., 3] = 1.0  # in the attack
    source, target = torch.tensor([65.0]).log(), torch.tensor([34.0]).log()
    moved = one.carry(image, source, target)[0, 0]
    half = ONSET + 3 + (35 - ONSET - 3) * (34 - 3) / (65 - 3)
    assert float(moved[3]) == 1
    assert abs(int(moved[6:].argmax()) + 6 - half) <= 2
    assert float(one.carry(image, source, target)[0, 0, 45:].abs().max()) == 0  # after its end
    torch.testing.assert_close(one.carry(image, source, source), image)


def trunk(decay_onset: float | None) -> Trunk:
    made = Trunk(
        n_mels=BANDS, frames=FRAMES, f_min=0.0, f_max=11025.0, latent_dim=8, pitch_low=None, pitch_high=None,
        mel_floor=FLOOR, exact_rows=True, decay_onset=decay_onset, decay_attack=3.0,
    )  # fmt: skip
    tilt = torch.linspace(0, 1, BANDS)[:, None]
    mels = torch.stack([decay(end, peak) + peak * tilt for end in (15.0, 30.0, 60.0) for peak in (-1.0, 0.0, 1.0)])
    made.fit(mels, Conditions(len(mels)).pitch)
    return made


def test_the_length_is_a_latent_of_its_own() -> None:
    one = trunk(ONSET)
    mel, pitch = decay(30.0)[None], Conditions(1).pitch
    z = one.encode(mel, pitch, lambda rows: torch.zeros(1, 8))
    length = one.length(z)
    assert length is not None
    assert float(length.exp()) == pytest.approx(28, rel=0.02)
    z[:, 0] += math.log(2) / float(one.get_buffer("length_spread"))
    longer = one.limited(one.mel(z, pitch)).detach()
    assert float(decay_end(longer, FLOOR) - ONSET) == pytest.approx(56, rel=0.1)
    z.requires_grad_()
    one.mel(z, pitch).sum().backward()
    assert z.grad is not None
    assert bool(z.grad.isfinite().all())
    assert float(z.grad[0, 0].abs()) > 0


def test_nothing_moves_without_axes() -> None:
    one = trunk(None)
    z, image = torch.randn(2, 1, 8), torch.randn(1, BANDS, FRAMES)
    assert torch.equal(one.encode(decay(30.0)[None], Conditions(1).pitch, lambda rows: z[0]), z[0])
    assert one.length(z[0]) is None
    pitch = Conditions(1).pitch
    assert torch.equal(one.carry(image, (z[0], pitch), (z[1], pitch)), image)


def test_an_unknown_length_gives_no_sound_instead_of_an_error() -> None:
    one, mel = axis(), decay(30.0)[None]
    columns = one.to_columns(mel, one.lengths(mel))
    assert bool(one.to_time(columns, torch.tensor([math.nan]))[..., 10:].isnan().any())
    assert bool(one.to_time(columns, torch.tensor([math.inf])).isfinite().all())
