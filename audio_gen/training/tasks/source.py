"""Open the sounds of a run: a folder, cached inside the run, or a cache."""

import shlex
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from audio_gen import __version__
from audio_gen.artefacts.folders import CacheFolder, RunFolder
from audio_gen.audio.mel import PRESETS, MelSpec
from audio_gen.data.cache import build_cache
from audio_gen.data.domains import domain_names
from audio_gen.data.index import inspect_folder
from audio_gen.data.rates import mel_fields
from audio_gen.data.store import Cache, digest_of, first_of_each
from audio_gen.errors import CheckpointError, ConfigError, DataError, MelMismatchError, OutputError
from audio_gen.files import MalformedError, read_json, write_json
from audio_gen.text import distinct_sounds, one_line
from audio_gen.training.events import CacheProgress, Event, Note
from audio_gen.training.tasks.changes import ANOTHER_CLASS, ANOTHER_SOUND, changes, counted, keep_clips
from audio_gen.training.tasks.settings import RunConfig

FEW_CLIPS, SHOWN_CLASSES = 5, 10
LONG_SHARE = 0.1
LITTLE_TO_TRANSFER_SEC = 60.0
LITTLE_SEC = 30.0


def open_source(
    source: Path, run: Path, settings: RunConfig, spec: MelSpec, tell: Callable[[Event], None], to: Path | None = None
) -> Cache:
    """The cache to train on: `source` itself, or one built in the run's folder, of two folders if there is `to`.

    Raises:
        DataError: There are no usable sounds.
        MelMismatchError: The cache has another sample rate than the mel.
    """
    if to is not None and (caches := [one for one in (source, to) if CacheFolder(one).exists()]):
        raise ConfigError(
            f"{one_line(caches[0])}: is a cache; --to takes two folders of sounds, or leave it out for a cache of two "
            "classes"
        )
    if CacheFolder(source).exists():
        cache = Cache.open(source)
        if cache.sample_rate != spec.sample_rate:
            mel = shlex.quote(f"mel={mel_of_rate(cache.sample_rate)}")
            raise MelMismatchError(
                f"{one_line(source)}: the cache has {cache.sample_rate} Hz, the mel {spec.sample_rate} Hz; "
                f"add --set {mel} to train at that rate, or give the folder of sounds in its place"
            )
        return cache
    if not source.is_dir():
        raise DataError(f"{source}: no such folder; give a folder of sounds")
    try:
        run.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise OutputError(f"{run}: cannot be created ({e.strerror}); choose another folder for the run") from e
    return build_cache(
        source, RunFolder(run).cache, sample_rate=spec.sample_rate, data=settings.data,
        progress=lambda what, done, total: tell(CacheProgress(what, done, total)),
        generated=settings.data.generated, to=to,
    )  # fmt: skip


def mel_of_rate(sample_rate: int) -> str:
    """A value of the setting `mel` with this sample rate: a preset's name, or fields."""
    return next((name for name, spec in PRESETS.items() if spec.sample_rate == sample_rate), mel_fields(sample_rate))


def check_apart(source: Path, run: Path, *, force: bool, option: str = "--run") -> None:
    """Refuse a run's folder that is or contains the folder of the sounds: `--force` would move the sounds away.

    Args:
        source: The folder of sounds, or a cache.
        run: The run's folder.
        force: Whether an earlier run is to be moved aside.
        option: The option with the run's folder or its parent, for messages.

    Raises:
        ConfigError: It does, and no run of an earlier version is resumed.
    """
    holds = run.resolve() in (source.resolve(), *source.resolve().parents)
    if holds and source.is_dir() and (force or not RunFolder(run).source.is_file()):
        raise ConfigError(
            f"{option} {one_line(run)}: contains the sounds of {one_line(source)}; use another folder for the run, "
            f"such as {option} {one_line(run / 'run')}"
        )


def second_folder(source: Path, run: Path, to: Path | None) -> Path | None:
    """The second folder of a run: `to`, or without it that of the run that is resumed.

    Args:
        source: The first folder.
        run: The run's folder.
        to: A second folder that the user gives.

    Raises:
        DataError: It is no folder, or the two are not apart.
    """
    if to is None:
        then = _started_on(run)
        known = None if then is None else then.get("to")
        return None if known is None or CacheFolder(source).exists() else Path(known)
    if not to.is_dir():
        raise DataError(f"--to {one_line(to)}: no such folder; give a second folder of sounds")
    domain_names(source, to)
    return to


def check_source(source: Path, run: Path, to: Path | None = None, *, option: str = "--run") -> None:
    """Refuse to resume on another folder, before the run's cache changes; a moved folder is accepted.

    Args:
        source: The folder of sounds, or a cache.
        run: The run's folder.
        to: The second folder, if there is one.
        option: The option with the run's folder or its parent, for messages.

    Raises:
        ConfigError: Both path and content differ from those at the start of the run.
    """
    then = _started_on(run)
    if then is None or (then["source"], then.get("to")) == (str(source.resolve()), to and str(to.resolve())):
        return
    if CacheFolder(source).exists():
        sounds = Cache.open(source).sounds
    else:
        sounds = digest_of(f.measurement.content_hash for f in inspect_folder(source, to=to).usable if f.measurement)
    if sounds != then["sounds"]:
        known = one_line(then["source"]) + (f" --to {one_line(then['to'])}" if "to" in then else "")
        raise ConfigError(f"{one_line(run)}: was started on {known}; give that folder, or another {option}")


def check_not_pruned(run: Path) -> None:
    """Refuse to replace the bundle of a run without checkpoints.

    Raises:
        CheckpointError: The run has a bundle and no checkpoint.
    """
    if RunFolder(run).bundle.is_dir() and not RunFolder(run).checkpoint_files():
        raise CheckpointError(
            f"{run}: its checkpoints are deleted (`prune` does that), so it cannot resume; start from its weights in a "
            f"new folder with --init {shlex.quote(str(run))}, or add --force to start again"
        )


def keep_source(source: Path, run: Path, cache: Cache, tell: Callable[[Event], None], to: Path | None = None) -> None:
    """Record the source of a run's sounds, and report files that changed since it began."""
    then, sounds, changed = _started_on(run), cache.sounds, changes(run, cache)
    if changed:
        text = f"{one_line(source)}: since the run began, files were changed: {counted(changed)}"
        text += "; training continues with the changed folder"
        if changed.keys() & {ANOTHER_CLASS, ANOTHER_SOUND}:
            again = f"--init {shlex.quote(str(run))}"
            text += f". The model keeps its weights; a new run with {again} trains on the changed files from the start"
        tell(Note(text))
    elif then is not None and then["sounds"] != sounds and not RunFolder(run).clips.is_file():
        tell(Note(f"{source}: has changed since the run was started; training continues with the changed folder"))
    keep_clips(run, cache)
    second = {} if to is None else {"to": str(to.resolve())}
    about = {"source": str(source.resolve()), **second, "sounds": sounds, "version": __version__}
    write_json(RunFolder(run).source, about)


def warn_of_few(cache: Cache, tell: Callable[[Event], None]) -> None:
    """Warn of classes with so few different clips that generated ones can only resemble them."""
    class_ids = cache.split("train").column("class_id")
    if (sounds := len(first_of_each(cache.split("train"), ["offset"]))) < FEW_CLIPS:
        tell(Note(f"{distinct_sounds(sounds)} to learn from: generated clips will resemble them closely; add sounds"))
    counts = {cache.classes[i]: count for i, count in enumerate(np.bincount(class_ids[class_ids >= 0])) if count}
    few = [f"{name} ({count})" for name, count in sorted(counts.items()) if count < FEW_CLIPS]
    if few and len(counts) > 1:
        shown = ", ".join(few[:SHOWN_CLASSES]) + (
            f" and {len(few) - SHOWN_CLASSES} more" if few[SHOWN_CLASSES:] else ""
        )
        tell(
            Note(
                f"classes with fewer than {FEW_CLIPS} training clips: {shown}; generated clips of these classes "
                f"will resemble them closely: add sounds, or merge the class into another"
            )
        )


def warn_of_few_to_transfer(cache: Cache, tell: Callable[[Event], None]) -> None:
    """Warn of so little sound that a target's notes and levels are hardly known."""
    samples = cache.split("train").column("samples")
    if (seconds := float(samples.sum()) / cache.sample_rate) < LITTLE_TO_TRANSFER_SEC:
        tell(
            Note(
                f"{seconds:.0f} s of sound to learn from: pitches and levels that it lacks will sound less like it; "
                "a few minutes are better (without training: transfer --to FOLDER)"
            )
        )


def warn_of_long(cache: Cache, samples: int, tell: Callable[[Event], None], preroll: int = 0) -> None:
    """Warn if more than a tenth of the sounds are longer than the model's clip.

    Args:
        cache: The sounds.
        samples: Length of a clip without the silence before its sound.
        tell: Gets the note.
        preroll: Length of that silence.
    """
    lengths = cache.split("train").column("samples")
    if (long := int((lengths > samples).sum())) <= LONG_SHARE * len(lengths):
        return
    enough = np.ceil(10 * (np.quantile(lengths, 1 - LONG_SHARE) + preroll) / cache.sample_rate) / 10
    model_sec = samples / cache.sample_rate
    text = f"{long} of {len(lengths)} sounds are longer than the model's {model_sec:.2f} s and end there with a fade"
    fix = f"--set data.segment_sec={enough:.1f} fits nine of ten, and is slower"
    tell(Note(f"{text}; {fix}"))


def warn_of_little(cache: Cache, window_sec: float, tell: Callable[[Event], None]) -> None:
    """Warn of too little sound for a sequence model, of files shorter than its windows, and of nothing held out."""
    samples = cache.split("train").column("samples")
    lengths = samples / cache.sample_rate
    if (seconds := float(lengths.sum())) < LITTLE_SEC:
        tell(
            Note(
                f"{seconds:.0f} s of sound to learn from: sequences will be copies of it; 10 minutes or more are "
                "best (for one-shots use --model gan)"
            )
        )
    if (longest := float(lengths.max())) < window_sec:
        tell(
            Note(
                f"the longest file has {longest:.1f} s, less than a window of prior.window_sec ({window_sec:g}): the "
                "model learns no passage that is longer than a file"
            )
        )
    if np.isin(cache.numbers("val"), cache.numbers("train")).any():
        tell(
            Note(
                "no file is held out, so the error on held-out files and the share of copied passages are not known: "
                "the figures are those of sounds that it learned from"
            )
        )


def move_aside(run: Path) -> Path:
    """Rename a run's folder; returns the new path.

    Raises:
        OutputError: It cannot be renamed.
    """
    aside = run.with_name(f"{run.name}.old-{time.strftime('%Y%m%d-%H%M%S')}")
    try:
        run.rename(aside)
    except OSError as e:
        raise OutputError(f"{run}: cannot be moved aside ({e.strerror}); choose another folder for the run") from e
    return aside


def _started_on(run: Path) -> dict[str, str] | None:
    path = RunFolder(run).source
    if not path.exists():
        return None
    try:
        then = read_json(path)
        if not isinstance(then, dict) or not all(isinstance(then.get(key), str) for key in ("source", "sounds")):
            raise MalformedError("it lacks source or sounds")
        if not isinstance(then.get("to", ""), str):
            raise MalformedError("its to is not a text")
    except (OSError, MalformedError) as e:
        raise DataError(f"{one_line(path)}: is damaged ({e}); delete it to resume with the folder that you give") from e
    return then
