"""Embedding and descriptors of clips, which is all that comparisons need."""

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
Looked = tuple[Tensor, dict[str, float], Tensor | None]
SILENT = "silent (softer than -70 LUFS)"  # what embeddings make of it would outweigh all other clips


@dataclass(frozen=True)
class Described:
    """N clips as numbers.

    Attributes:
        name: What messages call the set.
        embedding: Name and digest of what made the vectors; sets are compared only where both agree.
        vectors: (N, D).
        titles: What reports call each clip.
        groups: The file of each clip.
        classes: The class of each, or None.
        pitches: The MIDI pitch of each, or None.
        hashes: Of each file's content, or None.
        signal: (N,) of each of `signal.FIELDS`.
        left_out: Clips that could not be described, each with the reason.
        views: (N, M, L) float16 by `similarity.view`, if they were asked for; a reference file has none.
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

    def pick(self, rows: Sequence[int], name: str | None = None) -> "Described":
        """Some of the clips, in the order of `rows`."""
        some = torch.as_tensor(list(rows), dtype=torch.long)
        lists = (self.titles, self.groups, self.classes, self.pitches, self.hashes)
        titles, groups, classes, pitches, hashes = ([values[i] for i in rows] for values in lists)
        return Described(
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
) -> Described:
    """Load clips a few at a time, embed and describe them; silent and broken ones are left out and listed.

    Args:
        name: What messages call the set.
        clips: The clips.
        embedding: What they are compared by.
        embed: What is called to embed, such as an `EmbeddingStore`; the embedding itself by default.
        left_out: What was left out before.
        advance: Told how many clips were done.
        workers: Threads that decode.
        views: Draw each clip's view, too.
    """
    embed = embed or embedding
    kept: list[SoundClip] = []
    vectors, figures, bad, drawn = [torch.zeros(0, embedding.dimensions)], [], list(left_out), []
    for some in _chunks(clips, AT_ONCE):
        loaded = _all_looked_at(some, embedding.sample_rate, workers, views)
        good = [(clip, found) for clip, found in zip(some, loaded, strict=True) if not isinstance(found, str)]
        bad += [(clip.title, found) for clip, found in zip(some, loaded, strict=True) if isinstance(found, str)]
        if good:
            vectors.append(embed([wav for _, (wav, _, _) in good]))
            figures += [about for _, (_, about, _) in good]
            drawn += [picture for _, (_, _, picture) in good if picture is not None]
            kept += [clip for clip, _ in good]
        advance(len(some))
    return Described(
        name, (embedding.name, embedding.digest), torch.cat(vectors), [c.title for c in kept],
        [c.group for c in kept], [c.class_name for c in kept], [c.pitch for c in kept], [c.content_hash for c in kept],
        {key: np.array([about[key] for about in figures], dtype=float) for key in signal.FIELDS}, bad,
        torch.stack(drawn) if drawn else None,
    )  # fmt: skip


def _all_looked_at(clips: Sequence[SoundClip], sample_rate: int, workers: int, views: bool) -> list[Looked | str]:
    """`_look` at each; one worker is this thread, where networks that clips come from run fastest."""
    if workers == 1:
        return [_look(clip, sample_rate, views) for clip in clips]
    return list(in_threads(lambda clip: _look(clip, sample_rate, views), clips, workers, ""))


def _look(clip: SoundClip, sample_rate: int, views: bool) -> Looked | str:
    """A clip at the embedding's rate (T,), its descriptors and its view; or why there are none."""
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
