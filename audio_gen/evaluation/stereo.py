"""Stereo figures of an evaluation: width, and KAD of left, right and side, if both sets are stereo.

All other figures are those of the mono mix.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from audio_gen.audio.channels import WIDTH_DB
from audio_gen.data.channel_choice import STEREO_SHARE
from audio_gen.evaluation import distances
from audio_gen.evaluation.clip_features import PARTS, ClipFeatures

WIDEST_DB = 10.0  # wider clips count as this wide in means; clips without real width count as WIDTH_DB


def wide_share(features: ClipFeatures) -> float:
    """Share of clips with real width; 0 for a set without clips of two channels."""
    widths = features.signal.get("width_db")
    return 0.0 if widths is None or not len(widths) else float((widths > WIDTH_DB).mean())


def both_stereo(real: ClipFeatures, generated: ClipFeatures) -> bool:
    """Whether two sets are compared in stereo."""
    return real.parts is not None and generated.parts is not None and wide_share(real) > 0


def figures(
    real: ClipFeatures,
    generated: ClipFeatures,
    first: ClipFeatures,
    others: Mapping[str, ClipFeatures | None],
    seed: int = 0,
) -> dict[str, Any]:
    """Compare two stereo sets.

    Args:
        real: The user's clips.
        generated: The clips to evaluate.
        first: The half of `real` that the others are compared with.
        others: Sets for scale, by name.
        seed: Seed of resampling and splits.

    Returns:
        "width": {"real", "generated"} with the "mean" in dB, its standard error "se" and the share "wide" of clips with
        real width; and for "left", "right" and "side" {"n", "kad", "kad_ci", "floor", "floor_median"} and the KAD of
        each of the others. A clip in which a part is silent is left out of that part.
    """
    return {
        "width": {"real": _width(real), "generated": _width(generated)},
        **{part: _part(part, real, generated, first, others, seed) for part in PARTS},
    }


def note(real: ClipFeatures, generated: ClipFeatures) -> str | None:
    """A note on a stereo set that is compared with a mono one."""
    if both_stereo(real, generated):
        return None
    if wide_share(generated) > 0 and not wide_share(real):
        return "the samples are stereo and the real clips are mono: the mono mix of the samples is compared"
    if wide_share(real) > STEREO_SHARE and "width_db" not in generated.signal:
        return "the real clips are stereo and the samples are mono: the mono mix of the real clips is compared"
    return None


def _width(features: ClipFeatures) -> dict[str, float | None]:
    widths = np.clip(features.signal["width_db"], WIDTH_DB, WIDEST_DB)
    error = float(widths.std(ddof=1) / np.sqrt(len(widths))) if len(widths) > 1 else None
    return {"mean": float(widths.mean()), "se": error, "wide": wide_share(features)}


def _part(
    part: str,
    real: ClipFeatures,
    generated: ClipFeatures,
    first: ClipFeatures,
    others: Mapping[str, ClipFeatures | None],
    seed: int,
) -> dict[str, Any]:
    reference, made = _audible(real, part), _audible(generated, part)
    found: dict[str, Any] = {
        "n": {"real": len(reference), "generated": len(made)}, "kad": None, "kad_ci": None, "floor": None,
        "floor_median": None,
    }  # fmt: skip
    if min(len(reference), len(made)) >= distances.MIN_INTERVAL_CLIPS:
        value, low, high = distances.kad_estimate(reference, made, seed=seed)
        found |= {"kad": value, "kad_ci": [low, high]}
    groups = _groups(real, part)
    if len(set(groups)) >= distances.MIN_FLOOR_CLIPS:
        size = max(2, min(len(made), len(reference) // 2))
        floor = distances.kad_floor(reference, groups, size=size, seed=seed)
        found |= {"floor": floor["p95"], "floor_median": floor["median"]}
    base = _audible(first, part)
    for name, other in others.items():
        vectors = torch.zeros(0) if other is None else _audible(other, part)
        enough = min(len(base), len(vectors)) >= distances.MIN_INTERVAL_CLIPS
        found[name] = distances.kad(base, vectors) if enough else None
    return found


def _audible(features: ClipFeatures, part: str) -> Tensor:
    """The vectors (K, D) of clips in which a part is not silent."""
    if features.parts is None:
        return features.vectors[:0]
    vectors = features.parts[part]
    return vectors[vectors.isfinite().all(1)]


def _groups(features: ClipFeatures, part: str) -> list[str]:
    assert features.parts is not None
    audible = features.parts[part].isfinite().all(1).tolist()
    return [group for group, one in zip(features.groups, audible, strict=True) if one]
