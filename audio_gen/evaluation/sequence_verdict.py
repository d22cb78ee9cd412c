"""The verdict on long sounds in plain language: drift, repetition, beat, loops and copied passages."""

from collections.abc import Mapping
from typing import Any

from audio_gen import findings
from audio_gen.evaluation.sequences import SEAMLESS_Z
from audio_gen.findings import Finding, percent

# Minutes of real music are within all of these, compared with other music of their folder.
DRIFTS = 0.2  # relative change of KAD
LEVEL_DB, CENTROID_SEMITONES = 1.5, 1.5  # per minute, from the real median
MORE_SHARE, MORE_TIMES = 0.15, 2.0
STALLED = 0.1
WEAKER, STRONGER, BEAT_DIFFERS = 0.6, 1.6, 0.1
TEMPO_DIFFERS = 0.15
LOOPS = 0.5  # share of the real sounds, from which they are loops
COPIED = 0.1

Measures = Mapping[str, Any]


def judge_over_time(found: Mapping[str, Any]) -> list[Finding]:
    """State the verdict on the figures of `over_time`.

    Args:
        found: The figures.

    Returns:
        Sentences, in the order of a report.
    """
    measures = found["measures"]
    checks = (
        _drift(found["drift"]["generated"], found["drift"]["real"]),
        _slope(measures["level_db_per_minute"], "level", LEVEL_DB, "dB", "The level", ("rises", "falls")),
        _slope(
            measures["centroid_semitones_per_minute"], "brightness", CENTROID_SEMITONES, "semitones",
            "The spectral centroid", ("rises", "falls"),
        ),
        _stalls(measures["stalls"]), _repeats(measures["repeats"]), _beat(measures["beat_strength"]),
        _tempo(measures["tempo_bpm"], measures["beat_strength"]), _loops(found["loops"]), _copied(found["memorised"]),
    )  # fmt: skip
    return [finding for finding in checks if finding is not None]


def span(seconds: tuple[float, float] | list[float]) -> str:
    """A range of time in words: "the first 10 s", "30 to 60 s", "minute 3"."""
    start, end = seconds
    if start == 0:
        return "minute 1" if end == 60 else f"the first {end:.0f} s"
    return f"minute {end / 60:.0f}" if start >= 60 and end - start == 60 else f"{start:.0f} to {end:.0f} s"


def _drift(found: Mapping[str, Any] | None, real: Mapping[str, Any] | None) -> Finding | None:
    if found is None:
        return None
    first, last = span(found["first_sec"]), span(found["last_sec"])
    figures = f"KAD from your sounds is {found['last_kad']:.3g}, in {first} {found['first_kad']:.3g}"
    reference = "" if real is None else f"; that of your sounds changes by {100 * real['change']:+.0f} %"
    name = f"{last[0].upper()}{last[1:]}"
    if found["change"] <= DRIFTS:
        like = "sounds like the start" if found["change"] > -DRIFTS else "is closer to your sounds than the start"
        return Finding("drift", f"{name} {like}: {figures}{reference}.")
    if found["change_ci"][0] <= 0:
        text = f"{name} may sound unlike the start, but there are too few samples to be sure: {figures}{reference}."
        return Finding("drift", text)
    return Finding(
        "drift",
        f"Samples drift: at {last}, {figures}{reference}; train longer, or sample at a lower --temperature.",
        alarm=True,
    )


def _slope(
    found: Measures | None, name: str, least: float, unit: str, what: str, ways: tuple[str, str]
) -> Finding | None:
    """A change per minute that as many real sounds hardly ever have in the median."""
    if found is None or found["real"]["median"] is None:
        return None
    value, real, (low, high) = found["generated"]["median"], found["real"]["median"], found["usual"]
    if low <= value <= high or abs(value - real) < least or abs(value) < least:
        return None
    way = ways[value < 0]
    return Finding(
        f"{name}_drift",
        f"{what} {way} by {abs(value):.2g} {unit} a minute in the median (your sounds: {real:+.2g}; as many "
        f"of them {low:+.2g} to {high:+.2g}); train longer.",
        alarm=True,
    )


def _stalls(found: Measures | None) -> Finding | None:
    if found is None:
        return None
    value, real = found["generated"]["mean"], found["real"]["mean"] or 0.0
    if value < max(STALLED, MORE_TIMES * real) or value < real + STALLED:
        return None
    return Finding(
        "stalls",
        f"Samples stall: {percent(value)} of their passages of 2 s are nearly the same as the 2 s before (your sounds: "
        f"{percent(real)}); train longer, or sample at a higher --temperature.",
        alarm=True,
    )


def _repeats(found: Measures | None) -> Finding | None:
    if found is None or found["real"]["mean"] is None:
        return None
    value, real = found["generated"]["mean"], found["real"]["mean"]
    text = f"{percent(value)} of their passages of 2 s return nearly unchanged (your sounds: {percent(real)})"
    if value > max(real + MORE_SHARE, MORE_TIMES * real):
        return Finding("repeats", f"Samples repeat themselves more than your sounds do: {text}.", alarm=value > 0.5)
    if real > value + MORE_SHARE and real > MORE_TIMES * value:
        return Finding("repeats", f"Samples repeat themselves less than your sounds do: {text}.")
    return None


def _beat(found: Measures | None) -> Finding | None:
    if found is None or found["real"]["median"] is None:
        return None
    value, real = found["generated"]["median"], found["real"]["median"]
    figures = f"{value:.2f} in the median (your sounds: {real:.2f}; 1 is a click track)"
    if value < WEAKER * real and real - value > BEAT_DIFFERS:
        return Finding("beat", f"The beat is weaker than that of your sounds: {figures}.")
    if value > STRONGER * real and value - real > BEAT_DIFFERS:
        return Finding("beat", f"The beat is stronger than that of your sounds: {figures}.")
    return None


def _tempo(found: Measures | None, beat: Measures | None) -> Finding | None:
    """Median tempos that differ, if the real sounds have a beat; a factor of two is the same beat."""
    if found is None or found["real"]["median"] is None or not beat or beat["real"]["median"] < BEAT_DIFFERS:
        return None
    value, real = found["generated"], found["real"]
    ratio = value["median"] / real["median"]
    if min(abs(ratio - 1), abs(ratio - 2), abs(2 * ratio - 1)) < TEMPO_DIFFERS:
        return None
    return Finding(
        "tempo",
        f"The tempo is {value['median']:.0f} bpm in the median; that of your sounds is {real['median']:.0f} (80 %: "
        f"{real['p10']:.0f} to {real['p90']:.0f}).",
    )


def _loops(found: Mapping[str, Any]) -> Finding | None:
    """Only if one of the two sides is meant to loop."""
    value, real = found["generated"]["seamless"], found["real"]["seamless"]
    if value is None or max(value, real or 0.0) < LOOPS:
        return None
    clicks = found["generated"]["clicks"]
    click = f"; {percent(clicks)} click" if clicks else ""
    reference = "" if real is None else f" (your sounds: {percent(real)})"
    return Finding(
        "loops",
        f"{percent(value)} of samples loop without a seam: from their end to their start, the log-mel steps as it does "
        f"inside (z below {SEAMLESS_Z:g}){reference}{click}.",
    )


def _copied(found: Mapping[str, Any] | None) -> Finding | None:
    if found is None:
        return None
    share, real = found["share"], found["real_share"]
    unseen = "unseen sounds" if found["held_out"] else "other sounds of yours"
    reference = "" if real is None else f" (of {unseen}, {percent(real)} are)"
    first = found["closest"][0]
    text = (
        f"{percent(share)} of passages of 2 s are closer to a training passage than 99 % of those of {unseen}"
        f"{reference}"
    )
    if share < max(COPIED, findings.MEMORISED_OVER_REAL * (real or 0.0)):
        return Finding("memorisation", f"{text}.")
    such = (
        f"such as {first['generated']} at {first['at_sec']:.0f} s of {first['training']} at "
        f"{first['training_at_sec']:.0f} s"
    )
    return Finding("memorisation", f"{text}, {such}; {findings.MORE_OR_SHORTER}.", alarm=share >= findings.MEMORISED)
