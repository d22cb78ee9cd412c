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

MOST = 4000  # training sounds that are compared: about five seconds
SHOWN = 3


class Originals:
    """The training sounds of a run as views, to compare clips with."""

    def __init__(self, cache: "Cache", pipeline: "Pipeline") -> None:
        """Draw the views of up to 4,000 training sounds."""
        import torch

        from audio_gen.audio.io import one_line
        from audio_gen.audio.likeness import view
        from audio_gen.evaluation.copies import HEARD

        learned = cache.split("train")
        clips = learned[:: max(1, -(-len(learned) // MOST))]
        self._rate, self._heard_sec = pipeline.spec.sample_rate, HEARD * pipeline.duration_sec
        samples = pipeline.samples + cache.sample_rate
        self._files = [one_line(clip.path) for clip in clips]
        self._views = torch.stack(
            [
                view(
                    torch.from_numpy(cache.read(clip, 0, min(clip.samples, samples))),
                    cache.sample_rate,
                    self._heard_sec,
                ).half()
                for clip in clips
            ]
        )

    def __call__(self, wavs: "Tensor") -> "list[Match]":
        """Compare clips (B, 1, T) as the vocoder made them."""
        import torch

        from audio_gen.audio.likeness import view
        from audio_gen.evaluation.copies import find_copies

        views = torch.stack([view(wav[0], self._rate, self._heard_sec) for wav in wavs])
        return find_copies(views, self._views, self._files)


def originals_of(run: Path, pipeline: "Pipeline") -> Originals | None:
    """The training sounds of a run; None where they are no longer there."""
    from audio_gen.cli.judging import run_cache

    cache = run_cache(run)
    return Originals(cache, pipeline) if cache is not None and len(cache.split("train")) else None


def newness(matches: "Sequence[Match]", names: Sequence[str]) -> str:
    """How many clips are copies or close to a training sound, and which."""
    counts = Counter(match.verdict for match in matches)
    if not counts["copy"] and not counts["close"]:
        return f"all {len(matches)} are new: none is close to a sound that the model learned from"
    pairs = [f"{name} of {m.file}" for name, m in zip(names, matches, strict=True) if m.verdict == "copy"]
    more = f" and {len(pairs) - SHOWN} more" if len(pairs) > SHOWN else ""
    told = f"{counts['copy']} of {len(matches)} are copies of training sounds"
    told += f" ({', '.join(pairs[:SHOWN])}{more})" if pairs else ""
    return f"{told}, {counts['close']} are close to one, {counts['new']} are new"
