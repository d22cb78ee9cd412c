"""The section "Over time" of a report on long sounds: tables and a chart."""

from collections.abc import Mapping
from typing import Any

from audio_gen.evaluation.report.document import Section, number
from audio_gen.evaluation.sequence_verdict import span
from audio_gen.findings import percent

SHOWN = {
    "level_db_per_minute": "level, dB per minute", "centroid_semitones_per_minute": "centroid, semitones per minute",
    "beat_strength": "beat strength", "tempo_bpm": "tempo, bpm", "repeats": "passages that return",
    "stalls": "passages like the 2 s before", "return_db": "distance of a passage to its return, dB",
    "seam_z": "seam from end to start, z",
}  # fmt: skip
NOT_MEASURED = "-"
TEXT = (
    "Sounds are compared in windows of 2 s. KAD and coverage of each range of time are those against real sounds; the "
    "real row compares one half of your sounds with the other. From the start: KAD to the first range of the same "
    "sounds. A passage returns if another one of the same sound, at least 4 s away, is within 3 dB at equal level."
)


def over_time_sections(result: Mapping[str, Any]) -> list[Section]:
    """The section; none for short clips."""
    found = result.get("over_time")
    if not found:
        return []
    rows = found["drift"]["ranges"]
    curves = {
        side: [
            ((row["start_sec"] + row["end_sec"]) / 2, row[side]["kad"]) for row in rows if row[side]["kad"] is not None
        ]
        for side in ("generated", "real")
    }
    text = [TEXT]
    if (copies := found["memorised"]) is not None:
        first = copies["closest"][0]
        text.append(
            f"Copied passages: {percent(copies['share'])} of {copies['n']} windows are within "
            f"{copies['threshold_db']:.1f} dB of a training passage; the closest is {first['generated']} at "
            f"{first['at_sec']:.0f} s, to {first['training']} at {first['training_at_sec']:.1f} s."
        )
    return [
        Section("Over time", text, curves=curves, axes=("s", "KAD"), table=drift_table_of(result)),
        Section("Over time: movement and repetition", table=measures_table_of(result)),
    ]


def drift_table_of(result: Mapping[str, Any]) -> list[list[str]]:
    """Figures of each range of time, the first row the head; empty for short clips."""
    found = result.get("over_time")
    if not found or not found["drift"]["ranges"]:
        return []
    rows = [["over time", "windows", "KAD", "coverage", "from the start", "real: KAD", "coverage", "from the start"]]
    for row in found["drift"]["ranges"]:
        figures = [row[side][key] for side in ("generated", "real") for key in ("kad", "coverage", "from_start")]
        cells = [number(figure) or NOT_MEASURED for figure in figures]
        rows.append([span((row["start_sec"], row["end_sec"])), str(row["generated"]["n"]), *cells])
    return rows


def measures_table_of(result: Mapping[str, Any]) -> list[list[str]]:
    """Slopes, rhythm and repetition of both sides, the first row the head; empty for short clips."""
    found = result.get("over_time")
    if not found:
        return []
    rows = [["over time", "generated (10 %, median, 90 %)", "real (10 %, median, 90 %)", "distance in spreads"]]
    for name, label in SHOWN.items():
        if (figures := found["measures"][name]) is not None:
            sides = [_spread_of(figures[side]) for side in ("generated", "real")]
            rows.append([label, *sides, number(figures["distance"]) or NOT_MEASURED])
    return rows


def _spread_of(figures: Mapping[str, float | None]) -> str:
    """Three quantiles in a cell; those of one sound are one number."""
    shown = [number(figures[point]) for point in ("p10", "median", "p90")]
    return (shown[1] if len(set(shown)) == 1 else ", ".join(shown)) or NOT_MEASURED
