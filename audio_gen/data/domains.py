"""Two folders of sounds as the domains of one cache."""

from collections import Counter
from pathlib import Path

from audio_gen.data.labels import Label
from audio_gen.data.layout import read_layout
from audio_gen.data.report import DatasetReport
from audio_gen.data.scan import Scan, printable_name, scan_folder
from audio_gen.data.split import MIN_CLIPS, Split
from audio_gen.errors import DataError
from audio_gen.hints import command
from audio_gen.text import one_line


def domain_names(folder: Path, to: Path) -> tuple[str, str]:
    """Names of two folders: the last parts of their paths that differ.

    Raises:
        DataError: They are one folder, or one is in the other.
    """
    one, other = folder.resolve(), to.resolve()
    if one == other:
        raise DataError(f"--to {one_line(to)}: is the folder of the sounds itself; give a folder of other sounds")
    if one in other.parents or other in one.parents:
        raise DataError(f"--to {one_line(to)}: one of the two folders is inside the other; give separate folders")
    pairs = zip(reversed(one.parts), reversed(other.parts), strict=False)
    first, second = next(pair for pair in pairs if pair[0] != pair[1])
    return printable_name(first), printable_name(second)


def scan_domains(folder: Path, to: Path) -> Scan:
    """As `scan_folder`, for two folders: names of files begin with the name of their domain.

    Raises:
        DataError: See `domain_names` and `scan_folder`.
    """
    both = Scan()
    for name, place in zip(domain_names(folder, to), (folder, to), strict=True):
        own = scan_folder(place).below(name)
        if not own.found:
            raise DataError(f"{one_line(place)}: holds no audio files; give two folders of sounds")
        both.found += own.found
        both.skipped += own.skipped
        both.ignored += own.ignored
    both.found.sort(key=lambda f: f.name)
    return both


def check_domains(report: DatasetReport, to: Path) -> None:
    """Refuse a folder of two that has no usable sound.

    Raises:
        DataError: One has none.
    """
    used = {f.path.partition("/")[0] for f in report.usable}
    for name, place in zip(domain_names(report.folder, to), (report.folder, to), strict=True):
        if name not in used:
            raise DataError(
                f"{one_line(place)}: none of its audio files can be used; `{command('inspect', place)}` lists why"
            )


def domain_labels(paths: list[str]) -> dict[str, Label]:
    """The domain of each file as its class, by its path; domains are its only labels."""
    return {path: Label(class_name=path.partition("/")[0]) for path in paths}


def domain_splits(paths: list[str]) -> dict[str, Split]:
    """The side of each file whose domain has folders of splits."""
    splits: dict[str, Split] = {}
    for name in dict.fromkeys(path.partition("/")[0] for path in paths):
        own = [path.removeprefix(f"{name}/") for path in paths if path.startswith(f"{name}/")]
        splits |= {f"{name}/{path}": side for path, side in read_layout(own).splits.items()}
    return splits


def with_few(paths: list[str], sides: list[Split]) -> list[Split]:
    """The sides of the split, but for domains of fewer than five files, which are all trained on."""
    counts = Counter(path.partition("/")[0] for path in paths)
    pairs = zip(paths, sides, strict=True)
    return ["train" if counts[path.partition("/")[0]] < MIN_CLIPS else side for path, side in pairs]
