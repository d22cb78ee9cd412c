"""Which run or kit plays which notes of a score: chosen from programmes and channels, or read from a map."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import yaml  # only to write; `parse_yaml` reads
from pydantic import Field, ValidationError

from audio_gen.config import Settings, problems_in
from audio_gen.errors import ConfigError
from audio_gen.files import LARGEST_YAML_BYTES, MalformedError, parse_yaml, read_regular
from audio_gen.generation.pipeline import Pipeline
from audio_gen.generation.vocabulary import Outside, folded
from audio_gen.instruments.build import drum_kit, pitched_instrument
from audio_gen.instruments.model_notes import ModelNotes
from audio_gen.instruments.sampler import Part
from audio_gen.instruments.zones import Instrument, velocity_ranges
from audio_gen.midi.general_midi import PROGRAMS, drum_kind, kind_playing, program_class
from audio_gen.midi.score import DRUM_CHANNEL, Note, Score
from audio_gen.reporter import Reporter
from audio_gen.text import one_line, shortened

LAYERS, DRUM_TAKES, DRUMS_PER_CLASS, ROOT_STEP = 2, 2, 4, 2
STRETCH = 7  # semitones beyond a model's pitches that its outermost notes are played at
BEND_ROOM = 1.15  # a bent note is played faster, for which it must be longer


class PartSettings(Settings):
    """An entry of a map: which notes, and how they are played. What is left out is chosen."""

    channel: Annotated[int, Field(ge=1, le=16)]
    """The channel, 1 to 16; drums are on 10."""
    program: Annotated[int, Field(ge=1, le=128)] | None = None
    """The programme, 1 to 128; None is every one of the channel."""
    source: Annotated[int, Field(ge=1)] | None = None
    """Which of the runs and kits of the command, counted from 1."""
    class_name: str | None = Field(default=None, alias="class")
    """A class of the run, or the name of an instrument of the kit."""
    seed: Annotated[int, Field(ge=0, lt=2**62)] | None = None
    """Which instrument of the class; None is the next one that no earlier part has."""
    gain_db: Annotated[float, Field(ge=-60, le=24, allow_inf_nan=False)] = 0.0
    """Its level."""
    pan: Annotated[float, Field(ge=-1, le=1, allow_inf_nan=False)] | None = None
    """Where it stands, -1 to 1, if the file does not say."""
    transpose: Annotated[int, Field(ge=-48, le=48)] = 0
    """Semitones."""
    mute: bool = False
    """Leave it out."""


class PartMap(Settings):
    """A map of a score: a list of parts."""

    parts: list[PartSettings]


def read_map(path: Path) -> list[PartSettings]:
    """Read a map from YAML.

    Raises:
        ConfigError: It cannot be read, or has unknown keys or wrong values.
    """
    name = one_line(path)
    try:
        values = parse_yaml(read_regular(path, LARGEST_YAML_BYTES))
        return PartMap.model_validate(values).parts
    except ValidationError as e:
        raise ConfigError(f"{name}: {problems_in(PartMap, e)}") from None
    except (OSError, MalformedError) as e:
        raise ConfigError(f"{name}: cannot be read ({shortened(str(e))}); give a YAML file as --show-map prints") from e


@dataclass(frozen=True)
class Source:
    """A run or a kit.

    Attributes:
        name: As the user named it.
        pipeline: The model of a run; None for a kit.
        instruments: Of a kit.
    """

    name: str
    pipeline: Pipeline | None = None
    instruments: Sequence[Instrument] = ()

    @property
    def plays_pitches(self) -> bool:
        """Whether it can play melodies."""
        if self.pipeline is not None:
            return self.pipeline.vocabulary.pitch_range is not None
        return any(not one.drums for one in self.instruments)

    @property
    def plays_drums(self) -> bool:
        """Whether it can play drums."""
        if self.pipeline is not None:
            return self.pipeline.vocabulary.pitch_range is None
        return any(one.drums for one in self.instruments)

    @property
    def classes(self) -> tuple[str, ...]:
        """Its classes, or the names of a kit's pitched instruments."""
        if self.pipeline is not None:
            return self.pipeline.vocabulary.classes
        return tuple(one.name for one in self.instruments if not one.drums)


@dataclass(frozen=True)
class Plan:
    """A part that is chosen and not rendered yet.

    Attributes:
        settings: How it is played.
        notes: Its notes.
        source: What plays it.
        name: For people and stems.
    """

    settings: PartSettings
    notes: Sequence[Note]
    source: Source
    name: str

    @property
    def is_drums(self) -> bool:
        """Whether its notes are drums."""
        return self.settings.channel - 1 == DRUM_CHANNEL


def plan_parts(
    score: Score, sources: Sequence[Source], given: Sequence[PartSettings], reporter: Reporter
) -> list[Plan]:  # fmt: skip
    """Choose what plays each channel and programme of a score.

    Drums go to the first source that plays drums, all else to the first one that plays pitches. The name of the
    programme chooses a class. Parts of one class, and those without one, differ by their seed. Entries of a map are
    followed first.

    Raises:
        ConfigError: No source can play any of the notes, or a map's entry does not fit.
    """
    groups: dict[tuple[int, int], list[Note]] = {}
    for note in score.notes:
        groups.setdefault((note.channel, 0 if note.is_drum else note.program), []).append(note)
    _check_entries(given, groups)
    plans: list[Plan] = []
    left_out: list[str] = []
    used: Counter[tuple[int, str | None]] = Counter()
    for (channel, program), notes in sorted(groups.items()):
        drums = channel == DRUM_CHANNEL
        entry = next((one for one in given if _fits(one, channel, program)), None)
        label = "drums" if drums else PROGRAMS[program]
        if entry is not None and entry.mute:
            continue
        source = _source(sources, entry, drums=drums, label=label)
        if source is None:
            left_out.append(label)
            continue
        values: dict[str, Any] = {} if entry is None else entry.model_dump(by_alias=True)
        if not drums and values.get("class") is None:
            values["class"] = program_class(program, source.classes)
        _check_class(values.get("class"), source, channel, drums=drums)
        place = sources.index(source), values.get("class")
        if values.get("seed") is None:
            values["seed"] = 0 if drums else used[place]
        used[place] += 1
        values |= {"channel": channel + 1, "source": sources.index(source) + 1}
        values |= {} if drums else {"program": program + 1}
        settings = PartSettings.model_validate(values)
        plans.append(Plan(settings, notes, source, f"{channel + 1:02d}-{_plain(label)}"))
    if not plans:
        raise ConfigError(_nothing_plays(sources, left_out))
    if left_out:
        reporter.note(f"left out: {', '.join(dict.fromkeys(left_out))}; {_what_to_add(left_out)}")
    return plans


def _fits(entry: PartSettings, channel: int, program: int) -> bool:
    """Whether an entry of a map is of a channel and programme, counted from 0."""
    return entry.channel == channel + 1 and (channel == DRUM_CHANNEL or entry.program in (None, program + 1))


def _check_entries(given: Sequence[PartSettings], groups: Iterable[tuple[int, int]]) -> None:
    """Refuse entries that no notes belong to."""
    for entry in given:
        if not any(_fits(entry, channel, program) for channel, program in groups):
            there = sorted({channel + 1 for channel, _ in groups})
            what = "" if entry.program is None else f" with programme {entry.program}"
            raise ConfigError(
                f"map, channel {entry.channel}{what}: the score has no such notes; it has channels "
                f"{', '.join(map(str, there))}"
            )


def _check_class(name: str | None, source: Source, channel: int, *, drums: bool) -> None:
    """Refuse a class that a source does not have."""
    if name is None:
        return
    if drums:
        raise ConfigError(
            f"map, channel {channel + 1}: class {shortened(name)}: drums take the class of each key; leave it out"
        )
    if source.pipeline is not None:
        source.pipeline.vocabulary.class_id(name)
    elif name not in source.classes:
        known = ", ".join(source.classes)
        raise ConfigError(f"map, channel {channel + 1}: {source.name} has no {shortened(name)}; it has {known}")


def _source(sources: Sequence[Source], entry: PartSettings | None, *, drums: bool, label: str) -> Source | None:
    if entry is not None and entry.source is not None:
        if entry.source > len(sources):
            raise ConfigError(f"map, channel {entry.channel}: source {entry.source}, and there are {len(sources)}")
        chosen = sources[entry.source - 1]
        if not (chosen.plays_drums if drums else chosen.plays_pitches):
            what = "drums" if drums else "pitches"
            raise ConfigError(f"map, channel {entry.channel} ({label}): {chosen.name} plays no {what}; choose another")
        return chosen
    return next((one for one in sources if (one.plays_drums if drums else one.plays_pitches)), None)


def _nothing_plays(sources: Sequence[Source], left_out: Sequence[str]) -> str:
    names = ", ".join(one.name for one in sources)
    if not left_out:
        return "the map mutes every part; unmute one"
    if set(left_out) == {"drums"}:
        return f"{names}: plays pitches, and the score has only drums; give a run that was trained on drums"
    return (
        f"{names}: was trained without pitches, and the score has melodies; train on notes that are named "
        "instrument-pitch-velocity, or with data.pitch=auto"
    )


def _what_to_add(left_out: Sequence[str]) -> str:
    if set(left_out) == {"drums"}:
        return "add a run that was trained on drums to play them"
    return "add a run that was trained with pitches to play them"


def rendered_parts(plans: Sequence[Plan], temperature: float, outside: Outside, reporter: Reporter) -> list[Part]:
    """Parts with the sounds that their notes need.

    Raises:
        ConfigError: A note is outside of the pitches that a source knows, and `outside` is "refuse".
        DataError: A model's sounds cannot be used.
    """
    ranged = {plan.name: _in_range(plan, outside, reporter) for plan in plans if not plan.is_drums}
    parts, kits = [], {}
    for plan in plans:
        settings, source = plan.settings, plan.source
        if plan.is_drums:
            place = source.name, settings.seed
            if place not in kits:
                kits[place] = _drums(plan, temperature, reporter)
            instrument = kits[place]
            notes = plan.notes
        else:
            notes = ranged[plan.name]
            instrument = _melodic(plan, notes, temperature, reporter)
        parts.append(Part(plan.name, instrument, notes, settings.gain_db, settings.pan))
    return parts


def _drums(plan: Plan, temperature: float, reporter: Reporter) -> Instrument:
    if plan.source.pipeline is None:
        return next(one for one in plan.source.instruments if one.drums)
    pipeline, keys = plan.source.pipeline, sorted({note.pitch for note in plan.notes})
    return drum_kit(
        pipeline, "drums", classes=drum_classes(pipeline, keys), per_class=DRUMS_PER_CLASS, layers=LAYERS,
        takes=DRUM_TAKES, seed=plan.settings.seed or 0, temperature=temperature, reporter=reporter,
    )  # fmt: skip


def drum_classes(pipeline: Pipeline, keys: Sequence[int]) -> list[str | None]:
    """The classes of a model that keys of the percussion map need; all if none of them is known as a drum."""
    by_kind: dict[str, str] = {}
    for name in pipeline.vocabulary.classes:
        if (kind := drum_kind(name)) is not None:
            by_kind.setdefault(kind, name)
    if not by_kind:
        return list(pipeline.vocabulary.classes) or [None]
    kinds = (kind_playing(key, by_kind) for key in keys)
    found = list(dict.fromkeys(by_kind[kind] for kind in kinds if kind is not None))
    return [*found] if found else list(by_kind.values())


def _keys_of(source: Source, class_name: str | None) -> tuple[int, int]:
    """The lowest and highest key that a source plays without other octaves."""
    if source.pipeline is not None:
        low, high = ModelNotes.range_of(source.pipeline)
        return max(0, low - STRETCH), min(127, high + STRETCH)
    zones = _kit_instrument(source, class_name).zones
    return min(zone.keys[0] for zone in zones), max(zone.keys[1] for zone in zones)


def _kit_instrument(source: Source, class_name: str | None) -> Instrument:
    pitched = [one for one in source.instruments if not one.drums]
    return next((one for one in pitched if one.name == class_name), pitched[0])


def _in_range(plan: Plan, outside: Outside, reporter: Reporter) -> list[Note]:
    """The notes of a part, transposed, and those that its source does not reach in other octaves."""
    source, settings = plan.source, plan.settings
    low, high = _keys_of(source, settings.class_name)
    wanted = [note.pitch + settings.transpose for note in plan.notes]
    if outside == "refuse":
        first, last = (low, high) if source.pipeline is None else ModelNotes.range_of(source.pipeline)
        if min(wanted) < first or max(wanted) > last:
            raise ConfigError(
                f"{plan.name}: its notes are MIDI {min(wanted)} to {max(wanted)}, and {source.name} plays {first} to "
                f"{last}; --outside fold plays the same notes in other octaves"
            )
    if far := [pitch for pitch in wanted if not low <= pitch <= high]:
        how = f"{len(far)} of {len(wanted)} notes are outside MIDI {low} to {high}"
        reporter.note(f"{plan.name}: {how}, and sound in other octaves")
    pitches = [min(max(round(folded(pitch, low, high)), low), high) for pitch in wanted]
    return [replace(note, pitch=pitch) for note, pitch in zip(plan.notes, pitches, strict=True)]


def _melodic(plan: Plan, notes: Sequence[Note], temperature: float, reporter: Reporter) -> Instrument:
    """An instrument with the zones that a part's notes need, as long as they are held."""
    source, settings = plan.source, plan.settings
    if source.pipeline is None:
        return _kit_instrument(source, settings.class_name)
    low, high = ModelNotes.range_of(source.pipeline)
    held: dict[tuple[int, int], float] = {}
    for note in notes:
        root = low + (min(max(note.pitch, low), high) - low) // ROOT_STEP * ROOT_STEP
        place = root, int(note.velocity > velocity_ranges(LAYERS)[0][1])
        faster = 2 ** (max(0, note.pitch - root) / 12)
        held[place] = max(held.get(place, 0.0), note.length_sec * faster * BEND_ROOM)
    return pitched_instrument(
        source.pipeline, class_name=settings.class_name, roots=sorted({root for root, _ in held}), layers=LAYERS,
        takes=1, seed=settings.seed or 0, temperature=temperature, reporter=reporter,
        held_sec=lambda root, layer: held.get((root, layer), 0.0),
    )  # fmt: skip


def map_yaml(plans: Sequence[Plan]) -> str:
    """The map of a plan, to edit."""
    rows: list[Mapping[str, Any]] = []
    for plan in plans:
        values = plan.settings.model_dump(by_alias=True, exclude_none=True)
        rows.append({key: value for key, value in values.items() if value is not False})
    return yaml.safe_dump({"parts": rows}, sort_keys=False, allow_unicode=True)


def _plain(label: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in label.lower()).strip("-")
