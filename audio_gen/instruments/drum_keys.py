"""Which key plays which drum: General MIDI where names allow, and free keys, class by class, for the rest."""

from collections.abc import Sequence
from dataclasses import dataclass

from audio_gen.midi.general_midi import CHOKE_GROUP, CHOKED, CLOSED_HAT, DRUMS, OPEN_HAT, ORDER, PEDAL_HAT, drum_kind

FREE_KEYS = (*(key for key in range(82, 128)), *(key for key in range(34, -1, -1)), *(k for k in range(35, 82)))
PLAIN_FIRST = 36  # of sounds without a known kind


@dataclass(frozen=True)
class Drum:
    """A sound that needs a key.

    Attributes:
        class_name: Its class; None if unknown.
        length_sec: Its length, which tells open hats from closed ones.
        brightness_hz: Its spectral centroid, which orders toms.
    """

    class_name: str | None
    length_sec: float
    brightness_hz: float


def drum_keys(drums: Sequence[Drum]) -> list[int | None]:
    """A key for each drum; None for those that no key is left for.

    The first sounds of a class get the keys of General MIDI for its kind: of hats the shortest is the closed one and
    the longest the open one, and toms go up by brightness. All others lie together by class on keys that General MIDI
    leaves free.
    """
    keys: list[int | None] = [None] * len(drums)
    taken: set[int] = set()
    of_kind: dict[str, list[int]] = {}
    for i, drum in enumerate(drums):
        if (kind := drum_kind(drum.class_name)) is not None:
            of_kind.setdefault(kind, []).append(i)
    for kind, members in of_kind.items():
        places = [key for key in ORDER[kind] if key not in taken]
        for i, key in _ordered(kind, [(i, drums[i]) for i in members], places):
            keys[i] = key
            taken.add(key)
    if not of_kind:
        free = [*range(PLAIN_FIRST, 128), *range(PLAIN_FIRST - 1, -1, -1)]
    else:
        free = [key for key in FREE_KEYS if key not in taken and key not in DRUMS]
        free += [key for key in DRUMS if key not in taken]
    left = [i for i in range(len(drums)) if keys[i] is None]
    for i, key in zip(left, free, strict=False):
        keys[i] = key
    return keys


def _ordered(kind: str, members: list[tuple[int, Drum]], places: list[int]) -> list[tuple[int, int]]:
    """The members of a kind that its keys play, each with the key that suits it."""
    if kind == "hihat":
        short_first = sorted(members, key=lambda one: one[1].length_sec)
        chosen = {CLOSED_HAT: short_first[:1], OPEN_HAT: short_first[1:][-1:], PEDAL_HAT: short_first[1:-1][:1]}
        return [(i, key) for key, some in chosen.items() if key in places for i, _ in some]
    if kind == "tom":
        dark_first = sorted(members[: len(places)], key=lambda one: one[1].brightness_hz)
        return [(i, key) for (i, _), key in zip(dark_first, sorted(places[: len(members)]), strict=True)]
    return [(i, key) for (i, _), key in zip(members, places, strict=False)]


def choke_group(key: int) -> int:
    """The group of a key whose sounds stop each other; 0 for none."""
    return CHOKE_GROUP if key in CHOKED else 0
