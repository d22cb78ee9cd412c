"""Does the GAN train every time? The same settings with several seeds, on all clips or on a few, and how each ended.

    python recipes/gan_benchmark/stability.py FOLDER --work DIR [--config CONFIG] [--labels CSV] [--clips 50 200 1000]
        [--seeds 5] [--minutes 30] [--set net.size=small ..] [--json FILE]

Runs lie in DIR and are made one after the other; finished ones are not made again, a stopped one goes on. With
`--clips` each number is a part of the folder by chance, the same for every seed, and smaller parts lie within larger
ones. The figures are those that a run takes of itself (`eval/` of metrics.jsonl, from fewer clips than `audio-gen
evaluate` makes); collapsed and diverged are the alarms of `audio_gen.training.diagnosis`.
"""

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from figures import cell, markdown

from audio_gen.data.label_files import LABEL_FILES
from audio_gen.data.scan import scan_folder
from audio_gen.training.diagnosis import diagnose
from audio_gen.training.history import History
from audio_gen.training.metrics import read_metrics
from audio_gen.training.progress import read_progress

FIGURES = (
    "eval/coverage", "eval/coverage_real", "eval/kad", "eval/kad_floor", "eval/diversity", "eval/memorised",
    "eval/memorised_real", "gap/logits", "adaptive/p",
)  # fmt: skip
SPREAD = ("eval/coverage", "eval/kad", "eval/diversity")
WORDS = {"mode_collapse": "collapsed", "divergence": "diverged"}
NOT_FINITE = "NaN or infinite"  # how a run says that it ended because of a loss
SUBSET_SEED = 0


def subset(names: Sequence[str], count: int) -> list[str]:
    """The first `count` names of one shuffle, so that smaller parts lie within larger ones."""
    shuffled = sorted(names)
    random.Random(SUBSET_SEED).shuffle(shuffled)
    return sorted(shuffled[:count])


def linked(folder: Path, count: int, place: Path) -> Path:
    """A folder with links to some of the sounds, and to all labels."""
    sounds = {found.name: found.path for found in scan_folder(folder).found if not (found.problem or found.link_to)}
    chosen = {name: sounds[name] for name in subset(list(sounds), count)}
    labels = LABEL_FILES
    chosen |= {name: folder / name for name in labels if (folder / name).is_file()}
    shutil.rmtree(place, ignore_errors=True)
    for name, path in chosen.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).symlink_to(path.resolve())
    return place


def divergence_of(run: Path) -> str | None:
    """With what words a run ended because a loss was not finite."""
    error = (read_progress(run) or {}).get("error") or ""
    return error if NOT_FINITE in error else None


def is_done(run: Path) -> bool:
    """Whether a run has come to its end, be it a bad one."""
    return (read_progress(run) or {}).get("state") == "finished" or divergence_of(run) is not None


def train(folder: Path, run: Path, seed: int, args: argparse.Namespace) -> None:
    """Train a GAN, or let a stopped run go on."""
    command = [sys.executable, "-m", "audio_gen", "train", str(folder), "--model", "gan", "--run", str(run)]
    command += ["--minutes", str(args.minutes), "--seed", str(seed), "--device", args.device]
    command += ["--config", str(args.config)] if args.config else []
    settings = [*args.overrides, *([f"data.labels={args.labels}"] if args.labels else [])]
    command += [part for setting in settings for part in ("--set", setting)]
    run.parent.mkdir(parents=True, exist_ok=True)
    threads = {"OMP_NUM_THREADS": str(args.threads), "OPENBLAS_NUM_THREADS": str(args.threads)}
    with open(run.parent / f"{run.name}.log", "a", encoding="utf-8") as log:
        done = subprocess.run(command, env={**os.environ, **threads}, stdout=log, stderr=subprocess.PIPE, text=True)
        log.write(done.stderr)
    if not is_done(run):
        last = (done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"])[-1]
        raise SystemExit(f"{run}: is not finished ({last}); the same command goes on with it")


def verdict_of(rows: Sequence[Mapping[str, Any]], error: str | None) -> dict[str, Any]:
    """The newest figures of a run with what its metrics say of it."""
    log = History(rows)
    alarms = [verdict for verdict in diagnose(rows) if verdict.alarm]
    words = [WORDS.get(alarm.name, alarm.name) for alarm in alarms] + (["diverged"] if error else [])
    texts = [alarm.text for alarm in alarms] + ([error] if error else [])
    figures = {key: log.last(key) for key in FIGURES}
    kads = log.values("eval/kad")
    # Without an evaluation nobody has looked for a collapse.
    fine = "healthy" if kads else "no alarm, not evaluated"
    return {
        **figures, "lowest_kad": min(kads, default=None), "evaluations": len(kads), "steps": log.steps_done(),
        "verdict": list(dict.fromkeys(words)) or [fine], "texts": texts,
    }  # fmt: skip


def read(run: Path) -> dict[str, Any]:
    return verdict_of(read_metrics(run), divergence_of(run))


def table(runs: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    head = ["clips", "seed", "steps", "coverage (real)", "KAD (floor)", "lowest KAD", "diversity", "memorised (real)",
            "gap of logits", "augmented", "verdict"]  # fmt: skip

    def pair(run: Mapping[str, Any], mine: str, real: str, form: str = ".2f") -> str:
        return "" if run[mine] is None else f"{cell(run[mine], form)} ({cell(run[real], form) or '?'})"

    return [head] + [
        [
            str(run["clips"]), str(run["seed"]), f"{run['steps']:.0f}",
            pair(run, "eval/coverage", "eval/coverage_real"), pair(run, "eval/kad", "eval/kad_floor"),
            cell(run["lowest_kad"]), cell(run["eval/diversity"]),
            pair(run, "eval/memorised", "eval/memorised_real", ".1%"), cell(run["gap/logits"]),
            cell(run["adaptive/p"]), ", ".join(run["verdict"]),
        ]
        for run in runs
    ]  # fmt: skip


def spread_table(runs: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Lowest, median, highest and deviation over the seeds of each number of clips."""
    names = [f"{key.removeprefix('eval/')}: lowest, median, highest (deviation)" for key in SPREAD]
    rows = [["clips", "runs", "healthy", *names]]
    for clips in dict.fromkeys(run["clips"] for run in runs):
        some = [run for run in runs if run["clips"] == clips]
        cells = []
        for key in SPREAD:
            values = [run[key] for run in some if run[key] is not None]
            told = ", ".join(f"{f(values):.2f}" for f in (min, statistics.median, max)) if values else ""
            cells.append(told + (f" ({statistics.stdev(values):.2f})" if len(values) > 1 else ""))
        healthy = sum(run["verdict"] == ["healthy"] for run in some)
        rows.append([str(clips), str(len(some)), str(healthy), *cells])
    return rows


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--clips", type=int, nargs="+", help="so many of the folder's sounds; all without this")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--labels")
    parser.add_argument("--set", dest="overrides", nargs="+", default=[], help="settings, such as net.size=small")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    if args.labels and Path(args.labels).is_file():
        args.labels = str(Path(args.labels).resolve())
    return args


def main() -> None:
    args = parsed()
    total = len([found for found in scan_folder(args.folder).found if not (found.problem or found.link_to)])
    counts = list(dict.fromkeys(min(count, total) for count in args.clips or [total]))
    if args.clips and max(args.clips) > total:
        print(f"{args.folder}: has {total} sounds, so {max(args.clips)} clips are all of these\n")
    runs = []
    for count in counts:
        place = args.work / f"clips-{count}"
        folder = args.folder if count == total else place / "sounds"
        for seed in range(args.seeds):
            run = place / f"seed-{seed}"
            if not is_done(run):
                if count < total:
                    linked(args.folder, count, folder)
                print(f"training on {count} clips with seed {seed}", file=sys.stderr, flush=True)
                train(folder, run, seed, args)
            runs.append({"clips": count, "seed": seed, "run": str(run), **read(run)})
            if args.json:  # after each, so that what is done is kept
                args.json.write_text(json.dumps(runs, indent=1) + "\n", encoding="utf-8")
    print(markdown(table(runs)))
    print("\n" + markdown(spread_table(runs)))
    for run in runs:
        for text in run["texts"]:
            print(f"\n{run['clips']} clips, seed {run['seed']}: {text}")


if __name__ == "__main__":
    main()
