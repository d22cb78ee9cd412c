"""Which command writes which files of a folder: two at once do not mix, and one that was killed can go on."""

import secrets
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from audio_gen.cli.common import check_out, say
from audio_gen.errors import OutputError
from audio_gen.files import MalformedError, read_json, write_json
from audio_gen.locks import HeldError, exclusive
from audio_gen.text import one_line

CLAIM = ".audio-gen-{}.json"


@contextmanager
def claimed(out: Path, names: Sequence[str], *, command: str, bundle: str, force: bool) -> Iterator[None]:
    """Hold the names of the files that a command writes, after `check_out`.

    The same command with the same bundle writes the same files, so what it left when it was killed is not in its way.

    Args:
        out: The folder for the results.
        names: The files that will be written there.
        command: The command line.
        bundle: The bundle's digest.
        force: Results that are there already may be replaced.

    Raises:
        OutputError: Another command writes one of them, or there is one already and `force` is off.
    """
    check_out(out, [])
    own = out / CLAIM.format(secrets.token_hex(8))
    with ExitStack() as held:
        # Held before the others are looked at: of two that come at once, one at least sees the other.
        write_json(own, {"command": command, "bundle": bundle, "files": list(names)})
        with exclusive(own, wait=False):
            done: dict[Path, set[str]] = {}
            try:
                done = _outlived(out, own, names, command=command, bundle=bundle)
                ours = {name for files in done.values() for name in files}
                check_out(out, [name for name in names if name not in ours], force=force)
            except BaseException:
                held.callback(own.unlink, missing_ok=True)
                raise
            try:
                yield
            except BaseException as e:
                if not any((out / name).exists() for name in names):  # nothing to go on from
                    held.callback(own.unlink, missing_ok=True)
                elif isinstance(e, KeyboardInterrupt):
                    say(f"the same command again goes on with {one_line(out)}", json_output=True)
                raise
        for path in (own, *done):
            held.callback(path.unlink, missing_ok=True)


def _outlived(out: Path, own: Path, names: Sequence[str], *, command: str, bundle: str) -> dict[Path, set[str]]:
    """The claims that the same command left when it was killed, with their files.

    Raises:
        OutputError: Another command writes one of the names.
    """
    found = {}
    for path in sorted(out.glob(CLAIM.format("*"))):
        theirs = _read(path)
        if path == own:
            continue
        if _is_live(path):
            if both := sorted(theirs["files"] & set(names)):
                raise OutputError(
                    f"--out {one_line(out)}: another command writes {one_line(both[0])} there at this moment; "
                    "choose another folder or wait"
                )
        elif theirs["command"] == {command} and theirs["bundle"] == {bundle}:
            found[path] = theirs["files"]
    return found


def _read(path: Path) -> dict[str, set[str]]:
    """What a claim says; nothing where it cannot be read."""
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
