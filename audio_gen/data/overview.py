"""The output of `inspect` and `preprocess`: notes by kind, a table of classes, and whether the sounds suffice."""

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from audio_gen.artefacts.folders import CacheFolder
from audio_gen.config import DataSettings
from audio_gen.data.channel_choice import folder_note, stereo_widths
from audio_gen.data.labels import Label
from audio_gen.data.plan import plan_clips
from audio_gen.data.report import DatasetReport, FileReport
from audio_gen.data.store import Cache
from audio_gen.errors import AudioGenError
from audio_gen.hints import command
from audio_gen.text import distinct_sounds, one_line, visible

ACTIONS = {"leave_out": "skipped", "repair": "repaired", "use": "used"}
NAMED = 3  # file names in a line
FEW, ENOUGH, MANY = 20, 100, 500  # training clips
FEW_OF_CLASS = 10
LONG_SEC, LONG_MINUTES = 10.0, 1.0  # from here on sounds can teach a sequence model
NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?")
OF_FILE = re.compile(r"^(same sound as|same mono mix as|a link to) .*?(?=: |, which )")  # a name within a note
MOST_CLASSES = 40


def note_lines(files: Sequence[FileReport], name: Mapping[str, str]) -> list[str]:
    """A line for each kind of note: action, number of files, reasons, and the first files.

    Args:
        files: All files.
        name: A printable form of each path.
    """
    groups: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for f in files:
        for reason in f.reasons:
            reason = OF_FILE.sub(r"\1 another file", reason)
            groups.setdefault((f.action, NUMBER.sub("#", reason)), []).append((reason, name[f.path]))
    order = list(ACTIONS)
    ranked = sorted(groups.items(), key=lambda group: (order.index(group[0][0]), -len(group[1]), group[0][1]))
    lines: dict[tuple[str, tuple[str, ...]], list[str]] = {}  # notes on the same files share a line
    for (action, _), notes in ranked:
        lines.setdefault((action, tuple(file for _, file in notes)), []).append(one_of([r for r, _ in notes]))
    rows = []
    for (action, named), reasons in lines.items():
        count = len(named)
        shown = ", ".join(named[:NAMED]) + (", .." if count > NAMED else "")
        rows.append((ACTIONS[action], f"{count} file{'s' * (count > 1)}:", "; ".join(reasons), shown))
    return aligned(rows)


def one_of(reasons: Sequence[str]) -> str:
    """Merge notes that differ only in their numbers, with ranges: clipped in 3 to 12 places."""
    columns = list(zip(*(NUMBER.findall(reason) for reason in reasons), strict=True))
    ranges = iter(_range(column) for column in columns)
    return NUMBER.sub(lambda found: next(ranges), reasons[0])


def _range(numbers: Sequence[str]) -> str:
    low, high = min(numbers, key=float), max(numbers, key=float)
    return low if float(low) == float(high) else f"{low} to {high}"


def aligned(rows: Sequence[Sequence[str]], right: frozenset[int] = frozenset()) -> list[str]:
    """Rows of text with aligned columns; those in `right` are right-aligned."""
    if not rows:
        return []
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    cells = (
        [c.rjust(w) if i in right else c.ljust(w) for i, (c, w) in enumerate(zip(r, widths, strict=True))] for r in rows
    )
    return ["  ".join(row).rstrip() for row in cells]


def class_lines(report: DatasetReport, labels: Mapping[str, Label]) -> list[str]:
    """A table of the usable files by class: clips, seconds, lengths and peaks."""
    by_class: dict[str, list[FileReport]] = {}
    for f in report.usable:
        by_class.setdefault(labels[f.path].class_name or "(no class)", []).append(f)
    rows = [("class", "clips", "seconds", "each, s", "peak, dBFS")]
    largest = sorted(by_class.items(), key=lambda entry: (-len(entry[1]), entry[0]))
    for name, files in largest[:MOST_CLASSES]:
        rows.append((name, str(len(files)), *_lengths(files, report.channels)))
    if len(largest) > MOST_CLASSES:
        rest = [f for _, files in largest[MOST_CLASSES:] for f in files]
        rows.append((f"({len(largest) - MOST_CLASSES} more)", str(len(rest)), *_lengths(rest, report.channels)))
    if len(by_class) > 1:
        rows.append(("all", str(len(report.usable)), *_lengths(report.usable, report.channels)))
    return aligned(rows, right=frozenset({1, 2}))


def _lengths(files: Sequence[FileReport], channels: int) -> tuple[str, str, str]:
    measured = [f.measurement.of_channels(channels) for f in files if f.measurement]
    if not measured:
        return "", "", ""
    lengths = [m.duration_sec for m in measured]
    peaks = [dbfs(m.peak) for m in measured]
    spread = f"{min(lengths):.2f} to {max(lengths):.2f}" if len(lengths) > 1 else f"{lengths[0]:.2f}"
    level = f"{min(peaks):.1f} to {max(peaks):.1f}, median {median(peaks):.1f}" if len(peaks) > 1 else f"{peaks[0]:.1f}"
    return f"{sum(lengths):.1f}", spread, level


def dbfs(peak: float) -> float:
    """A peak of 0 to 1 in dB below full scale; -120 for silence."""
    return max(round(20 * math.log10(peak), 1), -120.0) + 0.0 if peak > 0 else -120.0  # + 0.0 turns -0.0 into 0.0


def sufficiency(report: DatasetReport, labels: Mapping[str, Label]) -> list[str]:
    """Whether there are enough sounds, and what to expect."""
    hashes = {f.measurement.content_hash for f in report.usable if f.measurement}
    clips, which = len(hashes), distinct_sounds(len(hashes))
    if clips < FEW:
        expected = "is too few: expect copies of it" if clips == 1 else "are too few: expect copies of them"
        text = f"{which} {expected}; {ENOUGH} or more give new sounds"
    elif clips < ENOUGH:
        text = f"{which} are few: expect variations close to them; {ENOUGH} or more give more variety"
    elif clips < MANY:
        text = f"{which} are enough for new ones of the same kinds; {MANY} or more give more variety"
    else:
        text = f"{which} are plenty"
    if clips < ENOUGH and (long := _long(report)):
        text = f"{text}. {long}"
    counts: dict[str, int] = {}
    for f in report.usable:
        if (class_name := labels[f.path].class_name) is not None:
            counts[class_name] = counts.get(class_name, 0) + 1
    few = sorted(
        (name for name, count in counts.items() if count < FEW_OF_CLASS), key=lambda name: (counts[name], name)
    )
    if not few or len(counts) < 2:
        return [text]
    shown = ", ".join(f"{name} ({counts[name]})" for name in few[:8]) + (", .." if len(few) > 8 else "")
    which = "1 class has" if len(few) == 1 else f"{len(few)} classes have"
    return [text, f"{which} fewer than {FEW_OF_CLASS} clips, so expect little variety there: {shown}"]


def _long(report: DatasetReport) -> str:
    """What long sounds are good for."""
    lengths = [f.measurement.duration_sec for f in report.usable if f.measurement]
    some = [length for length in lengths if length >= LONG_SEC]
    if sum(some) < LONG_MINUTES * 60:
        return ""
    which = "It is long" if len(lengths) == 1 else f"{len(some)} are longer than {LONG_SEC:g} s"
    return f"{which}, {sum(some) / 60:.3g} minutes in all: train --model sequence learns from passages of such sounds"


def overview(report: DatasetReport) -> list[str]:
    """The output of `inspect`: notes on files, totals, classes, notes on labels, and whether the sounds suffice."""
    lines = note_lines(report.files, {f.path: one_line(f.path) for f in report.files}) + summary_lines(report)
    labels, notes = _planned(report)
    if report.usable:
        lines += [f"  {visible(line)}" for line in class_lines(report, labels)]
        lines += [*notes, *folder_note(report), *sufficiency(report, labels)]
    if any(f.reasons for f in report.files):
        lines.append("--json lists every file with its findings")
    return lines


def overview_json(report: DatasetReport) -> dict[str, Any]:
    """The report of a folder with the notes on its labels, for JSON."""
    content = report.to_json()
    widths = stereo_widths(report.files)
    content["summary"] |= {
        "stereo_files": len(widths),
        "median_width_db": median(widths) if widths else None,
        "data_channels": report.channels,
        "notes": [*_planned(report)[1], *folder_note(report)],
    }
    return content


def _planned(report: DatasetReport) -> tuple[Mapping[str, Label], Sequence[str]]:
    """The labels of the usable files, and notes; no labels if a label file is wrong."""
    try:
        plan = plan_clips(report, DataSettings())
    except AudioGenError as e:
        return {f.path: Label() for f in report.usable}, [str(e)]
    return plan.labels, plan.notes


def summary_lines(report: DatasetReport) -> list[str]:
    """Numbers of files, and durations, in two lines."""
    s = report.summary()
    rates = ", ".join(f"{int(rate) / 1000:g} kHz ({count})" for rate, count in s["sample_rates"].items())
    return [
        f"{s['files']} audio files: {s['use']} used, {s['repair']} repaired and used, {s['leave_out']} skipped; "
        f"{s['ignored']} other files ignored",
        f"{s['clips']} clips, {s['duration_sec'] / 60:.1f} minutes in all, {s['shortest_sec']:.2f} to "
        f"{s['longest_sec']:.1f} s each, {s['duplicates']} duplicate{'s' * (s['duplicates'] != 1)}; {rates}",
    ]


def cache_overview(cache: Cache, folder: Path) -> list[str]:
    """The output of `preprocess`: the content of the cache, notes, and where the reasons for skipped files are."""
    summary, clips = cache.report["summary"], f"{len(cache.clips)} {'stereo ' * (cache.channels == 2)}clips"
    lines = [
        f"{cache.path}: {clips} at {cache.sample_rate} Hz ({summary['train_clips']} to train on, "
        f"{summary['val_clips']} to validate on), {len(cache.classes)} classes; {summary['leave_out']} files skipped",
        *summary["notes"],
    ]
    if summary["leave_out"]:
        lines.append(f"why: {command('inspect', folder)}, or {CacheFolder(cache.path).dataset_report}")
    return lines


def cache_json(cache: Cache) -> dict[str, Any]:
    """The content of a cache, for JSON."""
    about = {"cache": str(cache.path), "sample_rate": cache.sample_rate, "classes": cache.classes}
    return {**about, "data_channels": cache.channels, **cache.report["summary"]}
