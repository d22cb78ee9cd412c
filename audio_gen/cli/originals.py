"""Whether clips that are made are new, close to a sound that was learned from, or a copy of it."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from audio_gen.data.store import Cache
    from audio_gen.evaluation.copies import Match
    from audio_gen.generation.pipeline import Pipeline

SHOWN = 3


class Originals:
    """The training sounds of a run as views, to compare clips with."""

    def __init__(self, cache: "Cache", pipeline: "Pipeline") -> None:
        """Draw the views of up to 4,000 training sounds, and of as many that were kept out."""
        from audio_gen.evaluation.copies import HEARD, original_views, thinned
        from audio_gen.text import one_line

        self._rate, self._heard_sec = pipeline.spec.sample_rate, HEARD * pipeline.duration_sec
        learned, kept_out = (thinned(cache.split(side)) for side in ("train", "val"))
        self._files = [one_line(clip.path) for clip in learned]
        self._views = original_views(cache, learned, pipeline.duration_sec)
        apart = bool(kept_out) and not {clip.offset for clip in kept_out} & {clip.offset for clip in learned}
        self._kept_out = original_views(cache, kept_out, pipeline.duration_sec) if apart else None

    def __call__(self, wavs: "Tensor") -> "list[Match]":
        """Compare clips (B, 1, T) as the vocoder made them."""
        import torch

        from audio_gen.audio.likeness import view
        from audio_gen.evaluation.copies import find_copies

        views = torch.stack([view(wav[0], self._rate, self._heard_sec) for wav in wavs])
        return find_copies(views, self._views, self._files)

    def real_share(self) -> float | None:
        """Share of the sounds kept out of training that are as near to a training sound as a copy; None without any."""
        from audio_gen.evaluation.copies import MIN_KEPT_OUT, real_share

        few = self._kept_out is None or len(self._kept_out) < MIN_KEPT_OUT
        return None if few else real_share(self._views, self._kept_out)


def originals_of(run: Path, pipeline: "Pipeline") -> Originals | None:
    """The training sounds of a run; None where they are no longer there."""
    from audio_gen.cli.judging import run_cache

    cache = run_cache(run)
    return Originals(cache, pipeline) if cache is not None and len(cache.split("train")) else None


def newness(matches: "Sequence[Match]", names: Sequence[str], real_share: float | None = None) -> str:
    """How many clips are copies or close to a training sound, and which; `real_share` shows the scale."""
    counts = Counter(match.verdict for match in matches)
    if not counts["copy"] and not counts["close"]:
        return f"all {len(matches)} are new: none is close to a sound that the model learned from"
    pairs = [f"{name} of {m.file}" for name, m in zip(names, matches, strict=True) if m.verdict == "copy"]
    more = f" and {len(pairs) - SHOWN} more" if len(pairs) > SHOWN else ""
    told = f"{counts['copy']} of {len(matches)} are as near to a training sound as a copy of it"
    told += f" ({', '.join(pairs[:SHOWN])}{more})" if pairs else ""
    told += f", {counts['close']} are close to one, {counts['new']} are new"
    if pairs and real_share is not None:
        told += f"; of your own sounds that the model did not learn from, {real_share:.0%} are as near as a copy"
    return told
