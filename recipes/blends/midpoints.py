"""Midpoints of pairs of one-shots of different lengths: is what lies between two sounds one sound?

    python recipes/blends/midpoints.py FOLDER RUN .. [--labels CSV] [--pairs 200] [--steps 60] --out DIR

FOLDER has real one-shots, which the runs may know. A pair has one class, and lengths that differ by a factor of 2 or
more; sounds that are longer than the model's clip have no known length and are left out. Rows of the table: log-mels
mixed over time, log-mels mixed on the decay axis, and for each RUN the decoded middle of the latents of both sounds,
which are searched for in `--steps` steps.

Length: from the onset until the level stays 50 dB below the peak; the share of midpoints between 0.8 and 1.25 times
the geometric mean of the ends'. Kink: the largest change of slope of the energy decay curve (the energy that is left)
between the attack and the end, in dB a frame; a shelf is a kink above the 95th percentile of real sounds. KAD,
precision and density of the vocoded midpoints are against the ends, by `audio-gen evaluate`. The shelves of samples of
each RUN follow.
"""

import argparse
import math
import random
from collections.abc import Sequence
from pathlib import Path

import soundfile
import torch
from torch import Tensor

from audio_gen.audio.parallel import on_cores, one_thread
from audio_gen.data.labels import read_labels
from audio_gen.evaluation.evaluate import EvaluateRequest, evaluate
from audio_gen.generation.inputs import read_start
from audio_gen.generation.interpolate import decode_between
from audio_gen.generation.latents import Latents
from audio_gen.generation.outputs import sound_files
from audio_gen.generation.pipeline import Pipeline
from audio_gen.generation.search import encode
from audio_gen.models.decay_axis import ATTACK_SEC, DecayAxis, decay_end, frame_levels

RATIO, NEAR, SHELF = 2.0, 1.25, 0.95
FLOOR = -9.0  # nats, of models by default


def lengths(mel: Tensor, onset: float) -> Tensor:
    """Frames (B,) from the onset to the end of the decay."""
    return (decay_end(mel, FLOOR) - onset).clamp(min=1)


def kinks(mel: Tensor, start: float) -> Tensor:
    """The largest change of slope (B,) of energy decay curves after frame `start`, in dB a frame."""
    energy = (2 * frame_levels(mel)).exp()
    curve = 10 * energy.flip(1).cumsum(1).flip(1).clamp(min=1e-12).log10()
    found = []
    for i, end in enumerate(decay_end(mel, FLOOR).tolist()):
        bend = curve[i, int(start) : max(int(end), int(start) + 3)].diff().diff().abs()
        found.append(float(bend.max()) if len(bend) else 0.0)
    return torch.tensor(found)


def read(pipeline: Pipeline, folder: Path, labels: str) -> tuple[list[Tensor], list[str]]:
    """The log-mels of the sounds of a folder, and their classes."""
    files = sound_files([folder])
    names = [path.relative_to(folder).as_posix() for path in files]
    known = read_labels(folder, names, source=labels)[0]
    mels = [pipeline.mel(read_start(file, pipeline.spec.sample_rate, 2 * pipeline.samples)[0]) for file in files]
    return mels, [str(known[name].class_name) for name in names]


def pairs_of(mel: Tensor, classes: Sequence[str], onset: float, count: int) -> tuple[Tensor, Tensor]:
    """Indices (count,) of both ends of random pairs."""
    draw, found = random.Random(0), []
    log_length = lengths(mel, onset).log()
    inside = [i for i in range(len(mel)) if decay_end(mel[i : i + 1], FLOOR) < mel.shape[2] - 1]
    for _ in range(1000 * count):
        a, b = draw.sample(inside, 2)
        if classes[a] == classes[b] and abs(log_length[a] - log_length[b]) >= math.log(RATIO):
            found.append((a, b))
        if len(found) == count:
            break
    return torch.tensor([a for a, _ in found]), torch.tensor([b for _, b in found])


def of_run(pipeline: Pipeline, mel: Tensor, classes: Sequence[str], a: Tensor, b: Tensor, steps: int) -> Tensor:
    """Log-mels of the middle of both ends' latents."""
    found: dict[int, Latents] = {}

    def search(i: int) -> None:
        found[i] = encode(pipeline, mel[i], pipeline.vocabulary.known([classes[i]], []), steps=steps)[0]

    with one_thread():
        on_cores(search, torch.cat([a, b]).unique().tolist())
    middle = torch.tensor([0.5])
    ends = zip(a.tolist(), b.tolist(), strict=True)
    return torch.cat([decode_between(pipeline, found[i], found[j], middle) for i, j in ends])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("run", type=Path, nargs="+")
    parser.add_argument("--labels", default="auto")
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--samples", type=int, default=256)
    parser.add_argument("--vocoder", default="small:2")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()

    runs = {path.name: Pipeline.load(path, vocoder=args.vocoder, device="cpu") for path in args.run}
    first = next(iter(runs.values()))
    assert first.onset is not None, "the run must align onsets"
    onset = first.onset / first.spec.hop_length
    start = onset + ATTACK_SEC * first.spec.frame_rate
    mels, classes = read(first, args.folder, args.labels)
    mel = torch.stack(mels)
    a, b = pairs_of(mel, classes, onset, args.pairs)
    wanted = (lengths(mel[a], onset) * lengths(mel[b], onset)).sqrt()
    ends = torch.cat([a, b]).unique()
    shelf = float(kinks(mel[ends], start).quantile(SHELF))
    axis = DecayAxis(
        frames=mel.shape[2], onset=onset, attack=ATTACK_SEC * first.spec.frame_rate, floor=FLOOR
    )  # fmt: skip
    own = axis.lengths(mel)
    rows = axis.to_columns(mel, own)
    middles = {
        "log-mels, mixed over time": (mel[a] + mel[b]) / 2,
        "log-mels, on the decay axis": axis.to_time((rows[a] + rows[b]) / 2, (own[a] + own[b]) / 2).clamp(min=FLOOR),
        **{name: of_run(one, mel, classes, a, b, args.steps) for name, one in runs.items()},
    }

    def write(name: str, sounds: Tensor) -> Path:
        folder = args.out / name.replace(" ", "-").replace(",", "")
        folder.mkdir(parents=True, exist_ok=True)
        for i, wav in enumerate(first.vocode(sounds)):
            # Not `write_wav`, whose mark keeps files out of the real side of an evaluation.
            soundfile.write(folder / f"{i:03d}.wav", wav[0].numpy(), first.spec.sample_rate, "FLOAT")
        return folder

    real = write("ends", mel[ends])
    print(f"{len(a)} pairs of {len(ends)} sounds; a shelf is a kink above {shelf:.2f} dB a frame\n")
    print("| midpoints | length within 0.8 to 1.25 x | kink, median | shelf | KAD | precision | density |")
    print("|---|---|---|---|---|---|---|")
    for name, sounds in middles.items():
        ratio, kink = lengths(sounds, onset) / wanted, kinks(sounds, start)
        near = ((ratio > 1 / NEAR) & (ratio < NEAR)).float().mean()
        request = EvaluateRequest(real=real, generated=write(name, sounds), labels="none", pitch="none")
        found = evaluate(request).figures
        judged = f"{found['kad']['value']:.2f} | {found['precision']:.2f} | {found['density']:.2f}"
        print(f"| {name} | {near:.0%} | {kink.median():.2f} | {(kink > shelf).float().mean():.0%} | {judged} |")
    kink = kinks(mel[ends], start)
    print(f"| real sounds | | {kink.median():.2f} | {(kink > shelf).float().mean():.0%} | | | |\n")
    every = kinks(mel, start)
    print(f"all {len(mel)} real sounds: kink {every.median():.2f}, shelf {(every > shelf).float().mean():.0%}")
    for name, one in runs.items():
        kink = kinks(one.decode(one.latents(range(args.samples))), start)
        print(f"{args.samples} samples of {name}: kink {kink.median():.2f}, shelf {(kink > shelf).float().mean():.0%}")


if __name__ == "__main__":
    main()
