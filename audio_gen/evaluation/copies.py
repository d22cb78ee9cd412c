"""Find samples that copy a training sound, and duplicates among samples."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from audio_gen.audio.onset import onset
from audio_gen.audio.similarity import nearest, shortened
from audio_gen.evaluation.clip_features import ClipFeatures
from audio_gen.evaluation.pairs import median_distance
from audio_gen.generation.originals import COMPARED, find_copies, real_share

DUPLICATE_DB = 1.0
CLOSEST = 10
MIN_CLASS = 10
LEAD_SEC, EMBEDDED_SEC, EMBEDDED_PEAK = 0.001, 3.0, 0.5


class EmbeddingDistance:
    """Embedding distance of pairs of clips at equal level, from the onset on; each clip is embedded once.

    The unit is the median distance of two training sounds, so that thresholds fit any embedding.
    """

    def __init__(
        self,
        embed: Callable[[Sequence[Tensor]], Tensor],
        load_generated: Callable[[int], Tensor],
        load_train: Callable[[int], Tensor],
        sample_rate: int,
        train_vectors: Tensor,
    ) -> None:
        """Compare clips on demand.

        Args:
            embed: Returns vectors (N, D) of clips (T,).
            load_generated: Returns the wav (T,) of a generated row at `sample_rate`.
            load_train: Returns the wav (T,) of a training row at `sample_rate`.
            sample_rate: Of the embedding, in Hz.
            train_vectors: Vectors (K, D) of training sounds, for their median distance.
        """
        self._embed, self._loads, self._sample_rate = (
            embed,
            {"generated": load_generated, "train": load_train},
            sample_rate,
        )
        self._unit = median_distance(train_vectors)
        self._known: dict[tuple[str, int], Tensor] = {}

    def __call__(self, generated_row: int, train_row: int) -> float:
        """The distance of one pair, in median distances."""
        return float((self._vector("generated", generated_row) - self._vector("train", train_row)).norm()) / self._unit

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


def duplicates(views: Tensor, classes: Sequence[str | None] | None = None) -> dict[str, Any]:
    """Count duplicates: samples within 1 dB of another one of their class.

    Args:
        views: Views (N, M, L), by `similarity.view`.
        classes: The class of each; None puts all into one.

    Returns:
        "share" of the samples and their "count", and "per_class": {name: {"n", "share"}} of classes of ten or more.
    """
    names = list(classes) if classes is not None else [None] * len(views)
    assert len(names) == len(views)
    duplicate = torch.zeros(len(views), dtype=torch.bool)
    for name in set(names):
        members = torch.tensor([i for i, other in enumerate(names) if other == name])
        found, rows = nearest(views[members], views[members])
        duplicate[members] = ((found < DUPLICATE_DB) & (rows != torch.arange(len(members))[:, None])).any(1)
    shares = {}
    for name in sorted({name for name in names if name is not None}):
        members = torch.tensor([i for i, other in enumerate(names) if other == name])
        if len(members) >= MIN_CLASS:
            shares[name] = {"n": len(members), "share": float(duplicate[members].double().mean())}
    share = float(duplicate.double().mean()) if len(views) else None
    return {"share": share, "count": int(duplicate.sum()), "per_class": shares}


def copies_and_duplicates(
    real: ClipFeatures,
    generated: ClipFeatures,
    train: ClipFeatures,
    held_out: ClipFeatures | None,
    embedding_distance: Callable[[int, int], float] | None = None,
) -> dict[str, Any]:
    """Find memorised samples and duplicates; None for a side without views.

    Args:
        real: The user's clips.
        generated: The clips to evaluate.
        train: Training clips.
        held_out: Held-out clips, if any.
        embedding_distance: See `find_copies`.

    Returns:
        "memorised": counts, shares, the match of every sample and the ten closest; "twins": duplicates on both sides.
    """
    if generated.views is None:
        return {"memorised": None, "twins": None}
    longest_sec = COMPARED * float(generated.signal["length_sec"].max())
    real_views, train_views, held_out_views = (
        None if one is None or one.views is None else shortened(one.views, longest_sec)
        for one in (real, train, held_out)
    )
    views = shortened(generated.views, longest_sec)
    found = {
        "generated": duplicates(views, generated.classes),
        "real": None if real_views is None else duplicates(real_views, real.classes),
    }
    if train_views is None:
        return {"memorised": None, "twins": found}
    matches = find_copies(views, train_views, train.titles, embedding_distance)
    samples = [{"generated": title, **m.to_json()} for title, m in zip(generated.titles, matches, strict=True)]
    counts = {verdict: sum(match.verdict == verdict for match in matches) for verdict in ("copy", "close", "new")}
    order = sorted(samples, key=lambda one: (one["verdict"] != "copy", one["distance_db"]))
    copied = {
        "count": counts["copy"], "close": counts["close"], "share": counts["copy"] / len(matches),
        "real_share": real_share(train_views, held_out_views), "of": train.name, "closest": order[:CLOSEST],
        "samples": samples,
    }  # fmt: skip
    return {"memorised": copied, "twins": found}
