"""Files of a run that changed since it began."""

import json
import shlex
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from audio_gen.artefacts.folders import RunFolder
from audio_gen.data.names import composed
from audio_gen.data.store import Cache
from audio_gen.data.table import Clip
from audio_gen.errors import CheckpointError
from audio_gen.files import MalformedError, parse_json, read_regular, write_text
from audio_gen.text import one_line, shortened

LARGEST_BYTES = 1 << 30
Known = tuple[str, str | None, float | None]  # hash, class, pitch
ANOTHER_CLASS, ANOTHER_SOUND = "of another class", "with another sound"


def keep_clips(run: Path, cache: Cache) -> None:
    """Record the clips at the start of a run; an existing record is kept."""
    path = RunFolder(run).clips
    if path.is_file():
        return
    rows = ([c.path, c.content_hash, c.class_name, c.pitch] for c in cache.clips)
    write_text(path, "".join(json.dumps(row) + "\n" for row in rows))


def changes(run: Path, cache: Cache) -> dict[str, list[str]]:
    """The files that have changed since a run began.

    Returns:
        File names by kind of change; empty without changes or without a record.
    """
    then, now = _began_with(run), {clip.path: _known(clip) for clip in cache.clips}
    if then is None or then == now:
        return {}
    gone, new = [path for path in then if path not in now], [path for path in now if path not in then]
    both = [path for path in now if path in then]
    names: dict[str, list[str]] = {}
    for path in gone:
        names.setdefault(then[path][0], []).append(path)
    renamed = []
    for path in new:
        if before := names.get(now[path][0]):
            renamed.append((before.pop(), path))
    moved = {path for pair in renamed for path in pair}
    pairs = [(path, path) for path in both if then[path][0] == now[path][0]] + renamed
    kinds = {
        "added": [path for path in new if path not in moved],
        "removed": [path for path in gone if path not in moved],
        "renamed": [f"{before} to {path}" for before, path in renamed],
        ANOTHER_SOUND: [path for path in both if then[path][0] != now[path][0]],
        ANOTHER_CLASS: [path for before, path in pairs if then[before][1] != now[path][1]],
        "of another pitch": [path for before, path in pairs if then[before][2] != now[path][2]],
    }
    return {kind: some for kind, some in kinds.items() if some}


def counted(kinds: dict[str, list[str]]) -> str:
    """The number of files per kind of change, with an example, as part of a sentence."""
    return ", ".join(f"{len(some)} {kind} ({one_line(some[0])})" for kind, some in kinds.items())


def check_classes(run: Path, source: Path, cache: Cache) -> None:
    """Refuse to resume with other classes, since a model has a fixed list; the message names the folder.

    Raises:
        CheckpointError: A checkpoint has other classes.
    """
    then = _began_with(run)
    if then is None or not RunFolder(run).checkpoint_files():
        return
    before = {name for _, name, _ in then.values() if name is not None}
    after = set(cache.classes)
    faults = [_new_class(name, source, cache, then) for name in sorted(after - before)]
    faults += [f"class {shortened(name)} is gone: {_example(then, name)} had it" for name in sorted(before - after)]
    if faults:
        more = f" ({_others(len(faults) - 1)})" if faults[1:] else ""
        raise CheckpointError(
            f"{one_line(run)}: cannot resume with other classes: {faults[0]}{more}; undo that, train into a new folder "
            f"with --init {shlex.quote(str(run))} to keep its weights, or add --force to start again"
        )


def _others(count: int) -> str:
    return f"and {count} more class{'es' * (count > 1)} came or went"


def _new_class(name: str, source: Path, cache: Cache, then: dict[str, Known]) -> str:
    paths = [clip.path for clip in cache.clips if clip.class_name == name]
    folder = _common_folder(paths)
    if folder and not any(path.startswith(f"{folder}/") for path in then):
        return (
            f"class {shortened(name)} is new, since the folder {one_line(folder)}/ in {one_line(source)} was not there "
            "when the run began"
        )
    return f"class {shortened(name)} is new: {one_line(paths[0])} has it"


def _common_folder(paths: Sequence[str]) -> str:
    """The deepest common folder of all paths; empty if there is none."""
    parents = [PurePosixPath(path).parent.parts for path in paths]
    same = [parts[0] for parts in zip(*parents, strict=False) if len(set(parts)) == 1]
    return "/".join(same)


def _example(then: dict[str, Known], name: str) -> str:
    return one_line(next(path for path, known in then.items() if known[1] == name))


def _known(clip: Clip) -> Known:
    return clip.content_hash, clip.class_name, clip.pitch


def _began_with(run: Path) -> dict[str, Known] | None:
    """The clips at the start of a run, by path; None for runs of earlier versions and damaged records."""
    try:
        rows = [parse_json(line) for line in read_regular(RunFolder(run).clips, LARGEST_BYTES).splitlines()]
        if not all(_is_row(*row) for row in rows):
            return None
        return {path: (content, name and composed(name), pitch) for path, content, name, pitch in rows}
    except (OSError, MalformedError, TypeError, ValueError):
        return None


def _is_row(path: object, content: object, name: object, pitch: object) -> bool:
    return (
        isinstance(path, str)
        and isinstance(content, str)
        and isinstance(name, str | None)
        and isinstance(pitch, int | float | None)
    )
