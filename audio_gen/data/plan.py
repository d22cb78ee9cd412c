"""What becomes of the usable files of a folder: class, pitch and side of the split, and all there is to say of it."""

from dataclasses import dataclass, replace
from typing import Literal

from audio_gen.data.labels import DEFAULT_PATTERN, Label, compile_pattern, read_labels
from audio_gen.data.layout import read_layout
from audio_gen.data.rates import rate_notes
from audio_gen.data.report import DatasetReport, FileReport
from audio_gen.data.split import Split, assign_splits
from audio_gen.errors import ConfigError
from audio_gen.text import one_line

SHOWN_PAIRS = 3


@dataclass(frozen=True)
class CacheOptions:
    """How a folder is turned into clips.

    Attributes:
        labels: "auto", "folders", "names", "none", or the path of a CSV or NSynth JSON (see `audio_gen.data.labels`).
        pattern: Regular expression for class, pitch and velocity in file names.
        pitch: "names" takes pitches from the labels, "auto" also estimates the missing ones, "none" has none.
        trim_onset: Cut the silence before every sound.
        val_fraction: Share of the clips kept back for validation.
        group_pattern: Regular expression whose captured text names clips that must be on the same side of the split.
    """

    labels: str = "auto"
    pattern: str = DEFAULT_PATTERN
    pitch: Literal["names", "auto", "none"] = "names"
    trim_onset: bool = False
    val_fraction: float = 0.1
    group_pattern: str | None = None

    def __post_init__(self) -> None:
        """Check all values."""
        if self.pitch not in ("names", "auto", "none"):
            raise ConfigError(f"pitch ({self.pitch}) must be names, auto or none; try names")
        if not 0 <= self.val_fraction < 1:
            raise ConfigError(f"val_fraction ({self.val_fraction}) must be at least 0 and below 1; try 0.1")
        compile_pattern(self.pattern)
        if self.group_pattern is not None and not compile_pattern(self.group_pattern).groups:
            raise ConfigError(f"group_pattern ({self.group_pattern}) captures nothing; put the part to group by in ( )")


@dataclass(frozen=True)
class Plan:
    """What becomes of the usable files.

    Attributes:
        labels: Class, pitch and velocity of each, by path.
        sides: The side of the split of each, by path.
        notes: What the user should know; `inspect`, `preprocess`, `train` and the reports all show these.
    """

    labels: dict[str, Label]
    sides: dict[str, Split]
    notes: list[str]


def plan_clips(report: DatasetReport, options: CacheOptions, sample_rate: int = 44100) -> Plan:
    """Label and split the usable files of a folder.

    Args:
        report: What is in the folder.
        options: Where labels come from, and how many clips are kept back.
        sample_rate: Of the mel, in Hz.

    Raises:
        DataError: A label file cannot be read or holds an impossible value.
    """
    used = report.usable
    paths = [f.path for f in used]
    usable = frozenset(paths)
    layout = read_layout(paths)
    labels, notes = read_labels(
        report.folder, paths, source=options.labels, pattern=options.pattern, layout=layout,
        unusable=[f.path for f in report.files if f.path not in usable],
        links={f.path: f.link_to for f in report.files if f.link_to},
    )  # fmt: skip
    by_rows = {path: label.split for path, label in labels.items() if label.split}
    if options.pitch == "none":
        labels = {path: replace(label, pitch=None) for path, label in labels.items()}
    sides, note = assign_splits(
        paths, [_content(f) for f in used], val_fraction=options.val_fraction, group_pattern=options.group_pattern,
        folders=layout.splits | by_rows, given_by="label file" if by_rows else "folders",
    )  # fmt: skip
    notes = [*report.notes, *layout.split_notes, *([note] if note else []), *notes, *_note_conflicts(used, labels)]
    notes += rate_notes(report, sample_rate)
    return Plan(labels, dict(zip(paths, sides, strict=True)), notes)


def _content(f: FileReport) -> str:
    return f.measurement.content_hash if f.measurement else f.path


def _note_conflicts(used: list[FileReport], labels: dict[str, Label]) -> list[str]:
    """A note of copies of a sound that have different classes or pitches, if there are any."""
    first: dict[str, str] = {}
    pairs = []
    for f in used:
        label, path = labels[f.path], first.setdefault(_content(f), f.path)
        if (label.class_name, label.pitch) != (labels[path].class_name, labels[path].pitch):
            pairs.append(f"{one_line(path)} = {one_line(f.path)}")
    if not pairs:
        return []
    more = f" and {len(pairs) - SHOWN_PAIRS} more" if pairs[SHOWN_PAIRS:] else ""
    return [
        f"copies of a sound have different classes or pitches ({', '.join(pairs[:SHOWN_PAIRS])}{more}): each label is "
        "learned; delete the copies whose label is wrong"
    ]
