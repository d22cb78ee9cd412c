"""Time `sample` and `encode` with one thread and with two, alone and beside a busy loop that keeps one core.

python recipes/sampler_check/threads.py RUN [--repeats 5] [--count 32] [--only sample]
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[2]
BUSY = "while True: pass"
ENCODED_FILES = 8
MOST_RATIO = 1.1  # of two threads to one beside a busy core


def commands(run: Path, count: int) -> dict[str, list[str]]:
    """The commands that are timed, without --out."""
    sounds = sorted(path for path in (ROOT / "samples").glob("*/*.wav") if path.parent.name != "generated")
    sounds = sounds[:: max(1, len(sounds) // ENCODED_FILES)][:ENCODED_FILES]
    return {
        f"sample -n {count}": ["sample", str(run), "-n", str(count)],
        "sample -n 1": ["sample", str(run), "-n", "1"],
        f"encode {len(sounds)} files": ["encode", str(run), *map(str, sounds)],
        "encode 1 file": ["encode", str(run), str(sounds[0])],
    }


def seconds(command: list[str], threads: int) -> float:
    """How long a command takes as a process of its own, its start included."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONPATH": str(ROOT)}
    with tempfile.TemporaryDirectory() as folder:
        whole = [sys.executable, "-m", "audio_gen", *command, "--out", folder]
        started = time.perf_counter()
        subprocess.run(whole, env=environment, check=True, capture_output=True)
        return time.perf_counter() - started


def timed(command: list[str], repeats: int, busy: bool) -> dict[int, float]:
    """Median seconds by number of threads; the two take turns, so that what else runs here meets both."""
    loop = subprocess.Popen([sys.executable, "-c", BUSY]) if busy else None
    try:
        if loop is not None and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(loop.pid, {min(os.sched_getaffinity(0))})
        took: dict[int, list[float]] = {1: [], 2: []}
        for repeat in range(repeats):
            for threads in (1, 2) if repeat % 2 else (2, 1):
                took[threads].append(seconds(command, threads))
        return {threads: median(values) for threads, values in took.items()}
    finally:
        if loop is not None:
            loop.kill()
            loop.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--count", type=int, default=32, help="clips that are sampled")
    parser.add_argument("--only", default="", help="commands that begin so")
    args = parser.parse_args()
    load = os.getloadavg()[0]
    print(f"{os.cpu_count()} cores, load {load:.1f} before; medians of {args.repeats} runs, in seconds, start included")
    print(f"{'command':<18} {'beside':<10} {'1 thread':>9} {'2 threads':>9} {'ratio':>6}")
    for name, command in commands(args.run, args.count).items():
        if not name.startswith(args.only):
            continue
        for busy in (False, True):
            took = timed(command, args.repeats, busy)
            ratio = took[2] / took[1]
            mark = "  too slow" if busy and ratio > MOST_RATIO else ""
            beside = "busy loop" if busy else "nothing"
            print(f"{name:<18} {beside:<10} {took[1]:>9.2f} {took[2]:>9.2f} {ratio:>6.2f}{mark}", flush=True)


if __name__ == "__main__":
    main()
