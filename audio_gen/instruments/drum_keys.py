"""Which key plays which drum: General MIDI where names allow, and free keys, class by class, for the rest."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from audio_gen.midi.general_midi import CHOKE_GROUP, CHOKED, CLOSED_HAT, DRUMS, OPEN_HAT, ORDER, PEDAL_HAT, drum_kind

FREE_KEYS = (*(key for key in range(82, 128)), *(key for key in range(34, -1, -1)), *(k for k in range(35, 82)))
SWELL_SEC, FAR_OCTAVES = 0.012, 1.3  # of sounds that are not typical of a drum
LEAST_HATS = 3
PLAIN_FIRST = 36  # of sounds without a known kind


@dataclass(frozen=True)
class Drum:
    """A sound that needs a key.

    Attributes:
        class_name: Its class; None if unknown.
        length_sec: Its length, which tells open hats from closed ones.
        brightness_hz: Its spectral centroid, which orders toms.
        attack_sec: From its onset to its peak.
    """

    class_name: str | None
    length_sec: float
    brightness_hz: float
    attack_sec: float = 0.0


def drum_keys(drums: Sequence[Drum]) -> list[int | None]:
    """A key for each drum; None for those that no key is left for.

    The first typical sounds of a class get the keys of General MIDI for its kind: those that begin at once, and are not
    much darker or brighter than the others. Of hats the shortest is the closed one and the longest the open one, and
    toms go up by brightness. All others lie together by class on keys that General MIDI leaves free.
    """
    keys: list[int | None] = [None] * len(drums)
    taken: set[int] = set()
    of_kind: dict[str, list[int]] = {}
    for i, drum in enumerate(drums):
        if (kind := drum_kind(drum.class_name)) is not None:
            of_kind.setdefault(kind, []).append(i)
    for kind, members in of_kind.items():
        places = [key for key in ORDER[kind] if key not in taken]
        for i, key in _ordered(kind, _typical_first([(i, drums[i]) for i in members]), places):
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


def _typical_first(members: list[tuple[int, Drum]]) -> list[tuple[int, Drum]]:
    """Members of a kind, with swells and those of an unusual brightness last."""
    usual_hz = median(drum.brightness_hz for _, drum in members)

    def strange(drum: Drum) -> bool:
        octaves = abs(math.log2(max(drum.brightness_hz, 1.0) / max(usual_hz, 1.0)))
        return drum.attack_sec > SWELL_SEC or octaves > FAR_OCTAVES

    return sorted(members, key=lambda one: strange(one[1]))


def _ordered(kind: str, members: list[tuple[int, Drum]], places: list[int]) -> list[tuple[int, int]]:
    """The members of a kind that its keys play, each with the key that suits it."""
    if kind == "hihat":
        typical = [one for one in members if one[1].attack_sec <= SWELL_SEC]
        members = members[: max(LEAST_HATS, len(typical))]
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
