"""Features of clips (embedding, signal measures, mel views), from which comparisons are computed."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from audio_gen.audio.resample import resample
from audio_gen.audio.similarity import view
from audio_gen.data.index import in_threads
from audio_gen.evaluation import signal
from audio_gen.evaluation.clips import SoundClip
from audio_gen.evaluation.embeddings.base import Embedding

AT_ONCE = 64
Features = tuple[Tensor, dict[str, float], Tensor | None]
SILENT = "silent (softer than -70 LUFS)"  # its embedding would dominate all distances


@dataclass(frozen=True)
class ClipFeatures:
    """Features of N clips.

        Attributes:
            name: Name of the set in messages.
            embedding: Name and digest of the embedding; only sets with equal ones are compared.
            vectors: (N, D).
            titles: Name of each clip in reports.
            groups: The file of each clip.
            classes: The class of each, or None.
            pitches: The MIDI pitch of each, or None.
            hashes: Content hash of each file, or None.
            signal: (N,) of each of `signal.FIELDS`.
    <<<<<<< HEAD:audio_gen/evaluation/described.py
            left_out: Clips that could not be described, each with the reason.
            views: (N, M, L) float16 by `similarity.view`, if they were asked for; a reference file has none.
    =======
            left_out: Skipped clips, each with the reason.
            views: (N, M, L) float16 by `similarity.view`, if requested; a reference file has none.
    >>>>>>> fcc196a4fb880a91c0179a32456dd9b6e1440453:audio_gen/evaluation/clip_features.py
    """

    name: str
    embedding: tuple[str, str]
    vectors: Tensor
    titles: list[str]
    groups: list[str]
    classes: list[str | None]
    pitches: list[float | None]
    hashes: list[str | None]
    signal: dict[str, np.ndarray]
    left_out: list[tuple[str, str]]
    views: Tensor | None = None

    def __len__(self) -> int:
        """Number of clips, N."""
        return len(self.titles)

    def pick(self, rows: Sequence[int], name: str | None = None) -> "ClipFeatures":
        """Some of the clips, in the order of `rows`."""
        some = torch.as_tensor(list(rows), dtype=torch.long)
        lists = (self.titles, self.groups, self.classes, self.pitches, self.hashes)
        titles, groups, classes, pitches, hashes = ([values[i] for i in rows] for values in lists)
        return ClipFeatures(
            name or self.name, self.embedding, self.vectors[some], titles, groups, classes, pitches, hashes,  # type: ignore[arg-type]
            {key: values[some.numpy()] for key, values in self.signal.items()}, self.left_out,
            None if self.views is None else self.views[some],
        )  # fmt: skip


def describe_clips(
    name: str,
    clips: Iterable[SoundClip],
    embedding: Embedding,
    embed: Callable[[Sequence[Tensor]], Tensor] | None = None,
    *,
    left_out: Sequence[tuple[str, str]] = (),
    advance: Callable[[float], object] = lambda amount: None,
    workers: int = 2,
    views: bool = False,
) -> ClipFeatures:
    """Load clips a few at a time and compute their features; silent and broken ones are skipped and listed.

    Args:
        name: Name of the set in messages.
        clips: The clips.
        embedding: The embedding.
        embed: Function that embeds, such as an `EmbeddingStore`; `embedding` by default.
        left_out: Clips that were skipped before.
        advance: Called with the number of clips done.
        workers: Threads that decode.
        views: Also compute each clip's view.
    """
    embed = embed or embedding
    kept: list[SoundClip] = []
    vectors, figures, bad, drawn = [torch.zeros(0, embedding.dimensions)], [], list(left_out), []
    for some in _chunks(clips, AT_ONCE):
        loaded = _all_features(some, embedding.sample_rate, workers, views)
        good = [(clip, found) for clip, found in zip(some, loaded, strict=True) if not isinstance(found, str)]
        bad += [(clip.title, found) for clip, found in zip(some, loaded, strict=True) if isinstance(found, str)]
        if good:
            vectors.append(embed([wav for _, (wav, _, _) in good]))
            figures += [about for _, (_, about, _) in good]
            drawn += [picture for _, (_, _, picture) in good if picture is not None]
            kept += [clip for clip, _ in good]
        advance(len(some))
    return ClipFeatures(
        name, (embedding.name, embedding.digest), torch.cat(vectors), [c.title for c in kept],
        [c.group for c in kept], [c.class_name for c in kept], [c.pitch for c in kept], [c.content_hash for c in kept],
        {key: np.array([about[key] for about in figures], dtype=float) for key in signal.FIELDS}, bad,
        torch.stack(drawn) if drawn else None,
    )  # fmt: skip


def _all_features(clips: Sequence[SoundClip], sample_rate: int, workers: int, views: bool) -> list[Features | str]:
    """`_features` of each; one worker is this thread, where networks that render clips run fastest."""
    if workers == 1:
        return [_features(clip, sample_rate, views) for clip in clips]
    return list(in_threads(lambda clip: _features(clip, sample_rate, views), clips, workers, ""))


def _features(clip: SoundClip, sample_rate: int, views: bool) -> Features | str:
    """A clip at the embedding's rate (T,), its signal measures and its view; or the reason to skip it."""
    wav, own_rate = clip.load()
    if not wav.numel():
        return "holds no samples"
    if not bool(torch.isfinite(wav).all()):
        return "holds NaN or infinite samples"
    if signal.is_silent(wav, own_rate):
        return SILENT
    picture = view(wav, own_rate).half() if views else None
    return resample(wav[None], own_rate, sample_rate)[0], signal.describe(wav, own_rate), picture


def _chunks(clips: Iterable[SoundClip], size: int) -> Iterator[list[SoundClip]]:
    rest = iter(clips)
    while some := list(islice(rest, size)):
        yield some
