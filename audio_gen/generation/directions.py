"""Latent directions: their effects, their file, and texts of moves. `moves` moves clips along them."""

import difflib
import json
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from audio_gen import __version__
from audio_gen.artefacts.folders import BundleFolder
from audio_gen.artefacts.tensors import read_tensors, write_tensors
from audio_gen.errors import CheckpointError, ConfigError
from audio_gen.files import parse_json
from audio_gen.generation.descriptors import DESCRIPTORS, MONO_NAMES, WIDTH, descriptors_of
from audio_gen.generation.pipeline import Pipeline
from audio_gen.hints import command
from audio_gen.text import clipped, one_line, shortened

DIRECTIONS_FORMAT = 2
LARGEST_FIGURE = 1000.0  # octaves or dB
LARGEST_BYTES = 1 << 26
MAX_MOVE = 5.0
LEAST_RIGHT, LEAST_EFFECT = 0.6, 0.2


@dataclass(frozen=True)
class Direction:
    """One direction and its measured effects.

    Attributes:
        name: A descriptor, or "pca1" and so on.
        effects: Effect of a move by +1 on each descriptor, in their steps. Of a descriptor's direction, those on the
            others are mean sizes, since it holds them.
        right: Share of clips whose descriptor moves the right way, by a tenth of a step or more; None for a principal
            component.
        share: Its share of the latent's variance within classes; None for a descriptor's.
    """

    name: str
    effects: dict[str, float]
    right: float | None = None
    share: float | None = None

    @property
    def works(self) -> bool:
        """Whether a move along it changes its descriptor; always true of a principal component."""
        return self.right is None or (self.right >= LEAST_RIGHT and self.effects[self.name] >= LEAST_EFFECT)


@dataclass(frozen=True)
class Directions:
    """All directions of one bundle.

    Attributes:
        principal: Principal components (R, D) of the latents of one class and pitch, each one standard deviation long.
        facts: The effects of each direction: the descriptors, then the first principal components.
        spreads: The standard deviation of each descriptor over clips of one class and pitch, in its unit.
        digest: Hash of their bundle.
        source: "n" and "seed" of the search.
    """

    principal: Tensor
    facts: tuple[Direction, ...]
    spreads: dict[str, float]
    digest: str
    source: dict[str, int]

    @property
    def names(self) -> list[str]:
        """Their names, in order."""
        return [fact.name for fact in self.facts]

    @property
    def descriptors(self) -> list[str]:
        """The names of those that are descriptors: 5, or 6 of a stereo model."""
        return [name for name in self.names if name in DESCRIPTORS]

    def index(self, name: str) -> int:
        """The index of a direction.

        Raises:
            ConfigError: The name is unknown.
        """
        if name not in self.names:
            near = difflib.get_close_matches(name, self.names, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise ConfigError(
                f"direction ({clipped(one_line(name), 120)}) is unknown; {hint}there are {', '.join(self.names)}"
            )
        return self.names.index(name)


def names_of(descriptors: Iterable[str], principal: int) -> list[str]:
    """The names of the directions, with this many principal components."""
    return [*descriptors, *(f"pca{i + 1}" for i in range(principal))]


def doubts(directions: Directions, moves: Mapping[str, float]) -> list[str]:
    """A line for each direction in `moves` that hardly works in this model.

    Raises:
        ConfigError: A name is unknown.
    """
    facts = [directions.facts[directions.index(name)] for name in moves]
    return [
        f"{fact.name}: has almost no effect in this model (+1 reaches "
        f"{DESCRIPTORS[fact.name].amount(fact.effects[fact.name] * DESCRIPTORS[fact.name].step)} of "
        f"{DESCRIPTORS[fact.name].amount(DESCRIPTORS[fact.name].step)})"
        for fact in facts
        if not fact.works
    ]


def save_directions(path: Path, directions: Directions) -> None:
    """Write directions as safetensors, atomically, with their effects as metadata."""
    about = {
        "format": DIRECTIONS_FORMAT,
        "bundle": directions.digest,
        "source": directions.source,
        "spreads": directions.spreads,
        "directions": [asdict(fact) for fact in directions.facts],
        "version": __version__,
    }
    tensors = {"principal": directions.principal.contiguous()}
    write_tensors(path, tensors, {"about": json.dumps(about, allow_nan=False)})


def read_directions(path: Path) -> Directions:
    """Read a file of `save_directions`.

    Raises:
        CheckpointError: It is damaged, or has another format.
    """
    try:
        meta, tensors, _ = read_tensors(path, LARGEST_BYTES)
        about = parse_json(meta["about"])
        if about["format"] != DIRECTIONS_FORMAT:
            raise ValueError(f"format {shortened(about['format'])}, this version reads {DIRECTIONS_FORMAT}")
        facts, principal = tuple(Direction(**fact) for fact in about["directions"]), tensors["principal"]
        if principal.ndim != 2 or not bool(torch.isfinite(principal.float()).all()):
            raise ValueError("its components")
        known = list(DESCRIPTORS) if any(fact.name == WIDTH for fact in facts) else MONO_NAMES
        names = names_of(known, len(facts) - len(known))
        if [fact.name for fact in facts] != names or not all(_is_whole(fact, known) for fact in facts):
            raise ValueError("its descriptors")
        if len(facts) - len(known) > len(principal):
            raise ValueError("its components")
        if not _are_figures(about["spreads"], known) or not isinstance(about["bundle"], str):
            raise ValueError("its spreads or its bundle")
        if set(about["source"]) != {"n", "seed"} or any(type(value) is not int for value in about["source"].values()):
            raise ValueError("its source")
        return Directions(principal.float(), facts, about["spreads"], about["bundle"], about["source"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as e:
        raise CheckpointError(
            f"{one_line(path)}: damaged, or no directions ({clipped(one_line(str(e)), 120)}); run "
            "`audio-gen directions RUN --force`"
        ) from e


def _is_whole(fact: Direction, descriptors: Collection[str]) -> bool:
    """Whether all fields of a direction, which comes from an untrusted file, have the right type."""
    figure, other = (fact.right, fact.share) if fact.name in DESCRIPTORS else (fact.share, fact.right)
    return type(figure) in (int, float) and other is None and _are_figures(fact.effects, descriptors)


def _are_figures(values: object, descriptors: Collection[str]) -> bool:
    """Whether values are a number of octaves or dB for each of the descriptors."""
    return (
        isinstance(values, dict)
        and set(values) == set(descriptors)
        and all(type(value) in (int, float) and abs(value) <= LARGEST_FIGURE for value in values.values())
    )


def load_directions(pipeline: Pipeline, path: Path | None = None) -> Directions:
    """The directions of a model, from the folder of its bundle or from `path`.

    Raises:
        CheckpointError: They are missing, or belong to another bundle.
    """
    place, run = path or BundleFolder(pipeline.path).directions, pipeline.vocabulary.model
    if not place.is_file():
        raise CheckpointError(f"{one_line(place)}: is missing; create it with `{command('directions', run)}`")
    directions = read_directions(place)
    fits = directions.descriptors == list(descriptors_of(pipeline.spec))
    if directions.digest != pipeline.digest or directions.principal.shape[1] != pipeline.codec.latent.dim or not fits:
        raise CheckpointError(
            f"{one_line(place)}: belongs to the bundle {shortened(directions.digest)}, not {pipeline.digest}; run "
            f"`{command('directions', run)}` again"
        )
    return directions


def parse_moves(texts: Sequence[str]) -> dict[str, float]:
    """Moves by name from "brightness=+1.5", "pca1=-2", ..

    Raises:
        ConfigError: One has no name or number, is too far, or is repeated.
    """
    moves: dict[str, float] = {}
    for text in texts:
        name, _, amount = (part.strip() for part in text.partition("="))
        if name in moves:
            raise ConfigError(f"move ({one_line(text)}): {one_line(name)} is moved twice; give each direction once")
        try:
            moves[name] = float(amount)
        except ValueError:
            moves[name] = math.nan
        if not name or not abs(moves[name]) <= MAX_MOVE:
            raise ConfigError(
                f"move ({one_line(text)}) must be NAME=NUMBER with a number from -{MAX_MOVE:g} to {MAX_MOVE:g}; "
                "try brightness=+1.5"
            )
    return moves
