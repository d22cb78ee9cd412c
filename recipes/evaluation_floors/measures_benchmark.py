"""How long the measures of `audio_gen.evaluation` take, and how much memory, after embedding.

    python recipes/evaluation_floors/measures_benchmark.py [--clips 5000] [--dimensions 1024] [--threads 2]

Real and made sets are of one Gaussian whose deviations fall off as embeddings' do. Prints one line of JSON: seconds of
each measure and of all, and the largest resident memory.
"""

import argparse
import json
import os
import resource
import sys
import time
from collections.abc import Callable


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--clips", type=int, default=5000)
    parser.add_argument("--dimensions", type=int, default=1024)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


def peak_mb() -> int:
    """Largest resident memory of this process."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1024**2 if sys.platform == "darwin" else 1024))


def measures(arguments: argparse.Namespace) -> dict[str, Callable[[], object]]:
    # Only now, as the number of threads is read when these are imported.
    import torch

    from audio_gen.evaluation.distances import fad, fad_infinity, kad_estimate, kad_floor, median_distance
    from audio_gen.evaluation.neighbours import ndb, prdc
    from audio_gen.evaluation.novelty import diversity, nearness
    from audio_gen.evaluation.probe import class_probe

    torch.set_num_threads(arguments.threads)
    random = torch.Generator().manual_seed(0)
    scale = torch.arange(1, arguments.dimensions + 1) ** -0.5
    real, made = torch.randn(2, arguments.clips, arguments.dimensions, generator=random) * scale
    groups = [str(i // 3) for i in range(arguments.clips)]
    classes = [f"class {i % arguments.classes}" for i in range(arguments.clips)]
    return {
        "median_distance": lambda: median_distance(real),
        "kad and interval": lambda: kad_estimate(real, made),
        "kad_floor": lambda: kad_floor(real, groups),
        "fad": lambda: fad(real, made),
        "fad_infinity": lambda: fad_infinity(real, made),
        "prdc": lambda: prdc(real, made),
        "ndb": lambda: ndb(real, made),
        "nearness": lambda: nearness(made, real, real[: arguments.clips // 10]),
        "diversity": lambda: diversity(made, real, classes, classes),
        "class_probe": lambda: class_probe(real, classes, groups, made, classes),
    }


def main() -> None:
    arguments = parsed()
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = str(arguments.threads)
    tasks = measures(arguments)
    before_mb, seconds, start_cpu = peak_mb(), {}, time.process_time()
    for name, task in tasks.items():
        start = time.perf_counter()
        task()
        seconds[name] = round(time.perf_counter() - start, 2)
    # With a busy machine the CPU time tells more: at best, all_sec is this over the threads.
    totals = {"all_sec": round(sum(seconds.values()), 1), "cpu_sec": round(time.process_time() - start_cpu, 1)}
    print(json.dumps({**vars(arguments), "sec": seconds, **totals, "before_mb": before_mb, "peak_mb": peak_mb()}))


if __name__ == "__main__":
    main()
