"""Which samples are copies of a training sound, and which are twins of one another."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from audio_gen.audio.likeness import nearest, shortened, view
from audio_gen.audio.onset import onset
from audio_gen.data.store import Cache, Clip
from audio_gen.evaluation.described import Described
from audio_gen.evaluation.pairs import median_distance

# Chosen on the drum kits of recipes/drums_gan, each kit against the other ones: see recipes/sampler_check.
COPY_DB = 3.5  # a sound that went through a vocoder is at 1.6 from itself, one of another kit rarely below 4
MAYBE_DB, MAYBE_EMBEDDING = 5.5, 0.3  # a click or a sine suffers more in a vocoder; then the embedding decides
CLOSE_DB = 4.5  # a tenth of the sounds of another kit are nearer to one of yours
CANDIDATES = 3  # that the embedding is asked about
SAME_DB = 0.1  # the same sound twice
TWIN_DB = 1.0
HEARD = 0.9  # of the longest sample: real clips go on where a model stops
CLOSEST = 10
MIN_CLASS = 10
MOST_ORIGINALS = 4000  # training sounds that samples are compared with: their views take about five seconds
SEARCHED_SEC = 1.0  # silence before a training sound, beyond the length of a clip, in which its onset is looked for
MIN_KEPT_OUT = 20  # a share of fewer sounds says next to nothing
LEAD_SEC, EMBEDDED_SEC, EMBEDDED_PEAK = 0.001, 3.0, 0.5

Verdict = Literal["new", "close", "copy"]


@dataclass(frozen=True)
class Match:
    """The training sound that a sample is most like.

    Attributes:
        verdict: "copy": the same sound, but for level, shift and what a vocoder does to it. "close": a musician may
            take the two for hits of one drum. "new": neither.
        file: The training sound.
        distance_db: Between the two, see `likeness.distances`.
        embedding_distance: Between the two, in median distances of training sounds; None where it was not asked for.
    """

    verdict: Verdict
    file: str
    distance_db: float
    embedding_distance: float | None = None

    def to_json(self) -> dict[str, Any]:
        """The form in JSON."""
        return asdict(self)


def find_copies(
    made: Tensor, train: Tensor, files: Sequence[str], embedding_distance: Callable[[int, int], float] | None = None
) -> list[Match]:
    """Name the training sound that each sample is most like, and say whether it is a copy of it.

    A sample is a copy if it is within 3.5 dB of a training sound, or within 5.5 dB and within 0.3 median distances of
    the embedding. It is close within 4.5 dB.

    Args:
        made: Views (N, M, L) of the samples, by `likeness.view`.
        train: Views (K, M, L) of the training sounds, K at least 1.
        files: Their K names.
        embedding_distance: Distance of a made row to a training row in median distances, as `EmbeddingDistance` gives
            it. Without it the views alone decide, which misses some clicks and sines.

    Returns:
        A match for each sample.
    """
    assert len(train) == len(files) > 0
    found, rows = nearest(made, train)
    matches = []
    for i in range(len(made)):
        near: list[tuple[Verdict, int, float, float | None]] = []
        for row, distance in zip(rows[i, :CANDIDATES].tolist(), found[i, :CANDIDATES].tolist(), strict=True):
            ask = embedding_distance is not None and distance < MAYBE_DB
            apart = embedding_distance(i, row) if embedding_distance is not None and ask else None
            near.append((_verdict(distance, apart), row, distance, apart))
        verdict, row, distance, apart = next((one for one in near if one[0] == "copy"), near[0])
        matches.append(Match(verdict, files[row], distance, apart))
    return matches


def original_views(cache: Cache, clips: Sequence[Clip], clip_sec: float) -> Tensor:
    """Views of training sounds, to compare samples of a model with.

    Args:
        cache: The training set.
        clips: Some of its clips; of more than 4,000, every n-th is taken (`thinned`).
        clip_sec: Length of the model's clips.

    Returns:
        (K, M, L) float16, with what a model of this length cannot hold as silence.
    """
    samples, rate = round((clip_sec + SEARCHED_SEC) * cache.sample_rate), cache.sample_rate
    wavs = (torch.from_numpy(cache.read(clip, 0, min(clip.samples, samples))) for clip in thinned(clips))
    return torch.stack([view(wav, rate, HEARD * clip_sec).half() for wav in wavs])


def thinned(clips: Sequence[Clip]) -> list[Clip]:
    """Every n-th of the clips, at most 4,000."""
    return list(clips[:: max(1, -(-len(clips) // MOST_ORIGINALS))])


def real_share(train: Tensor, held_out: Tensor | None = None) -> float | None:
    """Share of real sounds that would be called copies of a training sound: what hits of one drum are to each other.

    Args:
        train: Views (K, M, L) of the training sounds.
        held_out: Views (H, M, L) of sounds that were kept out; without any, each training sound is compared with the
            other ones, and the same sound twice does not count.

    Returns:
        The share; None where there is nothing to compare.
    """
    if held_out is not None and len(held_out):
        return float((nearest(held_out, train)[0][:, 0] < COPY_DB).double().mean())
    found, _ = nearest(train, train)
    other = torch.where(found < SAME_DB, torch.inf, found).amin(1)
    return float((other < COPY_DB).double().mean()) if len(train) > 1 else None


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
    """Which samples are memorised, and which are twins; None where a side has no views.

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


def _verdict(distance_db: float, embedding_distance: float | None) -> Verdict:
    if distance_db < COPY_DB:
        return "copy"
    if embedding_distance is not None and distance_db < MAYBE_DB and embedding_distance < MAYBE_EMBEDDING:
        return "copy"
    return "close" if distance_db < CLOSE_DB else "new"
