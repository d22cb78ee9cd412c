#!/usr/bin/env python3
"""Losses of the vocoder side by side, and a plain Vocos head: each trains from nothing for equal steps; val/ is heard.

    python ablation.py CORPUS --work DIR [--steps 300] [--files 40] [--only mel "mel, two sizes"]

The table has `mrmel` of copies of CORPUS/val (evenly chosen files, the first 4 s, peak 0.95) with the iterations that
the networks were trained with and with four (`RUN:0` and `RUN:4`), and seconds a step. The same command again goes on.
"""

import argparse
import sys
from pathlib import Path

import torch
from benchmark import neighbour, thinned
from vocoder_quality import load_clip

from audio_gen.audio.distance import mrmel
from audio_gen.audio.mel import MelFrontEnd
from audio_gen.errors import AudioGenError
from audio_gen.generation.vocoders import load_vocoder
from audio_gen.training.metrics import read_metrics
from audio_gen.training.tasks import train_run

CONFIG = Path(__file__).parent / "small.yaml"
STFT = ["loss.multi_mel=0", "loss.multi_stft=1"]
SETS = {
    "mel": ["loss.sizes=5"],
    "mel, two sizes": ["loss.sizes=2"],
    "multi-resolution STFT (auraloss)": STFT,
    "mel, STFT": ["loss.sizes=2", "loss.multi_stft=0.5"],
    "mel, phase": ["loss.sizes=2", "loss.group_delay=0.3", "loss.phase_advance=0.3"],
    "Vocos head, mel, two sizes": ["loss.sizes=2", "net.head=vocos"],
    "mel, log amplitude, complex": ["loss.sizes=2", "loss.log_amplitude=0.5", "loss.complex=0.5"],
}
MAX_SEC = 4.0


def train(corpus: Path, run: Path, settings: list[str], steps: int) -> float:
    """Train one set; returns seconds a step."""
    fixed = ["train.validations=0", "train.previews=0", *settings]
    train_run(corpus / "train", run, model="vocoder", config_file=CONFIG, steps=steps, overrides=fixed, device="cpu")
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
    parser.add_argument("--files", type=int, default=40)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", nargs="+", choices=list(SETS), default=list(SETS))
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    files = thinned(list((args.corpus / "val").rglob("*.flac")), args.files)
    rows = [["losses", f"mrmel after {args.steps} steps", "with 4 iterations", "s a step"]]
    try:
        for name in args.only:
            run = args.work / "".join(c if c.isalnum() else "-" for c in name)
            step_sec = train(args.corpus, run, SETS[name], args.steps)
            rows.append([name, *(f"{distance(f'{run}:{n}', files):.4f}" for n in (0, 4)), f"{step_sec:.2f}"])
            print(" | ".join(rows[-1]), flush=True)
    except (AudioGenError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    print(neighbour("gan_benchmark", "figures").markdown(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
