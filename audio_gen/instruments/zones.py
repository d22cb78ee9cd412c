"""Zones: sounds with the keys, velocities and takes that they play, as samplers map them."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

from audio_gen.generation.vocabulary import LOUDEST
from audio_gen.instruments.sustain_loop import SustainLoop

LOWEST_KEY, HIGHEST_KEY = 0, 127
REACH_KEYS = 12  # how far the outermost zones are stretched; further keys stay silent in samplers


@dataclass(frozen=True)
class Zone:
    """A sound and when a sampler plays it.

    Attributes:
        name: File name without suffix, which may include a folder.
        wav: (C, T), from 1 ms before its onset.
        sample_rate: In Hz.
        root: Key at which it plays unchanged.
        cents: How far the sound is above the root's pitch; samplers play it lower by this.
        keys: Lowest and highest key.
        velocities: Lowest and highest velocity, 1 to 127.
        take: Number among sounds of the same keys and velocities, which take turns.
        takes: How many there are.
        loop: Its sustain loop; None for a sound that ends by itself.
        class_name: Its class.
        choke: Zones of the same group stop each other; 0 is none.
        pitched: Whether other keys change its pitch.
        label: What people read.
    """

    name: str
    wav: Tensor = field(repr=False)
    sample_rate: int
    root: int
    keys: tuple[int, int]
    cents: float = 0.0
    velocities: tuple[int, int] = (1, LOUDEST)
    take: int = 0
    takes: int = 1
    loop: SustainLoop | None = None
    class_name: str | None = None
    choke: int = 0
    pitched: bool = True
    label: str = ""

    @property
    def samples(self) -> int:
        """Its length, T."""
        return int(self.wav.shape[-1])


@dataclass(frozen=True)
class Instrument:
    """Zones that are played together.

    Attributes:
        name: Its name, in file names too.
        zones: By key, velocity and take.
        drums: Whether keys are drums.
        release_sec: Time in which a note fades after its key is released; drums ring on.
    """

    name: str
    zones: Sequence[Zone]
    drums: bool
    release_sec: float = 0.25


def key_ranges(roots: Sequence[int], reach: int = REACH_KEYS) -> list[tuple[int, int]]:
    """The keys of zones by their ascending roots: each key goes to the nearest root, a tie to the lower one's zone.

    The outermost zones reach `reach` keys further.
    """
    lows = [max(LOWEST_KEY, roots[0] - reach), *((a + b) // 2 + 1 for a, b in itertools.pairwise(roots))]
    return list(zip(lows, [*(low - 1 for low in lows[1:]), min(HIGHEST_KEY, roots[-1] + reach)], strict=True))


def velocity_ranges(layers: int) -> list[tuple[int, int]]:
    """Equal ranges of velocities, softest first."""
    edges = [round(i * LOUDEST / layers) for i in range(layers + 1)]
    return [(low + 1, high) for low, high in itertools.pairwise(edges)]


def zone_for(zones: Sequence[Zone], key: int, velocity: int, turn: int = 0) -> Zone | None:
    """The zone that plays a key at a velocity; `turn` counts the notes of the key. None if no zone has the key."""
    there = [zone for zone in zones if zone.keys[0] <= key <= zone.keys[1]]
    if not there:
        return None
    layer = [zone for zone in there if zone.velocities[0] <= velocity <= zone.velocities[1]] or there
    return next((zone for zone in layer if zone.take == turn % zone.takes), layer[0])
