"""Label generated clips as new, close to a training sound, or a copy of one."""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from audio_gen.artefacts.folders import CacheFolder, RunFolder
from audio_gen.audio.channels import mono
from audio_gen.audio.similarity import nearest, view
from audio_gen.data.store import Cache, Clip
from audio_gen.errors import DataError
from audio_gen.files import MalformedError, is_path, read_json
from audio_gen.findings import MORE_OR_SHORTER, percent
from audio_gen.generation.pipeline import Pipeline
from audio_gen.text import one_line

# Chosen on the drum kits of recipes/drums_gan, each kit against the others: see recipes/sampler_check.
COPY_DB = 3.5  # copy-synthesis is at 1.6 from its source, a sound of another kit rarely below 4
MAYBE_DB, MAYBE_EMBEDDING = 5.5, 0.3  # copy-synthesis of clicks and sines is worse; then the embedding decides
CLOSE_DB = 4.5  # a tenth of the sounds of another kit are closer to one of yours
CANDIDATES = 3  # pairs that the embedding compares
SAME_DB = 0.1  # the same sound twice
COMPARED = 0.9  # of the longest sample: real clips continue where a model stops
MOST_ORIGINALS = 4000  # training sounds to compare with; their views take about five seconds
SEARCHED_SEC = 1.0  # added to the clip length, to search for the onset of a training sound after silence
MIN_HELD_OUT = 20  # a share of fewer sounds is meaningless
SHOWN = 3

Verdict = Literal["new", "close", "copy"]


@dataclass(frozen=True)
class Match:
    """The training sound that is most similar to a sample.

    Attributes:
        verdict: "copy": the same sound, except for level, shift and vocoder artefacts. "close": a musician may take the
            two for hits of one drum. "new": neither.
        file: The training sound.
        distance_db: Between the two, see `similarity.distances`.
        embedding_distance: Between the two, in median distances of training sounds; None if not computed.
    """

    verdict: Verdict
    file: str
    distance_db: float
    embedding_distance: float | None = None

    def to_json(self) -> dict[str, Any]:
        """The form in JSON."""
        return asdict(self)


def find_copies(
    generated: Tensor,
    train: Tensor,
    files: Sequence[str],
    embedding_distance: Callable[[int, int], float] | None = None,
) -> list[Match]:
    """Find the most similar training sound of each sample, and label the sample.

    A sample is a copy if it is within 3.5 dB of a training sound, or within 5.5 dB and within 0.3 median distances of
    the embedding. It is close within 4.5 dB.

    Args:
        generated: Views (N, M, L) of the samples, by `similarity.view`.
        train: Views (K, M, L) of the training sounds, K at least 1.
        files: Their K names.
        embedding_distance: Distance of a generated row to a training row in median distances, such as
            `EmbeddingDistance`. Without it the views alone decide, which misses some clicks and sines.

    Returns:
        A match for each sample.
    """
    assert len(train) == len(files) > 0
    found, rows = nearest(generated, train)
    matches = []
    for i in range(len(generated)):
        near: list[tuple[Verdict, int, float, float | None]] = []
        for row, distance in zip(rows[i, :CANDIDATES].tolist(), found[i, :CANDIDATES].tolist(), strict=True):
            needed = embedding_distance is not None and distance < MAYBE_DB
            embedded = embedding_distance(i, row) if embedding_distance is not None and needed else None
            near.append((_verdict(distance, embedded), row, distance, embedded))
        verdict, row, distance, embedded = next((one for one in near if one[0] == "copy"), near[0])
        matches.append(Match(verdict, files[row], distance, embedded))
    return matches


def original_views(cache: Cache, clips: Sequence[Clip], clip_sec: float) -> Tensor:
    """Views of training sounds, to compare samples with.

    Args:
        cache: The training set.
        clips: Some of its clips; of more than 4,000, every n-th is taken (`thinned`).
        clip_sec: Length of the model's clips.

    Returns:
        (K, M, L) float16, with silence after the longest length that samples reach.
    """
    samples, rate = round((clip_sec + SEARCHED_SEC) * cache.sample_rate), cache.sample_rate
    wavs = (torch.from_numpy(cache.read(clip, 0, min(clip.samples, samples))) for clip in thinned(clips))
    return torch.stack([view(wav, rate, COMPARED * clip_sec).half() for wav in wavs])


def thinned(clips: Sequence[Clip], most: int = MOST_ORIGINALS) -> list[Clip]:
    """Every n-th of the clips, at most `most`."""
    return list(clips[:: max(1, -(-len(clips) // most))])


def real_share(train: Tensor, held_out: Tensor | None = None) -> float | None:
    """Share of real sounds that would count as copies of a training sound, as hits of one drum may.

    Args:
        train: Views (K, M, L) of the training sounds.
        held_out: Views (H, M, L) of held-out sounds; without any, each training sound is compared with the others, and
            exact duplicates do not count.

    Returns:
        The share; None without sounds to compare.
    """
    if held_out is not None and len(held_out):
        return float((nearest(held_out, train)[0][:, 0] < COPY_DB).double().mean())
    found, _ = nearest(train, train)
    other = torch.where(found < SAME_DB, torch.inf, found).amin(1)
    return float((other < COPY_DB).double().mean()) if len(train) > 1 else None


def _verdict(distance_db: float, embedding_distance: float | None) -> Verdict:
    if distance_db < COPY_DB:
        return "copy"
    if embedding_distance is not None and distance_db < MAYBE_DB and embedding_distance < MAYBE_EMBEDDING:
        return "copy"
    return "close" if distance_db < CLOSE_DB else "new"


class Originals:
    """The training sounds of a run as views, to compare clips with."""

    def __init__(self, cache: Cache, pipeline: Pipeline) -> None:
        """Compute the views of up to 4,000 training sounds, and of as many held-out ones."""
        self._rate, self._compared_sec = pipeline.spec.sample_rate, COMPARED * pipeline.duration_sec
        train, held_out = (thinned(cache.split(side)) for side in ("train", "val"))
        self._files = [one_line(clip.path) for clip in train]
        self._views = original_views(cache, train, pipeline.duration_sec)
        embedded = bool(held_out) and not {clip.offset for clip in held_out} & {clip.offset for clip in train}
        self._held_out = original_views(cache, held_out, pipeline.duration_sec) if embedded else None

    def __call__(self, wavs: Tensor) -> list[Match]:
        """Compare clips (B, C, T) as the vocoder rendered them, by their mono mix."""
        views = torch.stack([view(mono(wav), self._rate, self._compared_sec) for wav in wavs])
        return find_copies(views, self._views, self._files)

    def real_share(self) -> float | None:
        """Share of held-out sounds that would count as copies of a training sound; None without enough of them."""
        few = self._held_out is None or len(self._held_out) < MIN_HELD_OUT
        return None if few else real_share(self._views, self._held_out)


def originals_of(pipeline: Pipeline) -> Originals | None:
    """The training sounds of a model; None if they are gone."""
    cache = run_cache(pipeline.path)
    return Originals(cache, pipeline) if cache is not None and len(cache.split("train")) else None


def novelty_line(matches: Sequence[Match], names: Sequence[str], real_share: float | None = None) -> str:
    """One line: number and names of copies, number of close clips, and `real_share` for scale."""
    counts = Counter(match.verdict for match in matches)
    if not counts["copy"] and not counts["close"]:
        if len(matches) == 1:
            return "the clip is new: it is not close to a training sound"
        return f"all {len(matches)} are new: none is close to a training sound"
    pairs = [f"{name} of {m.file}" for name, m in zip(names, matches, strict=True) if m.verdict == "copy"]
    more = f" and {len(pairs) - SHOWN} more" if len(pairs) > SHOWN else ""
    text = f"{counts['copy']} of {len(matches)} are copies of a training sound"
    text += f" ({', '.join(pairs[:SHOWN])}{more})" if pairs else ""
    text += f", {counts['close']} are close to one, {counts['new']} are new"
    if pairs and real_share is not None:
        text += f"; of unseen real sounds, {percent(real_share)} are as close to one"
    usual = real_share is not None and len(pairs) <= real_share * len(matches)
    return f"{text}; {MORE_OR_SHORTER}" if pairs and not usual else text


def run_cache(run: Path) -> Cache | None:
    """The cache of a run's training sounds, if it still exists."""
    places = [RunFolder(run).cache, RunFolder(run.parent).cache]  # of a run, or of a bundle in one
    about = RunFolder(run if RunFolder(run).source.is_file() else run.parent).source
    if about.is_file():
        with suppress(MalformedError, OSError):
            record = read_json(about)
            source = record.get("source") if isinstance(record, dict) else None
            if is_path(source):
                places.append(Path(source))
    for place in places:
        if CacheFolder(place).exists():
            try:
                return Cache.open(place)
            except DataError:
                continue
    return None
