"""Findings about use in a sampler: clicks, silence, slow attacks, duplicates and levels."""

from collections.abc import Callable, Mapping
from typing import Any

from audio_gen.findings import Finding, percent

# Real against real is below all of these, for halves of the drums, the notes and the bundled samples.
CLICK, CLICK_OVER_REAL = 0.02, 5.0  # of the peak
PADDING_OVER_REAL = 0.3
RISE_OVER_REAL, RISE_SEC = 2.0, 0.005
BEFORE_DB, BEFORE_OVER_REAL_DB = -40.0, 12.0
WIDER, NARROWER, LEVEL_DB = 1.5, 0.4, 3.0
DUPLICATES, DUPLICATES_OVER_REAL, SHOWN_CLASSES = 0.2, 2.0, 3

Medians = Callable[[str], tuple[float, float] | None]


def playability(result: Mapping[str, Any]) -> list[Finding]:
    """Check edges, levels and duplicates of samples against those of real sounds.

    Args:
        result: The figures of `compare`.

    Returns:
        Faults, each with a fix; none if samples are like real sounds.
    """

    def medians(field: str) -> tuple[float, float] | None:
        found = result["signal"].get(field)
        if not found or found["real"]["median"] is None or found["generated"]["median"] is None:
            return None
        return found["real"]["median"], found["generated"]["median"]

    checks = (_first_sample, _last_sample, _padding, _rise, _before_onset)
    found = [check(medians) for check in checks] + [_levels(result), _duplicates(result)]
    return [finding for finding in found if finding is not None]


def _first_sample(medians: Medians) -> Finding | None:
    fix = "samples of this version fade in: generate them again with `audio-gen sample`"
    return _click(medians, "first_sample", "click_at_start", "Samples begin with a click: the first sample", fix)


def _last_sample(medians: Medians) -> Finding | None:
    fix = "fade them out, or train with a longer clip"
    return _click(medians, "last_sample", "click_at_end", "Samples end with a click: the last sample", fix)


def _click(medians: Medians, field: str, name: str, what: str, fix: str) -> Finding | None:
    pair = medians(field)
    if pair is None or pair[1] < max(CLICK, CLICK_OVER_REAL * pair[0]):
        return None
    figures = f"at {percent(pair[1])} of the peak in the median (your sounds: {100 * pair[0]:.1f} %)"
    return Finding(name, f"{what} is {figures}; {fix}.", alarm=True)


def _padding(medians: Medians) -> Finding | None:
    pair = medians("padding_share")
    if pair is None or pair[1] < pair[0] + PADDING_OVER_REAL:
        return None
    return Finding(
        "padding",
        f"Silence before and after the sound takes {percent(pair[1])} of a sample in the median (your sounds: "
        f"{percent(pair[0])}); trim the samples.",
    )


def _rise(medians: Medians) -> Finding | None:
    pair = medians("rise_sec")
    if pair is None or pair[1] < RISE_OVER_REAL * pair[0] + RISE_SEC:
        return None
    return Finding(
        "slow_attack",
        f"Attacks are soft: samples rise in {1000 * pair[1]:.0f} ms in the median, your sounds in "
        f"{1000 * pair[0]:.1f} ms; try another --vocoder, or train longer.",
    )


def _before_onset(medians: Medians) -> Finding | None:
    pair = medians("before_onset_db")
    if pair is None or pair[1] < max(BEFORE_DB, pair[0] + BEFORE_OVER_REAL_DB):
        return None
    return Finding(
        "before_onset",
        f"Something sounds before the onset: in the median at {pair[1]:.0f} dB of the 50 ms after it (your sounds: "
        f"{pair[0]:.0f} dB); cut the samples at the onset, or try another --vocoder.",
    )


def _levels(result: Mapping[str, Any]) -> Finding | None:
    found = result["signal"].get("loudness_lufs")
    if not found or any(found[side][p] is None for side in ("real", "generated") for p in ("p10", "p90")):
        return None
    real, generated = (found[side]["p90"] - found[side]["p10"] for side in ("real", "generated"))
    wider, narrower = generated >= WIDER * real + LEVEL_DB, generated <= NARROWER * real - LEVEL_DB
    if not (wider or narrower):
        return None
    fix = "normalise the samples" if wider else "play some of them softer if you want velocities"
    return Finding(
        "level_spread",
        f"Levels of samples differ {'more' if wider else 'less'} than those of your sounds: 80 % of them are within "
        f"{generated:.0f} dB, of your sounds within {real:.0f} dB; {fix}.",
    )


def _duplicates(result: Mapping[str, Any]) -> Finding | None:
    found = result.get("twins")
    if not found or found["generated"]["share"] is None:
        return None
    generated, real = found["generated"], (found["real"] or {}).get("share")
    if generated["share"] < max(DUPLICATES, DUPLICATES_OVER_REAL * (real or 0.0)):
        return None
    worst = sorted(generated["per_class"].items(), key=lambda item: -item[1]["share"])[:SHOWN_CLASSES]
    where = ", ".join(f"{name} {percent(one['share'])}" for name, one in worst if one["share"] >= DUPLICATES)
    figures = "" if real is None else f" (your sounds: {percent(real)})"
    return Finding(
        "twins",
        f"{percent(generated['share'])} of samples cannot be distinguished from another sample{figures}"
        f"{': ' if where else ''}{where}; delete the duplicates, or sample at a higher --temperature.",
    )
