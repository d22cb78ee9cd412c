"""Output folders: files are not lost, two commands do not mix, and a killed one can resume."""

import os
import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from audio_gen.artefacts.sidecar import clip_files
from audio_gen.data.scan import scan_folder
from audio_gen.errors import DataError, OutputError
from audio_gen.files import MalformedError, legal_name, read_json, write_json
from audio_gen.locks import HeldError, exclusive
from audio_gen.reporter import SILENT, Reporter
from audio_gen.text import one_line

CLAIM = ".audio-gen-{}.json"
MAX_STEM_BYTES = 180  # file systems take 255 bytes, and a suffix follows


def sound_files(files: Iterable[Path]) -> list[Path]:
    """Files, with each folder replaced by its audio files, sorted.

    Raises:
        DataError: A folder has none.
    """
    found: list[Path] = []
    for file in files:
        if not file.is_dir():
            found.append(file)
            continue
        held = [one.path for one in scan_folder(file).found if one.problem is None and one.link_to is None]
        if not held:
            raise DataError(
                f"{one_line(file)}: is a folder without audio files; name files, or a folder with audio files"
            )
        found += held
    return found


def output_stems(files: Iterable[Path]) -> list[str]:
    """One name for each file, without suffix and not too long; equal names from several folders are numbered."""
    return distinct_names(file.stem for file in files)


def distinct_names(names: Iterable[str]) -> list[str]:
    """Legal file names of limited length; names that differ only in case are numbered."""
    used: set[str] = set()
    found = []
    for name in names:
        short = legal_name(os.fsencode(name)[:MAX_STEM_BYTES].decode("utf-8", "ignore") or "clip")
        other, number = short, 1
        while other.casefold() in used:
            number += 1
            other = f"{short}-{number}"
        used.add(other.casefold())
        found.append(other)
    return found


def with_sidecars(stems: Iterable[str]) -> list[str]:
    """The file names of clips and their sidecars."""
    return [name for stem in stems for name in clip_files(stem)]


def check_out(out: Path, names: Iterable[str] | None = None, *, force: bool = False) -> Path:
    """Create the output folder; raise an error if files in it would be lost.

    Args:
        out: The folder for the results.
        names: The files to write; None if unknown, then the folder must be empty.
        force: Replace existing results.

    Returns:
        `out`.

    Raises:
        OutputError: The folder cannot be created, or contains results and `force` is off.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        if force:
            return out
        found = out.iterdir() if names is None else (out / name for name in names if (out / name).exists())
        existing = next(iter(found), None)
    except (FileExistsError, NotADirectoryError) as e:
        raise OutputError(f"--out {out}: a file is in the way; choose another folder") from e
    except OSError as e:
        raise OutputError(f"--out {out}: cannot be used ({e.strerror}); choose another folder") from e
    if existing is not None:
        raise OutputError(f"--out {out}: holds {one_line(existing.name)} already; choose another folder or add --force")
    return out


@contextmanager
def claimed(
    out: Path, names: Sequence[str], *, command: str, bundle: str, force: bool, reporter: Reporter = SILENT
) -> Iterator[None]:
    """Claim the files that a command writes, after `check_out`.

    The same command with the same bundle writes the same files, so it may replace those of a killed run of it.

    Args:
        out: The folder for the results.
        names: The files to write.
        command: The command line.
        bundle: The bundle's digest.
        force: Replace existing results.
        reporter: Gets a note on how to resume after an interrupt.

    Raises:
        OutputError: Another command writes one of them, or one exists and `force` is off.
    """
    check_out(out, [])
    claim = out / CLAIM.format(secrets.token_hex(8))
    with ExitStack() as held:
        # Claimed before other claims are read: of two commands that start at once, at least one sees the other.
        write_json(claim, {"command": command, "bundle": bundle, "files": list(names)})
        with exclusive(claim, wait=False):
            done: dict[Path, set[str]] = {}
            try:
                done = _abandoned(out, claim, names, command=command, bundle=bundle)
                ours = {name for files in done.values() for name in files}
                check_out(out, [name for name in names if name not in ours], force=force)
            except BaseException:
                held.callback(claim.unlink, missing_ok=True)
                raise
            try:
                yield
            except BaseException as e:
                if not any((out / name).exists() for name in names):  # nothing to resume
                    held.callback(claim.unlink, missing_ok=True)
                elif isinstance(e, KeyboardInterrupt):
                    reporter.note(f"run the same command again to resume {one_line(out)}")
                raise
            _forget(out, {claim, *done}, names, claim.stat().st_mtime_ns)
        for path in (claim, *done):
            held.callback(path.unlink, missing_ok=True)


def _abandoned(out: Path, claim: Path, names: Sequence[str], *, command: str, bundle: str) -> dict[Path, set[str]]:
    """Claims left by killed runs of the same command, with their files.

    Raises:
        OutputError: Another command writes one of the names.
    """
    found = {}
    for path in sorted(out.glob(CLAIM.format("*"))):
        theirs = _read(path)
        if path == claim:
            continue
        if _is_live(path):
            if both := sorted(theirs["files"] & set(names)):
                raise OutputError(
                    f"--out {one_line(out)}: another command is writing {one_line(both[0])} there; choose "
                    f"another folder or wait"
                )
        elif theirs["command"] == {command} and theirs["bundle"] == {bundle}:
            found[path] = theirs["files"]
    return found


def _forget(out: Path, kept: set[Path], names: Sequence[str], started_ns: int) -> None:
    """Delete claims of killed runs on files that were written since a time, or they could replace these later."""
    written = {name for name in names if (out / name).exists() and (out / name).stat().st_mtime_ns >= started_ns}
    for path in sorted(out.glob(CLAIM.format("*"))):
        if path not in kept and not _is_live(path) and _read(path)["files"] & written:
            path.unlink(missing_ok=True)


def _read(path: Path) -> dict[str, set[str]]:
    """The contents of a claim; empty if it cannot be read."""
    with suppress(OSError, MalformedError, TypeError, KeyError):
        about = read_json(path)
        found = {key: {about[key]} for key in ("command", "bundle")}
        return found | {"files": {str(name) for name in about["files"]}}
    return {"command": set(), "bundle": set(), "files": set()}


def _is_live(path: Path) -> bool:
    try:
        with exclusive(path, wait=False):
            return False
    except HeldError:
        return True
    except OSError:
        return False
