"""What the engine costs beside forward, backward and optimiser: its share of a step, checkpoints, memory over time.

    python recipes/training_benchmark/overhead.py FOLDER [--threads 2] [--only share checkpoint memory] [--json FILE]

Share: `audio-gen train --profile` on FOLDER, default VAE and `small` GAN, medians of steps. Checkpoint: how long
training stands still to save a model of so many parameters with its average and both of Adam's moments, written at
once or in the background, medians of several; the disk is that of --work. Memory: resident size of a tiny run over
its steps.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

from audio_gen.artefacts.checkpoint import CheckpointStore
from audio_gen.training.checkpoints import BackgroundSaver
from audio_gen.training.events import Event, Profiled, StepDone
from audio_gen.training.tasks.run import train_run

WARM_STEPS = 500  # before memory is looked at: pools and caches are filled
ENGINE = ("data", "average", "logging", "other")
CONFIGS = Path(__file__).parents[2] / "configs"


def shares(folder: Path, work: Path, steps: int) -> dict[str, Any]:
    """Shares of a step by model."""
    found = {}
    for model, settings in {"vae": (), "gan": ("net.size=small",)}.items():
        events: list[Event] = []
        train_run(
            folder, work / f"share-{model}", model=model, steps=steps + 15, profile_steps=steps, device="cpu",
            overrides=["train.previews=0", "train.validations=0", *settings], on_event=events.append,
        )  # fmt: skip
        profiled = next(event for event in events if isinstance(event, Profiled))
        engine = sum(profiled.shares[name] for name in ENGINE)
        found[model] = {"step_sec": profiled.step_sec, "engine": engine, "shares": profiled.shares}
    return found


def pauses(work: Path, millions: float, rounds: int) -> dict[str, Any]:
    """Seconds that training stands still for a checkpoint, and that writing takes."""
    size = 1024
    model = nn.Sequential(*(nn.Linear(size, size, bias=False) for _ in range(round(millions * 1e6 / size**2))))
    weights = model.state_dict()
    moments = {
        i: {name: torch.rand_like(p) for name in ("exp_avg", "exp_avg_sq")} for i, p in enumerate(weights.values())
    }
    state = {"step": 0, "modules": weights, "ema": {k: v.clone() for k, v in weights.items()}, "optimisers": moments}
    store = CheckpointStore(work / "pause", keep=2)
    saver = BackgroundSaver(store)
    at_once, begun, whole = [], [], []
    for number in range(rounds):
        started = time.perf_counter()
        store.save(2 * number, state)
        at_once.append(time.perf_counter() - started)
        started = time.perf_counter()
        saver.begin(2 * number + 1, state)
        begun.append(time.perf_counter() - started)
        saver.finish()
        whole.append(time.perf_counter() - started)
    names = {"at_once_sec": at_once, "pause_sec": begun, "written_after_sec": whole}
    return {"parameters": sum(p.numel() for p in model.parameters())} | {
        k: statistics.median(v) for k, v in names.items()
    }


def resident_mb() -> float:
    """Resident size of this process."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def growth(folder: Path, work: Path, steps: int) -> dict[str, Any]:
    """Resident size in MB after a few hundred steps of a tiny run with checkpoints and validations, and at its end."""
    sizes: dict[int, float] = {}

    def look(event: Event) -> None:
        if isinstance(event, StepDone) and event.step % 100 == 0:
            sizes[event.step] = resident_mb()

    train_run(
        folder, work / "memory", model="vae", config_file=CONFIGS / "vae" / "tiny.yaml", steps=WARM_STEPS + steps,
        device="cpu", overrides=["train.previews=0", "train.checkpoint_minutes=0.05"], on_event=look,
    )  # fmt: skip
    first, last = sizes[WARM_STEPS], sizes[max(sizes)]
    return {"steps": steps, "first_mb": first, "last_mb": last, "growth": last / first - 1}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--work", type=Path, help="where runs and checkpoints are written; a temporary folder without it"
    )
    parser.add_argument("--only", nargs="+", default=["share", "checkpoint", "memory"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--profile-steps", type=int, default=50)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--millions", type=float, default=50)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    found: dict[str, Any] = {"threads": args.threads}
    with tempfile.TemporaryDirectory(dir=args.work) as place:
        work = Path(place)
        if "share" in args.only:
            found["share"] = shares(args.folder, work, args.profile_steps)
            for model, told in found["share"].items():
                parts = ", ".join(f"{name} {share:.1%}" for name, share in told["shares"].items())
                print(f"{model}: engine {told['engine']:.1%} of {1000 * told['step_sec']:.0f} ms ({parts})", flush=True)
        if "checkpoint" in args.only:
            found["checkpoint"] = told = pauses(work, args.millions, args.rounds)
            print(
                f"checkpoint of {told['parameters'] / 1e6:.0f} M parameters: a pause of {told['pause_sec']:.2f} s, "
                f"written after {told['written_after_sec']:.2f} s; at once {told['at_once_sec']:.2f} s", flush=True,
            )  # fmt: skip
        if "memory" in args.only:
            found["memory"] = told = growth(args.folder, work, args.steps)
            print(f"{told['steps']} steps: {told['first_mb']:.0f} -> {told['last_mb']:.0f} MB, {told['growth']:+.2%}")
    if args.json:
        args.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
