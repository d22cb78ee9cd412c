"""What does an hour of sound cost, and does its end sound like its start?

    python recipes/music_sequence/hour.py RUN OUT.wav --real FOLDER [--minutes 60] [--vocoder small:2] [--seed 0]

Writes the sound by the operation of `audio-gen sample --duration`, and prints the time and the peak memory of the
process. Then, for the first, the middle and the last tenth: the KAD of random 2 s windows against those of the first
tenth, and against those of FOLDER, which are other files; level and spectral centroid. Then the same for four quarters
of FOLDER, file after file: so much do parts of real music differ. All parts have the same number of windows.
"""

import argparse
import resource
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile as sf
import torch
from torch import Tensor

from audio_gen.audio.resample import resample
from audio_gen.evaluation import distances
from audio_gen.evaluation.embeddings import load_embedding
from audio_gen.generation.operations.sample import SampleRequest, sample
from audio_gen.generation.outputs import sound_files
from audio_gen.generation.pipeline import Pipeline

WINDOWS, WINDOW_SEC = 60, 2.0
PARTS = {"first tenth": (0.0, 0.1), "middle": (0.45, 0.55), "last tenth": (0.9, 1.0)}
QUARTERS = {f"real, quarter {i + 1}": (i / 4, (i + 1) / 4) for i in range(4)}


def windows(files: Sequence[Path], low: float, high: float) -> tuple[list[np.ndarray], int]:
    """Random windows (T,) between two shares of files that follow each other, and their rate."""
    abouts, draw = [sf.info(file) for file in files], np.random.default_rng(0)
    ends = np.cumsum([about.frames for about in abouts])
    rate, found = abouts[0].samplerate, []
    size = round(WINDOW_SEC * rate)
    for place in draw.integers(int(low * ends[-1]), int(high * ends[-1]) - size, WINDOWS).tolist():
        which = int(np.searchsorted(ends, place, side="right"))
        start = min(place - int(ends[which]) + abouts[which].frames, abouts[which].frames - size)
        x, _ = sf.read(files[which], size, start, dtype="float32", always_2d=True)
        found.append(x.mean(1))
    return found, rate


def centroid_hz(x: np.ndarray, rate: int) -> float:
    """The spectral centroid of a window."""
    power = np.abs(np.fft.rfft(x * np.hanning(len(x)))) ** 2
    return float((power * np.fft.rfftfreq(len(x), 1 / rate)).sum() / max(power.sum(), 1e-12))


def main() -> None:
    """Write the sound and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--real", type=Path, required=True)
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
    real = sound_files([args.real])
    print("| part | KAD against the first | KAD against other music | level | centroid |\n|---|---|---|---|---|")
    everything = vectors_of(windows(real, 0, 1))
    for files, parts in (([args.out], PARTS), (real, QUARTERS)):
        first = None
        for name, (low, high) in parts.items():
            wavs, rate = windows(files, low, high)
            vectors = vectors_of((wavs, rate))
            against = "" if first is None else kad(first, vectors)
            first = vectors if first is None else first
            level = 10 * np.log10(np.median([np.mean(x**2) for x in wavs]))
            centroid = np.median([centroid_hz(x, rate) for x in wavs])
            print(
                f"| {name} | {against} | {kad(everything, vectors)} | {level:.1f} dB | {centroid:.0f} Hz |", flush=True
            )


def vectors_of(sounds: tuple[list[np.ndarray], int]) -> Tensor:
    """Embeddings (B, D) of windows at a rate."""
    embedding, (wavs, rate) = load_embedding(), sounds
    return embedding([resample(torch.from_numpy(x)[None], rate, embedding.sample_rate)[0] for x in wavs])


def kad(reference: Tensor, vectors: Tensor) -> str:
    """The KAD with its 95 % interval."""
    return "{:.2f} ({:.2f} to {:.2f})".format(*distances.kad_estimate(reference, vectors))


if __name__ == "__main__":
    main()
