"""How far are samples from the nearest training sound, and how good are they? Both, for several temperatures.

    python recipes/blends/novelty.py FOLDER RUN [--labels CSV] [-n 256] [--temperatures 0.5 1 ..] --out PLOT.svg

FOLDER has real sounds: those that RUN was trained on, and others, which are new. Novelty is the median distance of
samples to the nearest training sound, over that of the new sounds: 1 is as new as a new recording, 0 a copy. It is
measured twice: by the embedding, and in dB of log-mel (`audio.similarity`). Precision and density are against the
training sounds, in balls up to the fifth neighbour. Copies: samples that `sample` would call a copy of a training
sound. New sounds go through the vocoder too, so that it favours neither side; their row is the scale. The plot has
novelty by the embedding over precision: at equal precision, farther is better.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from audio_gen.audio.resample import resample
from audio_gen.audio.similarity import nearest, view
from audio_gen.evaluation.clips import SoundClip, cache_clips, find_clips
from audio_gen.evaluation.embeddings import load_embedding
from audio_gen.evaluation.neighbours import nearest as nearest_vectors
from audio_gen.evaluation.neighbours import prdc
from audio_gen.generation.latents import Latents
from audio_gen.generation.originals import COMPARED, COPY_DB, run_cache
from audio_gen.generation.pipeline import Pipeline

TEMPERATURES = (0.25, 0.5, 0.75, 1.0, 1.25)
AT_ONCE, PEAK = 16, 0.5


@dataclass(frozen=True)
class Features:
    """Vectors (N, D) and views (N, M, L) of clips."""

    vectors: Tensor
    views: Tensor

    def pick(self, rows: Tensor) -> "Features":
        return Features(self.vectors[rows], self.views[rows])


@dataclass(frozen=True)
class Figures:
    """Figures of one set of clips."""

    precision: float
    density: float
    vectors: float  # median distance to the nearest training sound, by the embedding
    views_db: float  # the same of log-mels
    copies: float


class Measure:
    """Features of clips, and their figures against training sounds."""

    def __init__(self, pipeline: Pipeline, embedding: str) -> None:
        self.pipeline, self.embed = pipeline, load_embedding(embedding)
        self.rate, self.compared_sec = pipeline.spec.sample_rate, COMPARED * pipeline.duration_sec

    def features(self, wavs: Sequence[Tensor]) -> Features:
        """Of clips (T,) at the model's rate, at one level."""
        vectors = []
        for first in range(0, len(wavs), AT_ONCE):
            some = [wav * (PEAK / wav.abs().max().clamp(min=1e-6)) for wav in wavs[first : first + AT_ONCE]]
            vectors.append(self.embed([resample(wav[None], self.rate, self.embed.sample_rate)[0] for wav in some]))
        return Features(torch.cat(vectors), torch.stack([view(wav, self.rate, self.compared_sec) for wav in wavs]))

    def real(self, clips: Sequence[SoundClip], *, vocoded: bool) -> Features:
        """Of real clips as the model sees them: from the onset on, as long as its clips."""
        wavs = []
        for clip in clips:
            wav, rate = clip.load()
            wav = resample(wav[None], rate, self.rate)
            if vocoded:
                wavs.append(self.pipeline.vocode(self.pipeline.mel(wav)[None])[0, 0])
            else:
                wav = wav[0, max(0, self.pipeline.begin(wav)) :][: self.pipeline.samples]
                wavs.append(F.pad(wav, (0, self.pipeline.samples - len(wav))))
        return self.features(wavs)

    def samples(self, points: Latents) -> Features:
        """Of generated clips."""
        return self.features(list(self.pipeline.vocode(self.pipeline.decode(points))[:, 0]))

    def figures(self, some: Features, train: Features) -> Figures:
        shares = prdc(train.vectors, some.vectors)
        apart = nearest(some.views, train.views)[0][:, 0]
        return Figures(
            float(shares["precision"]), float(shares["density"]),
            float(nearest_vectors(some.vectors, train.vectors)[0].median()), float(apart.median()),
            float((apart < COPY_DB).double().mean()),
        )  # fmt: skip


def row(name: str, found: Figures, new: Figures) -> str:
    return (
        f"| {name} | {found.precision:.2f} | {found.density:.2f} | {found.vectors / new.vectors:.2f} "
        f"| {found.views_db / new.views_db:.2f} | {found.copies:.0%} |"
    )


def sides(folder: Path, run: Path, labels: str, clip_sec: float) -> tuple[list[SoundClip], list[SoundClip]]:
    """The training clips of a run, and the clips of a folder that are new to it."""
    cache = run_cache(run)
    if cache is None:
        raise SystemExit(f"{run}: its cache is gone, so its training sounds are unknown; train again")
    train = [part for clip in cache.split("train") for part in cache_clips(cache, clip, clip_sec)]
    known = {clip.content_hash for clip in train}
    return train, [clip for clip in find_clips(folder, clip_sec=clip_sec, labels=labels).clips
                   if clip.content_hash not in known]  # fmt: skip


def draw(path: Path, curves: dict[str, dict[float, Figures]], new: Figures) -> None:
    """Write a plot: a line for each curve, a dot for each temperature."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4.5), layout="constrained")
    axes = figure.subplots()
    for name, points in curves.items():
        x = [found.precision for found in points.values()]
        y = [found.vectors / new.vectors for found in points.values()]
        axes.plot(x, y, "o-", label=name)
        for temperature, *at in zip(points, x, y, strict=True):
            axes.annotate(f"{temperature:g}", at, xytext=(4, 4), textcoords="offset points", fontsize=8)
    axes.plot([new.precision], [1.0], "k*", markersize=12, label="new real sounds")
    axes.set_xlabel("precision")
    axes.set_ylabel("novelty: distance to the nearest training sound")
    axes.legend()
    figure.savefig(path)


Draw = Callable[[Sequence[int], float], Latents]


def curve(measure: Measure, points: Draw, train: Features, new: Figures, name: str, args: argparse.Namespace) -> dict:
    """Print a row for each temperature."""
    found = {}
    for temperature in args.temperatures:
        some = measure.samples(points(range(args.seed, args.seed + args.count), temperature))
        found[temperature] = measure.figures(some, train)
        print(row(f"{name}{temperature:g}", found[temperature], new), flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--labels", default="auto")
    parser.add_argument("-n", "--count", type=int, default=256)
    parser.add_argument("--temperatures", type=float, nargs="+", default=TEMPERATURES)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--vocoder", default="small:2")
    parser.add_argument("--embedding", default="yamnet")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    pipeline = Pipeline.load(args.run, vocoder=args.vocoder, device="cpu")
    measure = Measure(pipeline, args.embedding)
    train_clips, new_clips = sides(args.folder, args.run, args.labels, pipeline.duration_sec)
    train = measure.real(train_clips, vocoded=False)
    new = measure.figures(measure.real(new_clips, vocoded=True), train)
    print(f"| temperature | precision | density | novelty, {args.embedding} | novelty, log-mel | copies |")
    print("|---|---|---|---|---|---|")
    print(row(f"{len(new_clips)} new real sounds", new, new))
    points: Draw = lambda seeds, temperature: pipeline.latents(seeds, temperature=temperature)  # noqa: E731
    draw(args.out, {args.run.name: curve(measure, points, train, new, "", args)}, new)


if __name__ == "__main__":
    main()
