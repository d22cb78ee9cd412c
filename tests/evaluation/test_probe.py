"""The probe: right where classes are told apart, chance where not, and fair to groups and to what it was not taught."""

import math

import pytest
import torch
from torch import Tensor

from audio_gen.evaluation.probe import Copies, class_probe

NAMES = ("hat", "kick", "snare")


def gaussian(count: int, dimensions: int, seed: int, shift: float = 0.0) -> Tensor:
    return torch.randn(count, dimensions, generator=torch.Generator().manual_seed(seed)) + shift


def clips(count: int, seed: int) -> tuple[Tensor, list[str]]:
    """`count` clips of each of three classes, far apart in some of the dimensions; the last is the same for all."""
    vectors = gaussian(3 * count, 20, seed)
    for i in range(3):
        vectors[i::3, i] += 8
    vectors[:, -1] = 7.0
    return vectors, list(NAMES) * count


def single(count: int) -> list[str]:
    return [str(i) for i in range(count)]


def test_classes_that_are_far_apart_are_found() -> None:
    real, classes = clips(20, 0)
    made, wanted = clips(10, 1)
    found = class_probe(real, classes, single(60), made, wanted)
    assert found is not None
    assert (found["accuracy"], found["real_accuracy"], found["n"]) == (1.0, 1.0, 30)
    assert list(found["per_class"]) == list(NAMES)
    assert found["per_class"]["kick"] == {"n": 10, "accuracy": 1.0, "real_n": 20, "real_accuracy": 1.0}


def test_made_clips_of_the_wrong_class_are_wrong() -> None:
    real, classes = clips(20, 0)
    made, wanted = clips(10, 1)
    turned = ["kick" if name == "hat" else "hat" if name == "kick" else name for name in wanted]
    found = class_probe(real, classes, single(60), made, turned)
    assert found is not None
    assert found["accuracy"] == pytest.approx(1 / 3)
    assert {name: part["accuracy"] for name, part in found["per_class"].items()} == {"hat": 0, "kick": 0, "snare": 1}


def test_copies_are_judged_by_a_probe_that_has_not_heard_what_they_copy() -> None:
    """Classes of noise: a probe knows what it has heard by heart, and copies too if it were asked."""
    real, classes = gaussian(60, 60, 0), list(NAMES) * 20
    copies = Copies(real[:30], classes[:30], single(30))
    found = class_probe(real, classes, single(60), real, classes, copies=copies)
    assert found is not None
    assert found["accuracy"] > 0.7
    assert found["copy_accuracy"] < 0.6
    real, classes = clips(20, 0)
    turned = Copies(real[:30], [*classes[1:30], None], single(30))
    both = [
        class_probe(real, classes, single(60), real, classes, copies=one)
        for one in (Copies(real[:30], classes[:30], single(30)), turned, None)
    ]
    assert [one and one["copy_accuracy"] for one in both] == [1.0, 0.0, None]


def test_noise_is_at_chance() -> None:
    classes = list(NAMES) * 40
    found = class_probe(gaussian(120, 20, 0), classes, single(120), gaussian(120, 20, 1), classes)
    assert found is not None
    assert found["accuracy"] == pytest.approx(1 / 3, abs=0.12)
    assert found["real_accuracy"] == pytest.approx(1 / 3, abs=0.12)


def test_groups_are_not_split() -> None:
    """Each group is one clip ten times over, its class drawn at random: known by heart if split, else by chance."""
    real = gaussian(24, 30, 0).repeat_interleave(10, dim=0)
    classes = [NAMES[i % 2] for i in torch.randperm(24, generator=torch.Generator().manual_seed(0)).tolist()]
    classes = [name for name in classes for _ in range(10)]
    by_group = class_probe(real, classes, [str(i // 10) for i in range(240)], real, classes)
    by_clip = class_probe(real, classes, single(240), real, classes)
    assert by_group is not None and by_clip is not None
    assert by_clip["real_accuracy"] == 1.0
    assert by_group["real_accuracy"] < 0.8


def test_unknown_classes_are_left_out() -> None:
    real, classes = clips(5, 0)
    made, wanted = clips(4, 1)
    real_classes = ["rare" if i in (0, 3) else None if i == 6 else name for i, name in enumerate(classes)]
    made_classes = [*wanted[:9], None, "unheard", "rare"]
    found = class_probe(real, real_classes, single(15), made, made_classes)
    assert found is not None
    # Two hats are left, which are too few to learn from.
    assert list(found["per_class"]) == ["kick", "snare"]
    assert found["n"] == 6


def test_classes_that_are_one_group_each_have_no_held_out_clips() -> None:
    real, classes = clips(6, 0)
    made, wanted = clips(4, 1)
    kept = [i for i, name in enumerate(classes) if name != "hat"]
    found = class_probe(real[kept], [classes[i] for i in kept], [classes[i] for i in kept], made, wanted)
    assert found is not None
    assert (found["real_accuracy"], found["accuracy"], found["n"]) == (None, 1.0, 8)
    everything = class_probe(real, classes, ["one"] * 18, made, wanted)
    assert everything is not None
    assert (everything["real_accuracy"], everything["accuracy"]) == (None, 1.0)


def test_a_class_in_a_single_group_is_not_held_against_the_probe() -> None:
    real, classes = clips(8, 0)
    groups = ["kicks" if name == "kick" else str(i) for i, name in enumerate(classes)]
    made, wanted = clips(4, 1)
    found = class_probe(real, classes, groups, made, wanted)
    assert found is not None
    # As wrong, each of the 8 kicks would take the shares to 2 / 3.
    assert found["accuracy"] > 0.9 and found["real_accuracy"] > 0.9
    assert (found["per_class"]["kick"]["real_n"], found["per_class"]["kick"]["real_accuracy"]) == (0, None)


def test_depends_on_nothing_but_the_seed() -> None:
    arguments = gaussian(60, 8, 0), list(NAMES) * 20, single(60), gaussian(60, 8, 1), list(NAMES) * 20
    assert class_probe(*arguments) == class_probe(*arguments)
    assert class_probe(*arguments) != class_probe(*arguments, seed=1)


@pytest.mark.parametrize("count", range(2, 10))
def test_few_clips(count: int) -> None:
    classes = [NAMES[i % 2] for i in range(count)]
    found = class_probe(gaussian(count, 3, 0), classes, single(count), gaussian(count, 3, 1), classes)
    assert (found is None) == (count < 8)
    assert class_probe(gaussian(count, 3, 0), classes, single(count), gaussian(1, 3, 1), [None]) is None


def test_equal_clips_are_at_chance() -> None:
    classes = list(NAMES) * 5
    found = class_probe(torch.ones(15, 3), classes, single(15), torch.ones(15, 3), classes)
    assert found is not None
    assert found["accuracy"] == pytest.approx(1 / 3)


def test_what_cannot_be_learned_from_is_refused() -> None:
    classes = list(NAMES) * 5
    with pytest.raises(ValueError, match="15 of 15 vectors are not finite"):
        class_probe(torch.full((15, 3), math.nan), classes, single(15), gaussian(15, 3, 0), classes)
