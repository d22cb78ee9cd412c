"""What the command line and the loader cost: `audio-gen --help`, and a batch as a share of a training step.

    python recipes/data_benchmark/loader_benchmark.py RUN [--batch 32] [--runs 50]

RUN is a trained run, whose cache is read and whose metrics tell how long a step took.
"""

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from audio_gen.config import read_yaml
from audio_gen.data.dataset import ClipDataset
from audio_gen.data.store import Cache
from audio_gen.training.metrics import read_metrics


def median_sec(work: Callable[[int], object], runs: int) -> float:
    times = []
    for i in range(runs):
        start = time.perf_counter()
        work(i)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--runs", type=int, default=50)
    args = parser.parse_args()
    command = [str(Path(sys.executable).with_name("audio-gen")), "--help"]
    help_sec = median_sec(lambda i: subprocess.run(command, stdout=subprocess.DEVNULL, check=True), 10)
    cache = Cache.open(args.run / "cache")
    samples = round(read_yaml(args.run / "config.yaml")["data"]["segment_sec"] * cache.sample_rate)
    dataset = ClipDataset(cache, split="train", segment_samples=samples, seed=0)
    first_sec = median_sec(lambda i: dataset.batch(i, args.batch), args.runs)  # with checksums of what is read first
    batch_sec = median_sec(lambda i: dataset.batch(i, args.batch), args.runs)
    step_sec = statistics.median(x["time/step_sec"] for x in read_metrics(args.run) if "time/step_sec" in x)
    print(f"audio-gen --help: {help_sec:.3f} s (median of 10)")
    print(
        f"a batch of {args.batch} x {samples / cache.sample_rate:.2f} s: {1e3 * batch_sec:.2f} ms, "
        f"{100 * batch_sec / step_sec:.2f} % of a step of {1e3 * step_sec:.0f} ms (medians); "
        f"the first time {1e3 * first_sec:.2f} ms"
    )


if __name__ == "__main__":
    main()
