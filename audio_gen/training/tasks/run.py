"""A training run from a folder of sounds to a bundle."""

import math
import shutil
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from audio_gen import __version__, config
from audio_gen.audio.mel import MelSpec
from audio_gen.checkpoint import load_bundle, save_bundle
from audio_gen.config import LENGTHS, RunConfig, TrainSettings
from audio_gen.data.dataset import ClipDataset
from audio_gen.data.store import Cache
from audio_gen.device import resolve_device
from audio_gen.errors import AudioGenError, ConfigError, OutputError
from audio_gen.files import write_json, write_text
from audio_gen.training.engine import Engine, Event
from audio_gen.training.lock import locked
from audio_gen.training.progress import ProgressFile
from audio_gen.training.schedule import Budget
from audio_gen.training.task import Task
from audio_gen.training.tasks.domains import gan_task
from audio_gen.training.tasks.evaluator import LightEvaluator, make_evaluator
from audio_gen.training.tasks.gan_config import GANConfig
from audio_gen.training.tasks.source import check_source, keep_source, open_source
from audio_gen.training.tasks.vae import VAEConfig, VAETask
from audio_gen.training.tasks.vocoder import VocoderConfig, VocoderTask

TASKS: dict[str, tuple[type[RunConfig], Callable[[Any, MelSpec, Cache], Task]]] = {
    "vae": (VAEConfig, VAETask),
    "gan": (GANConfig, gan_task),
    "vocoder": (VocoderConfig, VocoderTask),
}
CONFIG_NAME, BUNDLE_NAME, BEST_BUNDLE_NAME = "config.yaml", "bundle", "bundle-best"
FEW_CLIPS, SHOWN_CLASSES = 5, 10
MAY_CHANGE = {
    *(f"train.{name}" for name in LENGTHS), "train.lr", "train.log_every", "train.validations", "train.val_clips",
    "train.previews", "train.checkpoint_minutes", "train.keep", "train.milestones",
}  # fmt: skip


def train_run(
    source: Path,
    run: Path,
    *,
    model: str,
    config_file: Path | None = None,
    overrides: Sequence[str] = (),
    minutes: float | None = None,
    steps: int | None = None,
    images: int | None = None,
    until: str | None = None,
    seed: int | None = None,
    device: str = "auto",
    precision: str | None = None,
    force: bool = False,
    init: Path | None = None,
    profile_steps: int = 0,
    on_event: Callable[[Event], None] | None = None,
) -> Path:
    """Train a model on a folder of sounds or a cache, or go on with a run that was stopped.

    Args:
        source: A folder of sounds, or a cache made by `audio-gen preprocess`.
        run: The run's folder.
        model: A name in TASKS.
        config_file: YAML with what differs from the defaults.
        overrides: Settings as `section.key=value`, after the file.
        minutes: Length in minutes; or one of the next three.
        steps: Length in steps.
        images: Length in clips seen.
        until: When to end, such as 2026-01-01 07:00.
        seed: Fixes weights, order and noise.
        device: auto, cpu, cuda, cuda:N or mps.
        precision: fp32 or bf16.
        force: Move an existing run aside and start anew.
        init: A bundle to start from.
        profile_steps: Steps to time part by part, see `Engine`.
        on_event: Told what happens, see `Engine`.

    Returns:
        The run's folder, with its bundle.

    Raises:
        AudioGenError: What the user can mend, in one line.
    """
    tell = on_event or (lambda event: None)
    lengths = {"minutes": minutes, "steps": steps, "images": images, "until": until}
    flags = {**lengths, "seed": seed, "precision": precision}
    given = {"train": {key: value for key, value in flags.items() if value is not None}}
    if len(several := [f"--{key} {value}" for key, value in lengths.items() if value is not None]) > 1:
        raise ConfigError(f"{' and '.join(several)}: give one of them")
    if force and run.is_dir():
        with locked(run):  # not while another process trains there
            pass
        tell({"kind": "note", "text": f"the old run was moved to {_move_aside(run)}"})
    settings = resolve_config(run, model, config_file, overrides, given)
    Budget.of(settings.train)  # one that has passed is told before anything is made
    spec = MelSpec.preset(settings.mel) if isinstance(settings.mel, str) else MelSpec.from_dict(settings.mel)
    target = resolve_device(device)
    check_source(source, run)
    with locked(run):
        return _train_locked(source, run, settings, spec, target, init, profile_steps, tell)


def _train_locked(
    source: Path, run: Path, settings: RunConfig, spec: MelSpec, target: torch.device, init: Path | None,
    profile_steps: int, tell: Callable[[Event], None],
) -> Path:  # fmt: skip
    """Train with checked settings, while no other process does so in the run's folder."""
    cache = open_source(source, run, settings, spec, tell)
    torch.manual_seed(settings.train.seed)
    task = TASKS[settings.model][1](settings, spec, cache)
    train_samples, val_samples = task.segments()
    number, crop = settings.train.seed, settings.data.crop
    train = ClipDataset(cache, split="train", segment_samples=train_samples, seed=number, crop=crop)
    val = ClipDataset(cache, split="val", segment_samples=val_samples, seed=number, crop=crop)
    config.save(settings, run / CONFIG_NAME)
    write_json(run / "dataset_report.json", cache.report)
    keep_source(source, run, cache, tell)
    if task.makes_clips:
        _warn_of_few(cache, tell)
    task.initialise(train)
    if init is not None:
        bundle = load_bundle(init)
        spec.check_same(MelSpec.from_dict(bundle.config["mel"]), "this run", f"the bundle {init}")
        task.start_from(bundle, init)
    fingerprint = {"mel": spec.to_dict(), "args": task.args, "classes": cache.classes}
    tell(
        {
            "kind": "start", "parameters": sum(p.numel() for p in task.model.parameters()), "clips": len(train),
            "val_clips": len(val), "device": str(target), "classes": cache.classes,
        }
    )  # fmt: skip
    evaluate = _evaluator(task, settings.train, train, val, spec.sample_rate, target, tell)
    progress = ProgressFile(run)
    engine = Engine(task, settings.train, train, val, run, target, fingerprint, tell, evaluate, profile_steps)
    engine.on_event = _also(engine, tell, progress)
    try:
        engine.fit()
        export(engine, run)
    except BaseException as e:
        progress.end("failed", str(e) or type(e).__name__)
        raise
    progress.end("stopped" if engine.stopped_by else "finished")
    tell(
        {
            "kind": "end", "step": engine.step, "stopped_by": engine.stopped_by, "best": _number(engine.best),
            "best_step": engine.best_step,
        }
    )  # fmt: skip
    return run


def _also(engine: Engine, tell: Callable[[Event], None], progress: ProgressFile) -> Callable[[Event], None]:
    """`tell`, with each step written down for whoever looks from outside, and a bundle at each milestone."""

    def both(event: Event) -> None:
        if event["kind"] == "step":
            progress.update(event["step"], event["progress"], event["left_sec"], event["elapsed_sec"])
        if event["kind"] == "milestone":
            folder = engine.run / f"{BUNDLE_NAME}-{event['minutes']:g}min"
            _export(engine, folder, engine.ema.module, event["step"])
        tell(event)

    return both


def resolve_config(
    run: Path, model: str, config_file: Path | None, overrides: Sequence[str], flags: dict[str, Any]
) -> RunConfig:
    """The settings of a run: defaults, then the file, then overrides and flags; checked against those of an old run.

    Raises:
        ConfigError: A setting is wrong, or differs from the run's where it may not.
    """
    if model not in TASKS:
        raise ConfigError(f"--model {model}: unknown; known are {', '.join(TASKS)}")
    kind = TASKS[model][0]
    stored = config.read_yaml(run / CONFIG_NAME) if (run / CONFIG_NAME).is_file() else None
    base: dict[str, Any] = (
        kind.model_construct().model_dump(mode="json", exclude_none=True) if stored is None or config_file else stored
    )
    if config_file is not None:
        base = config.merge(base, config.read_yaml(config_file))
    given = config.merge(config.parse_overrides(overrides), flags)
    if base.get("model") != model:
        raise ConfigError(
            f"--model {model}: the settings are for {base.get('model')}; give --model {base.get('model')}"
        )
    base = {**base, "train": {k: v for k, v in base["train"].items() if v is not None or k not in LENGTHS}}
    settings = config.build(kind, config.merge(base, given))
    if stored is not None:
        old, new = _flat(stored), _flat(settings.model_dump(mode="json"))
        changed = [key for key in new if new[key] != old.get(key) and key not in MAY_CHANGE]
        if changed:
            told = ", ".join(f"{key} was {old.get(key)}, is {new[key]}" for key in changed)
            raise ConfigError(
                f"{run}: cannot go on with other settings ({told}); train into a new folder, or add --force"
            )
    return settings


def export(engine: Engine, run: Path) -> None:
    """Write the run's bundle (averaged weights, config, model card), and that of its best step where it was another."""
    _export(engine, run / BUNDLE_NAME, engine.ema.module, engine.step)
    best = engine.best_weights()
    if best is not None:
        _export(engine, run / BEST_BUNDLE_NAME, best, engine.best_step)
    elif (run / BEST_BUNDLE_NAME).is_dir():
        shutil.rmtree(run / BEST_BUNDLE_NAME)  # of an earlier session; the bundle itself is the best now


def _export(engine: Engine, folder: Path, model: torch.nn.Module, step: int) -> None:
    bundle_config, tensors = engine.task.bundle(model)
    training = {
        "steps": step, "minutes": round(engine.budget.elapsed_sec() / 60, 2), "best": _number(engine.best),
        "best_step": engine.best_step,
    }  # fmt: skip
    extra = {"version": __version__, "training": training}
    speaks = not engine.task.makes_clips
    use = (
        "vocode FILE --vocoder THIS_FOLDER --out copies" if speaks else "sample THIS_FOLDER -n 16 --seed 0 --out clips"
    )
    digest = save_bundle(folder, {**bundle_config, **extra}, tensors)
    write_text(
        folder / "README.md",
        f"# {folder.resolve().parent.name}\n\nA {bundle_config['model']} made with audio_gen {__version__} "
        f"({training['steps']} steps, {training['minutes']} minutes, on {len(engine.train)} clips).\n\n"
        f"- weights: {digest} (SHA-256, first 12 digits)\n- mel: {bundle_config['mel']}\n"
        f"- classes: {', '.join(bundle_config.get('classes') or []) or 'none'}\n\n"
        f"    audio-gen {use}\n",
    )


def _warn_of_few(cache: Cache, tell: Callable[[Event], None]) -> None:
    """Name classes with so few clips that what is made of them can only be like these."""
    counts = Counter(clip.class_name for clip in cache.split("train") if clip.class_name is not None)
    few = [f"{name} ({count})" for name, count in sorted(counts.items()) if count < FEW_CLIPS]
    if few and len(counts) > 1:
        shown = ", ".join(few[:SHOWN_CLASSES]) + (
            f" and {len(few) - SHOWN_CLASSES} more" if few[SHOWN_CLASSES:] else ""
        )
        tell(
            {"kind": "note", "text": f"classes with fewer than {FEW_CLIPS} clips to learn from: {shown}; what is made "
             "of them will be much like these: add sounds, or put them into another class"}
        )  # fmt: skip


def _evaluator(
    task: Task, settings: TrainSettings, train: ClipDataset, val: ClipDataset, sample_rate: int, device: torch.device,
    tell: Callable[[Event], None],
) -> LightEvaluator | None:  # fmt: skip
    """What evaluates the run along the way; None for a short run, or a task that makes nothing."""
    if not task.makes_clips:
        return None
    try:
        return make_evaluator(task, settings, train, val, sample_rate, device)
    except AudioGenError as e:
        tell({"kind": "note", "text": f"the run will not be evaluated along the way: {e}"})
        return None


def _move_aside(run: Path) -> Path:
    aside = run.with_name(f"{run.name}.old-{time.strftime('%Y%m%d-%H%M%S')}")
    try:
        run.rename(aside)
    except OSError as e:
        raise OutputError(f"{run}: cannot be moved aside ({e.strerror}); choose another folder for --run") from e
    return aside


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) and key != "mel" else {prefix + key: value}
    return flat


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
