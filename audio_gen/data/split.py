"""Split into training and validation by content hash, so it is stable as files are added."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Literal

from audio_gen.text import distinct_sounds

Split = Literal["train", "val"]
Key = tuple[int, str]  # (0, captured text) or (1, content hash); a captured text has priority
MIN_CLIPS = 5
SALT = b"audio_gen split 1"


def assign_splits(
    paths: Sequence[str], content_hashes: Sequence[str], *, val_fraction: float, group_pattern: str | None = None,
    folders: Mapping[str, Split] | None = None, given_by: str = "folders",
) -> tuple[list[Split], str | None]:  # fmt: skip
    """Split clips into training and validation.

    Clips with the same sound, or with the same text captured by `group_pattern`, are on one side.

    Args:
        paths: Paths of the clips within their folder.
        content_hashes: Hash of each one's sound.
        val_fraction: Share of the groups for validation, 0 to 1.
        group_pattern: Regular expression searched in the path; its captured text is the group.
        folders: Given sides of clips; they are kept if they leave enough to train on and `val_fraction` is not 0.
        given_by: The source of these sides, for notes.

    Returns:
        The side of each clip, and a note if nothing is held out or sides are given.
    """
    keys = _group_keys(paths, content_hashes, group_pattern)
    given = None
    if folders and val_fraction:
        sides, given = _of_folders([folders.get(path, "train") for path in paths], keys, content_hashes, given_by)
        if sides:
            return sides, given
    elif folders:
        given = f"val_fraction is 0: the validation sounds of the {given_by} are also trained on"
    sides, note = _by_content(keys, content_hashes, val_fraction)
    return sides, "; ".join(text for text in (given, note) if text) or None


def _of_folders(
    given: list[Split], keys: Sequence[Key], content_hashes: Sequence[str], given_by: str
) -> tuple[list[Split], str]:
    """The given sides, or none, and a note; a group on both sides is for validation."""
    held_out = {key for key, side in zip(keys, given, strict=True) if side == "val"}
    sides: list[Split] = ["val" if key in held_out else "train" for key in keys]
    moved = sum(side != before for side, before in zip(sides, given, strict=True))
    sounds = len({content for content, side in zip(content_hashes, sides, strict=True) if side == "train"})
    if not held_out:
        return [], f"the {given_by} contain no usable sound for validation, so all sounds are split again"
    if sounds < MIN_CLIPS:
        return [], (
            f"the splits of the {given_by} leave {distinct_sounds(sounds)} to train on, fewer than {MIN_CLIPS}, "
            + (f"since {moved} files for training have a sound or group that is also for validation: " if moved else "")
            + "so all are split again"
        )
    counts = f"{sides.count('train')} files to train on, {sides.count('val')} to validate on"
    note = f"the splits of the {given_by} are kept: {counts}"
    files = "1 file for training is" if moved == 1 else f"{moved} files for training are"
    more = f"; {files} not trained on, since the same sound or group is also for validation"
    return sides, note + (more if moved else "")


def _by_content(
    keys: Sequence[Key], content_hashes: Sequence[str], val_fraction: float
) -> tuple[list[Split], str | None]:
    ranked = sorted(set(keys), key=_position)
    distinct = len(set(content_hashes))
    if distinct < MIN_CLIPS or len(ranked) < 2 or val_fraction == 0:
        which = "the only sound is" if distinct == 1 else f"all {distinct} sounds are"
        why = (
            f"{which} used for training and for validation: there are too few to hold any out, so memorisation cannot "
            "be measured"
        )
        return ["train"] * len(keys), why if val_fraction else None
    held_out = {key for key in ranked if _position(key) < val_fraction} or {ranked[0]}
    held_out.discard(ranked[-1])  # never everything
    return ["val" if key in held_out else "train" for key in keys], None


def _position(key: Key) -> float:
    """A number in 0..1 that depends only on the key."""
    return int.from_bytes(hashlib.blake2b(repr(key).encode(), digest_size=8, key=SALT).digest()) / 2**64


def _group_keys(paths: Sequence[str], content_hashes: Sequence[str], group_pattern: str | None) -> list[Key]:
    """One key per clip; groups that share a sound are joined."""
    pattern = re.compile(group_pattern) if group_pattern else None
    parents: dict[Key, Key] = {}

    def root(key: Key) -> Key:
        while (parent := parents.setdefault(key, key)) != key:
            key = parent
        return key

    contents: list[Key] = [(1, content) for content in content_hashes]
    for path, content in zip(paths, contents, strict=True):
        if pattern and (match := pattern.search(path)) and match.groups():
            group = (0, "\0".join(text or "" for text in match.groups()))
            first, second = sorted((root(group), root(content)))
            parents[second] = first
    return [root(content) for content in contents]
