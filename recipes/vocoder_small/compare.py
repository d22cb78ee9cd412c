"""Tune the shipped vocoder on a folder, and put it beside what it was and the ways without a network.

Every tenth file by sorted name is kept out; the other files are trained on. The table is that of inversion_benchmark.py
(mrmel of copy-synthesis on the kept-out files, and speed) with the networks added. `--beside-scratch` also
trains the same network from nothing, for as many steps.

    python recipes/vocoder_small/compare.py FOLDER --work DIR [--minutes 5] [--beside-scratch] [--threads 2]

DIR keeps the runs; run the same command again to resume them.
"""

import argparse
import shutil
from pathlib import Path

import torch
from inversion_benchmark import SUFFIXES, load_clips, measure, methods
from rich.console import Console
from rich.table import Table

from audio_gen.artefacts.bundle import load_bundle
from audio_gen.audio.mel import MelFrontEnd, MelSpec
from audio_gen.training.events import Ended, Event, Started, Validated
from audio_gen.training.tasks.run import train_run
from audio_gen.vocoding.load import load_vocoder

CONFIG = Path(__file__).parent / "config.yaml"


def split_folder(folder: Path, every: int, work: Path) -> Path:
    """Copy what is trained on into a folder of its own."""
    train = work / "train"
    train.mkdir(parents=True, exist_ok=True)
    files = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES)
    for number, path in enumerate(files):
        if number % every and not (train / path.name).exists():
            shutil.copyfile(path, train / path.name)
    return train


def tell(event: Event) -> None:
    if isinstance(event, Started | Validated | Ended):
        print(event, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--beside-scratch", action="store_true")
    parser.add_argument("--every", type=int, default=10)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    train = split_folder(args.folder, args.every, args.work)
    tuned = train_run(
        train, args.work / "tuned", model="vocoder", config_file=CONFIG, minutes=args.minutes, init=Path("small"),
        device="cpu", on_event=tell,
    )  # fmt: skip
    bundle = load_bundle(tuned)
    steps = bundle.config["training"]["steps"]
    beside = {}
    if args.beside_scratch:
        beside[f"from nothing, {steps} steps"] = train_run(
            train, args.work / "scratch", model="vocoder", config_file=CONFIG, steps=steps, overrides=["loss.sizes=2"],
            device="cpu", on_event=tell,
        )  # fmt: skip
    spec = MelSpec.from_dict(bundle.config["mel"])
    clips = load_clips(args.folder, args.every, spec.sample_rate, 4.0)
    front_end = MelFrontEnd(spec)
    mels = [front_end(clip) for clip in clips]
    table = Table("method", "mrmel", "x real time", title=f"{len(clips)} kept-out clips, {args.threads} threads")
    torch.manual_seed(0)
    chosen = {f"{name}, {n} iterations": f"{v}:{n}" for name, v in {"small": "small", "tuned": str(tuned)}.items()
              for n in (0, 2, 4, 8, 16)}  # fmt: skip
    networks = {name: load_vocoder(str(choice), spec) for name, choice in {**chosen, **beside}.items()}
    with torch.no_grad():
        for name, invert in {**networks, **methods(spec)}.items():
            score, speed = measure(invert, clips, mels, spec.sample_rate, args.runs)
            table.add_row(name, f"{score:.3f}", f"{speed:.1f}")
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
