"""Read a kit that `kit` wrote, to play it."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, ValidationError, model_validator

from audio_gen.artefacts.folders import KitFolder
from audio_gen.audio.io import read_wav
from audio_gen.config import Settings, problems_in
from audio_gen.errors import DataError
from audio_gen.files import MalformedError, is_path, read_json
from audio_gen.instruments.sustain_loop import SustainLoop
from audio_gen.instruments.zones import Instrument, Zone
from audio_gen.text import clipped, one_line, visible

Key = Annotated[int, Field(ge=0, le=127)]
Take = Annotated[int, Field(ge=0, lt=128)]
LONGEST_PATH = 1000  # characters
MOST_ZONES, MOST_INSTRUMENTS = 10_000, 128


class _Loop(Settings, extra="ignore"):
    first: Annotated[int, Field(ge=0)]
    stop: Annotated[int, Field(ge=1)]
    correlation: float = 1.0


class _Zone(Settings, extra="ignore"):
    file: Annotated[str, Field(max_length=LONGEST_PATH)]
    root: Key
    keys: tuple[Key, Key]
    velocities: tuple[Key, Key] = (1, 127)
    cents: Annotated[float, Field(ge=-200, le=200, allow_inf_nan=False)] = 0.0
    take: Take = 0
    takes: Annotated[int, Field(ge=1, le=128)] = 1
    choke: Annotated[int, Field(ge=0)] = 0
    pitched: bool = True
    loop: _Loop | None = None
    class_name: str | None = Field(default=None, alias="class")
    label: str = ""

    @model_validator(mode="after")
    def _check_ranges(self) -> Self:
        for name, (low, high) in (("keys", self.keys), ("velocities", self.velocities)):
            if low > high:
                raise ValueError(f"{name} {low} to {high} are in the wrong order")
        return self


class _Instrument(Settings, extra="ignore"):
    name: str
    drums: bool
    release_sec: Annotated[float, Field(gt=0, le=60)] = 0.25
    zones: Annotated[list[_Zone], Field(min_length=1, max_length=MOST_ZONES)]


class _Kit(Settings, extra="ignore"):
    instruments: Annotated[list[_Instrument], Field(min_length=1, max_length=MOST_INSTRUMENTS)]


def is_kit(path: Path) -> bool:
    """Whether a folder is a kit."""
    return KitFolder(path).exists()


def load_kit(path: Path) -> list[Instrument]:
    """The instruments of a kit, with their sounds.

    Args:
        path: The folder.

    Raises:
        DataError: Its description is damaged.
        AudioFileError: A WAV of it cannot be read.
    """
    about = KitFolder(path).about
    try:
        kit = _Kit.model_validate(read_json(about))
    except ValidationError as e:
        raise DataError(
            f"{one_line(about)}: is damaged ({clipped(problems_in(_Kit, e), 200)}); make the kit again"
        ) from None
    except (OSError, MalformedError) as e:
        why = clipped(one_line(str(e).splitlines()[0]), 120)
        raise DataError(f"{one_line(about)}: is damaged ({why}); make the kit again") from e
    return [
        Instrument(
            one.name, tuple(_zone(path, zone, about) for zone in one.zones), one.drums, one.release_sec
        ) for one in kit.instruments
    ]  # fmt: skip


def _zone(folder: Path, zone: _Zone, about: Path) -> Zone:
    inside = (
        is_path(zone.file)
        and visible(zone.file) == zone.file
        and not Path(zone.file).is_absolute()
        and ".." not in Path(zone.file).parts
    )
    if not inside:
        raise DataError(f"{one_line(about)}: names a file outside of the kit ({one_line(zone.file)}); make it again")
    wav, rate = read_wav(folder / zone.file, channels=None)
    loop = None if zone.loop is None else SustainLoop(zone.loop.first, zone.loop.stop, zone.loop.correlation)
    if loop is not None and not loop.first < loop.stop <= wav.shape[-1]:
        raise DataError(f"{one_line(about)}: a loop ends after its sound ({one_line(zone.file)}); make the kit again")
    return Zone(
        zone.file.removesuffix(".wav"), wav, rate, zone.root, zone.keys, zone.cents, zone.velocities, zone.take,
        zone.takes, loop, zone.class_name, zone.choke, zone.pitched, zone.label,
    )  # fmt: skip
