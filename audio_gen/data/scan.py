"""Find the audio files of a folder, each once, including hidden ones and links."""

import os
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from audio_gen.artefacts.folders import package_folder
from audio_gen.errors import DataError
from audio_gen.text import one_line

NAMED = 3  # folders that are named in a line
READABLE = ["wav", "wave", "bwf", "rf64", "w64", "aif", "aiff", "aifc", "au", "snd", "caf"]
READABLE += ["flac", "ogg", "oga", "opus", "mp3"]
UNREADABLE = [  # listed in the report as unusable
    "m4a", "m4b", "mp4", "aac", "wma", "wv", "ape", "mpc", "mka", "amr", "sd2", "ncw", "rx2", "rex", "tta", "dsf",
    "dff", "spx", "voc", "webm", "ac3", "mp2",
]  # fmt: skip
AUDIO_SUFFIXES = frozenset(f".{suffix}" for suffix in READABLE + UNREADABLE)


@dataclass(frozen=True)
class Found:
    """A file with an audio suffix.

    Attributes:
        path: Where it is.
        name: Its path within the folder with "/" between the parts, printable.
        problem: Why it is not read, or None.
        link_to: The `name` of the file of the folder that this is a link to, or None.
    """

    path: Path
    name: str
    problem: str | None = None
    link_to: str | None = None


@dataclass(frozen=True)
class SkippedFolder:
    """A subfolder that is a run or a cache of this package, and is skipped.

    Attributes:
        name: Its path within the folder.
        kind: Its kind, such as "a training run".
        sounds: Number of its files with an audio suffix.
    """

    name: str
    kind: str
    sounds: int

    def __str__(self) -> str:
        """One line for the user."""
        held = f" ({self.sounds} sound{'s' * (self.sounds != 1)})" if self.sounds else ""
        return f"{one_line(self.name)}/: {self.kind} of audio_gen, skipped{held}"


def skipped_notes(skipped: Sequence[SkippedFolder]) -> list[str]:
    """One line on all skipped runs and caches of a folder; empty if there are none."""
    if len(skipped) < 2:
        return [str(one) for one in skipped]
    kinds = Counter(one.kind.removeprefix("a ") for one in skipped)
    counts = " and ".join(f"{count} {kind}{'s' * (count > 1)}" for kind, count in sorted(kinds.items()))
    named = ", ".join(f"{one_line(one.name)}/" for one in skipped[:NAMED]) + (", .." if len(skipped) > NAMED else "")
    sounds = sum(one.sounds for one in skipped)
    held = f" ({sounds} sound{'s' * (sounds != 1)})" if sounds else ""
    return [f"{counts} of audio_gen, skipped{held}: {named}"]


@dataclass
class Scan:
    """The content of a folder: files with an audio suffix, the number of other files, and skipped folders."""

    found: list[Found] = field(default_factory=list)
    ignored: int = 0
    skipped: list[SkippedFolder] = field(default_factory=list)

    def below(self, name: str) -> "Scan":
        """The same content, as that of a subfolder with this name."""
        found = [replace(f, name=f"{name}/{f.name}", link_to=f.link_to and f"{name}/{f.link_to}") for f in self.found]
        return Scan(found, self.ignored, [replace(one, name=f"{name}/{one.name}") for one in self.skipped])


def scan_folder(folder: Path) -> Scan:
    """List the audio files below a folder, sorted by name.

    Linked folders are followed once; links to the folder itself, to a parent or to a subfolder are not. Hidden files
    and files in hidden folders are listed with a problem. Runs and caches of this package below the folder are skipped.

    Args:
        folder: The folder.

    Raises:
        DataError: It does not exist, is not a folder, or cannot be opened.
    """
    if not folder.is_dir():
        what = "is a file, not a folder" if folder.exists() else "does not exist"
        raise DataError(f"{one_line(folder)}: {what}; name a folder of WAVs")
    if not os.access(folder, os.R_OK | os.X_OK):
        raise DataError(f"{one_line(folder)}: cannot be opened; change its permissions or name another folder")
    scan = _Walk(folder).scan
    scan.found.sort(key=lambda f: f.name)
    scan.skipped.sort(key=lambda f: f.name)
    return scan


def printable_name(relative: Path | str) -> str:
    """A path with "/" between its parts; bytes that are not UTF-8 are escaped."""
    return os.fsencode(relative).decode("utf-8", "backslashreplace").replace(os.sep, "/")


def _count(folder: Path) -> int:
    """The number of files with an audio suffix below a folder; links to folders are not followed."""
    names = (name for _, _, files in os.walk(folder) for name in files)
    return sum(os.path.splitext(name)[1].lower() in AUDIO_SUFFIXES for name in names)


class _Walk:
    """One pass over a folder: first its files, then the targets of links."""

    def __init__(self, root: Path) -> None:
        self.root, self.scan = root, Scan()
        self.real_root = os.path.realpath(root)
        self.seen_folders: set[str] = set()
        self.seen_files: dict[str, str] = {}  # real path -> name
        self.links: deque[Path] = deque()
        self._folder(root)
        while self.links:
            self._link(self.links.popleft())

    def _folder(self, folder: Path) -> None:
        waiting = [folder]
        while waiting:
            here = waiting.pop()
            real = os.path.realpath(here)
            if real in self.seen_folders:
                continue
            self.seen_folders.add(real)
            try:
                with os.scandir(here) as listing:
                    entries = sorted(listing, key=lambda e: e.name)
            except OSError as e:
                self._add(here, problem=f"this folder cannot be opened ({e.strerror})")
                continue
            kind = None if here == self.root else package_folder(here, {entry.name for entry in entries})
            if kind is not None:
                self.scan.skipped.append(SkippedFolder(printable_name(here.relative_to(self.root)), kind, _count(here)))
                continue
            for entry in entries:
                path = here / entry.name
                if entry.is_symlink():
                    self.links.append(path)
                elif entry.is_dir(follow_symlinks=False):
                    waiting.append(path)
                elif entry.is_file(follow_symlinks=False):
                    self._file(path, os.path.join(real, entry.name))
                else:
                    self.scan.ignored += 1  # sockets, pipes, devices

    def _file(self, path: Path, real: str) -> None:
        if path.suffix == ".icloud" and Path(path.stem).suffix.lower() in AUDIO_SUFFIXES:
            self._add(path, problem="stored in iCloud and not on this disk; download it")
            return
        if path.suffix.lower() not in AUDIO_SUFFIXES:
            self.scan.ignored += 1
            return
        self._add(path, problem=self._hidden(path), link_to=self.seen_files.get(real))
        self.seen_files.setdefault(real, self.scan.found[-1].name)

    def _link(self, path: Path) -> None:
        real = os.path.realpath(path)
        if os.path.isfile(real):
            self._file(path, real)
        elif os.path.isdir(real):
            inside_out = os.path.commonpath([real, self.real_root]) == real  # a link to a parent is a loop
            if inside_out or real in self.seen_folders:
                self.scan.ignored += 1
            else:
                self._folder(path)
        elif path.suffix.lower() in AUDIO_SUFFIXES:
            self._add(path, problem="a broken link")
        else:
            self.scan.ignored += 1

    def _hidden(self, path: Path) -> str | None:
        *folders, name = path.relative_to(self.root).parts
        if any(part.startswith(".") for part in folders):
            return "in a hidden folder; rename the folder to use it"
        if name.startswith("._"):
            return "macOS metadata (AppleDouble), not audio"
        return "a hidden file; rename it to use it" if name.startswith(".") else None

    def _add(self, path: Path, problem: str | None = None, link_to: str | None = None) -> None:
        self.scan.found.append(Found(path, printable_name(path.relative_to(self.root)), problem, link_to))
