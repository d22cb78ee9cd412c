#!/usr/bin/env python3
"""Peak memory and speed of `audio-gen vocode` on a mel that is made up, an hour long if not told otherwise.

    python recipes/vocoder_universal/memory.py [--minutes 60] [--vocoders griffinlim:4 network]

"network" is the standard vocoder with random weights, which need as much memory and time as trained ones; anything else
is what `--vocoder` takes. The mel wanders between -11 and 2 as log-mels do. Each vocoder runs in a process of its own,
whose greatest resident memory is what the operating system counted, pages of the mapped mel included. Seconds are those
of the processor, start of the program included, so that a busy machine does not count; with several threads, say so.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf

from audio_gen.artefacts.bundle import save_bundle
from audio_gen.audio.mel import DEFAULT_PRESET, MelSpec
from audio_gen.models.registry import Part, packed
from audio_gen.training.tasks.vocoder import VocoderNet
from audio_gen.vocoding.network import VocoderNetwork

SPEC = MelSpec.preset(DEFAULT_PRESET)
LOW, HIGH, STEP = -11.0, 2.0, 0.5
BLOCK_FRAMES = 4096  # of making it


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--vocoders", nargs="+", default=["griffinlim:4", "network"])
    args = parser.parse_args()
    print("| vocoder | minutes | peak memory (MB) | CPU (s) | x real time | wall (s) | WAV (MB) |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="vocode-memory-") as folder:
        mel = write_mel(Path(folder, "mel.npy"), round(60 * args.minutes * SPEC.frame_rate))
        for choice in args.vocoders:
            vocoder = write_network(Path(folder, "network")) if choice == "network" else choice
            print(f"| {choice} | {args.minutes:g} |", measure(mel, vocoder, Path(folder, "out")), flush=True)


def write_mel(path: Path, frames: int) -> Path:
    """Write a random walk in each band, folded into the range of log-mels, without ever holding it all."""
    rng = np.random.default_rng(0)
    mel = np.lib.format.open_memmap(path, "w+", np.float32, (SPEC.n_mels, frames))
    extent = HIGH - LOW
    at = rng.uniform(0, extent, (SPEC.n_mels, 1))
    for start in range(0, frames, BLOCK_FRAMES):
        part = mel[:, start : start + BLOCK_FRAMES]
        walk = at + rng.normal(0, STEP, part.shape).cumsum(axis=1)
        at = walk[:, -1:]
        part[:] = LOW + abs(walk % (2 * extent) - extent)
    mel.flush()
    return path


def write_network(folder: Path) -> str:
    """Write a bundle of the standard vocoder with random weights."""
    args: dict[str, Any] = {**SPEC.to_dict(), **VocoderNet().model_dump()}
    config, tensors = packed({"vocoder": Part("vocoder", args, VocoderNetwork(**args).state_dict())})
    save_bundle(folder, {**config, "mel": SPEC.to_dict()}, tensors)
    return str(folder)


def measure(mel: Path, vocoder: str, out: Path) -> str:
    """Run the command; returns the rest of the table's row."""
    command = [sys.executable, "-m", "audio_gen", "vocode", str(mel), "--vocoder", vocoder, "--device", "cpu"]
    started = time.monotonic()
    child = subprocess.Popen([*command, "--force", "--out", str(out)], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        sys.exit(f"vocode --vocoder {vocoder} failed; see above")
    wall_sec, cpu_sec = time.monotonic() - started, usage.ru_utime + usage.ru_stime
    megabytes = usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e6 / 1024)  # bytes on macOS, KiB on Linux
    wav = next(out.glob("*.wav"))
    speed = sf.info(wav).duration / cpu_sec
    size = wav.stat().st_size / 1e6
    return f"{megabytes:.0f} | {cpu_sec:.0f} | {speed:.0f} | {wall_sec:.0f} | {size:.0f} |"


if __name__ == "__main__":
    main()
