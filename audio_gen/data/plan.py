"""Assign class, pitch and split side to the usable files of a folder."""

from dataclasses import dataclass, replace
from typing import Any

from audio_gen.config import DataSettings
from audio_gen.data.domains import domain_labels, domain_splits, with_few
from audio_gen.data.labels import DEFAULT_PATTERN, Label, compile_pattern, read_labels
from audio_gen.data.layout import read_layout
from audio_gen.data.rates import rate_notes
from audio_gen.data.report import DatasetReport, FileReport
from audio_gen.data.split import Split, assign_splits
from audio_gen.errors import ConfigError
from audio_gen.text import one_line

SHOWN_PAIRS = 3


def kept_options(data: DataSettings) -> dict[str, Any]:
    """The settings of a cache that are stored in its index."""
    return {
        "labels": data.labels, "pattern": data.pattern or DEFAULT_PATTERN, "pitch": data.pitch,
        "trim_onset": data.trim_onset, "val_fraction": data.val_fraction, "group_pattern": data.group_pattern,
    }  # fmt: skip


def check_patterns(data: DataSettings) -> None:
    """Raise if a regular expression is unusable.

    Raises:
        ConfigError: One is invalid, or captures nothing.
    """
    compile_pattern(data.pattern or DEFAULT_PATTERN)
    if data.group_pattern is not None and not compile_pattern(data.group_pattern).groups:
        raise ConfigError(f"group_pattern ({data.group_pattern}) captures nothing; put the part to group by in ( )")


@dataclass(frozen=True)
class Plan:
    """Labels and split of the usable files.

    Attributes:
        labels: Class, pitch and velocity of each, by path.
        sides: The side of the split of each, by path.
        notes: Notes for the user, shown by `inspect`, `preprocess`, `train` and the reports.
    """

    labels: dict[str, Label]
    sides: dict[str, Split]
    notes: list[str]


def plan_clips(report: DatasetReport, data: DataSettings, sample_rate: int = 44100) -> Plan:
    """Label and split the usable files of a folder.

    Args:
        report: The report of the folder.
        data: Source of the labels, and share of validation.
        sample_rate: Of the mel, in Hz.

    Raises:
        DataError: A label file cannot be read or holds an invalid value.
    """
    used = report.usable
    paths = [f.path for f in used]
    labels, splits, split_notes, notes = _domains(paths) if report.to else _labelled(report, paths, data)
    by_rows = {path: label.split for path, label in labels.items() if label.split}
    if data.pitch == "none":
        labels = {path: replace(label, pitch=None) for path, label in labels.items()}
    sides, note = assign_splits(
        paths, [_content(f) for f in used], val_fraction=data.val_fraction, group_pattern=data.group_pattern,
        folders=splits | by_rows, given_by="label file" if by_rows else "folders",
    )  # fmt: skip
    if report.to is not None:
        sides = with_few(paths, sides)
    notes = [*report.notes, *split_notes, *([note] if note else []), *notes]
    notes += _note_conflicts(used, labels, report.channels)
    notes += rate_notes(report, sample_rate)
    return Plan(labels, dict(zip(paths, sides, strict=True)), notes)


_Labels = tuple[dict[str, Label], dict[str, Split], list[str], list[str]]  # labels, splits, and notes on both


def _labelled(report: DatasetReport, paths: list[str], data: DataSettings) -> _Labels:
    """Labels and splits of the files of one folder."""
    usable, layout = frozenset(paths), read_layout(paths)
    labels, notes = read_labels(
        report.folder, paths, source=data.labels, pattern=data.pattern or DEFAULT_PATTERN, layout=layout,
        unusable=[f.path for f in report.files if f.path not in usable],
        links={f.path: f.link_to for f in report.files if f.link_to},
    )  # fmt: skip
    return labels, layout.splits, layout.split_notes, notes


def _domains(paths: list[str]) -> _Labels:
    """Labels and splits of the files of two folders, whose names are the classes."""
    return domain_labels(paths), domain_splits(paths), [], []


def _content(f: FileReport) -> str:
    return f.measurement.content_hash if f.measurement else f.path


def _note_conflicts(used: list[FileReport], labels: dict[str, Label], channels: int) -> list[str]:
    """A note if copies of a sound have different classes or pitches."""
    first: dict[str, str] = {}
    pairs = []
    for f in used:
        sound = f.measurement.sound(channels) if f.measurement else f.path
        label, path = labels[f.path], first.setdefault(sound, f.path)
        if (label.class_name, label.pitch) != (labels[path].class_name, labels[path].pitch):
            pairs.append(f"{one_line(path)} = {one_line(f.path)}")
    if not pairs:
        return []
    more = f" and {len(pairs) - SHOWN_PAIRS} more" if pairs[SHOWN_PAIRS:] else ""
    return [
        f"copies of a sound have different classes or pitches ({', '.join(pairs[:SHOWN_PAIRS])}{more}): each label is "
        "used; delete the copies whose label is wrong"
    ]
