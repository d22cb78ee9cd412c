#!/usr/bin/env python3
"""Losses and networks of the vocoder side by side: each trains for equal steps, and what it makes of val/ is measured.

    python ablation.py CORPUS --work DIR [--steps 300] [--init RUN] [--files 40] [--only "mel, STFT"] [--precision fp32]

They start from nothing or, with --init, from the weights of a run, which is for those that differ in the losses only.
The table has `mrmel` of copies of CORPUS/val (evenly chosen files, the first 4 s, peak 0.95) with the iterations that
the networks were trained with, with two and with eight (`RUN:0`, `RUN:2`, `RUN:8`), and seconds a step. The same
command again goes on. A processor without instructions for bf16 is quicker with `--precision fp32`.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import torch
from benchmark import neighbour, thinned
from vocoder_quality import load_clip

from audio_gen.audio.distance import mrmel
from audio_gen.audio.mel import MelFrontEnd
from audio_gen.errors import AudioGenError
from audio_gen.training.metrics import read_metrics
from audio_gen.training.tasks.run import train_run
from audio_gen.vocoding.load import load_vocoder

CONFIG = Path(__file__).parent / "small.yaml"
TWO = "loss.sizes=2"
STFT = ["loss.multi_mel=0", "loss.multi_stft=1"]
PHASE = ["loss.group_delay=0.3", "loss.phase_advance=0.3"]
SPECTRUM = ["loss.log_amplitude=0.5", "loss.complex=0.5"]
SETS = {
    "mel at two sizes, drawn in each step": [TWO],
    "mel at five sizes": ["loss.sizes=5"],
    "multi-resolution STFT (auraloss)": STFT,
    "mel, STFT": [TWO, "loss.multi_stft=0.5"],
    "mel, phase": [TWO, *PHASE],
    "mel, log amplitude, complex": [TWO, *SPECTRUM],
    "mel, phase, log amplitude, complex": [TWO, *PHASE, *SPECTRUM],
    "mel, discriminators": [TWO, "loss.adversarial=0.05"],
    "no iterations of the whole": [TWO, "net.projections=0"],
    "d320 x 8": [TWO, "net.dim=320", "net.blocks=8"],
}
ITERATIONS = (0, 2, 8)
MAX_SEC = 4.0


def train(corpus: Path, run: Path, settings: list[str], **some: Any) -> float:
    """Train one set; returns seconds a step."""
    fixed = ["train.validations=0", "train.previews=0", *settings]
    train_run(corpus / "train", run, model="vocoder", config_file=CONFIG, device="cpu", overrides=fixed, **some)
    times = sorted(row["time/step_sec"] for row in read_metrics(run) if "time/step_sec" in row)
    return times[len(times) // 2] if times else float("nan")


def distance(choice: str, files: list[Path]) -> float:
    """Mean mrmel of copies."""
    vocoder = load_vocoder(choice, None)
    front_end, found = MelFrontEnd(vocoder.spec), []
    for path in files:
        wav = load_clip(path, vocoder.spec.sample_rate, MAX_SEC)
        if wav is not None:
            found.append(mrmel(wav, vocoder(front_end(wav[None, None]))[0, 0], vocoder.spec.sample_rate))
    return sum(found) / len(found)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--init", type=Path, help="a run, or a vocoder of the package by name")
    parser.add_argument("--files", type=int, default=40)
    parser.add_argument("--precision", choices=["fp32", "bf16"], help="in place of small.yaml's")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", nargs="+", choices=list(SETS), default=list(SETS))
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    files = thinned(list((args.corpus / "val").rglob("*.flac")), args.files)
    again = [f"with {count} iterations" for count in ITERATIONS[1:]]
    rows = [["losses, network", f"mrmel after {args.steps} steps", *again, "s a step"]]
    some = {"steps": args.steps, "init": args.init, "precision": args.precision}
    try:
        for name in args.only:
            run = args.work / "".join(c if c.isalnum() else "-" for c in name)
            step_sec = train(args.corpus, run, SETS[name], **some)
            found = [f"{distance(f'{run}:{n}', files):.4f}" for n in ITERATIONS]
            rows.append([name, *found, f"{step_sec:.2f}"])
            print(" | ".join(rows[-1]), flush=True)
    except (AudioGenError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    print(neighbour("gan_benchmark", "figures").markdown(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
