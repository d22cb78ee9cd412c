"""Kits: instruments of a model as folders of WAVs with the files that samplers read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from audio_gen import __version__
from audio_gen.artefacts.folders import KitFolder
from audio_gen.artefacts.sidecar import shareable
from audio_gen.audio.sampler_chunks import write_sample
from audio_gen.errors import ConfigError
from audio_gen.files import MalformedError, at_home, legal_name, read_json, write_json, write_text
from audio_gen.generation.clip_file import dithered
from audio_gen.generation.finish import SUBTYPES
from audio_gen.generation.operations.common import refuse_sequences
from audio_gen.generation.outputs import check_out, claimed
from audio_gen.generation.pipeline import Pipeline
from audio_gen.instruments.build import drum_kit, in_rate, pitched_instrument, roots_of
from audio_gen.instruments.formats.packed import write_hydrogen, write_multisample
from audio_gen.instruments.formats.soundfont import write_sf2
from audio_gen.instruments.formats.text import write_decentsampler, write_sfz
from audio_gen.instruments.kit_readme import kit_readme
from audio_gen.instruments.request import MOST_SEED, WavRequest
from audio_gen.instruments.zones import Instrument, Zone
from audio_gen.reporter import SILENT, Reporter
from audio_gen.text import one_line, shortened

FORMATS = {"sfz": ".sfz", "decentsampler": ".dspreset", "sf2": ".sf2", "multisample": ".multisample",
           "hydrogen": ".h2drumkit"}  # fmt: skip
ALL = "all"
KEYS = 128
PER_CLASS, WITHOUT_CLASSES = 8, 16  # sounds of a kit
LICENCE = "see README.md"
MOST_INSTRUMENTS, SF2_ZONES = 128, 9000  # of a kit; and sounds of an SF2, whose counts have 16 bits
LONGEST_NAME = 80


class KitRequest(WavRequest):
    """Options of `kit`."""

    formats: list[str] = Field(default=["sfz"])
    """Of sfz, decentsampler, sf2, multisample, hydrogen; or all."""
    name: str | None = None
    """Name of the kit; None is that of the run."""
    classes: list[str] = Field(default=[])
    """Classes to use; none is all for drums, and one that the seed draws for a pitched instrument."""
    per_class: int | None = Field(default=None, ge=1)
    """Different sounds of each class, 8 by default; of a pitched model, instruments of each class, 1 by default."""
    pitch: str | None = None
    """Zones of a pitched instrument, as lowest:highest:step in MIDI pitches: 36:84:3. None is the model's range."""
    layers: int = Field(default=3, ge=1, le=8)
    """Layers of velocity, from dark to bright."""
    takes: int = Field(default=2, ge=1, le=8)
    """Takes of each layer that differ a little, and take turns (round robin)."""
    seed: int = Field(default=0, ge=0, lt=MOST_SEED)
    """First seed."""

    @field_validator("formats")
    @classmethod
    def _check_formats(cls, formats: list[str]) -> list[str]:
        for one in formats:
            if one not in (*FORMATS, ALL):
                raise ValueError(f"{shortened(one)} is unknown; known are {', '.join(FORMATS)} and {ALL}")
        return formats

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str | None) -> str | None:
        if name is not None and not (0 < len(name.encode()) <= LONGEST_NAME and name.isprintable()):
            raise ValueError(f"{shortened(name)}: a name has 1 to {LONGEST_NAME} printable characters")
        return name

    @field_validator("pitch")
    @classmethod
    def _check_pitch(cls, pitch: str | None) -> str | None:
        _ = _zones(pitch)
        return pitch

    @property
    def zones(self) -> tuple[int, int, int] | None:
        """Lowest and highest pitch and the step."""
        return _zones(self.pitch)


def _zones(text: str | None) -> tuple[int, int, int] | None:
    if text is None:
        return None
    parts = text.split(":")
    fix = "give lowest:highest:step in MIDI pitches, such as 36:84:3"
    if len(parts) != 3 or not all(part.strip().isdecimal() and len(part) < 5 for part in parts):
        raise ValueError(f"{shortened(text)}: {fix}")
    low, high, step = map(int, parts)
    if not (0 <= low <= high < KEYS and 1 <= step <= 24):
        raise ValueError(f"{text}: pitches are 0 to 127, the lowest first, and the step 1 to 24; {fix}")
    return low, high, step


@dataclass(frozen=True)
class Kit:
    """Instruments of a model, rendered.

    Attributes:
        name: Its name.
        instruments: The instruments.
        about: Where it comes from, for `kit.json`.
        formats: Of `FORMATS`.
        bits: Of its WAVs.
        learned_from: The bundle's folder.
        digest: The bundle's hash.
    """

    name: str
    instruments: Sequence[Instrument]
    about: Mapping[str, Any]
    formats: Sequence[str]
    bits: str
    learned_from: Path
    digest: str

    @property
    def files(self) -> list[str]:
        """The files that sampler players open."""
        return [
            f"{legal_name(name)}{FORMATS[one]}"
            for one in self.formats
            for name in ([self.name] if one == "sf2" else [instrument.name for instrument in self.instruments])
        ]

    def save(self, out: Path | str, *, force: bool = False, reporter: Reporter = SILENT) -> list[Path]:
        """Write the kit into a folder: WAVs in a folder for each class, a file for each format, and a README.

        Args:
            out: The folder; created if missing.
            force: Replace existing files.
            reporter: Gets progress.

        Returns:
            The files of the formats.

        Raises:
            OutputError: A file exists already, or another command writes it.
        """
        out = at_home(out)
        folder = KitFolder(out)
        zones = [zone for instrument in self.instruments for zone in instrument.zones]
        names = [*(f"{zone.name}.wav" for zone in zones), *self.files, folder.about.name, folder.guide.name]
        command = str(self.about["command"])
        with claimed(out, names, command=command, bundle=self.digest, force=force, reporter=reporter):
            for path in _earlier_files(folder) if force else ():
                if path.relative_to(out).as_posix() not in names:
                    path.unlink(missing_ok=True)
            with reporter.progress("Writing", len(zones), "sounds") as advance:
                for zone in zones:
                    write_zone(out / f"{zone.name}.wav", zone, self.bits)
                    advance(1)
            for one in self.formats:
                self._write_format(out, one)
            write_text(folder.guide, kit_readme(self.name, self.instruments, self.about, self.files))
            # The last file: a folder that holds it is a whole kit.
            write_json(folder.about, {**self.about, "bundle_path": shareable(self.learned_from, out), **self._json()})
        return [out / name for name in self.files]

    def _write_format(self, out: Path, name: str) -> None:
        about = f"Made by audio_gen {__version__}; {LICENCE}"
        suffix = FORMATS[name]
        if name == "sf2":
            return write_sf2(self.instruments, out / f"{legal_name(self.name)}{suffix}", self.name, about)
        for instrument in self.instruments:
            path = out / f"{legal_name(instrument.name)}{suffix}"
            if name == "sfz":
                write_sfz(instrument, path, _wav_name, about)
            elif name == "decentsampler":
                write_decentsampler(instrument, path, _wav_name, about)
            elif name == "multisample":
                write_multisample(instrument, path, lambda zone: out / f"{zone.name}.wav", about)
            else:
                write_hydrogen(instrument, path, lambda zone: out / f"{zone.name}.wav", about, LICENCE)

    def _json(self) -> dict[str, Any]:
        return {
            "files": self.files,
            "instruments": [
                {
                    "name": instrument.name, "drums": instrument.drums, "release_sec": instrument.release_sec,
                    "zones": [_zone_json(zone) for zone in instrument.zones],
                }
                for instrument in self.instruments
            ]
        }  # fmt: skip


def kit(pipeline: Pipeline, request: KitRequest, reporter: Reporter = SILENT) -> Kit:
    """Render the sounds of a kit.

    A model without pitch gives a drum kit with a sound on each key. One with pitch gives an instrument over the
    keyboard for each seed.

    Args:
        pipeline: A model of clips.
        request: The options.
        reporter: Gets notes and progress.

    Raises:
        CheckpointError: The model cannot sample.
        ConfigError: An option does not fit the model.
        DataError: The model's sounds cannot be used.
    """
    pipeline.require("sample")
    refuse_sequences(pipeline, "kit")
    known = pipeline.vocabulary
    classes: list[str | None] = list(dict.fromkeys(known.class_name(known.class_id(name)) for name in request.classes))
    name = request.name or run_name(pipeline)
    formats = list(FORMATS) if ALL in request.formats else list(dict.fromkeys(request.formats))
    options: dict[str, Any] = {"layers": request.layers, "takes": request.takes, "temperature": request.temperature,
                               "reporter": reporter}  # fmt: skip
    if known.pitch_range is None:
        if request.pitch is not None:
            raise ConfigError(f"--pitch {request.pitch}: {known.model} was trained without pitches; leave it out")
        classes = classes or list(known.classes) or [None]
        per_class = request.per_class or (PER_CLASS if classes != [None] else WITHOUT_CLASSES)
        if per_class * len(classes) > KEYS:
            most = KEYS // len(classes)
            what = f"--per-class {per_class}: {len(classes)} classes have {per_class * len(classes)} sounds"
            raise ConfigError(f"{what}, and there are {KEYS} keys; use {most} or fewer, or name classes with --class")
        made = [drum_kit(pipeline, name, classes=classes, per_class=per_class, seed=request.seed, **options)]
    else:
        roots = roots_of(pipeline, request.zones)
        if "hydrogen" in formats:
            if ALL not in request.formats:
                raise ConfigError(
                    f"--format hydrogen: is for drums, and {known.model} plays pitches; use sfz, decentsampler, sf2 or "
                    "multisample"
                )
            formats.remove("hydrogen")
        count = len(classes or [None]) * (request.per_class or 1)
        if count > MOST_INSTRUMENTS:
            raise ConfigError(
                f"--per-class {request.per_class}: {count} instruments; a kit has at most {MOST_INSTRUMENTS}"
            )
        if "sf2" in formats and (zones := count * len(roots) * request.layers * pipeline.spec.channels) > SF2_ZONES:
            raise ConfigError(
                f"--format sf2: holds at most {SF2_ZONES} sounds, and these are {zones}; use fewer layers or zones"
            )
        made = [
            pitched_instrument(pipeline, class_name=one, roots=roots, seed=seed, **options)
            for one in classes or [None]
            for seed in range(request.seed, request.seed + (request.per_class or 1))
        ]
    about = {
        "kind": "kit", "name": name, "command": request.origin, "version": __version__, "bundle": pipeline.digest,
        "vocoder": pipeline.vocoder.name, "seed": request.seed, "temperature": request.temperature,
    }  # fmt: skip
    made = [_apart(one, formats) for one in made]
    return Kit(
        name, [in_rate(one, request.rate) for one in made], about, formats, request.bits, pipeline.path, pipeline.digest
    )


def _apart(instrument: Instrument, formats: Sequence[str]) -> Instrument:
    """An instrument whose folders of WAVs do not have the names of the kit's own files."""
    folder = KitFolder(Path())
    taken = {folder.about.name, folder.guide.name, *(f"{legal_name(instrument.name)}{FORMATS[one]}" for one in formats)}
    names = {one.casefold() for one in taken}

    def moved(zone: Zone) -> Zone:
        first, _, rest = zone.name.partition("/")
        return replace(zone, name=f"{first}-sounds/{rest}") if first.casefold() in names else zone

    return replace(instrument, zones=tuple(map(moved, instrument.zones)))


def check_kit_out(out: Path, *, force: bool) -> None:
    """Refuse a folder that holds a kit, or cannot be used, before a kit is rendered.

    Raises:
        OutputError: It holds one, and `force` is off; or a file is in the way.
    """
    check_out(out, [KitFolder(out).about.name], force=force)


def run_name(pipeline: Pipeline) -> str:
    """The name of a pipeline's run, or of its bundle's folder."""
    folder = pipeline.path.absolute()
    name = folder.parent.name if folder.name.startswith("bundle") and folder.parent.name else folder.name
    return legal_name(one_line(name)) or "kit"


def _earlier_files(folder: KitFolder) -> list[Path]:
    """The sounds and files of a kit that is replaced."""
    try:
        about = read_json(folder.about)
        zones = [zone["file"] for one in about["instruments"] for zone in one["zones"]]
        found = [folder.path / name for name in (*zones, *about.get("files", ()))]
    except (OSError, MalformedError, KeyError, TypeError, AttributeError):
        return []
    return [path for path in found if path.is_relative_to(folder.path) and ".." not in path.parts and path.is_file()]


def write_zone(path: Path, zone: Zone, bits: str) -> None:
    """Write the WAV of a zone, with the chunks that samplers read."""
    write_sample(
        path, dithered(zone.wav) if bits == "16" else zone.wav, zone.sample_rate, SUBTYPES[bits], root=zone.root,
        cents=zone.cents, loop=None if zone.loop is None else (zone.loop.first, zone.loop.stop), keys=zone.keys,
        velocities=zone.velocities,
    )  # fmt: skip


def _wav_name(zone: Zone) -> str:
    return f"{zone.name}.wav"


def _zone_json(zone: Zone) -> dict[str, Any]:
    loop = zone.loop and {
        "first": zone.loop.first,
        "stop": zone.loop.stop,
        "correlation": round(zone.loop.correlation, 4),
    }
    return {
        "file": _wav_name(zone), "label": zone.label, "class": zone.class_name, "root": zone.root,
        "cents": round(zone.cents, 2), "keys": list(zone.keys), "velocities": list(zone.velocities),
        "take": zone.take, "takes": zone.takes, "choke": zone.choke, "pitched": zone.pitched, "loop": loop,
    }  # fmt: skip
