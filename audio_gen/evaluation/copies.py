"""Find samples that copy a training sound, and duplicates among samples."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from audio_gen.audio.likeness import nearest, shortened
from audio_gen.audio.onset import onset
from audio_gen.evaluation.described import Described
from audio_gen.evaluation.pairs import median_distance
from audio_gen.generation.originals import HEARD, find_copies, real_share

TWIN_DB = 1.0
CLOSEST = 10
MIN_CLASS = 10
LEAD_SEC, EMBEDDED_SEC, EMBEDDED_PEAK = 0.001, 3.0, 0.5


class EmbeddingDistance:
    """Embedding distance of pairs of clips at one level, from the onset on; each clip is embedded once.

    The unit is the median distance of two training sounds, so that thresholds fit any embedding.
    """

    def __init__(
        self,
        embed: Callable[[Sequence[Tensor]], Tensor],
        load_made: Callable[[int], Tensor],
        load_train: Callable[[int], Tensor],
        sample_rate: int,
        train_vectors: Tensor,
    ) -> None:
        """Compare clips on demand.

        Args:
            embed: Gives vectors (N, D) of clips (T,).
            load_made: Gives the wav (T,) of a made row at `sample_rate`.
            load_train: Gives the wav (T,) of a training row at `sample_rate`.
            sample_rate: Of the embedding, in Hz.
            train_vectors: Vectors (K, D) of training sounds, for their median distance.
        """
        self._embed, self._loads, self._sample_rate = embed, {"made": load_made, "train": load_train}, sample_rate
        self._unit = median_distance(train_vectors)
        self._known: dict[tuple[str, int], Tensor] = {}

    def __call__(self, made_row: int, train_row: int) -> float:
        """The distance of one pair in median distances."""
        return float((self._vector("made", made_row) - self._vector("train", train_row)).norm()) / self._unit

    def _vector(self, side: str, row: int) -> Tensor:
        if (side, row) not in self._known:
            wav = levelled(self._loads[side](row), self._sample_rate)
            self._known[side, row] = self._embed([wav])[0]
        return self._known[side, row]


def levelled(wav: Tensor, sample_rate: int) -> Tensor:
    """The first three seconds of wav (T,) from its onset on, at a peak of 0.5."""
    start = max(0, onset(wav.numpy(), sample_rate) - round(LEAD_SEC * sample_rate))
    part = wav[start : start + round(EMBEDDED_SEC * sample_rate)]
    return part * (EMBEDDED_PEAK / part.abs().max().clamp(min=1e-9)) if len(part) else part


def twins(views: Tensor, classes: Sequence[str | None] | None = None) -> dict[str, Any]:
    """Count the samples that cannot be told from another one of their class: those within 1 dB of one.

    Args:
        views: Views (N, M, L), by `likeness.view`.
        classes: The class of each; without them all are of one.

    Returns:
        "share" of the samples and their "count", and "per_class": {name: {"n", "share"}} of classes of ten or more.
    """
    names = list(classes) if classes is not None else [None] * len(views)
    assert len(names) == len(views)
    alike = torch.zeros(len(views), dtype=torch.bool)
    for name in set(names):
        own = torch.tensor([i for i, other in enumerate(names) if other == name])
        found, rows = nearest(views[own], views[own])
        alike[own] = ((found < TWIN_DB) & (rows != torch.arange(len(own))[:, None])).any(1)
    shares = {}
    for name in sorted({name for name in names if name is not None}):
        own = torch.tensor([i for i, other in enumerate(names) if other == name])
        if len(own) >= MIN_CLASS:
            shares[name] = {"n": len(own), "share": float(alike[own].double().mean())}
    share = float(alike.double().mean()) if len(views) else None
    return {"share": share, "count": int(alike.sum()), "per_class": shares}


def copies_and_twins(
    real: Described,
    made: Described,
    train: Described,
    held_out: Described | None,
    embedding_distance: Callable[[int, int], float] | None = None,
) -> dict[str, Any]:
    """Which samples are memorised, and which are duplicates; None where a side has no views.

    Args:
        real: The user's clips.
        made: The clips to judge.
        train: Clips that the model learned from.
        held_out: Clips that were kept out of training, if any.
        embedding_distance: See `find_copies`.

    Returns:
        "memorised": counts, shares, the match of every sample and the ten closest; "twins": those of both sides.
    """
    if made.views is None:
        return {"memorised": None, "twins": None}
    heard_sec = HEARD * float(made.signal["length_sec"].max())
    own, others, kept = (
        None if one is None or one.views is None else shortened(one.views, heard_sec) for one in (real, train, held_out)
    )
    views = shortened(made.views, heard_sec)
    found = {"generated": twins(views, made.classes), "real": None if own is None else twins(own, real.classes)}
    if others is None:
        return {"memorised": None, "twins": found}
    matches = find_copies(views, others, train.titles, embedding_distance)
    told = [{"generated": title, **m.to_json()} for title, m in zip(made.titles, matches, strict=True)]
    counts = {verdict: sum(match.verdict == verdict for match in matches) for verdict in ("copy", "close", "new")}
    order = sorted(told, key=lambda one: (one["verdict"] != "copy", one["distance_db"]))
    copied = {
        "count": counts["copy"], "close": counts["close"], "share": counts["copy"] / len(matches),
        "real_share": real_share(others, kept), "of": train.name, "closest": order[:CLOSEST], "samples": told,
    }  # fmt: skip
    return {"memorised": copied, "twins": found}
