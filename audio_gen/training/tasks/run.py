"""A training run from a folder of sounds to a bundle."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch

from audio_gen import config, distributed
from audio_gen.artefacts.bundle import bundle_named, load_bundle
from audio_gen.artefacts.folders import RunFolder
from audio_gen.audio.mel import MelSpec
from audio_gen.config import DEFAULT_MEL, LENGTHS
from audio_gen.data.dataset import ClipDataset
from audio_gen.data.store import Cache
from audio_gen.device import emulates_bf16, resolve_device
from audio_gen.distributed import World
from audio_gen.errors import ConfigError, is_out_of_memory
from audio_gen.files import at_home, write_json
from audio_gen.text import SHOWN_CHARACTERS, clipped, one_line
from audio_gen.training.checkpoints import drop_unfinished
from audio_gen.training.engine import Engine
from audio_gen.training.events import Ended, Event, Guarded, Listener, Note, Started, StepDone
from audio_gen.training.history import ERROR, PRIOR_LOSS
from audio_gen.training.hooks import Averaged, Diagnosis, Hook, Milestones, Moment, Previews, Validation, written
from audio_gen.training.lock import locked
from audio_gen.training.progress import ProgressFile
from audio_gen.training.schedule import Budget
from audio_gen.training.selfcheck import SelfCheck
from audio_gen.training.tasks import time_axis
from audio_gen.training.tasks.auto import Probe, choose
from audio_gen.training.tasks.bundles import BundleExport, weights_of, weights_to_resume
from audio_gen.training.tasks.changes import check_classes
from audio_gen.training.tasks.channels import channels_of_init, with_channels
from audio_gen.training.tasks.evaluators import evaluator_for
from audio_gen.training.tasks.sequence import beats
from audio_gen.training.tasks.sequence.task import SequenceTask
from audio_gen.training.tasks.settings import MelNet, RunConfig, as_setting, as_spec, model_for, with_precision
from audio_gen.training.tasks.source import (
    check_apart,
    check_not_pruned,
    check_source,
    keep_source,
    move_aside,
    open_source,
    second_folder,
    warn_of_few,
    warn_of_few_to_transfer,
    warn_of_little,
    warn_of_long,
)  # fmt: skip
from audio_gen.training.tasks.start import classes_taken
from audio_gen.training.tasks.table import TASKS

# Settings of earlier versions, with the only value that a run can resume with; `...` for any.
RETIRED: dict[str, Any] = {
    "domain": "mel", "vae": ..., "loss.latent": 0.0, "loss.lecam": 0.0, "loss.latent_batch": ..., "loss.latent_lr": ...,
    "loss.penalty_latent": ..., "net.head": "vocoder",
}  # fmt: skip
# Settings whose "auto" is decided at the start of a run.
CHOSEN = (("net", "time_axis"), ("data", "channels"), ("train", "precision"), ("prior", "beats"))
MAY_CHANGE = {f"train.{name}" for name in LENGTHS} | {
    "train.lr", "train.log_every", "train.validations", "train.val_clips", "train.previews", "train.milestones",
    "train.checkpoint_minutes", "train.keep", "train.micro_batches", "train.compact",
}  # fmt: skip


def train_run(
    source: Path,
    run: Path,
    *,
    model: str | None = None,
    config_file: Path | None = None,
    overrides: str | Sequence[str] = (),
    minutes: float | None = None,
    steps: int | None = None,
    images: int | None = None,
    until: str | None = None,
    seed: int | None = None,
    device: str = "auto",
    precision: str | None = None,
    force: bool = False,
    init: Path | str | None = None,
    profile_steps: int = 0,
    auto: bool = False,
    to: Path | None = None,
    on_event: Listener | None = None,
) -> Path:
    """Train a model on a folder of sounds or a cache, or resume a stopped run.

    Args:
        source: A folder of sounds, or a cache from `audio-gen preprocess`.
        run: The run's folder.
        model: A name in TASKS; None: see `model_for`.
        config_file: YAML file with the settings that differ from the defaults.
        overrides: Settings as `section.key=value`, one or several, after the file.
        minutes: Length in minutes. Give only one length.
        steps: Length in steps.
        images: Length in clips seen.
        until: Time to end, such as 2026-01-01 07:00.
        seed: Fixes weights, order and noise.
        device: auto, cpu, cuda, cuda:N or mps.
        precision: fp32 or bf16.
        force: Move an existing run aside and start again.
        init: A run or bundle to start from, or the name of a shipped one, see `bundle_named`.
        profile_steps: Steps to time part by part, see `Engine`.
        to: A second folder of sounds, for a model of two domains; None is that of the run.
        auto: Choose threads, size and batch by a benchmark, unless given; a resumed run keeps its settings.
        on_event: Gets events, see `training.events`; its errors do not end the run.

    Returns:
        The run's folder, with its bundle.

    Raises:
        AudioGenError: An error that the user can fix, in one line.
    """
    source, run, to = at_home(source), at_home(run), to and at_home(to)
    overrides = [overrides] if isinstance(overrides, str) else overrides
    config_file = config_file and at_home(config_file)
    model = model or model_for(run, config_file)
    lengths = {"minutes": minutes, "steps": steps, "images": images, "until": until}
    flags = {**lengths, "seed": seed, "precision": precision}
    given = {"train": {key: value for key, value in flags.items() if value is not None}}
    if len(several := [f"--{key} {value}" for key, value in lengths.items() if value is not None]) > 1:
        raise ConfigError(f"{' and '.join(several)}: give one of them")
    world = distributed.join(resolve_device(device))
    tell: Callable[[Event], None] = Guarded(on_event) if on_event is not None and world.is_main else lambda event: None
    with ExitStack() as held:
        held.callback(distributed.leave)  # in any case: otherwise the process may be aborted at exit

        def prepare() -> tuple[dict[str, Any], str]:
            """Check settings and sounds, and build the run's cache."""
            for place in (source, to):
                if place is not None:
                    check_apart(place, run, force=force)
            if force and run.is_dir():
                with locked(run):  # fails while another process trains there
                    pass
                tell(Note(f"the old run was moved to {move_aside(run)}"))
            settings = resolve_config(run, model, config_file, overrides, given)
            Budget.of(settings.train)  # a passed end time fails before anything is written
            world.micro_batches(settings.train.batch_size, settings.train.micro_batches)
            spec, settings = settings.mel, channels_of_init(settings, init)
            second = second_folder(source, run, to)
            check_source(source, run, second)
            check_not_pruned(run)
            held.enter_context(locked(run, lambda line: tell(Note(line))))
            drop_unfinished(run)
            new = not RunFolder(run).settings.is_file()  # a resumed run keeps its precision
            settings = with_precision(settings, world.device)
            if new and settings.train.precision == "bf16" and emulates_bf16(world.device):
                tell(Note("bf16 is slow on this processor; --precision fp32 is faster"))
            cache = open_source(source, run, settings, spec, tell, second)
            if second is not None and model != "cycle":
                tell(Note(f"the two folders are the classes {' and '.join(cache.classes)}"))
            settings = with_channels(settings, cache, source)
            spec = settings.spec
            check_classes(run, source, cache)
            if (clips := len(cache.numbers("train"))) < world.size:
                raise ConfigError(
                    f"{source}: {clips} training clips are fewer than the {world.size} processes; start fewer"
                )
            settings, note = time_axis.choose(settings, cache, init)
            settings, on_beats = beats.choose(settings, cache)
            for text in (note, on_beats):
                if text:
                    tell(Note(text))
            if auto and new:
                probe = Probe(lambda tried: TASKS[model][1](tried, spec, cache), cache, world.device)
                settings = _chosen(settings, config_file, given, overrides, probe, tell)
            return settings.model_dump(mode="json"), str(cache.path)

        values, place = world.main_first(prepare)
        settings = config.build(TASKS[model][0], values)
        try:
            return _train_on(Cache.open(Path(place)), source, run, settings, world, init, profile_steps, tell, to)
        except Exception as e:
            if not is_out_of_memory(e):
                raise
            raise ConfigError(f"out of memory; lower one of {_sizes(settings)}") from e


def _sizes(settings: RunConfig) -> str:
    """The settings that decide how much memory a run needs, with their values."""
    values = config.flat(settings.model_dump(mode="json"))
    net = [name for name, value in values.items() if name.startswith("net.") and type(value) in (int, list)]
    names = ["train.batch_size", "data.segment_sec", *(["net.size"] if "net.size" in values else []), *net]
    return ", ".join(f"{name} ({_shown(values[name])})" for name in names)


def _chosen(
    settings: RunConfig, config_file: Path | None, flags: dict[str, Any], overrides: Sequence[str], probe: Probe,
    tell: Callable[[Event], None],
) -> RunConfig:  # fmt: skip
    """The settings that `--auto` chooses."""
    file = {} if config_file is None else config.read_yaml(config_file)
    given = set(config.flat(config.merge(config.merge(file, config.parse_overrides(overrides)), flags)))
    return choose(settings, given, probe, lambda line: tell(Note(line)))


def _train_on(
    cache: Cache, source: Path, run: Path, settings: RunConfig, world: World, init: Path | str | None,
    profile_steps: int, tell: Callable[[Event], None], to: Path | None,
) -> Path:  # fmt: skip
    """Train with checked settings, in every process of the run."""
    torch.manual_seed(settings.train.seed)
    spec, target = settings.spec, world.device
    bundle = None
    if init is not None:  # checked before anything is written
        init = bundle_named(init)
        bundle = load_bundle(init)
        spec.check_same(MelSpec.from_dict(bundle.config["mel"]), "this run", f"the bundle {one_line(init)}")
    task = TASKS[settings.model][1](settings, spec, cache)
    train_samples, val_samples = task.segments
    data = settings.data
    same: dict[str, Any] = {
        "seed": settings.train.seed, "crop": data.crop, "preroll": task.preroll, "channels": spec.channels,
        "balanced": settings.model == "cycle",
    }  # fmt: skip
    train = ClipDataset(cache, split="train", segment_samples=train_samples, **same)
    val = ClipDataset(cache, split="val", segment_samples=val_samples, **same)
    if world.is_main:
        config.save(settings, RunFolder(run).settings)
        write_json(RunFolder(run).dataset_report, cache.report)
        keep_source(source, run, cache, tell, second_folder(source, run, to))
        for note in cache.notes:
            tell(Note(note))
    if isinstance(task, SequenceTask):
        task.tell = tell
        warn_of_little(cache, task.config.prior.window_sec, tell)
    elif task.generates:
        warn_of_few(cache, tell)
        warn_of_long(cache, train_samples - task.preroll, tell, task.preroll)
    elif settings.model in ("transfer", "cycle"):
        warn_of_few_to_transfer(cache, tell)
    task.initialise(train)
    if init is not None and bundle is not None:
        dropped = task.start_from(bundle, init)
        for text in (classes_taken(bundle, init, cache.classes), dropped):
            if text:
                tell(Note(text))
    fingerprint = {"mel": spec.to_dict(), "args": task.args, "classes": cache.classes}
    held_out = len(set(cache.numbers("val").tolist()) - set(cache.numbers("train").tolist()))  # 0 of a few files
    tell(Started(sum(p.numel() for p in task.model.parameters()), len(train), held_out, str(target), cache.classes))
    progress = ProgressFile(run) if world.is_main else None

    def listen(event: Event) -> None:
        if isinstance(event, StepDone) and progress is not None:
            progress.update(event.step, event.progress, event.left_sec, event.elapsed_sec)
        tell(event)

    engine = Engine(
        task, settings.train, train, run, target, fingerprint, listen, profile_steps, world,
        partial(weights_to_resume, run),
    )  # fmt: skip
    evaluate = evaluator_for(task, settings.train, train, val, target, tell) if world.is_main else None
    check = SelfCheck(
        evaluate, engine.ema.module, by=task.judged_by, previews=settings.train.previews, budget=engine.budget,
        emit=engine.emit,
    )  # fmt: skip
    check.register(engine.registry)
    engine.resume()
    averaged = Averaged(task, engine.ema.module, val, settings.train, target)
    validation = Validation(averaged, world, engine.emit, check.validated)
    if progress is None:
        engine.fit([validation])
        return run
    bundles = BundleExport(task, engine.ema.module, check, engine.budget, run, len(train))
    try:
        engine.fit(_hooks(engine, averaged, validation, check, bundles))
        if engine.trained or weights_of(run, engine.step) is None:
            bundles.export(engine.step)
        compact = settings.train.compact and not engine.stopped_by
        freed = engine.store.reduce(engine.step, engine.reduced_state()) if compact else 0
    except BaseException as e:
        progress.end("failed", str(e) or type(e).__name__)
        raise
    progress.end("stopped" if engine.stopped_by else "finished")
    tell(_ended(engine, check, freed))
    return run


def _hooks(
    engine: Engine, averaged: Averaged, validation: Validation, check: SelfCheck, bundles: BundleExport
) -> list[Hook]:
    """The hooks of the main process, in order."""
    run, settings, emit, budget = engine.run, engine.settings, engine.emit, engine.budget
    previews = Previews(averaged, run, budget.early, emit)

    def export(moment: Moment) -> None:
        validated = check.judged_by == "validation" and moment.passes(settings.validations)
        if validated or previews.due(moment):
            written(moment.step, emit, lambda: bundles.export(moment.step))

    return [
        validation, Milestones(settings.milestones, budget.elapsed_sec(), bundles.milestone, emit), previews, check,
        Diagnosis(run, settings.previews, emit), export,
    ]  # fmt: skip


def _ended(engine: Engine, check: SelfCheck, freed: int) -> Ended:
    """The event at the end: the steps of the run's bundles, and their figures."""
    bundles = list(RunFolder(engine.run).best_and_last().values()) or [{}]
    best, last = bundles[0], bundles[-1]
    error = PRIOR_LOSS if engine.task.judged_by == "prior_loss" else ERROR
    judged_by = {"evaluation": "KAD", "validation": error}.get(check.judged_by)
    return Ended(
        engine.step, engine.stopped_by, freed, best.get("figure"), best.get("steps"), last.get("figure"),
        cast(Any, judged_by),
    )  # fmt: skip


def resolve_config(
    run: Path, model: str, config_file: Path | None, overrides: Sequence[str], flags: dict[str, Any]
) -> RunConfig:
    """The settings of a run: defaults, then the file, then overrides and flags; a resumed run is checked for changes.

    Raises:
        ConfigError: A setting is wrong, or differs from the run's and may not.
    """
    if model not in TASKS:
        raise ConfigError(f"--model {_shown(model)}: unknown; known are {', '.join(TASKS)}")
    kind = TASKS[model][0]
    stored = config.read_yaml(RunFolder(run).settings) if RunFolder(run).settings.is_file() else None
    if stored is not None:
        stored = _without_retired(stored, f"{one_line(run)}: was trained with", "train a new run")
    file = None if config_file is None else config.read_yaml(config_file)
    if file is not None:  # it may be the config.yaml of an earlier version's run
        file = _without_retired(file, f"{one_line(config_file or '')}: sets", "remove it")
    set_by_hand = config.parse_overrides(overrides)
    for values, origin in ((stored, RunFolder(run).settings), (file, config_file), (set_by_hand, "--set")):
        config.check_sections(kind, values or {}, one_line(origin or ""))
    if stored is not None and "data" in stored:
        earlier = {"onset": "keep", "generated": False, "channels": 1}  # defaults of earlier versions
        stored["data"] = {**earlier, **stored["data"]}
    net = kind.model_fields["net"].annotation
    has_axis = isinstance(net, type) and issubclass(net, MelNet)
    if stored is not None and has_axis:
        stored["net"] = {"time_axis": "seconds", **(stored.get("net") or {})}  # that of earlier versions
    if stored is not None and "adversarial" in kind.model_fields:
        stored.setdefault("adversarial", {"start": 1.0})  # they had no discriminator
    base: dict[str, Any] = (
        kind.model_construct().model_dump(mode="json", exclude_none=True) if stored is None or config_file else stored
    )
    if file is not None:
        base = config.merge(base, file)
    given = config.merge(set_by_hand, flags)
    if base.get("model") != model:
        wanted = _shown(base.get("model"))
        raise ConfigError(f"--model {model}: the settings are for {wanted}; give --model {wanted}")
    base = {**base, "train": {k: v for k, v in base.get("train", {}).items() if v is not None or k not in LENGTHS}}
    values = config.merge(base, given)
    for section, name in CHOSEN if stored is not None else ():
        then = (stored or {}).get(section, {}).get(name, "auto")
        if values.get(section, {}).get(name, "auto") == "auto" and then != "auto":
            values[section] = {**values.get(section, {}), name: then}
    settings = config.build(kind, values)
    if stored is not None:
        old, new = config.flat(stored), config.flat(settings.model_dump(mode="json"))
        defaults = config.flat(kind.model_construct().model_dump(mode="json"))
        old = {**defaults, **old}  # a setting that is newer than the run has its default
        old["mel"] = as_setting(as_spec(old.get("mel", DEFAULT_MEL)))  # earlier versions saved the user's form
        changed = [key for key in new if new[key] != old.get(key) and key not in MAY_CHANGE]
        if changed:
            differences = ", ".join(f"{key} was {_shown(old.get(key))}, is {_shown(new[key])}" for key in changed)
            raise ConfigError(
                f"{one_line(run)}: cannot resume with other settings ({clipped(differences, 6 * SHOWN_CHARACTERS)}); "
                "train into a new folder, or add --force"
            )
    return settings


def _without_retired(stored: dict[str, Any], origin: str, fix: str) -> dict[str, Any]:
    """The settings of a run or a file without retired ones.

    Raises:
        ConfigError: One of them has a value that has an effect; the message begins with `origin` and ends with `fix`.
    """
    kept = {key: dict(value) if isinstance(value, dict) else value for key, value in stored.items()}
    for name, harmless in RETIRED.items():
        section, _, key = name.rpartition(".")
        values = kept.get(section) if section else kept
        if not isinstance(values, dict) or key not in values:
            continue
        value = values.pop(key)
        if harmless is not ... and value != harmless:
            raise ConfigError(f"{origin} {name} {_shown(value)}, which this version no longer has; {fix}")
    return kept


def _shown(value: Any) -> str:
    """A setting's value in a message."""
    return clipped(one_line(str(value)), SHOWN_CHARACTERS)
