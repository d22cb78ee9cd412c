"""Repetition: whether a sound returns to its own passages or stalls, and whether it copies those of training sounds."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from audio_gen.evaluation.passages import Found, Passages, changes, nearest_passages
from audio_gen.evaluation.strips import FRAME_RATE, WINDOW, Strip

# Of neighbouring windows of 129 minutes of music, none is below 3.2; of white noise, all are below 2.
ALIKE_DB = 3.0
APART = 2 * WINDOW
MOST_WINDOWS = 1000
QUANTILE = 0.01
MIN_HELD_OUT, MIN_SOUNDS = 20, 4
CLOSEST = 10


def repetition(strip: Strip) -> dict[str, float]:
    """Compare the windows of two seconds of one sound with each other.

    Returns:
        "repeats", the share of windows that return within 3 dB at least four seconds away, at any place;
        "stalls", the share within 3 dB of the window just before; and "return_db", the median distance of a window to
        its nearest passage. NaN without two sounding windows.
    """
    windows = Passages.of([strip])
    found = nearest_passages(windows, [strip], apart=APART).distance_db
    found, steps = found[found.isfinite()], changes(windows)
    return {
        "repeats": _share(found < ALIKE_DB),
        "stalls": _share(steps < ALIKE_DB),
        "return_db": float(found.median()) if len(found) else float("nan"),
    }


def copied_passages(
    generated: Sequence[Strip], train: Sequence[Strip], held_out: Sequence[Strip] | None = None
) -> dict[str, Any] | None:
    """Find windows of two seconds that are copies of a passage of a training sound.

    A window counts as a copy if it is closer to a training passage than 99 % of the windows of unseen real sounds:
    those of held-out sounds if there are 20 of them, otherwise those of each training sound, searched in the others.

    Args:
        generated: The sounds to check.
        train: Training sounds.
        held_out: Held-out sounds.

    Returns:
        "share" and "count" of the windows "n" that are copies; "real_share", the mean share of an unseen sound's
        windows with a threshold of the other unseen sounds, None below four of them; "threshold_db"; "held_out",
        whether the unseen sounds are held out; and the ten "closest" windows. None if there is nothing to compare with.
    """
    windows = Passages.of(generated, MOST_WINDOWS)
    unseen = Passages.of(held_out or [], MOST_WINDOWS)
    kept_out = len(unseen) >= MIN_HELD_OUT
    unseen = unseen if kept_out else Passages.of(train, MOST_WINDOWS)
    real = nearest_passages(unseen, train, other_sound=not kept_out).distance_db
    usable = real.isfinite()
    if not len(windows) or int(usable.sum()) < MIN_HELD_OUT:
        return None
    threshold = float(torch.quantile(real[usable], QUANTILE))
    found = nearest_passages(windows, train)
    copies = found.distance_db < threshold
    return {
        "n": len(windows), "count": int(copies.sum()), "share": _share(copies), "threshold_db": threshold,
        "real_share": _left_out_share(real[usable], unseen.sounds[usable]), "held_out": kept_out,
        "median_db": float(found.distance_db.median()), "real_median_db": float(real[usable].median()),
        "closest": _closest(windows, found, generated, train),
    }  # fmt: skip


def _left_out_share(distances: Tensor, sounds: Tensor) -> float | None:
    """Mean share of a sound's windows below the threshold of the other sounds."""
    names = sounds.unique()
    if len(names) < MIN_SOUNDS:
        return None
    shares = [
        float((distances[sounds == name] < torch.quantile(distances[sounds != name], QUANTILE)).double().mean())
        for name in names
    ]
    return float(np.mean(shares))


def _closest(windows: Passages, found: Found, generated: Sequence[Strip], train: Sequence[Strip]) -> list[dict]:
    rows = found.distance_db.argsort()[:CLOSEST].tolist()
    return [
        {
            "generated": generated[int(windows.sounds[i])].title, "at_sec": float(windows.starts[i]) / FRAME_RATE,
            "training": train[int(found.sounds[i])].title, "training_at_sec": float(found.starts[i]) / FRAME_RATE,
            "distance_db": float(found.distance_db[i]),
        }
        for i in rows
    ]  # fmt: skip


def _share(mask: Tensor) -> float:
    return float(mask.double().mean()) if len(mask) else float("nan")
