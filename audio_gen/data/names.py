"""Match names of files and classes across spellings (Unicode form, case)."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import PurePosixPath
from urllib.parse import unquote

from audio_gen.data.scan import AUDIO_SUFFIXES

FULL, ENDING, DIVERGED = range(3)  # equal parts of two paths: all, all of one of them, only their ends
DEEPEST = 16  # folders that are compared
ROOTED = re.compile(r"^(?:[/\\~]|\.\.[/\\]|[a-z][a-z0-9+.-]*:)", re.IGNORECASE)
ESCAPED = re.compile(r"\\x([89a-f][0-9a-f])")  # a byte of a file name that is not UTF-8, as escaped by the scan
MEANING = "#&%*@"  # punctuation that distinguishes names: C and C#
LETTERS = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i", "ħ": "h"})


def composed(text: str) -> str:
    """A name in NFC; macOS stores letters and accents separately."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def folded(text: str) -> str:
    """A name without case, in NFC."""
    return text.lower() if text.isascii() else composed(composed(text).casefold())


def meant(name: str, known: Sequence[str]) -> list[str]:
    """The known names that match `name`; several if it is ambiguous.

    Names are compared exactly, then without composition, case, separators, plural and accents; the first comparison
    with a match decides.

    Args:
        name: A name from the user.
        known: The existing names.
    """
    for spelling in (str, composed, folded, _joined, _singular, _unaccented):
        wanted = spelling(name)
        if found := [other for other in known if spelling(other) == wanted]:
            return found
    return []


def _joined(name: str) -> str:
    letters = "".join(c for c in folded(name) if c in MEANING or unicodedata.category(c)[0] not in "ZPC")
    return letters or name


def _singular(name: str) -> str:
    joined = _joined(name)
    return joined.removesuffix("s") or joined


def _unaccented(name: str) -> str:
    letters = unicodedata.normalize("NFKD", _joined(name))
    plain = "".join(c for c in letters if unicodedata.category(c) != "Mn").translate(LETTERS)
    return _singular(plain) if plain else name


@dataclass(frozen=True)
class FileMatch:
    """The files that match a key.

    Attributes:
        names: One file; files in one folder that differ only in their suffix; or several if the key is ambiguous.
        ambiguous: The key matches different files.
        rank: Smaller is closer: equal parts of the paths, whether the case differs, how the suffix differs.
    """

    names: tuple[str, ...] = ()
    ambiguous: bool = False
    rank: tuple[int, bool, int] = (FULL, False, 0)


class FileNames:
    """An index of the files of a folder for the keys of a label file; fast for 100,000 of each."""

    def __init__(self, names: Iterable[str]) -> None:
        """Index the names.

        Args:
            names: Paths within the folder, with "/" between the parts.
        """
        self._names = list(names)
        self._parts = [_parts(_decoded(name)) for name in self._names]
        self._known = frozenset(self._names)
        self._endings: dict[str, list[int]] = {}
        for number, parts in enumerate(self._parts):
            for ending in _endings(parts, folded(_bare(parts[-1]))) if parts else ():
                self._endings.setdefault(ending, []).append(number)
        self._nearest = cache(self._find_nearest)

    def match(self, keys: Iterable[str]) -> dict[str, FileMatch]:
        """The files that match each key.

        A key is a path, the end of a path, or either with other folders in front. If some keys match a folder by its
        path, other keys do not match it by fewer parts: `snare/1.wav` is not `kick/1.wav` if `kick/2.wav` matches.

        Args:
            keys: All keys of one label file.
        """
        found = {key: self._find(key) for key in dict.fromkeys(keys)}
        ways = {self._way(key, match) for key, match in found.items() if match.names and not match.ambiguous}
        share = sum(bool(match.names) for match in found.values()) / max(1, len(found))
        for key, match in found.items():
            if match.names and match.rank[0] == DIVERGED and not self._plausible(key, match, ways, share):
                found[key] = FileMatch()
        return found

    def _find(self, key: str) -> FileMatch:
        if key in self._known:
            return FileMatch((key,))
        parts = _parts(key)
        length = max((self._common(parts, form) for form in _forms(parts)), default=0)
        if not length:
            decoded = unquote(key)
            return self._find(decoded) if decoded != key else FileMatch()
        return self._nearest(tuple(parts[-length:]), length == len(parts))

    def _common(self, parts: list[str], last: str) -> int:
        """The number of parts at the end of a key, with its last as `last`, that equal those of any file."""
        length = 0
        for ending in _endings(parts, last):
            if ending not in self._endings:
                break
            length += 1
        return length

    def _find_nearest(self, parts: tuple[str, ...], whole: bool) -> FileMatch:
        """The files with this ending that are closest to it; `whole` if the ending is the whole key."""
        ranks: dict[tuple[int, bool, int], list[int]] = {}
        for form in _forms(parts):
            *_, ending = _endings(parts, form)
            for number in self._endings.get(ending, ()):
                ranks.setdefault(self._rank(parts, whole, number), []).append(number)
        rank = min(ranks)
        names = tuple(self._names[number] for number in ranks[rank])
        return FileMatch(names, len({name.rpartition(".")[0] for name in names}) > 1, rank)

    def _rank(self, parts: tuple[str, ...], whole: bool, number: int) -> tuple[int, bool, int]:
        name = self._parts[number]
        *folders, file = name[-len(parts) :]
        entire = len(name) == len(parts)
        place = FULL if whole and entire else ENDING if whole or entire else DIVERGED
        if folded(file) == folded(parts[-1]):
            suffix, as_written = 0, file
        elif folded(_bare(file)) == folded(parts[-1]):
            suffix, as_written = 1, _bare(file)
        else:
            suffix, as_written = 2, _bare(file) + parts[-1][len(_bare(parts[-1])) :]
        return place, (*folders, as_written) != parts, suffix

    def _way(self, key: str, match: FileMatch) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The folders of a key and of its file before their common end."""
        theirs, ours = _parts(key), _parts(_decoded(match.names[0]))
        common = 1
        while common < min(len(theirs), len(ours)) and folded(theirs[-common - 1]) == folded(ours[-common - 1]):
            common += 1
        return tuple(theirs[:-common]), tuple(ours[:-common])

    def _plausible(
        self, key: str, match: FileMatch, ways: set[tuple[tuple[str, ...], tuple[str, ...]]], share: float
    ) -> bool:
        """Whether a match with different folders is plausible."""
        theirs, ours = self._way(key, match)
        if len(theirs) > DEEPEST or len(ours) > DEEPEST:
            return False
        shorter = ((theirs[:i], ours[:j]) for i in range(len(theirs) + 1) for j in range(len(ours) + 1))
        if any(way in ways for way in shorter if way != (theirs, ours)):
            return False
        only_the_file_name = len(_parts(key)) == len(theirs) + 1
        return not only_the_file_name or (ROOTED.match(key) is not None and share >= 0.5)


def _decoded(name: str) -> str:
    return ESCAPED.sub(lambda found: chr(int(found[1], 16)), name) if "\\x" in name else name


def _parts(path: str) -> list[str]:
    """The parts of a path, composed, without ".", ".." and empty ones."""
    parts: list[str] = []
    for part in composed(path).replace("\\", "/").split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return parts


def _forms(parts: Sequence[str]) -> list[str]:
    """The last part of a path with and without suffix, without case."""
    return list(dict.fromkeys((folded(parts[-1]), folded(_bare(parts[-1]))))) if parts else []


def _endings(parts: Sequence[str], last: str) -> Iterable[str]:
    """The endings of a path, the shortest first, without case; `last` replaces its last part."""
    ending = last
    yield ending
    for part in parts[-2 : -DEEPEST - 1 : -1]:
        ending = f"{folded(part)}/{ending}"
        yield ending


def _bare(name: str) -> str:
    """A file name without its suffix if that is an audio suffix."""
    suffix = PurePosixPath(name).suffix
    return name[: -len(suffix)] if suffix.lower() in AUDIO_SUFFIXES else name
