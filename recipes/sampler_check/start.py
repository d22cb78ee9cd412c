"""Processor seconds until commands begin to work, beside those of `import torch`; less noisy than a clock's.

python recipes/sampler_check/start.py RUN [--repeats 7]
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[2]
# `sample` up to its first network: all that it imports and loads, without the vocoder's numba.
TO_WORK = """
import os, sys
from audio_gen.cli.app import run
def work(*args, **kwargs): os._exit(0)
import audio_gen.generation.pipeline as pipeline
pipeline.Pipeline.latents = work
run(sys.argv[1:])
"""


def seconds(command: list[str]) -> float:
    """Processor time of a process, user and system, on one thread."""
    before = os.times()
    subprocess.run(
        command, env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}, capture_output=True, check=True
    )
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--repeats", type=int, default=7)
    args = parser.parse_args()
    out, python = ROOT / "build" / "start", sys.executable
    commands = {
        "import torch": [python, "-c", "import os, torch; os._exit(0)"],
        "audio-gen --help": [python, "-m", "audio_gen", "--help"],
        "inspect one folder": [python, "-m", "audio_gen", "inspect", str(ROOT / "samples" / "kick")],
        "sample, to its first latent": [python, "-c", TO_WORK, "sample", str(args.run), "--out", str(out)],
        "import torch, numba": [python, "-c", "import os, torch, numba; os._exit(0)"],
    }
    took: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(args.repeats):
        for name, command in commands.items():
            took[name].append(seconds(command))
    torch_sec = median(took["import torch"])
    print(f"medians of {args.repeats} runs; load {os.getloadavg()[0]:.1f}")
    for name, values in took.items():
        print(f"{name:<28} {median(values):6.2f} s  {median(values) / torch_sec:5.2f} x import torch")


if __name__ == "__main__":
    main()
