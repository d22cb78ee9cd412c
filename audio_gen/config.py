"""Typed, frozen settings from YAML and `a.b=c` overrides; errors list every wrong key with the nearest valid one."""

import difflib
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

import yaml  # only to write; `parse_yaml` reads
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from audio_gen.errors import ConfigError
from audio_gen.files import LARGEST_YAML_BYTES, MalformedError, parse_yaml, read_regular, write_text
from audio_gen.text import clipped, one_line, shortened

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, lt=1)]
Width = Annotated[int, Field(ge=1, le=16_384)]  # channels or dimensions
Depth = Annotated[int, Field(ge=1, le=256)]  # blocks
RateFactor = Annotated[float, Field(gt=0, le=1000)]  # of a learning rate, over another
ClipSec = Annotated[float, Field(gt=0, le=3600)]
MelFloor = Annotated[float, Field(ge=-20, le=0)]


class Settings(BaseModel):
    """A section of the configuration: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, protected_namespaces=())


class DataSettings(Settings):
    """From a folder to clips."""

    segment_sec: ClipSec = 2.0
    """Length of a training clip in seconds, rounded to whole frames. Shorter files are padded, longer ones cropped."""
    crop: Literal["start", "random"] = "start"
    """Crop of longer files: `start` keeps the onset, `random` moves. Files over four segments are cropped at random."""
    labels: str = "auto"
    """Source of classes and pitches: auto, folders, names, none, or the path of a CSV or NSynth examples.json."""
    pattern: str | None = None
    """Regular expression for class, pitch and velocity in file names. The default reads `violin-060-110`."""
    pitch: Literal["names", "auto", "none"] = "names"
    """names: pitches of the labels. auto: missing pitches are estimated with pYIN. none: no pitch condition."""
    onset: Literal["align", "keep"] = "align"
    """align: every clip starts with the same short silence before its onset. keep: clips are not shifted."""
    channels: Literal["auto", 1, 2] = "auto"
    """Channels of the clips. auto: 2 where more than a fifth of the files are stereo; an existing cache keeps its."""
    trim_onset: bool = False
    """Cut the silence before every sound."""
    generated: bool = False
    """Also train on clips that audio_gen generated. They are skipped by default."""
    val_fraction: Share = 0.1
    """Share of the files held out for validation."""
    group_pattern: str | None = None
    """Regular expression; files with the same captured text stay on one side of the split."""


DEFAULT_MODEL, DEFAULT_MEL = "gan", "44khz_128band_512x"  # of commands without --model or --mel
MOST_PARTS = 8  # in a setting's dotted name
LENGTHS = ("steps", "minutes", "images", "until")  # a run has one of them
EARLY_SHARE, EARLY_MINUTES = 0.1, 5.0  # time of the first preview and bundle: the earlier of both


class TrainSettings(Settings):
    """How long and how fast to train."""

    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Seed of initial weights, data order and noise."""
    steps: Count | None = None
    """Length of the run in steps. Give one length: steps, minutes, images or until."""
    minutes: Positive | None = None
    """Length of the run in minutes. The schedule follows the clock."""
    images: Count | None = None
    """Length of the run in clips seen, for any batch size."""
    until: datetime | None = None
    """End of the run on this machine's clock, such as 2026-01-01 07:00."""
    batch_size: Annotated[int, Field(ge=1, le=65_536)] = 32
    """Clips per step, summed over all processes."""
    micro_batches: Count | None = None
    """Parts of a batch whose gradients are averaged: more parts need less memory. null: one per process."""
    lr: Annotated[float, Field(gt=0, le=1)] = 1e-3
    """Peak learning rate."""
    betas: tuple[Share, Share] = (0.9, 0.99)
    """Adam's two decay rates."""
    weight_decay: Annotated[float, Field(ge=0, le=100)] = 0.01
    """AdamW's weight decay."""
    warmup_steps: Annotated[int, Field(ge=0)] = 50
    """Steps of linear warm-up."""
    decay: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Share of the run, at its end, in which the rate falls by a cosine; 0 keeps it."""
    clip_norm: Positive = 1.0
    """Gradients are clipped to this norm, in each phase."""
    ema_decay: Share = 0.999
    """Decay per step of the averaged (EMA) weights, which are exported. It ramps up from zero."""
    ema_images: Positive | None = None
    """Half-life of the EMA in clips seen, at most a tenth of all seen so far. null: use ema_decay."""
    precision: Literal["auto", "fp32", "bf16"] = "fp32"
    """bf16 runs the networks under autocast. Losses and spectrograms stay in fp32. auto: bf16 where it is fast."""
    compile: bool = False
    """Use torch.compile if the model supports it. It costs a minute at the start and pays on long GPU runs."""
    log_every: Count = 10
    """Steps between two lines of metrics.jsonl."""
    validations: Annotated[int, Field(ge=0)] = 20
    """Number of validations, evenly spaced over the run."""
    val_clips: Count = 256
    """Largest number of clips in a validation."""
    previews: Annotated[int, Field(ge=0)] = 4
    """Number of previews (WAV and PNG), evenly spaced, the last at the end. Each also writes the bundle."""
    milestones: tuple[Positive, ...] = ()
    """Minutes after which the model is also exported, as `bundle-10min`."""
    checkpoint_minutes: Positive = 5.0
    """Minutes between two checkpoints. Previews and the end write one too."""
    keep: Count = 2
    """Number of checkpoints kept while the run trains."""
    compact: bool = True
    """Keep only the weights of a finished run. If it is extended later, its optimisers start from zero."""

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if sum(getattr(self, name) is not None for name in LENGTHS) != 1:
            raise ValueError(f"give one of {', '.join(LENGTHS)}")
        return self


Config = TypeVar("Config", bound=Settings)
SHOWN_ERRORS, ERROR_CHARACTERS = 8, 200  # of a config's errors; of each


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of `base` with the values of `over`, merged section by section."""
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        merged[key] = merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    if any(over.get(name) is not None for name in LENGTHS):  # the later length of a run wins
        for name in LENGTHS:
            if name not in over:
                merged.pop(name, None)
    return merged


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises:
        ConfigError: The file is missing, not YAML, or not a mapping.
    """
    name = one_line(path)
    try:
        value = parse_yaml(read_regular(path, LARGEST_YAML_BYTES))
    except OSError as e:
        raise ConfigError(f"{name}: cannot be read ({e.strerror}); check the path") from e
    except MalformedError as e:
        raise ConfigError(f"{name}: {e}; fix it, and save it as UTF-8") from e
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise ConfigError(f"{name}: must hold `section: value` lines; see configs/ for examples")
    return value


def parse_overrides(overrides: Iterable[str]) -> dict[str, Any]:
    """`["train.lr=1e-4"]` as nested sections, with YAML values.

    Raises:
        ConfigError: An override is not of the form `a.b=c`.
    """
    result: dict[str, Any] = {}
    for text in overrides:
        key, equals, value = text.partition("=")
        parts, shown = [part.strip() for part in key.split(".")], clipped(one_line(text), ERROR_CHARACTERS)
        if not equals or not all(parts) or len(parts) > MOST_PARTS:
            raise ConfigError(f"--set {shown}: must read section.key=value, such as --set train.lr=1e-4")
        try:
            parsed = _number_of(parse_yaml(value))
        except MalformedError as e:
            raise ConfigError(f"--set {shown}: the value cannot be read ({e}); a text may need quotes") from e
        within: Any = result
        for part in parts[:-1]:
            within = within.get(part, {}) if isinstance(within, Mapping) else within
        old = within.get(parts[-1], parsed) if isinstance(within, Mapping) else within
        if not isinstance(within, Mapping) or isinstance(old, Mapping) != isinstance(parsed, Mapping):
            raise ConfigError(f"--set {shown}: contradicts another --set of {parts[0]}; keep one of them")
        nested: Any = parsed
        for part in reversed(parts):
            nested = {part: nested}
        result = merge(result, nested)
    return result


def _number_of(value: Any) -> Any:
    """Convert numbers such as 1e-4, which YAML 1.1 reads as text.

    Raises:
        MalformedError: It is infinite or NaN.
    """
    if not isinstance(value, str):
        return value
    try:
        number = float(value)
    except ValueError:
        return value
    if not math.isfinite(number):
        raise MalformedError("it is infinite or NaN")
    return number


def check_sections(kind: type[BaseModel], values: Mapping[str, Any], origin: str) -> None:
    """Refuse a single value in place of a section.

    Args:
        kind: The config class.
        values: Settings by section.
        origin: Their source, for the message.

    Raises:
        ConfigError: A section is a single value.
    """
    for name, field in kind.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel) and name in values:
            if not isinstance(values[name], Mapping):
                raise ConfigError(
                    f"{origin}: {name} ({_shown(values[name])}) is a section; give its settings, such as "
                    f"{name}.{next(iter(inner.model_fields))}, or leave it out"
                )
            check_sections(inner, values[name], origin)


def _shown(value: Any) -> str:
    return "empty" if value is None else shortened(value)


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by their dotted names, such as `train.lr`; a mel is one value."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        nested = isinstance(value, Mapping) and key != "mel"
        found |= flat(value, f"{prefix}{key}.") if nested else {prefix + key: value}
    return found


def build(kind: type[Config], values: Mapping[str, Any]) -> Config:
    """A checked config of `kind`.

    Raises:
        ConfigError: Keys or values are wrong; see `problems_in`.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as e:
        raise ConfigError(problems_in(kind, e)) from None


def problems_in(kind: type[BaseModel], error: ValidationError) -> str:
    """Every wrong key and value of a config in one line, with the nearest valid key for each unknown one."""
    errors = error.errors(include_url=False, include_context=False)
    lines = [clipped(_explain(kind, one), ERROR_CHARACTERS) for one in errors[:SHOWN_ERRORS]]
    more = len(errors) - len(lines)
    return "; ".join([*lines, *([f"and {more} more"] if more else [])])


def save(config: Settings, path: Path) -> None:
    """Write the resolved config as YAML."""
    write_text(path, yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True))


@dataclass(frozen=True)
class Setting:
    """A setting, for help and guides.

    Attributes:
        name: With its sections, such as `train.lr`.
        default: In YAML.
        text: What it does.
    """

    name: str
    default: str
    text: str


def list_settings(kind: type[Settings]) -> list[Setting]:
    """Every setting of a config class except `model`, in the order of the source."""
    defaults = flat(kind.model_construct().model_dump(mode="json"))
    return [Setting(name, _as_yaml(defaults.get(name)), text) for name, text in _texts(kind) if name != "model"]


def settings_table(kinds: Mapping[str, type[Settings]]) -> str:
    """Name, default and explanation of every setting, as a table in Markdown.

    Args:
        kinds: The config class of each model; a column of defaults for each.
    """
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for model, kind in kinds.items():
        for one in list_settings(kind):
            rows.setdefault((one.name, one.text), {})[model] = f"`{one.default}`"
    ranks = {name: i for i, (name, _) in enumerate(rows)}
    sections = list(dict.fromkeys(name.rpartition(".")[0] for name in ranks))
    cells = [
        [f"`{name}`", *(values.get(model, "") for model in kinds), text.replace("|", "\\|")]
        for (name, text), values in sorted(
            rows.items(), key=lambda row: (sections.index(row[0][0].rpartition(".")[0]), ranks[row[0][0]])
        )
    ]
    head = ["setting", *kinds, "what it does"]
    widths = [max(len(row[i]) for row in [head, *cells]) for i in range(len(head) - 1)]
    lines = [head, ["-" * width for width in [*widths, len(head[-1])]], *cells]
    return "\n".join(f"| {' | '.join([*map(str.ljust, row, widths), row[-1]])} |" for row in lines)


def _texts(kind: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, field in kind.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from _texts(inner, f"{prefix}{name}.")
        else:
            yield prefix + name, " ".join((field.description or "").split())


def _as_yaml(value: Any) -> str:
    text: str = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=1000)
    return text.removesuffix("...\n").strip()


def first_preview_due(config_file: Path) -> str:
    """Time of a run's first preview, such as "after 2 minutes of training"."""
    try:
        train = read_yaml(config_file)["train"]
        if train.get("previews") == 0:
            return "at its end, as train.previews is 0"
        if minutes := train.get("minutes"):
            return f"after {min(EARLY_SHARE * minutes, EARLY_MINUTES):.2g} minutes of training"
        if steps := train.get("steps") or (train.get("images") or 0) / train["batch_size"]:
            return f"at step {math.ceil(EARLY_SHARE * steps):.0f}"
    except (ConfigError, KeyError, TypeError, AttributeError, ValueError, ArithmeticError):
        return "after a tenth of it"
    return f"after {EARLY_MINUTES:g} minutes of training or a tenth of it"


def field_paths(kind: type[BaseModel], prefix: str = "") -> list[str]:
    """Every key of a config class with its sections, such as `train.lr`."""
    paths = []
    for name, field in kind.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            paths += field_paths(inner, f"{prefix}{name}.")
        else:
            paths.append(prefix + name)
    return paths


def _explain(kind: type[BaseModel], error: Any) -> str:
    parts = [str(part) for part in error["loc"]]
    key = clipped(one_line(".".join(parts)), ERROR_CHARACTERS // 2)
    if error["type"] == "extra_forbidden":
        paths = field_paths(kind)
        near = difflib.get_close_matches(key, paths, n=1, cutoff=0.5)
        of = [path for path in paths if path.split(".")[:-1] == parts[:-1]] or paths
        return f"unknown setting {key}; " + (f"did you mean {near[0]}?" if near else f"known: {', '.join(of)}")
    message = error["msg"].removeprefix("Value error, ")
    if not key:  # of settings that do not fit each other
        return message
    if error["type"] in ("missing", "value_error"):
        return f"{key}: {message}"
    return f"{key} ({shortened(error['input'], ERROR_CHARACTERS // 2)}): {message[0].lower()}{message[1:]}"
