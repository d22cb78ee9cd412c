"""Patterns of drums: grids of steps and velocities, from a file of styles."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field, ValidationError, field_validator

from audio_gen.config import Settings, problems_in
from audio_gen.errors import ConfigError
from audio_gen.files import LARGEST_YAML_BYTES, MalformedError, parse_yaml, read_regular
from audio_gen.midi.general_midi import CLOSED_HAT, OPEN_HAT, ORDER
from audio_gen.text import one_line, shortened

STEPS_PER_BEAT = 4
VELOCITIES = {"X": 118, "x": 98, "o": 70, "g": 42, "?": 42, ".": 0}
MAYBE, MAYBE_SHARE = "?", 0.5
VELOCITY_SPREAD = 5.0  # of hits from bar to bar, in MIDI velocity
FILL_SHARE = 0.6  # of variations of two bars or more that end with a fill
OPEN = "open"  # hi-hats that ring
STYLES = Path(__file__).with_name("styles.yaml")
Grid = np.ndarray  # (steps, kinds) velocities, 0 is silence


class Style(Settings):
    """A style: bars that are played in turn, and rows that end a variation."""

    bpm: Annotated[float, Field(ge=20, le=400)] = 120.0
    """Usual tempo."""
    swing: Annotated[float, Field(ge=0.5, le=0.75)] = 0.5
    """Place of the second of two 16ths: 0.5 is even, 0.66 a triplet."""
    beats: Annotated[int, Field(ge=1, le=12)] = 4
    """Beats per bar."""
    bars: Annotated[list[dict[str, str]], Field(min_length=1)]
    """Rows by kind of drum."""
    fill: dict[str, str] = Field(default={})
    """Rows of the last bar of some variations."""

    @field_validator("bars", "fill")
    @classmethod
    def _check_rows(cls, value: list[dict[str, str]] | dict[str, str]) -> list[dict[str, str]] | dict[str, str]:
        for bar in value if isinstance(value, list) else [value]:
            for kind, row in bar.items():
                if kind != OPEN and kind not in ORDER:
                    raise ValueError(f"{shortened(kind)} is no kind of drum; use {OPEN}, {', '.join(ORDER)}")
                if set(row) - set(VELOCITIES):
                    raise ValueError(f"{kind} {shortened(row)}: signs are {' '.join(VELOCITIES)}")
        return value

    @property
    def steps(self) -> int:
        """Steps of a bar."""
        return self.beats * STEPS_PER_BEAT


@cache
def styles() -> dict[str, Style]:
    """The styles of the package."""
    return read_styles(STYLES)


def read_styles(path: Path) -> dict[str, Style]:
    """Read styles from a YAML file.

    Raises:
        ConfigError: It cannot be read, or a style in it is wrong.
    """
    name = one_line(path)
    try:
        values = parse_yaml(read_regular(path, LARGEST_YAML_BYTES))
    except (OSError, MalformedError) as e:
        raise ConfigError(f"{name}: cannot be read ({shortened(str(e))}); give a YAML file of styles") from e
    if not isinstance(values, dict) or not values:
        raise ConfigError(f"{name}: holds no styles; write a name with bars, as the file of the package does")
    found = {}
    for key, value in values.items():
        try:
            style = Style.model_validate(value)
        except ValidationError as e:
            raise ConfigError(f"{name}, {shortened(str(key))}: {problems_in(Style, e)}") from None
        for bar in [*style.bars, style.fill]:
            for kind, row in bar.items():
                if len(row) != style.steps:
                    raise ConfigError(f"{name}, {key}: {kind} has {len(row)} signs, and a bar {style.steps} steps")
        found[str(key)] = style
    return found


@dataclass(frozen=True)
class Pattern:
    """Bars of a drum pattern.

    Attributes:
        kinds: Kinds of drums, K.
        velocities: (steps, K), 0 to 127; 0 is silence.
        beats: Beats per bar.
    """

    kinds: Sequence[str]
    velocities: Grid
    beats: int = 4

    def hits(self) -> list[tuple[int, str, int]]:
        """Step, kind and velocity of each hit, in order."""
        return [(int(step), self.kinds[int(k)], int(self.velocities[step, k]))
                for step, k in zip(*np.nonzero(self.velocities), strict=True)]  # fmt: skip


def styled(style: Style, bars: int, rng: np.random.Generator) -> Pattern:
    """A variation of a style: ghost notes come and go, velocities move, and a fill may end it."""
    rows: list[Mapping[str, str]] = [style.bars[i % len(style.bars)] for i in range(bars)]
    if style.fill and bars > 1 and rng.random() < FILL_SHARE:
        rows[-1] = {**rows[-1], **style.fill}
    kinds = list(dict.fromkeys(kind for bar in rows for kind in bar))
    grid = np.zeros((bars * style.steps, len(kinds)))
    for i, bar in enumerate(rows):
        for kind, row in bar.items():
            for step, sign in enumerate(row):
                drawn = rng.random()
                if sign == "." or (sign == MAYBE and drawn > MAYBE_SHARE):
                    continue
                velocity = VELOCITIES[sign] + VELOCITY_SPREAD * rng.standard_normal()
                grid[i * style.steps + step, kinds.index(kind)] = min(max(round(velocity), 1), 127)
    return Pattern(kinds, grid, style.beats)


def key_of(kind: str) -> int:
    """The key of General MIDI that plays a kind of drum."""
    return OPEN_HAT if kind == OPEN else CLOSED_HAT if kind == "hihat" else ORDER[kind][0]


def step_beats(step: int, swing: float) -> float:
    """Where a step lies, in beats: the second of two 16ths is late by the swing."""
    pair, second = divmod(step, 2)
    return (pair + (swing if second else 0.0)) * 2 / STEPS_PER_BEAT
