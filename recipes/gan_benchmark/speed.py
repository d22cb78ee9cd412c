"""How fast the GAN trains and makes mels, where a step goes, and what each way of speeding it up is worth.

    python recipes/gan_benchmark/speed.py [--size small] [--threads 2] [--only train generator profile variants]
        [--rounds 5] [--steps 4] [--pitched] [--set loss.penalty_steps=2 ..] [--json FILE]

A step is the engine's own: both phases, gradient clipping, optimisers and the average of the weights. Its batches lie
in memory, so that reading clips does not count; their log-mels do. The sounds are synthetic (128 bands x 128 frames
unless `--mel` and `--frames` say otherwise). What is compared is measured in turns, round after round; figures are
medians of rounds.
"""

import argparse
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from unittest.mock import patch

import numpy as np
import soundfile as sf
import torch
from figures import markdown
from torch import Tensor, nn

from audio_gen import config
from audio_gen.audio.mel import MelSpec
from audio_gen.data.cache import build_cache
from audio_gen.data.dataset import ClipDataset
from audio_gen.data.store import Cache
from audio_gen.device import resolve_device
from audio_gen.errors import AudioGenError
from audio_gen.losses import adversarial
from audio_gen.models.contract import Conditions
from audio_gen.training.engine import Engine
from audio_gen.training.tasks import mels
from audio_gen.training.tasks.run import TASKS

PARTS = ("train", "generator", "profile", "variants")
CLIPS, CLASSES, LOW_PITCH, PITCHES = 64, 8, 48, 24  # of the synthetic folder
PROGRESS = 0.5  # where in the run the steps are: past the ramps
WARM_UP = 4  # steps before the clock runs; a multiple of every `penalty_steps` here
BATCHES = 4  # in memory
GENERATOR_BATCHES = (1, 32)
GENERATOR_IMAGES, MAPPING_LATENTS, MAX_CALLS = 128, 16384, 256  # of one round, about


def synthetic_cache(folder: Path, spec: MelSpec, duration_sec: float, pitched: bool) -> Cache:
    """Decaying tones in noise, of several classes and, if wanted, pitches."""
    time_sec = np.arange(round(duration_sec * spec.sample_rate)) / spec.sample_rate
    for i in range(CLIPS):
        draw = np.random.default_rng(i)
        name, pitch = f"class{i % CLASSES}", LOW_PITCH + i % PITCHES
        path = folder / "wav" / (f"{name}-{pitch:03d}-100.wav" if pitched else f"{name}/{i:03d}.wav")
        path = path.with_stem(f"{i:03d}{path.stem}") if pitched else path
        path.parent.mkdir(parents=True, exist_ok=True)
        tone = np.sin(2 * np.pi * 440 * 2 ** ((pitch - 69) / 12) * time_sec) + 0.2 * draw.standard_normal(len(time_sec))
        sf.write(path, 0.3 * tone * np.exp(-time_sec * draw.uniform(2, 20)), spec.sample_rate)
    return build_cache(folder / "wav", folder / "cache", sample_rate=spec.sample_rate)


@dataclass
class Bench:
    """What all measurements share."""

    folder: Path
    spec: MelSpec
    cache: Cache
    device: torch.device
    settings: dict[str, Any]
    overrides: list[str]
    rounds: int
    steps: int

    def trainer(self, *overrides: str, model: str = "gan") -> "Trainer":
        kind, make = TASKS[model]
        given = config.parse_overrides([*(self.overrides if model == "gan" else []), *overrides])
        base = {"model": model, **self.settings}
        settings = config.build(kind, config.merge(base, given))
        torch.manual_seed(0)
        return Trainer(make(settings, self.spec, self.cache), settings, self)

    def wait(self) -> None:
        """Until the device has done all that it was told."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def seconds(self, work: Callable[[], object], times: int) -> float:
        self.wait()
        start = time.perf_counter()
        for _ in range(times):
            work()
        self.wait()
        return time.perf_counter() - start


class Trainer:
    """A task in the engine, taken a step at a time on batches in memory."""

    def __init__(self, task: Any, settings: Any, bench: Bench) -> None:
        samples, seed = task.segments[0], settings.train.seed
        train = ClipDataset(bench.cache, split="train", segment_samples=samples, seed=seed, crop="start")
        task.initialise(train)
        run = Path(tempfile.mkdtemp(dir=bench.folder))
        self.task = task
        self.engine = Engine(task, settings.train, train, run, bench.device, {})
        self.batch_size = settings.train.batch_size
        self.batches = [train.batch(i, self.batch_size).to(bench.device) for i in range(BATCHES)]

    def step(self) -> None:
        # The engine's loop around this only logs, saves and validates.
        engine = self.engine
        engine.updater.step([self.batches[engine.step % BATCHES]], engine.step, PROGRESS)
        engine.ema.update(engine.task.model, engine.step)
        engine.step += 1


def rates(bench: Bench, work: dict[str, Callable[[], object]], units: dict[str, float], times: dict[str, int]) -> dict:
    """Units a second of several kinds of work: each round does all of them, every other round backwards."""
    found: dict[str, list[float]] = {name: [] for name in work}
    for round_number in range(bench.rounds):
        for name in list(work) if round_number % 2 == 0 else reversed(list(work)):
            found[name].append(units[name] * times[name] / bench.seconds(work[name], times[name]))
    return found


def spread(found: Sequence[float]) -> dict[str, Any]:
    return {"median": statistics.median(found), "low": min(found), "high": max(found), "rounds": list(found)}


def train_rates(bench: Bench, trainers: dict[str, Trainer]) -> dict:
    """Clips a second that each trainer takes in."""
    for trainer in trainers.values():
        bench.seconds(trainer.step, WARM_UP)
    units = {name: float(trainer.batch_size) for name, trainer in trainers.items()}
    work: dict[str, Callable[[], object]] = {name: trainer.step for name, trainer in trainers.items()}
    return {name: spread(x) for name, x in rates(bench, work, units, dict.fromkeys(work, bench.steps)).items()}


def alone(bench: Bench, model: nn.Module, sizes: Sequence[int]) -> dict:
    """Mels a second from noise, without gradients."""
    model = model.eval()
    network: Any = model
    work: dict[str, Callable[[], object]] = {}
    for size in sizes:
        z = torch.randn(size, network.mapping.noise_dim, device=bench.device)
        class_id = (torch.arange(size) % CLASSES).to(bench.device)
        pitch = (LOW_PITCH + torch.arange(size) % PITCHES).float().to(bench.device)

        known = Conditions(size, {"class": class_id, "pitch": pitch})

        def make(z: Tensor = z, known: Conditions = known) -> Tensor:
            return network(z, known)

        work[f"batch {size}"] = make
    units = {f"batch {size}": float(size) for size in sizes}
    times = {f"batch {size}": max(1, min(MAX_CALLS, GENERATOR_IMAGES // size)) for size in sizes}
    with torch.no_grad():
        for make_one in work.values():
            bench.seconds(make_one, 3)
        return {name: spread(x) for name, x in rates(bench, work, units, times).items()}


@dataclass
class Clock:
    """The time that named parts of a step take by themselves: a part within another counts for itself only."""

    wait: Callable[[], None]
    phase: str = "d"
    spent: dict[str, float] = field(default_factory=dict)
    _open: list[str] = field(default_factory=list)
    _since: float = 0.0

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        self._turn()
        self._open.append(name)
        with torch.profiler.record_function(name):
            yield
        self._turn()
        self._open.pop()

    def _turn(self) -> None:
        """Give the time since the last turn to the innermost part that is open."""
        self.wait()
        now = time.perf_counter()
        if self._open:
            self.spent[self._open[-1]] = self.spent.get(self._open[-1], 0.0) + now - self._since
        self._since = now

    def timed(self, inner: Callable[..., Any], name: str, name_in_g: str | None = None) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            with self.part(name_in_g if name_in_g and self.phase == "g" else name):
                return inner(*arguments, **named)

        return call


def discriminators(task: Any) -> list[str]:
    """Names of the discriminators among a task's modules."""
    return [name for name in task.modules if name == "d" or name.startswith("d_")]


def watched(trainer: Trainer) -> list[tuple[Any, str, str, str | None]]:
    """What is timed: owner, attribute, name of the part, and its name in the generator's phase where that differs."""
    task, engine = trainer.task, trainer.engine
    modules, model = task.modules, task.model
    fake, fake_g = "generator forward", "G phase: generator forward (reconstruction)"
    judged, judged_g = "discriminators forward", "G phase: discriminators forward"
    parts: list[tuple[Any, str, str, str | None]] = [
        (mels, "augment_mel", "augmentation of the clips", None),
        (adversarial, "gradient_penalty", "gradient penalty (R1 + R2)", None),
        (nn.utils, "clip_grad_norm_", "clipping", None),
        (torch.Tensor, "backward", "D backward, the penalty's too", "G phase: backward"),
        (engine.ema, "update", "EMA", None),
    ]
    named = {"front_end": ("front end (log-mel)", None), "adaptive": ("adaptive augmentation", None)}
    named |= {name: (judged, cast(Any, judged_g)) for name in discriminators(task)}
    parts += [(modules[name], "forward", *labels) for name, labels in named.items() if name in modules]
    parts += [(model, name, fake, fake_g) for name in ("map", "decode_raw", "draw_noise") if hasattr(model, name)]
    parts += [(model, "encode", "latents of the real clips", None)]
    for optimiser in engine.updater.optimisers.values():
        parts += [(optimiser, name, "optimisers", None) for name in ("step", "zero_grad")]
    return parts


def profile(bench: Bench, trainer: Trainer, operators: int) -> dict:
    """Share of a step of each part, by medians of rounds that take turns with unwatched ones; and operators."""
    clock = Clock(bench.wait)
    bench.seconds(trainer.step, WARM_UP)
    loss = trainer.task.loss
    bare: list[float] = []
    watched_sec: list[float] = []
    parts: list[dict[str, float]] = []

    def tell_phase(phase: str, *rest: Any) -> Any:
        clock.phase = phase
        return loss(phase, *rest)

    for _ in range(bench.rounds):
        bare.append(bench.seconds(trainer.step, bench.steps))
        clock.spent = {}
        with ExitStack() as stack:
            for owner, name, label, label_in_g in watched(trainer):
                timed = clock.timed(getattr(owner, name), label, label_in_g)
                stack.enter_context(patch.object(owner, name, timed))
            stack.enter_context(patch.object(trainer.task, "loss", tell_phase))
            watched_sec.append(bench.seconds(clock.timed(trainer.step, "losses and all else"), bench.steps))
        parts.append(clock.spent)
    middle = {name: statistics.median(spent.get(name, 0.0) for spent in parts) for name in parts[0]}
    ranked = sorted(middle.items(), key=lambda pair: -pair[1])
    ratios = [with_timers / without for with_timers, without in zip(watched_sec, bare, strict=True)]
    result: dict[str, Any] = {"step_sec": statistics.median(bare) / bench.steps}
    result["overhead"] = statistics.median(ratios) - 1
    result["shares"] = {name: sec / sum(middle.values()) for name, sec in ranked}
    if operators:
        result["operators"] = slowest_operators(bench, trainer, operators)
    return result


def slowest_operators(bench: Bench, trainer: Trainer, count: int) -> dict[str, float]:
    """Share of the CPU's time in operators, from torch's own profile of two steps."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler:
        bench.seconds(trainer.step, 2)
    # The parts above are no operators.
    events = [event for event in profiler.key_averages() if "::" in event.key and event.self_cpu_time_total > 0]
    total = sum(event.self_cpu_time_total for event in events)
    events.sort(key=lambda event: -event.self_cpu_time_total)
    return {event.key: event.self_cpu_time_total / total for event in events[:count]}


def channels_first(trainer: Trainer) -> None:
    trainer.task.modules.to(memory_format=torch.contiguous_format)


def compiled_generator(trainer: Trainer) -> None:
    codec = trainer.task.model.codec
    codec.decode_raw = torch.compile(codec.decode_raw)


def compiled_all(trainer: Trainer) -> None:
    from torch._functorch import config as functorch

    functorch.donated_buffer = False  # else the gradient penalty cannot be differentiated
    compiled_generator(trainer)
    for name in discriminators(trainer.task):
        trainer.task.modules[name].compile()


VARIANTS: dict[str, tuple[list[str], Callable[[Trainer], None] | None]] = {
    "fp32, as it is": ([], None),
    "bf16 autocast": (["train.precision=bf16"], None),
    "not channels_last": ([], channels_first),
    "torch.compile, generator": ([], compiled_generator),
    "torch.compile, discriminators too": ([], compiled_all),
    "penalty on all images": (["loss.penalty_stride=1"], None),
    "penalty every 4 steps": (["loss.penalty_steps=4"], None),
}


def variants(bench: Bench) -> dict:
    """Clips a second of each variant, and the ratio to the first in the same round."""
    assert bench.steps % WARM_UP == 0, "the lazy penalty has to fall due as often in every round"
    trainers: dict[str, Trainer] = {}
    first_sec: dict[str, float] = {}
    failed: dict[str, str] = {}
    for name, (overrides, change) in VARIANTS.items():
        try:
            trainer = bench.trainer(*overrides)
            if change is not None:
                change(trainer)
            first_sec[name] = bench.seconds(trainer.step, WARM_UP)
            trainers[name] = trainer
        except (RuntimeError, AssertionError, AudioGenError) as e:
            # What cannot be compiled says so in many ways and lines.
            failed[name] = str(e).strip().splitlines()[0]
    found = train_rates(bench, trainers)
    base = found["fp32, as it is"]["rounds"]
    for name, row in found.items():
        row["ratio"] = statistics.median(mine / theirs for mine, theirs in zip(row["rounds"], base, strict=True))
        more_sec = first_sec[name] - first_sec["fp32, as it is"]
        row["compile_sec"] = max(0.0, more_sec) if "compile" in name else None
    return {"measured": found, "failed": failed}


def machine(threads: int, device: torch.device) -> dict[str, Any]:
    """What the figures were measured on."""
    names = [line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    return {
        "cpu": names[0] if names else platform.processor() or platform.machine(), "cores": len(names) or None,
        "load": _lines("/proc/loadavg")[0].split()[0] if _lines("/proc/loadavg") else None,
        "threads": threads, "torch": torch.__version__, "python": platform.python_version(), "device": str(device),
        "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
    }  # fmt: skip


def _lines(path: str) -> list[str]:
    return Path(path).read_text(encoding="utf-8").splitlines() if Path(path).is_file() else []


def show(results: dict[str, Any]) -> None:
    print("machine: " + ", ".join(f"{key} {value}" for key, value in results["machine"].items() if value is not None))
    head = ["what", "a second (median)", "lowest", "highest"]
    rows = [
        [f"{group}, {name}", *(f"{row[key]:.0f}" if row[key] >= 100 else f"{row[key]:.1f}"
                               for key in ("median", "low", "high"))]
        for group, some in results["rates"].items() for name, row in some.items()
    ]  # fmt: skip
    if rows:
        print("\n" + markdown([head, *rows]))
    for name, found in results["profile"].items():
        print(f"\n{name}: {1e3 * found['step_sec']:.0f} ms a step, the timers cost {found['overhead']:.1%} more\n")
        print(markdown([["part", "share"], *([part, f"{share:.1%}"] for part, share in found["shares"].items())]))
        if "operators" in found:
            operators = ([key, f"{share:.1%}"] for key, share in found["operators"].items())
            print("\n" + markdown([["operator", "share of self CPU time"], *operators]))
    if results["variants"]:
        table = [["variant", "clips a second", "of the first", "compile, s"]]
        for name, row in results["variants"]["measured"].items():
            compile_sec = "" if row["compile_sec"] is None else f"{row['compile_sec']:.0f}"
            table.append([name, f"{row['median']:.1f}", f"{row['ratio']:.2f}", compile_sec])
        table += [[name, "not possible", why[:80], ""] for name, why in results["variants"]["failed"].items()]
        print("\n" + markdown(table))


def measured(bench: Bench, args: argparse.Namespace) -> dict[str, Any]:
    results: dict[str, Any] = {"machine": machine(args.threads, bench.device), "rates": {}, "profile": {}}
    results["variants"] = {}
    found: dict[str, Any] = results["rates"]
    name = f"mel GAN {args.size}"
    if {"train", "generator", "profile"} & set(args.only):
        trainer = bench.trainer()
        results["mel_parameters"] = {key: _count(part) for key, part in trainer.task.modules.items()}
        if "train" in args.only:
            found[f"{name}, images trained"] = train_rates(bench, {f"batch {trainer.batch_size}": trainer})
        if "generator" in args.only:
            found[f"{name}, images made"] = alone(bench, trainer.task.model, GENERATOR_BATCHES)
        if "profile" in args.only:
            results["profile"][name] = profile(bench, trainer, args.operators)
    if "variants" in args.only:
        results["variants"] = variants(bench)
    return results


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="small")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--mel", default="44khz_128band_512x")
    parser.add_argument("--frames", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=4, help="of a round, a multiple of 4")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--pitched", action="store_true", help="condition on pitches too")
    parser.add_argument("--operators", type=int, default=0, help="so many rows of torch's own profile")
    parser.add_argument("--set", dest="overrides", nargs="+", default=[], help="settings, such as loss.penalty_steps=2")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    if args.steps % WARM_UP:
        parser.error(f"--steps {args.steps}: give a multiple of {WARM_UP}")
    return args


def main() -> None:
    args = parsed()
    torch.set_num_threads(args.threads)
    spec = MelSpec.preset(args.mel)
    device = resolve_device(args.device)
    seconds = args.frames / spec.frame_rate
    with tempfile.TemporaryDirectory() as scratch:
        cache = synthetic_cache(Path(scratch), spec, seconds, args.pitched)
        settings = {
            "mel": args.mel, "data": {"segment_sec": seconds}, "train": {"steps": 1000, "batch_size": args.batch},
        }  # fmt: skip
        overrides = [f"net.size={args.size}", *args.overrides]
        bench = Bench(Path(scratch), spec, cache, device, settings, overrides, args.rounds, args.steps)
        results = measured(bench, args)
    results["arguments"] = {key: str(value) if isinstance(value, Path) else value for key, value in vars(args).items()}
    show(results)
    if args.json:
        args.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
