"""Which clips are kept back for validation: decided by what they hold, so that it stays as files are added."""

import hashlib
import re
from collections.abc import Sequence
from typing import Literal

Split = Literal["train", "val"]
MIN_CLIPS = 5
SALT = b"audio_gen split 1"


def assign_splits(
    paths: Sequence[str], content_hashes: Sequence[str], *, val_fraction: float, group_pattern: str | None = None
) -> tuple[list[Split], str | None]:
    """Split clips into training and validation.

    Clips with the same sound, or with the same text captured by `group_pattern`, are on the same side.

    Args:
        paths: Paths of the clips within their folder.
        content_hashes: Hash of each one's sound.
        val_fraction: Share of the groups that is kept back, 0 to 1.
        group_pattern: Regular expression searched in the path; the groups that it captures name the group.

    Returns:
        The side of each clip, and a note where nothing could be kept back.
    """
    keys = _group_keys(paths, content_hashes, group_pattern)
    ranked = sorted(set(keys), key=_position)
    distinct = len(set(content_hashes))
    if distinct < MIN_CLIPS or len(ranked) < 2 or val_fraction == 0:
        why = f"all {distinct} clips are trained on and validated on: too few to keep any back"
        return ["train"] * len(keys), why if val_fraction else None
    kept_back = {key for key in ranked if _position(key) < val_fraction} or {ranked[0]}
    kept_back.discard(ranked[-1])  # never everything
    return ["val" if key in kept_back else "train" for key in keys], None


Key = tuple[int, str]  # (0, captured text) or (1, content hash); a captured text names the group before a hash does


def _position(key: Key) -> float:
    """A number in 0..1 that depends on the key alone."""
    return int.from_bytes(hashlib.blake2b(repr(key).encode(), digest_size=8, key=SALT).digest()) / 2**64


def _group_keys(paths: Sequence[str], content_hashes: Sequence[str], group_pattern: str | None) -> list[Key]:
    """One key a clip; groups that share a sound are joined."""
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
