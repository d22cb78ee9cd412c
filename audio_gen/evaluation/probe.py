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
PLENTY = 500  # held-out clips; the share is then known to 2 %


class Copies(NamedTuple):
    """Copy-synthesis of some of the real sounds, which shows the loss of the vocoder alone.

    Attributes:
        vectors: (C, D).
        classes: The class of each, or None.
        groups: The file or family of each, as for the real clips.
    """

    vectors: Tensor
    classes: Sequence[str | None]
    groups: Sequence[str]


def class_probe(
    real_vectors: Tensor,
    real_classes: Sequence[str | None],
    groups: Sequence[str],
    generated_vectors: Tensor,
    generated_classes: Sequence[str | None],
    *,
    copies: Copies | None = None,
    seed: int = 0,
) -> dict | None:
    """Return the accuracy of a linear probe on generated clips (requested class) and held-out real clips (true class).

    Each of four probes trains on three quarters of the real clips. It classifies the generated clips and the held-out
    quarter; 500 held-out clips end the loop early. Classes have equal weight, as generated clips need not be
    distributed like real ones.

    Args:
        real_vectors: Vectors (N, D) of real sounds.
        real_classes: The class of each; None if unknown. Classes under 4 clips are excluded.
        groups: The file or family of each; a group is either trained on or held out.
        generated_vectors: Vectors (M, D).
        generated_classes: The requested class; None and classes unknown to the probes are excluded.
        copies: Copy-synthesis of real sounds; probes classify copies of their held-out sounds.
        seed: Seed of the split.

    Returns:
        {"accuracy": of the generated clips, "real_accuracy": of held-out real ones (None if no class has two groups),
        "copy_accuracy": of copies (None without), "n": generated clips that were classified, "per_class": {name: {"n",
        "accuracy", "real_n", "real_accuracy"}}}, or None if fewer than two classes have 4 clips, or no generated clip
        is of one.
    """
    real, generated = checked(real_vectors).numpy(), checked(generated_vectors).numpy()
    assert len(real_classes) == len(groups) == len(real) and len(generated_classes) == len(generated)
    counts = Counter(name for name in real_classes if name is not None)
    known = sorted(name for name, count in counts.items() if count >= MIN_CLASS_CLIPS)
    kept = [i for i, name in enumerate(real_classes) if name in known]
    rows = [i for i, name in enumerate(generated_classes) if name in known]
    if len(known) < 2 or not rows:
        return None
    requested = np.array([generated_classes[i] for i in rows])
    true = np.array([real_classes[i] for i in kept])
    names = np.array([groups[i] for i in kept])
    real_hits, generated_hits, copy_hits = _Hits(known), _Hits(known), _Hits(known)
    for train, held_out in _folds(true, names, seed):
        probe, trained = _fit(real[kept][train], true[train]), set(true[train])
        real_hits.add(probe, real[kept][held_out], true[held_out], trained)
        generated_hits.add(probe, generated[rows], requested, trained)
        if copies is not None:
            training_groups = set(names[train])
            new = [
                i
                for i, group in enumerate(copies.groups)
                if group not in training_groups and copies.classes[i] in known
            ]
            vectors, of = checked(copies.vectors).numpy()[new], np.array([copies.classes[i] for i in new])
            copy_hits.add(probe, vectors, of, trained)
        if sum(real_hits.total.values()) >= PLENTY:
            break
    per_class = {
        name: {
            "n": int((requested == name).sum()),
            "accuracy": generated_hits.share(name),
            "real_n": real_hits.total[name],
            "real_accuracy": real_hits.share(name),
        }
        for name in known
    }
    return {
        "accuracy": generated_hits.share(),
        "real_accuracy": real_hits.share(),
        "copy_accuracy": copy_hits.share(),
        "n": len(rows),
        "per_class": per_class,
    }


class _Hits:
    """Number of clips of each class, and of those classified correctly."""

    def __init__(self, names: Sequence[str]):
        self.total, self.found = dict.fromkeys(names, 0), dict.fromkeys(names, 0)

    def add(self, probe: Any, vectors: np.ndarray, classes: np.ndarray, trained: set[str]) -> None:
        """Classify the clips of classes that the probe was trained on."""
        fair = np.array([name in trained for name in classes], dtype=bool)
        if not fair.any():
            return
        for name, answer in zip(classes[fair], probe.predict(vectors[fair]), strict=True):
            self.total[name] += 1
            self.found[name] += int(name == answer)

    def share(self, name: str | None = None) -> float | None:
        """Accuracy on one class or on all; None without clips."""
        total = sum(self.total.values()) if name is None else self.total[name]
        found = sum(self.found.values()) if name is None else self.found[name]
        return found / total if total else None


def _folds(classes: np.ndarray, groups: np.ndarray, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Clips to train on and clips to hold out; all and none if no split by group leaves two classes to train on."""
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
        # A nearly converged probe classifies as well.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return probe.fit(vectors, classes)
