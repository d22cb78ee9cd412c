"""How long it takes, and how much memory, to cache ten hours of 48 kHz stereo WAV.

    python recipes/data_benchmark/cache_benchmark.py SOUNDS --scratch DIR [--hours 10] [--workers 2] [--channels 1]

SOUNDS is any folder of real recordings; they are strung together until the hours are full, (a) as files of ten minutes
and (b) as one single file (RF64, as it is beyond 4 GB). Each is cached once from nothing and once more unchanged.
DIR needs 1.5 GB an hour, and is cleaned up.
"""

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile as sf

from audio_gen.audio.io import read_wav
from audio_gen.config import DataSettings
from audio_gen.data.cache import build_cache
from audio_gen.data.index import inspect_folder

SAMPLE_RATE = 48000
FILE_SEC = 600


def load_sounds(folder: Path, sec: int) -> np.ndarray:
    """(T, 2) int16, up to `sec` seconds of the folder's sounds one after the other."""
    pieces: list[np.ndarray] = []
    for report in inspect_folder(folder).usable:
        pieces.append(read_wav(report.file, sample_rate=SAMPLE_RATE)[0][0].numpy())
        if sum(map(len, pieces)) > sec * SAMPLE_RATE:
            break
    mono = np.concatenate(pieces).clip(-1, 1)
    stereo = np.stack([mono, 0.8 * np.roll(mono, 480)], axis=1)
    return (32767 * stereo).astype(np.int16)


def ten_minutes(sounds: np.ndarray, count: int) -> Iterator[np.ndarray]:
    """`count` times ten minutes, each beginning elsewhere in the sounds so that no two are equal."""
    for i in range(count):
        turned = np.roll(sounds, 12_345 * i, axis=0)
        yield np.resize(turned, (FILE_SEC * SAMPLE_RATE, 2))


def write_files(folder: Path, sounds: np.ndarray, count: int) -> None:
    folder.mkdir(parents=True)
    for i, block in enumerate(ten_minutes(sounds, count)):
        sf.write(folder / f"{i:03d}.wav", block, SAMPLE_RATE, subtype="PCM_16")


def write_single(folder: Path, sounds: np.ndarray, count: int) -> None:
    folder.mkdir(parents=True)
    with sf.SoundFile(folder / "all.wav", "w", SAMPLE_RATE, 2, "PCM_16", format="RF64") as f:
        for block in ten_minutes(sounds, count):
            f.write(block)


def measured_build(folder: Path, out: Path, options: list[str]) -> dict[str, float]:
    """Build in a process of its own (it has threads, no children); its time, processor time and largest memory."""
    command = [sys.executable, __file__, "--build", str(folder), str(out), *options]
    start = time.perf_counter()
    cpu_sec, peak = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return {"sec": round(time.perf_counter() - start, 1), "cpu_sec": float(cpu_sec), "peak_mb": round(int(peak) / 1024)}


def peak_kb() -> int:
    """Largest resident memory of this process; Linux's own count, as getrusage begins with that of the parent."""
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("sounds", type=Path)
    parser.add_argument("out", type=Path, nargs="?", help=argparse.SUPPRESS)
    parser.add_argument("--scratch", type=Path)
    parser.add_argument("--hours", type=float, default=10)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--channels", type=int, choices=(1, 2), help="default: auto")
    parser.add_argument("--build", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.build:
        data = DataSettings(**({"channels": args.channels} if args.channels else {}))
        build_cache(args.sounds, args.out, sample_rate=44100, workers=args.workers, data=data)
        print(round(time.process_time(), 2), peak_kb())
        return
    if args.scratch is None:
        parser.error("--scratch is needed: a folder for the sound and the cache")
    options = ["--workers", str(args.workers), *(["--channels", str(args.channels)] if args.channels else [])]
    sounds, count = load_sounds(args.sounds, FILE_SEC), round(args.hours * 3600 / FILE_SEC)
    for name, write in (("files", write_files), ("single", write_single)):
        place = args.scratch / f"cache_benchmark-{name}"
        shutil.rmtree(place, ignore_errors=True)
        try:
            write(place / "wav", sounds, count)
            first = measured_build(place / "wav", place / "cache", options)
            second = measured_build(place / "wav", place / "cache", options)
        finally:
            shutil.rmtree(place, ignore_errors=True)
        print(json.dumps({"case": name, "hours": args.hours, "first": first, "unchanged": second}), flush=True)


if __name__ == "__main__":
    main()
