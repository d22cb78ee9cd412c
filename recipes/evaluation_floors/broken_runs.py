"""Train healthy runs and runs that are broken on purpose, and see whether the verdict names what is wrong with each.

    python recipes/evaluation_floors/broken_runs.py NOTES DRUMS SAMPLES WORK [--minutes 1] [--only NAME ..]

NOTES and DRUMS are the folders of the recipes notes_vae and drums_vae, SAMPLES the repository's own. Every run is
trained by the same commands as a user's, and judged by `audio-gen evaluate`. Runs that are in WORK already are not
trained again.
"""

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import soundfile as sf
import torch
from rich.console import Console
from rich.table import Table

from audio_gen.artefacts.bundle import load_bundle, save_bundle
from audio_gen.models.registry import Part, packed
from audio_gen.training.progress import read_progress
from audio_gen.training.tasks.vocoder import VocoderNet
from audio_gen.vocoding.network import VocoderNetwork

RECIPES = Path(__file__).resolve().parents[1]
NOISES, RATE = 100, 44100
HEALTHY = ("notes", "drums", "samples")


def train(source: Path, run: Path, minutes: float, config: str | None = None, *overrides: str) -> Path:
    """Train a VAE, unless it is there."""
    if (read_progress(run) or {}).get("state") != "finished":
        command = ["audio-gen", "train", str(source), "--model", "vae", "--run", str(run), "--minutes", str(minutes)]
        command += ["--config", str(RECIPES / config / "config.yaml")] if config else []
        command += [part for override in overrides for part in ("--set", override)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            # A run that ends with an error of its own has been named already; its last words are the verdict.
            (run / "error.txt").write_text(done.stderr.strip().splitlines()[-1], encoding="utf-8")
    return run


def one_clip(drums: Path, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    first = sorted(drums.glob("*.flac"))[0]
    shutil.copy(first, folder / first.name)
    return folder


def noises(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(NOISES):
        x = 0.1 * np.random.default_rng(i).standard_normal(RATE)
        sf.write(folder / f"noise-{i:03d}.wav", x, RATE)
    return folder


def collapsed(healthy: Path, run: Path) -> Path:
    """A decoder that gives the mean whatever z is."""
    if not (run / "bundle").is_dir():
        bundle = load_bundle(healthy)
        tensors = dict(bundle.tensors)
        linear = "linear_out" if bundle.config["format"] == 1 else "trunk.linear"
        codec = "model" if bundle.config["format"] == 1 else "codec"
        for key in (f"{linear}.weight", f"{linear}.bias", "decoder.head.weight", "decoder.head.bias"):
            tensors[f"{codec}.{key}"] = torch.zeros_like(tensors[f"{codec}.{key}"])
        save_bundle(run / "bundle", {k: v for k, v in bundle.config.items() if k != "digest"}, tensors)
        shutil.copytree(healthy / "cache", run / "cache")
    return run


def mismatched_vocoder(healthy: Path, folder: Path) -> Path:
    """A vocoder that says it takes the run's mel, and was made for bands up to 4 kHz only."""
    mel = load_bundle(healthy).config["mel"]
    args = {**mel, "f_max": 4000.0, **VocoderNet(dim=16, blocks=1, expansion=2).model_dump()}
    config, tensors = packed({"vocoder": Part("vocoder", args, VocoderNetwork(**args).state_dict())})
    save_bundle(folder, {**config, "mel": mel}, tensors)
    return folder


def alarms(real: Path, run: Path, *more: str) -> tuple[list[str], str]:
    """The alarms of a run's evaluation, and the first sentence."""
    if (run / "error.txt").is_file():
        return ["training_error"], (run / "error.txt").read_text(encoding="utf-8")
    command = ["audio-gen", "evaluate", str(real), str(run), "-n", "64", "--pitch", "none", "--json", *more]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        return ["error"], done.stderr.strip().splitlines()[-1]
    verdict = json.loads(done.stdout)["verdict"]
    return [f["name"] for f in verdict if f["alarm"]], verdict[0]["text"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("notes", "drums", "samples", "work"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--only", nargs="*", default=None)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    work, minutes = args.work, args.minutes
    sources = {"notes": args.notes, "drums": args.drums, "samples": args.samples}
    configs = {"notes": "notes_vae", "drums": "drums_vae", "samples": None}

    def healthy(name: str) -> Path:
        return train(sources[name], work / name, minutes, configs[name])

    def broken(name: str, *overrides: str) -> Path:
        return train(args.drums, work / name, minutes, "drums_vae", *overrides)

    one, noise = work / "one-clip-sounds", work / "noise-sounds"
    jobs = {name: (None, lambda name=name: alarms(sources[name], healthy(name))) for name in HEALTHY}
    jobs |= {
        "collapsed decoder": ("mode_collapse", lambda: alarms(
            args.drums, collapsed(healthy("drums"), work / "collapsed"))),
        "KL weight 100": ("posterior_collapse", lambda: alarms(args.drums, broken("kl-100", "loss.kl=100"))),
        "learning rate x 100": ("divergence", lambda: alarms(args.drums, broken("lr-x100", "train.lr=0.1"))),
        "one training clip": ("memorisation", lambda: alarms(
            one_clip(args.drums, one), train(one, work / "one-clip", minutes / 2, "drums_vae"))),
        "noise data": ("noise_data", lambda: alarms(
            noises(noise), train(noise, work / "noise", minutes, "drums_vae"))),
        "vocoder mismatch": ("vocoder_mismatch", lambda: alarms(
            args.drums, healthy("drums"), "--vocoder", str(mismatched_vocoder(healthy("drums"), work / "vocoder")))),
    }  # fmt: skip
    console = Console(width=160)
    table = Table("run", "expected", "alarms", "right", "what the verdict says first")
    rows = []
    for name, (expected, judge) in jobs.items():
        if args.only and name not in args.only:
            continue
        found, text = judge()
        right = not found if expected is None else expected in found
        rows.append({"run": name, "expected": expected, "alarms": found, "right": right, "text": text})
        table.add_row(name, expected or "none", ", ".join(found) or "none", "yes" if right else "NO", text)
        console.print(f"{name}: {', '.join(found) or 'no alarm'}", markup=False)
    console.print(table)
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    sys.exit(0 if all(row["right"] for row in rows) else 1)


if __name__ == "__main__":
    main()
