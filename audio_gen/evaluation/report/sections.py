"""The report of an evaluation: verdict, table of figures, map, histograms, and players of the nearest pairs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from audio_gen.evaluation.clip_features import PARTS, ClipFeatures
from audio_gen.evaluation.clips import SoundClip
from audio_gen.evaluation.compare import Sets
from audio_gen.evaluation.copies import DUPLICATE_DB
from audio_gen.evaluation.report import charts
from audio_gen.evaluation.report.document import Section, Sound, number, write_report
from audio_gen.evaluation.report.over_time import over_time_sections
from audio_gen.findings import percent
from audio_gen.generation.originals import CLOSE_DB, COPY_DB, MAYBE_DB, MAYBE_EMBEDDING

ROWS = {
    "generated": "generated", "real_vs_real": "real against real", "copy_synthesis": "copy-synthesis",
    "reconstruction": "reconstruction", "white_noise": "white noise",
}  # fmt: skip
SHOWN_FIELDS = {
    "loudness_lufs": "loudness, LUFS", "centroid_hz": "spectral centroid, Hz", "attack_sec": "attack, s",
    "flatness": "spectral flatness", "rise_sec": "rise, s", "first_sample": "first sample over peak",
}  # fmt: skip
STEREO_FIELDS = {"width_db": "width, dB", "correlation": "correlation of left and right"}
STEREO_TEXT = (
    "All other figures are of the mono mix. Here, left, right and side, which is (L - R) / 2, are compared apart; "
    "clips whose side is silent are left out of its row."
)
MAP_TEXT = (
    "Each point is a clip; close points are similar by the embedding. The axes are the first two principal components "
    "of the real clips."
)
RENDERED = ("real_vs_real", "copy_synthesis", "reconstruction")
CROWD = 600  # points of a set on the map


def write_page(path: Path, sets: Sets, result: Mapping[str, Any], clips: Mapping[str, Mapping[str, SoundClip]]) -> None:
    """Write the report.

    Args:
        path: The HTML file.
        sets: The compared sets.
        result: The figures, with the verdict.
        clips: Clips of each set by title, if their audio is available.

    Raises:
        OutputError: It cannot be written.
    """
    n = result["n"]
    write_report(
        path,
        title="How good, how varied, how new",
        intro=[
            *sentences_of(result),
            f"{n['generated']} clips against {n['real']} real ones, by the embedding {result['embedding']}.",
        ],
        sections=evaluation_sections(sets, result, clips),
    )


def sentences_of(result: Mapping[str, Any]) -> list[str]:
    """The sentences of the verdict; alarms are marked."""
    return [("Alarm: " if finding["alarm"] else "") + finding["text"] for finding in result["verdict"]]


def evaluation_sections(
    sets: Sets, result: Mapping[str, Any], clips: Mapping[str, Mapping[str, SoundClip]]
) -> list[Section]:
    """The sections of the report, also for use in another report."""
    both = {"real": sets.real, "generated": sets.generated}
    return [
        Section("Figures: distance and variety", _reading(result), table=table_of(result)),
        Section("Map of the clips", [MAP_TEXT], charts=[_map(sets)]),
        Section("Signal measures", charts=[
            charts.histogram_svg({name: list(one.signal[key]) for name, one in both.items()}, label)
            for key, label in (SHOWN_FIELDS | (STEREO_FIELDS if "stereo" in result else {})).items()
        ], table=_signal_table(result)),
        *over_time_sections(result),
        *_stereo_section(result),
        *_pitch_section(result),
        _nearest(sets, result, clips),
        *_notes(result),
    ]  # fmt: skip


def table_of(result: Mapping[str, Any]) -> list[list[str]]:
    """The figures of each set; the first row is the head."""
    head = ["against real clips", "clips", "KAD", "95 %", "FAD", "precision", "recall", "density", "coverage"]
    generated = {
        "n": result["n"]["generated"], "kad": result["kad"]["value"], "kad_ci": result["kad"]["ci"],
        "fad": result["fad"]["value"], **{key: result[key] for key in ("precision", "recall", "density", "coverage")},
    }  # fmt: skip
    rows = [head]
    for key, name in ROWS.items():
        row = generated if key == "generated" else result.get(key)
        if row is None:
            continue
        interval = f"{number(row['kad_ci'][0])} to {number(row['kad_ci'][1])}" if row["kad_ci"] else ""
        rest = [number(row[what]) for what in ("fad", "precision", "recall", "density", "coverage")]
        rows.append([name, str(row["n"]), number(row["kad"]), interval, *rest])
    return rows


def stereo_table_of(result: Mapping[str, Any]) -> list[list[str]]:
    """The figures of left, right and side, the first row the head; empty for a mono evaluation."""
    found = result.get("stereo")
    if not found:
        return []
    scale = [key for key in RENDERED if result[key] is not None]
    rows = [["by channel", "clips", "KAD", "95 %", "real-vs-real baseline", *(ROWS[key] for key in scale)]]
    for part in PARTS:
        row = found[part]
        interval = f"{number(row['kad_ci'][0])} to {number(row['kad_ci'][1])}" if row["kad_ci"] else ""
        rest = [number(row[key]) for key in ("kad", "floor", *scale)]
        rows.append([part, str(row["n"]["generated"]), rest[0], interval, *rest[1:]])
    return rows


def _reading(result: Mapping[str, Any]) -> list[str]:
    kad, real = result["kad"], result["real_vs_real"]
    other = "held-out clips" if real["held_out"] else "the other half of your clips"
    floor = ""
    if kad["floor"] is not None:
        floor = f"; real-vs-real baseline: {number(kad['floor'])} in 95 % of splits"
    return [
        f"KAD and FAD are distances: at 0, samples cannot be distinguished from real clips{floor}. Coverage and recall "
        f"say how much of the real variety is reached, precision and density how real it sounds. Real against real: "
        f"{other} against the rest; copy-synthesis, reconstruction and noise are compared with the same rest."
    ]


def _map(sets: Sets) -> str:
    shown = {"real": sets.real, "generated": sets.generated, "copy-synthesis": sets.copies}
    there = {name: _thinned(one.vectors) for name, one in shown.items() if one is not None}
    points = charts.map_points(there["real"], list(there.values()))
    named = {name: [(float(x), float(y)) for x, y in some] for name, some in zip(there, points, strict=True)}
    return charts.scatter_svg(named, "Map of real and generated clips")


def _thinned(vectors: Tensor) -> Tensor:
    return vectors[:: max(1, -(-len(vectors) // CROWD))]


def _signal_table(result: Mapping[str, Any]) -> list[list[str]]:
    rows = [["", "real (10 %, median, 90 %)", "generated (10 %, median, 90 %)", "distance in spreads"]]
    for key, found in result["signal"].items():
        if not found:
            continue
        sides = [", ".join(number(found[side][p]) for p in ("p10", "median", "p90")) for side in ("real", "generated")]
        rows.append([key, *sides, number(found["distance"])])
    return rows


def _stereo_section(result: Mapping[str, Any]) -> list[Section]:
    table = stereo_table_of(result)
    if not table:
        return []
    shares = [percent(result["stereo"]["width"][side]["wide"]) for side in ("generated", "real")]
    return [
        Section(
            "Stereo",
            [f"{shares[0]} of samples have real width; of your sounds, {shares[1]}.", STEREO_TEXT],
            table=table,
        )
    ]


def _pitch_section(result: Mapping[str, Any]) -> list[Section]:
    rows = [["", "clips", "within 50 cents", "octave ignored", "error, cents", "voiced", "drift, cents"]]
    for name, found in (result["pitch"] or {}).items():
        if found:
            keys = ("accuracy", "accuracy_octave", "error_cents", "voiced", "drift_cents")
            rows.append([name.replace("_", " "), str(found["n"]), *(number(found.get(key)) for key in keys)])
    return [Section("Pitch", table=rows)] if len(rows) > 1 else []


def _nearest(sets: Sets, result: Mapping[str, Any], clips: Mapping[str, Mapping[str, SoundClip]]) -> Section:
    if result["memorised"]:
        return _memorised(sets, result, clips)
    near = result["nearness"]
    rows = [["generated", "nearest training sound", "distance"]]
    rows += [[p["generated"], p["training"], number(p["distance"])] for p in near["closest"]]
    text = (
        f"The ten samples nearest to a sound of {near['of']}, by the embedding. Only 1 % of real sounds are closer "
        f"than {number(near['threshold'])} to another one."
    )
    sounds: list[Sound] = []
    for pair in near["closest"][:5]:
        sounds += _sounds(sets.generated, clips, pair["generated"], "generated")
        sounds += _sounds(sets.train or sets.real, clips, pair["training"], "training sound")
    return Section("Nearest pairs", [text], sounds=sounds, table=rows)


def _memorised(sets: Sets, result: Mapping[str, Any], clips: Mapping[str, Mapping[str, SoundClip]]) -> Section:
    found = result["memorised"]
    rows = [["generated", "verdict", "nearest training sound", "dB", "embedding"]]
    rows += [
        [p["generated"], p["verdict"], p["file"], number(p["distance_db"]), number(p["embedding_distance"])]
        for p in found["closest"]
    ]
    real = (
        "" if found["real_share"] is None else f" Of real sounds, {percent(found['real_share'])} would count as copies."
    )
    text = (
        f"The ten samples nearest to a sound of {found['of']}, at equal level, from the onset on. Within {COPY_DB:g} "
        f"dB is a copy, within {CLOSE_DB:g} dB close; up to {MAYBE_DB:g} dB the embedding can make it a copy, if the "
        f"two are within {MAYBE_EMBEDDING:g} of the median distance of training sounds.{real}"
    )
    duplicates = result["twins"]
    shares = [number(100 * duplicates[side]["share"]) for side in ("generated", "real") if duplicates[side]]
    real_text = f"; of your sounds, {shares[1]} %" if len(shares) > 1 else ""
    duplicates_text = (
        f"Duplicates: {shares[0]} % of samples are within {DUPLICATE_DB:g} dB of another one of their class{real_text}."
    )
    sounds: list[Sound] = []
    for pair in found["closest"][:5]:
        sounds += _sounds(sets.generated, clips, pair["generated"], f"generated, {pair['verdict']}")
        sounds += _sounds(sets.train or sets.real, clips, pair["file"], "training sound")
    return Section("Nearest pairs", [text, duplicates_text], sounds=sounds, table=rows)


def _sounds(one: ClipFeatures, clips: Mapping[str, Mapping[str, SoundClip]], title: str, kind: str) -> Sequence[Sound]:
    """A player for a clip, if its audio is available."""
    clip = clips.get(one.name, {}).get(title) or clips.get("real", {}).get(title)
    if clip is None:
        return []
    if clip.load_stereo is not None:
        return [Sound(f"{kind}: {title}", *clip.load_stereo())]
    wav, sample_rate = clip.load()
    return [Sound(f"{kind}: {title}", wav[None], sample_rate)]


def _notes(result: Mapping[str, Any]) -> list[Section]:
    left_out = [[side, title, why] for side, some in result["left_out"].items() for title, why in some]
    table = [["set", "file", "why it was skipped"], *left_out] if left_out else []
    return [Section("Notes", result["warnings"], table=table)] if result["warnings"] or table else []
