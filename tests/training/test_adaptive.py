import pytest
import torch
from torch import Tensor

from audio_gen.training.tasks.gan.adaptive_augmentation import (
    GAIN_NATS,
    MOST,
    SHIFT_BANDS,
    SHIFT_SHARE,
    AdaptiveAugment,
)

FLOOR = -9.0


def augment(p: float = MOST, shift_bands: bool = True, images: float = 1000.0) -> AdaptiveAugment:
    module = AdaptiveAugment(floor=FLOOR, shift_bands=shift_bands, target=0.6, images=images)
    module.p.fill_(p)
    return module


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def sounds(count: int = 200) -> Tensor:
    return torch.rand(count, 20, 24, generator=seeded()) * 8 - 8  # all above the floor


def test_nothing_changes_at_p_zero() -> None:
    mel = sounds()
    mel[:, :, 12:] = FLOOR
    assert torch.equal(augment(0.0)(mel, seeded()), mel)


def test_the_same_seed_makes_the_same_changes() -> None:
    mel = sounds()
    assert torch.equal(augment()(mel, seeded(3)), augment()(mel, seeded(3)))
    assert not torch.equal(augment()(mel, seeded(3)), augment()(mel, seeded(4)))


def test_silence_stays_silent() -> None:
    silence = torch.full((200, 20, 24), FLOOR)
    assert torch.equal(augment()(silence, seeded()), silence)


def test_values_stay_between_the_floor_and_the_loudest_with_gain() -> None:
    mel = sounds()
    changed = augment()(mel, seeded())
    assert changed.min() == FLOOR
    assert changed.max() <= mel.max() + GAIN_NATS
    assert changed.max() > mel.max()


def test_p_is_the_share_of_clips_that_each_change_meets() -> None:
    """Of clips that are 1 nat throughout, those of another level had gain; p is 0.5."""
    mel = torch.ones(4000, 4, 4)
    changed = augment(0.5)(mel, seeded())
    level = changed.amax(dim=(1, 2))
    assert float((level != 1).float().mean()) == pytest.approx(0.5, abs=0.05)


def test_bands_stay_where_they_are_when_pitch_is_a_label() -> None:
    mel = torch.full((400, 20, 24), FLOOR)
    mel[:, 10] = 0.0

    def bands(shift_bands: bool) -> set[int]:
        rows = (augment(shift_bands=shift_bands)(mel, seeded()) > FLOOR).any(2).nonzero()[:, 1]
        return set(rows.tolist())

    assert bands(False) == {10}
    assert bands(True) == set(range(10 - SHIFT_BANDS, 11 + SHIFT_BANDS))


def test_clips_move_in_time_and_what_comes_in_at_the_start_is_silence() -> None:
    mel = torch.full((400, 20, 24), FLOOR)
    mel[:, :, 0] = 0.0
    starts = (augment(shift_bands=False)(mel, seeded()) > FLOOR).any(1)
    assert set(starts.nonzero()[:, 1].tolist()) == set(range(1 + round(SHIFT_SHARE * 24)))


def test_gradients_flow_to_what_was_made() -> None:
    mel = sounds(50).requires_grad_()
    augment()(mel, seeded()).sum().backward()
    assert mel.grad is not None
    assert (mel.grad.flatten(1).abs().sum(1) > 0).all()
    silent = torch.full((50, 20, 24), FLOOR, requires_grad=True)
    augment()(silent, seeded()).sum().backward()
    assert silent.grad is not None
    assert (silent.grad.flatten(1).abs().sum(1) > 0).all()  # silence can end


def step(module: AdaptiveAugment, times: int) -> None:
    for _ in range(times):
        module.update(10)


def measured(module: AdaptiveAugment, train_gap: float, kept_out_gap: float) -> float:
    module.measure(train_gap, kept_out_gap)
    return float(module.overfitting)


def test_overfitting_is_what_kept_out_clips_lack_of_the_gap() -> None:
    module = augment(0.0)
    assert measured(module, 2.0, 0.5) == pytest.approx(0.75)
    assert measured(module, 2.0, 2.5) == 0  # told apart for what they are
    assert measured(module, 2.0, -1.0) == 1
    assert measured(module, 0.01, -1.0) == 0  # nothing learned


def test_p_rises_while_clips_are_known_by_heart_and_falls_when_not() -> None:
    module = augment(0.0)
    step(module, 10)
    assert float(module.p) == 0
    measured(module, 1.0, 0.1)
    step(module, 40)
    assert float(module.p) == pytest.approx(0.4)
    measured(module, 1.0, 0.9)
    step(module, 30)
    assert float(module.p) == pytest.approx(0.1)
    step(module, 200)
    assert float(module.p) == 0


def test_p_goes_as_fast_as_images_say_and_no_further_than_the_most() -> None:
    module = augment(0.0, images=500.0)
    measured(module, 1.0, 0.0)
    step(module, 5)
    assert float(module.p) == pytest.approx(5 * 10 / 500)
    step(module, 200)
    assert float(module.p) == pytest.approx(MOST)


def test_all_of_its_state_is_saved() -> None:
    module, again = augment(0.0), augment(0.0)
    measured(module, 1.0, 0.0)
    step(module, 40)
    again.load_state_dict(module.state_dict())
    step(module, 5)
    step(again, 5)
    assert float(again.p) == float(module.p) > 0
    assert torch.equal(again(sounds(), seeded()), module(sounds(), seeded()))
