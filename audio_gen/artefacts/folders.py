"""Names of the files in each folder that this package writes. Imports no torch."""

import os
import re
import shutil
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audio_gen.files import MalformedError, read_json

DATASET_REPORT_NAME, LOCK_NAME = "dataset_report.json", ".lock"  # in caches and in runs
SOURCE_KEYS, CACHE_KEYS = {"source", "sounds"}, {"version", "sample_rate", "pcm"}


@dataclass(frozen=True)
class BundleFolder:
    """A bundle: the weights and config of a trained model. `artefacts.bundle` has the format."""

    path: Path

    @property
    def config(self) -> Path:
        """Kind and arguments of the model, mel, classes, ..; without it a folder is not a bundle."""
        return self.path / "config.json"

    @property
    def weights(self) -> Path:
        """The weights."""
        return self.path / "model.safetensors"

    @property
    def card(self) -> Path:
        """The model card."""
        return self.path / "README.md"

    @property
    def directions(self) -> Path:
        """Directions of the latent space, from `audio-gen directions`."""
        return self.path / "directions.safetensors"

    def exists(self) -> bool:
        """Whether there is a bundle."""
        return self.config.is_file()

    def drop(self) -> None:
        """Delete it; a concurrent reader finds all of it or nothing."""
        if self.path.is_dir():
            aside = self.path.with_name(f".{self.path.name}.old")
            shutil.rmtree(aside, ignore_errors=True)
            self.path.rename(aside)
            shutil.rmtree(aside, ignore_errors=True)


@dataclass(frozen=True)
class KitFolder:
    """A sampler kit. `instruments.kit` writes it, and `instruments.kit_folder` reads it."""

    path: Path

    @property
    def about(self) -> Path:
        """Its instruments, zones and origin; without it a folder is not a kit."""
        return self.path / "kit.json"

    @property
    def guide(self) -> Path:
        """What is in it, and how to open it."""
        return self.path / "README.md"

    def exists(self) -> bool:
        """Whether there is a kit."""
        return self.about.is_file()


@dataclass(frozen=True)
class RunFolder:
    """A training run."""

    path: Path

    @property
    def settings(self) -> Path:
        """The resolved settings; written before the first step."""
        return self.path / "config.yaml"

    @property
    def source(self) -> Path:
        """The source folder of the sounds, with a digest of them."""
        return self.path / "run.json"

    @property
    def clips(self) -> Path:
        """A line for each clip at the start of the run: path, hash, class, pitch."""
        return self.path / "clips.jsonl"

    @property
    def dataset_report(self) -> Path:
        """The dataset report: the use of each source file."""
        return self.path / DATASET_REPORT_NAME

    @property
    def metrics(self) -> Path:
        """A line for each logged step."""
        return self.path / "metrics.jsonl"

    @property
    def progress(self) -> Path:
        """Step, share done and time left, for other processes."""
        return self.path / "progress.json"

    @property
    def lock(self) -> Path:
        """Held by the process that trains."""
        return self.path / LOCK_NAME

    @property
    def events(self) -> Path:
        """TensorBoard's event files."""
        return self.path / "tensorboard"

    @property
    def previews(self) -> Path:
        """A folder for each preview."""
        return self.path / "previews"

    @property
    def cache(self) -> Path:
        """The cache that was built from a folder of sounds."""
        return self.path / "cache"

    @property
    def checkpoints(self) -> Path:
        """The checkpoints."""
        return self.path / "checkpoints"

    @property
    def bundle(self) -> Path:
        """The bundle of the best step."""
        return self.path / "bundle"

    @property
    def last_bundle(self) -> Path:
        """The bundle of the last step, if that is not the best."""
        return self.path / "bundle-last"

    def checkpoint(self, step: int) -> Path:
        """The checkpoint after `step` steps."""
        return self.checkpoints / f"step-{step:08d}.pt"

    def checkpoint_files(self) -> list[Path]:
        """The checkpoints, oldest first."""
        return sorted(self.checkpoints.glob("step-*.pt"))

    def preview(self, step: int) -> Path:
        """The folder of a step's preview."""
        return self.previews / f"step-{step:08d}"

    def milestone(self, minutes: float) -> Path:
        """The bundle of the model after some minutes."""
        return self.path / f"bundle-{minutes:g}min"

    def working_folders(self) -> list[Path]:
        """The folders that training writes to."""
        return [self.path, self.checkpoints, *self.path.glob("bundle*"), *self.previews.glob("*")]

    def dropped_bundles(self) -> list[Path]:
        """Remains of interrupted deletions of bundles."""
        return list(self.path.glob(".bundle*.old"))

    def sizes(self) -> dict[str, int]:
        """Bytes by kind: checkpoints, bundles, previews, events, cache and other. A hard-linked file counts once."""
        kinds = {one.name: one.name for one in (self.checkpoints, self.previews, self.cache)}
        kinds[self.events.name] = "events"
        found = dict.fromkeys(("checkpoints", "bundles", "previews", "events", "cache", "other"), 0)
        seen: set[tuple[int, int]] = set()
        for folder, _, names in os.walk(self.path):
            parts = Path(folder).relative_to(self.path).parts
            top = parts[0] if parts else ""
            kind = "bundles" if top.startswith(self.bundle.name) else kinds.get(top, "other")
            for name in names:
                try:
                    about = os.lstat(Path(folder, name))
                except OSError:  # training replaces files
                    continue
                if (about.st_dev, about.st_ino) not in seen:
                    seen.add((about.st_dev, about.st_ino))
                    found[kind] += about.st_size
        return found

    def best_and_last(self) -> dict[str, dict[str, Any]]:
        """Steps, minutes and figure of the run's bundles by name: best step, then last step if different."""
        found = {}
        for folder in (self.bundle, self.last_bundle):
            try:
                config = read_json(BundleFolder(folder).config)
            except (OSError, MalformedError):
                continue
            if isinstance(config, dict):
                found[folder.name] = _training(config.get("training"))
        return found


@dataclass(frozen=True)
class CacheFolder:
    """A cache: 16-bit samples, a table of clips, and an index that names both. `data.store` has the format."""

    path: Path

    @property
    def index(self) -> Path:
        """The index; without it a folder is not a cache."""
        return self.path / "index.json"

    @property
    def dataset_report(self) -> Path:
        """The dataset report: the use of each source file."""
        return self.path / DATASET_REPORT_NAME

    @property
    def lock(self) -> Path:
        """Held by the process that builds."""
        return self.path / LOCK_NAME

    def exists(self) -> bool:
        """Whether there is a cache."""
        return self.index.is_file()


@dataclass(frozen=True)
class EvaluationFolder:
    """The output of `audio-gen evaluate --out`."""

    path: Path

    @property
    def result(self) -> Path:
        """All figures and the verdict."""
        return self.path / "evaluation.json"

    @property
    def report(self) -> Path:
        """The page."""
        return self.path / "report.html"

    @property
    def samples(self) -> Path:
        """The sampled clips."""
        return self.path / "samples"


@dataclass(frozen=True)
class QuickstartFolder:
    """The output of `audio-gen quickstart --out`."""

    path: Path

    @property
    def run(self) -> Path:
        """The training run."""
        return self.path / "run"

    @property
    def sounds(self) -> Path:
        """A copy of the demonstration sounds."""
        return self.path / "sounds"

    @property
    def vocoder(self) -> Path:
        """The run that fine-tuned the vocoder."""
        return self.path / "vocoder"

    @property
    def report(self) -> Path:
        """The page."""
        return self.path / "report.html"

    @property
    def samples(self) -> Path:
        """New clips."""
        return self.path / "samples"

    @property
    def reconstructions(self) -> Path:
        """Held-out sounds, encoded and decoded."""
        return self.path / "reconstructions"

    @property
    def between_samples(self) -> Path:
        """Interpolations between new clips."""
        return self.path / "between-samples"

    @property
    def between_sounds(self) -> Path:
        """Interpolations between held-out sounds."""
        return self.path / "between-sounds"


def bundle_folder(path: Path) -> Path:
    """The folder of a bundle: `path` itself, or the bundle of the run's best step."""
    return path if BundleFolder(path).exists() else RunFolder(path).bundle


def is_run_or_bundle(path: Path) -> bool:
    """Whether a path is a run or a bundle rather than a folder of clips."""
    run = RunFolder(path)
    return any(file.is_file() for file in (BundleFolder(run.bundle).config, BundleFolder(path).weights, run.metrics))


def package_folder(folder: str | Path, names: Collection[str]) -> str | None:
    """The kind of a folder that this package wrote: "a training run", "a cache"; None for other folders.

    Args:
        folder: The folder.
        names: Names of its entries.
    """
    place = Path(folder)
    run, cache = RunFolder(place), CacheFolder(place)
    if run.source.name in names and json_keys(run.source) >= SOURCE_KEYS:
        return "a training run"
    if {run.settings.name, run.checkpoints.name} <= set(names) and _has_checkpoints(run):
        return "a training run"  # early versions wrote no source file
    if cache.index.name in names and json_keys(cache.index) >= CACHE_KEYS:
        return "a cache"
    return None


def json_keys(path: Path, limit: int = 1 << 26) -> set[str]:
    """The keys of a JSON object of at most `limit` bytes; empty for any other file."""
    try:
        values: Any = read_json(path, limit)
    except (OSError, MalformedError):
        return set()
    return set(values) if isinstance(values, dict) else set()


def _has_checkpoints(run: RunFolder) -> bool:
    with suppress(OSError):
        return any(re.fullmatch(r"step-\d+\.pt", name) for name in os.listdir(run.checkpoints))
    return False


def _training(values: Any) -> dict[str, Any]:
    """The valid training figures in a bundle's config."""
    given = values if isinstance(values, dict) else {}
    known: dict[str, type] = {"steps": int, "minutes": int | float, "figure": int | float | None}  # type: ignore[dict-item]
    return {
        key: value for key, value in given.items()
        if key in known and isinstance(value, known[key]) and not isinstance(value, bool)
    }  # fmt: skip
