"""Interpret the folders of a data set: classes, splits, or containers."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from audio_gen.data.names import composed, folded
from audio_gen.data.split import Split
from audio_gen.text import one_line

TRAIN = frozenset({"train", "training"})
HELD_OUT = frozenset({"test", "testing", "val", "valid", "validation", "eval", "evaluation", "dev", "holdout"})
NUMBERS = frozenset({"8", "16", "24", "32", "44", "1", "48", "96", "192"})  # of bits and kHz
FORMAT = re.compile(r"waves?|wavs?|aiff?s?|flac|mp3s?|ogg|opus|(?:8|16|24|32)?bits?|(?:44|48|88|96|176|192)?k(?:hz)?")
NO_SOUNDS = "__MACOSX"
SHOWN_FOLDERS = 5


@dataclass(frozen=True)
class Layout:
    """The meaning of the folders.

    Attributes:
        classes: The class of each file that has one, spelled as its folder.
        splits: The side of each file, if the folders are splits.
        places: Folders above the classes, which may hold label files; "" is the top.
        split_notes: Notes on the splits.
        class_notes: Notes on the classes, shown if they are used.
    """

    classes: dict[str, str]
    splits: dict[str, Split]
    places: list[str]
    split_notes: list[str]
    class_notes: list[str]


def read_layout(names: Iterable[str]) -> Layout:
    """Find the level of folders that are the classes.

    A single folder that holds everything is entered. If all folders of a level have names of splits, they are splits,
    and the classes are below them. Otherwise the first level with two or more folders is the classes; splits may also
    be below each class.

    Args:
        names: Paths within the folder, with "/" between the parts.
    """
    parts = {name: name.split("/") for name in names}
    active = {name: path for name, path in parts.items() if NO_SOUNDS not in path[:-1]}
    splits: dict[str, Split] = {}
    places, entered, split_notes, class_notes, depth = [""], list[str](), list[str](), list[str](), 0
    while True:
        active = {name: path for name, path in active.items() if len(path) > depth + 1}
        tops = {path[depth] for path in active.values()}
        spellings = {(folded if splits else composed)(top) for top in tops}
        sides = split_folders(tops) if len(spellings) > 1 else {}
        here = {name: sides[path[depth]] for name, path in active.items()} if sides else {}
        if here and all(splits.get(name, side) == side for name, side in here.items()):
            if not splits:
                split_notes.append(_split_note(sides))
            splits |= here
        elif len(spellings) == 1:
            entered += tops if len(tops) == 1 else []
        elif not (tops and _are_formats(tops, list(active.values()), depth)):
            break
        depth += 1
        places += sorted({"/".join(path[:depth]) for path in active.values()})
    classes = {name: path[depth] for name, path in active.items()}
    if classes and entered:
        class_notes.append(f"classes are the folders in {one_line('/'.join(entered))}, which holds all others")
    if classes and not splits:
        splits, split_notes = _splits_below(active, depth)
        class_notes += [] if splits else [*_not_all_splits(tops), *_same_below(active, depth)]
    return Layout(classes, splits, places, split_notes, class_notes)


def split_folders(folders: Iterable[str]) -> dict[str, Split]:
    """The side of each folder; empty if one of them is not a split, or all are the same side.

    The names may have more words, equal in all except for numbers: `nsynth-train`, `1_train`, `2_test`.
    """
    words = {folder: [w for w in re.split(r"[\W_]+", folded(folder)) if w] for folder in folders}
    found = {folder: [w for w in some if w in TRAIN | HELD_OUT] for folder, some in words.items()}
    rest = {tuple(w for w in some if w not in TRAIN | HELD_OUT and not w.isdigit()) for some in words.values()}
    if len(rest) != 1 or any(len(some) != 1 for some in found.values()):
        return {}
    named = {folder: some[0] for folder, some in found.items()}
    train = TRAIN if TRAIN & set(named.values()) else {"dev"}  # with only "eval", "dev" is the training side
    sides: dict[str, Split] = {folder: "train" if word in train else "val" for folder, word in named.items()}
    return sides if len(set(named.values())) > 1 else {}


def _split_note(sides: Mapping[str, Split]) -> str:
    held_out = [top for top, side in sorted(sides.items()) if side == "val"]
    return (
        f"the folders {_listed(sides)} are used as splits, not classes: {_listed(held_out)} "
        f"{'is' if len(held_out) == 1 else 'are'} for validation"
    )


def _splits_below(active: Mapping[str, list[str]], depth: int) -> tuple[dict[str, Split], list[str]]:
    """Splits in the folders of classes, as in kick/train and kick/test."""
    below = {name: path[depth + 1] for name, path in active.items() if len(path) > depth + 2}
    sides = split_folders(set(below.values()))
    return {name: sides[folder] for name, folder in below.items()} if sides else {}, [
        _split_note(sides)
    ] if sides else []


def _not_all_splits(tops: set[str]) -> list[str]:
    named = {top for top in tops if folded(top) in TRAIN | HELD_OUT}
    others = _listed(tops - named)
    if len(named) < 2 or not others:
        return []
    return [f"the folders {_listed(named)} are used as classes, not splits, since {others} is next to them"]


def _same_below(active: Mapping[str, list[str]], depth: int) -> list[str]:
    """A note if each class has the same subfolders, as in several packs; these may be the actual classes."""
    below: dict[str, set[str]] = {}
    for path in active.values():
        below.setdefault(path[depth], set()).add(path[depth + 1] if len(path) > depth + 2 else "")
    first, *others = below.values()
    if not others or len(first) < 2 or "" in first:
        return []
    if any({*map(folded, other)} != {*map(folded, first)} for other in others):
        return []
    return [
        f"the classes are {_listed(below)}, and each holds {_listed(first)}, which are ignored as labels; if those "
        f"are the classes, write a labels.csv"
    ]


def _are_formats(tops: set[str], paths: list[list[str]], depth: int) -> bool:
    """Whether folders are formats of the same sounds: WAV/kick, MP3/kick."""
    words = [[w for w in re.split(r"[\W_]+", folded(top)) if w not in NUMBERS] for top in tops]
    return all(some and all(FORMAT.fullmatch(w) for w in some) for some in words) and all(
        len(path) > depth + 2 for path in paths
    )


def _listed(folders: Iterable[str]) -> str:
    ordered = [f"{one_line(folder)}/" for folder in sorted(folders)]
    return ", ".join(ordered[:SHOWN_FOLDERS]) + (", .." if ordered[SHOWN_FOLDERS:] else "")
