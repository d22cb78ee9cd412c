"""Class accuracy of generated clips, by a probe trained on real clips."""

import warnings
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from audio_gen.evaluation.pairs import checked

MIN_CLASS_CLIPS = 4
FOLDS = 4
STRENGTH = 0.1
MAX_STEPS = 200
PLENTY = 500  # held-out clips, which give the share to 2 %


class Copies(NamedTuple):
    """Copy-synthesis of some of the real sounds: what the vocoder alone costs.

    Attributes:
        vectors: (C, D).
        classes: The class of each, or None.
        groups: The file or family of each, as of the real ones.
    """

    vectors: Tensor
    classes: Sequence[str | None]
    groups: Sequence[str]


def class_probe(
    real_vectors: Tensor,
    real_classes: Sequence[str | None],
    groups: Sequence[str],
    made_vectors: Tensor,
    made_classes: Sequence[str | None],
    *,
    copies: Copies | None = None,
    seed: int = 0,
) -> dict | None:
    """Return how often a linear probe finds the wanted class in made clips, and the true one in held-out real clips.

    Four probes, each trained on three quarters of the real clips; all judge the made clips, and each the quarter of the
    real ones that it has not heard (fewer probes where those are plenty already). Classes weigh the same however many
    clips they have, as made clips need not be distributed like the real ones.

    Args:
        real_vectors: Vectors (N, D) of real sounds.
        real_classes: The class of each; None where unknown. Classes under 4 clips are left out.
        groups: The file or family of each; a group is either trained on or held out.
        made_vectors: Vectors (M, D).
        made_classes: The class that was asked for; None, or one that no probe knows, is left out.
        copies: Copies of real sounds; a probe that has not heard a sound judges its copy.
        seed: Of the split.

    Returns:
        {"accuracy": of the made clips, "real_accuracy": of held-out real ones (None where no class has two groups),
        "copy_accuracy": of copies (None without), "n": made clips that were judged, "per_class": {name: {"n",
        "accuracy", "real_n", "real_accuracy"}}}, or None where fewer than two classes have 4 clips, or no made clip is
        of one.
    """
    real, made = checked(real_vectors).numpy(), checked(made_vectors).numpy()
    assert len(real_classes) == len(groups) == len(real) and len(made_classes) == len(made)
    counts = Counter(name for name in real_classes if name is not None)
    known = sorted(name for name, count in counts.items() if count >= MIN_CLASS_CLIPS)
    kept = [i for i, name in enumerate(real_classes) if name in known]
    judged = [i for i, name in enumerate(made_classes) if name in known]
    if len(known) < 2 or not judged:
        return None
    wanted = np.array([made_classes[i] for i in judged])
    true = np.array([real_classes[i] for i in kept])
    names = np.array([groups[i] for i in kept])
    real_hits, made_hits, copy_hits = _Hits(known), _Hits(known), _Hits(known)
    for train, held_out in _folds(true, names, seed):
        probe, taught = _fit(real[kept][train], true[train]), set(true[train])
        real_hits.add(probe, real[kept][held_out], true[held_out], taught)
        made_hits.add(probe, made[judged], wanted, taught)
        if copies is not None:
            heard = set(names[train])
            new = [i for i, group in enumerate(copies.groups) if group not in heard and copies.classes[i] in known]
            vectors, of = checked(copies.vectors).numpy()[new], np.array([copies.classes[i] for i in new])
            copy_hits.add(probe, vectors, of, taught)
        if sum(real_hits.asked.values()) >= PLENTY:
            break
    per_class = {
        name: {
            "n": int((wanted == name).sum()),
            "accuracy": made_hits.share(name),
            "real_n": real_hits.asked[name],
            "real_accuracy": real_hits.share(name),
        }
        for name in known
    }
    return {
        "accuracy": made_hits.share(),
        "real_accuracy": real_hits.share(),
        "copy_accuracy": copy_hits.share(),
        "n": len(judged),
        "per_class": per_class,
    }


class _Hits:
    """How often clips were asked for each class, and how often found."""

    def __init__(self, names: Sequence[str]):
        self.asked, self.found = dict.fromkeys(names, 0), dict.fromkeys(names, 0)

    def add(self, probe: Any, vectors: np.ndarray, classes: np.ndarray, taught: set[str]) -> None:
        """Judge the clips of classes that the probe was taught; it could not but be wrong on the others."""
        fair = np.array([name in taught for name in classes], dtype=bool)
        if not fair.any():
            return
        for name, answer in zip(classes[fair], probe.predict(vectors[fair]), strict=True):
            self.asked[name] += 1
            self.found[name] += int(name == answer)

    def share(self, name: str | None = None) -> float | None:
        """Of one class or of all; None where none was asked for."""
        asked = sum(self.asked.values()) if name is None else self.asked[name]
        found = sum(self.found.values()) if name is None else self.found[name]
        return found / asked if asked else None


def _folds(classes: np.ndarray, groups: np.ndarray, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Clips to train on and clips to hold out; all and none where no split by group leaves two classes to learn."""
    from sklearn.model_selection import StratifiedGroupKFold

    everything = [(np.arange(len(classes)), np.arange(0))]
    count = min(FOLDS, len(set(groups)))
    if count < 2:
        return everything
    split = StratifiedGroupKFold(count, shuffle=True, random_state=seed).split(classes, classes, groups)
    return [pair for pair in split if len(set(classes[pair[0]])) > 1] or everything


def _fit(vectors: np.ndarray, classes: np.ndarray) -> Any:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    probe = make_pipeline(StandardScaler(), LogisticRegression(C=STRENGTH, class_weight="balanced", max_iter=MAX_STEPS))
    with warnings.catch_warnings():
        # One that is nearly converged answers as well.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return probe.fit(vectors, classes)
