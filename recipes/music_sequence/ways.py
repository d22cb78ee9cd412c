"""How far do `vary` and `interpolate` of a sequence model go? Figures of kept-out sounds, as Markdown.

    python recipes/music_sequence/ways.py RUN FOLDER [-n 12] [--seconds 6] [--vocoder small:2]

Sounds of some seconds are cut from the files of FOLDER at random places. Distances are mean differences of log-mels in
dB, at equal level: of variations from the sound, from the model's copy of it, and from another variation. Steps on the
way between two sounds of different files are compared with both ends by an embedding: the share of ways on which each
step is nearer to the second sound, relative to the first, than the step before; and how near the steps in the middle
are to any kept-out sound of the same length, over the same of the ends.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from audio_gen.audio.io import read_wav, write_wav
from audio_gen.audio.long_mel import of_wav
from audio_gen.audio.mel import DB_PER_NAT, MelSpec
from audio_gen.audio.resample import resample
from audio_gen.evaluation.embeddings import load_embedding
from audio_gen.generation.operations.interpolate import InterpolateRequest, interpolate
from audio_gen.generation.operations.vary import VaryRequest, vary
from audio_gen.generation.outputs import sound_files
from audio_gen.generation.pipeline import Pipeline

AMOUNTS, STEPS = (0.0, 0.1, 0.3, 0.6, 1.0), 5
QUIET, FLOOR = 0.005, -9.0


def cuts(folder: Path, rate: int, count: int, seconds: float) -> list[tuple[int, Tensor]]:
    """Parts (C, T) of files with sound, and the numbers of the files."""
    draw, found = np.random.default_rng(1), []
    sounds = [read_wav(file, sample_rate=rate)[0] for file in sound_files([folder])]
    length = round(seconds * rate)
    sounds = [wav for wav in sounds if wav.shape[1] > length]
    while len(found) < count:
        number = int(draw.integers(len(sounds)))
        start = int(draw.integers(sounds[number].shape[1] - length))
        part = sounds[number][:, start : start + length]
        if float(part.square().mean().sqrt()) > QUIET:
            found.append((number, part))
    return found


def distance_db(a: Tensor, b: Tensor, spec: MelSpec) -> float:
    """Mean difference of two log-mels in dB, at equal level."""
    images = [of_wav(wav / wav.square().mean().sqrt() * 0.1, spec) for wav in (a, b)]
    frames = min(image.frames for image in images) // 4 * 4
    first, second = (image(0, frames).clamp(min=FLOOR) for image in images)
    return DB_PER_NAT * float((first - second).abs().mean())


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("-n", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--vocoder", default="small:2")
    args = parser.parse_args()
    pipeline, embedding = Pipeline.load(args.run, vocoder=args.vocoder, device="cpu"), load_embedding()
    spec = pipeline.spec
    rate = spec.sample_rate
    parts = cuts(args.folder, rate, args.n, args.seconds)

    def vectors(wavs: list[Tensor]) -> Tensor:
        return embedding([resample(wav.mean(0, keepdim=True), rate, embedding.sample_rate)[0] for wav in wavs])

    with tempfile.TemporaryDirectory() as temporary:
        files = [Path(temporary) / f"{i:02d}.wav" for i in range(args.n)]
        for file, (_, wav) in zip(files, parts, strict=True):
            write_wav(file, wav, rate, "FLOAT")
        print("| amount | from the sound, dB | from its copy, dB | from another variation, dB |\n|---|---|---|---|")
        copies: list[Tensor] = []
        for amount in AMOUNTS:
            rows = []
            for i, file in enumerate(files):
                request = VaryRequest(clip=file, amount=amount, count=2, command="ways.py")
                saved = vary(pipeline, request).save(Path(temporary) / f"{amount}-{i}")
                first, second = (read_wav(one.path)[0] for one in saved)
                if amount == 0:
                    copies.append(first)
                pairs = ((first, parts[i][1]), (first, copies[i]), (first, second))
                rows.append([distance_db(a, b, spec) for a, b in pairs])
            print(f"| {amount:g} | " + " | ".join(f"{x:.1f}" for x in np.median(rows, axis=0)) + " |", flush=True)
        all_real, rising, nearest = vectors([wav for _, wav in parts]), [], []
        pairs = [(i, (i + 1) % args.n) for i in range(args.n) if parts[i][0] != parts[(i + 1) % args.n][0]]
        for i, j in pairs:
            request = InterpolateRequest(start=str(files[i]), end=str(files[j]), steps=STEPS, command="ways.py")
            saved = interpolate(pipeline, request).save(Path(temporary) / f"way-{i}")
            steps = vectors([read_wav(one.path)[0] for one in saved])
            toward = torch.cdist(steps, all_real[[i]])[:, 0] - torch.cdist(steps, all_real[[j]])[:, 0]
            rising.append(bool((toward[1:] > toward[:-1]).all()))
            others = [k for k in range(args.n) if k not in (i, j)]
            near = torch.cdist(steps, all_real[others]).amin(1)
            nearest.append(float(near[1:-1].mean() / near[[0, -1]].mean()))
        print(f"\n{len(pairs)} ways of {STEPS} steps: each step nearer to the second sound: {np.mean(rising):.0%}; "
              f"middle steps, distance to the nearest other real sound over that of the ends: "
              f"{np.median(nearest):.2f}")  # fmt: skip


if __name__ == "__main__":
    main()
