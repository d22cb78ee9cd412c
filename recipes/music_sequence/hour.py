"""What does an hour of sound cost, and does its end sound like its start?

    python recipes/music_sequence/hour.py RUN OUT.wav [--minutes 60] [--vocoder small:2] [--seed 0]

Writes the sound by the operation of `audio-gen sample --duration`, and prints the time and the peak memory of the
process. Then the KAD of random 2 s windows of the last tenth against those of the first tenth, beside that of the
middle against the first, and the level and spectral centroid of each. All parts have the same number of windows.
"""

import argparse
import resource
import time
from pathlib import Path

import numpy as np
import soundfile as sf
import torch

from audio_gen.audio.resample import resample
from audio_gen.evaluation import distances
from audio_gen.evaluation.embeddings import load_embedding
from audio_gen.generation.operations.sample import SampleRequest, sample
from audio_gen.generation.pipeline import Pipeline

WINDOWS, WINDOW_SEC = 60, 2.0


def windows(file: Path, low: float, high: float) -> tuple[list[np.ndarray], int]:
    """Windows (T,) between two shares of a file, and its rate."""
    about, draw = sf.info(file), np.random.default_rng(0)
    size = round(WINDOW_SEC * about.samplerate)
    starts = draw.integers(int(low * about.frames), int(high * about.frames) - size, WINDOWS)
    found = []
    for start in starts.tolist():
        x, _ = sf.read(file, size, start, dtype="float32", always_2d=True)
        found.append(x.mean(1))
    return found, about.samplerate


def centroid_hz(x: np.ndarray, rate: int) -> float:
    """The spectral centroid of a window."""
    power = np.abs(np.fft.rfft(x * np.hanning(len(x)))) ** 2
    return float((power * np.fft.rfftfreq(len(x), 1 / rate)).sum() / max(power.sum(), 1e-12))


def main() -> None:
    """Write the sound and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--vocoder", default="small:2")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    started = time.perf_counter()
    pipeline = Pipeline.load(args.run, vocoder=args.vocoder, device="cpu")
    request = SampleRequest(count=1, seed=args.seed, duration_sec=60 * args.minutes, command="hour.py")
    for clip in sample(pipeline, request):
        clip.save(args.out, overwrite=True)
    took = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    speed = 60 * args.minutes / took
    print(f"| {args.minutes:g} minutes | {took / 60:.1f} minutes, {speed:.1f} x real time | {peak:.0f} MB |")
    embedding = load_embedding()
    parts = {}
    for name, low, high in (("first tenth", 0.0, 0.1), ("middle", 0.45, 0.55), ("last tenth", 0.9, 1.0)):
        wavs, rate = windows(args.out, low, high)
        vectors = embedding([resample(torch.from_numpy(x)[None], rate, embedding.sample_rate)[0] for x in wavs])
        level = 10 * np.log10(np.median([np.mean(x**2) for x in wavs]))
        parts[name] = vectors
        kad, low_end, high_end = distances.kad_estimate(parts["first tenth"], vectors)
        against = "" if name == "first tenth" else f"{kad:.2f} ({low_end:.2f} to {high_end:.2f})"
        print(f"| {name} | {against} | {level:.1f} dB | {np.median([centroid_hz(x, rate) for x in wavs]):.0f} Hz |")


if __name__ == "__main__":
    main()
