"""Which run or kit plays which notes of a score: chosen from programmes and channels, or read from a map."""

from collections.abc import Mapping, Sequence
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
from audio_gen.instruments.sampler import Part
from audio_gen.instruments.zones import Instrument, velocity_ranges
from audio_gen.midi.general_midi import PROGRAMS, drum_kind, kinds_for, program_class
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
    seed: Annotated[int, Field(ge=0)] = 0
    """Which instrument of the class."""
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


def plan_parts(
    score: Score, sources: Sequence[Source], given: Sequence[PartSettings], reporter: Reporter
) -> list[Plan]:  # fmt: skip
    """Choose what plays each channel and programme of a score.

    Drums go to the first source that plays drums, all else to the first one that plays pitches. The name of the
    programme chooses a class, and programmes without one differ by their seed. Entries of a map are followed first.

    Raises:
        ConfigError: No source can play any of the notes, or a map's entry does not fit.
    """
    groups: dict[tuple[int, int], list[Note]] = {}
    for note in score.notes:
        groups.setdefault((note.channel, 0 if note.is_drum else note.program), []).append(note)
    plans: list[Plan] = []
    left_out: list[str] = []
    for number, ((channel, program), notes) in enumerate(sorted(groups.items())):
        entry = next(
            (one for one in given if one.channel == channel + 1 and one.program in (None, program + 1)), None
        )  # fmt: skip
        drums = channel == DRUM_CHANNEL
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
        if values.get("class") is None and not drums:
            values["seed"] = values.get("seed") or number
        values |= {"channel": channel + 1, "source": sources.index(source) + 1}
        values |= {} if drums else {"program": program + 1}
        settings = PartSettings.model_validate(values)
        plans.append(Plan(settings, notes, source, f"{channel + 1:02d}-{_plain(label)}"))
    if not plans:
        raise ConfigError(_nothing_plays(sources, left_out))
    if left_out:
        reporter.note(f"left out: {', '.join(dict.fromkeys(left_out))}; {_what_to_add(left_out)}")
    return plans


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
    parts, kits = [], {}
    for plan in plans:
        settings, source = plan.settings, plan.source
        if settings.channel - 1 == DRUM_CHANNEL:
            place = source.name, settings.seed, settings.class_name
            if place not in kits:
                kits[place] = _drums(plan, temperature, reporter)
            instrument = kits[place]
            notes = plan.notes
        else:
            instrument, notes = _melodic(plan, temperature, outside, reporter)
        parts.append(Part(plan.name, instrument, notes, settings.gain_db, settings.pan or 0.0))
    return parts


def _drums(plan: Plan, temperature: float, reporter: Reporter) -> Instrument:
    if plan.source.pipeline is None:
        return next(one for one in plan.source.instruments if one.drums)
    pipeline, keys = plan.source.pipeline, sorted({note.pitch for note in plan.notes})
    return drum_kit(
        pipeline, "drums", classes=drum_classes(pipeline, keys), per_class=DRUMS_PER_CLASS, layers=LAYERS,
        takes=DRUM_TAKES, seed=plan.settings.seed, temperature=temperature, reporter=reporter,
    )  # fmt: skip


def drum_classes(pipeline: Pipeline, keys: Sequence[int]) -> list[str | None]:
    """The classes of a model that keys of the percussion map need; all if none of them is known as a drum."""
    by_kind: dict[str, str] = {}
    for name in pipeline.vocabulary.classes:
        if (kind := drum_kind(name)) is not None:
            by_kind.setdefault(kind, name)
    if not by_kind:
        return list(pipeline.vocabulary.classes) or [None]
    wanted = (next((by_kind[kind] for kind in kinds_for(key) if kind in by_kind), None) for key in keys)
    found = list(dict.fromkeys(name for name in wanted if name is not None))
    return [*found] if found else list(by_kind.values())


def _melodic(
    plan: Plan, temperature: float, outside: Outside, reporter: Reporter
) -> tuple[Instrument, Sequence[Note]]:  # fmt: skip
    """An instrument with the zones that a part's notes need, as long as they are held; and the notes in its range."""
    source, settings = plan.source, plan.settings
    instrument = None
    if source.pipeline is None:
        pitched = [one for one in source.instruments if not one.drums]
        instrument = next((one for one in pitched if one.name == settings.class_name), pitched[0])
        low = min(zone.keys[0] for zone in instrument.zones)
        high = max(zone.keys[1] for zone in instrument.zones)
    else:
        low, high = (round(edge) for edge in source.pipeline.vocabulary.pitch_range or (0, 127))
    wanted = [note.pitch + settings.transpose for note in plan.notes]
    far = [pitch for pitch in wanted if not low <= pitch <= high]
    if far and outside == "refuse":
        raise ConfigError(
            f"{plan.name}: its notes are MIDI {min(wanted)} to {max(wanted)}, and {source.name} plays {low} to {high}; "
            "--outside fold plays the same notes in other octaves"
        )
    reach = 0 if source.pipeline is None else STRETCH
    lowest, highest = max(0, low - reach), min(127, high + reach)
    if far := [pitch for pitch in wanted if not lowest <= pitch <= highest]:
        how = f"{len(far)} of {len(wanted)} notes are outside MIDI {lowest} to {highest}"
        reporter.note(f"{plan.name}: {how}, and sound in other octaves")
    pitches = [min(max(round(folded(pitch, lowest, highest)), lowest), highest) for pitch in wanted]
    notes = [replace(note, pitch=pitch) for note, pitch in zip(plan.notes, pitches, strict=True)]
    if instrument is not None or source.pipeline is None:
        assert instrument is not None
        return instrument, notes
    held: dict[tuple[int, int], float] = {}
    for note in notes:
        root = low + (min(max(note.pitch, low), high) - low) // ROOT_STEP * ROOT_STEP
        place = root, int(note.velocity > velocity_ranges(LAYERS)[0][1])
        held[place] = max(held.get(place, 0.0), note.length_sec * 2 ** (max(0, note.pitch - root) / 12) * BEND_ROOM)
    made = pitched_instrument(
        source.pipeline, class_name=settings.class_name, roots=sorted({root for root, _ in held}), layers=LAYERS,
        takes=1, seed=settings.seed, temperature=temperature, reporter=reporter,
        held_sec=lambda root, layer: held.get((root, layer), 0.0),
    )  # fmt: skip
    return made, notes


def map_yaml(plans: Sequence[Plan]) -> str:
    """The map of a plan, to edit."""
    rows: list[Mapping[str, Any]] = []
    for plan in plans:
        values = plan.settings.model_dump(by_alias=True, exclude_none=True)
        rows.append({key: value for key, value in values.items() if value not in (False,)})
    return yaml.safe_dump({"parts": rows}, sort_keys=False, allow_unicode=True)


def _plain(label: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in label.lower()).strip("-")
