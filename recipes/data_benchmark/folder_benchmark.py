"""What it costs to read a folder, to keep it as a cache, and to open that, beside an earlier version of the package.

    python recipes/data_benchmark/folder_benchmark.py FOLDER [--files 6000] [--than EARLIER] [--rounds 3]

FOLDER is any folder of sounds; its files are copied until there are so many. EARLIER is a checkout of an earlier
version (`git worktree add EARLIER COMMIT`): both are measured in turn, on one thread, and the ratios of their medians
are printed. `train` is a batch of 32 clips of 2 s, the first time (when checksums are compared) and later.
"""

import argparse
import itertools
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
SUFFIXES = (".wav", ".flac", ".aif", ".aiff", ".ogg", ".mp3")
CHILD = """
import json, statistics, sys, time
from pathlib import Path
from audio_gen.data.cache import build_cache
from audio_gen.data.dataset import ClipDataset
from audio_gen.data.index import inspect_folder
from audio_gen.data.store import Cache

def sec(work, times=1):
    taken = []
    for i in range(times):
        begun = time.perf_counter()
        work(i)
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken)

folder, out = Path(sys.argv[1]), Path(sys.argv[2])
build = lambda _: build_cache(folder, out, sample_rate=44100, workers=1)
told = {"inspect": sec(lambda _: inspect_folder(folder, workers=1)), "first cache": sec(build)}
told |= {"unchanged cache": sec(build, 3), "open": sec(lambda _: Cache.open(out), 20)}
clips = ClipDataset(Cache.open(out), split="train", segment_samples=88200, seed=0)
epoch = -(-len(clips) // 32)
told |= {"batch, first epoch": sec(lambda i: clips.batch(i, 32), epoch)}
told |= {"batch, later": sec(lambda i: clips.batch(epoch + i, 32), epoch)}
print(json.dumps(told))
"""


def copies(folder: Path, count: int, out: Path) -> None:
    """Fill `out` with so many copies of the sounds of a folder, in its first-level sub-folders."""
    sounds = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not sounds:
        raise SystemExit(f"{folder}: holds no sounds")
    for number, path in zip(range(count), itertools.cycle(sounds), strict=False):
        place = out / path.parent.name / f"{number:06d}-{path.name}"
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, place)


def measured(code: Path, folder: Path) -> dict[str, float]:
    """Seconds of each step with one version of the package, in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(code), "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as place:
        command = [sys.executable, "-c", CHILD, str(folder), str(Path(place) / "cache")]
        done = subprocess.run(command, env=environment, cwd=place, stdout=subprocess.PIPE, text=True, check=True)
    told: dict[str, float] = json.loads(done.stdout)
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--files", type=int, default=6000)
    parser.add_argument("--than", type=Path, help="a checkout of an earlier version")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    codes = {"now": ROOT} | ({"earlier": args.than.resolve()} if args.than else {})
    with tempfile.TemporaryDirectory() as place:
        copies(args.folder, args.files, Path(place))
        told = {name: [] for name in codes}  # type: dict[str, list[dict[str, float]]]
        for _ in range(args.rounds):
            for name, code in codes.items():
                told[name].append(measured(code, Path(place)))
    for step in told["now"][0]:
        median = {name: statistics.median(t[step] for t in rounds) for name, rounds in told.items()}
        ratio = f"  {median['now'] / median['earlier']:.2f} times the earlier" if args.than else ""
        print(f"{step}: " + ", ".join(f"{name} {1000 * sec:.2f} ms" for name, sec in median.items()) + ratio)


if __name__ == "__main__":
    main()
