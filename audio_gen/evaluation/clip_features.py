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
PARTS = ("left", "right", "side")
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
        signal: (N,) of each of `signal.FIELDS`, and of `signal.STEREO_FIELDS` if a clip has two channels.
        left_out: Skipped clips, each with the reason.
        views: (N, M, L) float16 by `similarity.view`, if requested; a reference file has none.
        parts: (N, D) of each of PARTS, NaN where a part is silent; None unless requested and a clip has two
            channels.
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
    parts: dict[str, Tensor] | None = None

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
            None if self.parts is None else {key: vectors[some] for key, vectors in self.parts.items()},
        )  # fmt: skip


@dataclass(frozen=True)
class _Measured:
    """One clip: wav (T,) at the embedding's rate, signal measures, its view, and its parts (T,).

    None among the parts stands for the mono mix, and an empty one for silence.
    """

    wav: Tensor
    signal: dict[str, float]
    view: Tensor | None
    parts: dict[str, Tensor | None]


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
    parts: bool = False,
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
        parts: Also embed left, right and side, if a clip has two channels.
    """
    embed = embed or embedding
    kept: list[SoundClip] = []
    vectors, figures, bad, drawn = [torch.zeros(0, embedding.dimensions)], [], list(left_out), []
    by_part: dict[str, list[Tensor]] = {name: [vectors[0]] for name in PARTS}
    for some in _chunks(clips, AT_ONCE):
        loaded = _all_features(some, embedding.sample_rate, workers, views, parts)
        good = [found for found in loaded if isinstance(found, _Measured)]
        bad += [(clip.title, found) for clip, found in zip(some, loaded, strict=True) if isinstance(found, str)]
        if good:
            vectors.append(embed([found.wav for found in good]))
            figures += [found.signal for found in good]
            drawn += [found.view for found in good if found.view is not None]
            kept += [clip for clip, found in zip(some, loaded, strict=True) if isinstance(found, _Measured)]
            for part in PARTS if parts else ():
                by_part[part].append(_embedded(embed, [found.parts[part] for found in good], vectors[-1]))
        advance(len(some))
    stereo = any(clip.load_stereo is not None for clip in kept)
    fields = (*signal.FIELDS, *signal.STEREO_FIELDS) if stereo else signal.FIELDS
    return ClipFeatures(
        name, (embedding.name, embedding.digest), torch.cat(vectors), [c.title for c in kept],
        [c.group for c in kept], [c.class_name for c in kept], [c.pitch for c in kept], [c.content_hash for c in kept],
        {key: np.array([about[key] for about in figures], dtype=float) for key in fields}, bad,
        torch.stack(drawn) if drawn else None,
        {part: torch.cat(rows) for part, rows in by_part.items()} if parts and stereo else None,
    )  # fmt: skip


def _embedded(embed: Callable[[Sequence[Tensor]], Tensor], wavs: Sequence[Tensor | None], mono: Tensor) -> Tensor:
    """The vectors (N, D) of one part of N clips whose mono mixes have the vectors `mono` (N, D)."""
    vectors = mono.clone()
    audible = [i for i, wav in enumerate(wavs) if wav is not None and len(wav)]
    if audible:
        vectors[audible] = embed([wavs[i] for i in audible])  # type: ignore[misc]
    silent = [i for i, wav in enumerate(wavs) if wav is not None and not len(wav)]
    vectors[silent] = torch.nan
    return vectors


def _all_features(
    clips: Sequence[SoundClip], sample_rate: int, workers: int, views: bool, parts: bool
) -> list[_Measured | str]:
    """`_features` of each; one worker is this thread, where networks that render clips run fastest."""
    if workers == 1:
        return [_features(clip, sample_rate, views, parts) for clip in clips]
    return list(in_threads(lambda clip: _features(clip, sample_rate, views, parts), clips, workers, ""))


def _features(clip: SoundClip, sample_rate: int, views: bool, parts: bool) -> _Measured | str:
    """The measures of a clip, or the reason to skip it."""
    wav, own_rate = clip.load()
    if not wav.numel():
        return "holds no samples"
    if not bool(torch.isfinite(wav).all()):
        return "holds NaN or infinite samples"
    if signal.is_silent(wav, own_rate):
        return SILENT
    picture = view(wav, own_rate).half() if views else None
    both = None if clip.load_stereo is None else clip.load_stereo()[0]
    return _Measured(
        resample(wav[None], own_rate, sample_rate)[0],
        signal.describe(wav, own_rate) | signal.describe_stereo(both),
        picture,
        _parts(both, own_rate, sample_rate) if parts else {},
    )


def _parts(both: Tensor | None, own_rate: int, sample_rate: int) -> dict[str, Tensor | None]:
    """Left, right and side of a clip (2, T), or of a mono one, at `sample_rate`; see `_Measured`."""
    if both is None or torch.equal(both[0], both[1]):
        return {"left": None, "right": None, "side": torch.zeros(0)}
    waves = (both[0], both[1], (both[0] - both[1]) / 2)
    return {
        name: wav[:0] if signal.is_silent(wav, own_rate) else resample(wav[None], own_rate, sample_rate)[0]
        for name, wav in zip(PARTS, waves, strict=True)
    }


def _chunks(clips: Iterable[SoundClip], size: int) -> Iterator[list[SoundClip]]:
    rest = iter(clips)
    while some := list(islice(rest, size)):
        yield some
