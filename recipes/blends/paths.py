"""Ten paths between two sounds as pictures, to look at: does every step look like a sound that could be recorded?

    python recipes/blends/paths.py FOLDER RUN [--labels CSV] [--steps 8] [--model-ends] --out PATHS.png

FOLDER has real sounds. Five paths lead between sounds of one class whose lengths differ by 2 or more, five between
sounds of two classes. The first and the last picture of a row are the real sounds; the steps between them are equally
far apart. With --model-ends the ends are what the model makes of their latents, without the residual of the files.
"""

import argparse
import random
from pathlib import Path

from midpoints import RATIO, lengths

from audio_gen.audio.picture import spectrogram_png
from audio_gen.data.labels import read_labels
from audio_gen.generation.inputs import starting_point
from audio_gen.generation.interpolate import PathBetween
from audio_gen.generation.outputs import sound_files
from audio_gen.generation.pipeline import Pipeline
from audio_gen.generation.source import Source

PATHS = 10
TRIES = 200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--labels", default="auto")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model-ends", action="store_true")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()

    pipeline = Pipeline.load(args.run, vocoder="griffinlim", device="cpu")
    files = sound_files([args.folder])
    names = [path.relative_to(args.folder).as_posix() for path in files]
    labels = read_labels(args.folder, names, source=args.labels)[0]
    draw, onset = random.Random(args.seed), (pipeline.onset or 0) / pipeline.spec.hop_length
    found: dict[int, Source] = {}

    def source(i: int) -> Source:
        if i not in found:
            known = starting_point(pipeline, files[i], class_name=labels[names[i]].class_name)
            found[i] = Source.exact(pipeline, known.latents) if args.model_ends else known
        return found[i]

    pictures, same = [], 0
    for _ in range(TRIES):
        a, b = draw.sample(range(len(files)), 2)
        one_class = labels[names[a]].class_name == labels[names[b]].class_name
        if one_class != (same < PATHS // 2):
            continue
        if one_class:
            ratio = lengths(source(a).mel, onset) / lengths(source(b).mel, onset)
            if 1 / RATIO < float(ratio) < RATIO:
                continue
            same += 1
        path = PathBetween(pipeline, source(a), source(b))
        positions, distances = path.steps(args.steps)
        titles = [f"{position:.2f}, {db:.1f} dB" for position, db in zip(positions.tolist(), distances, strict=True)]
        titles[0], titles[-1] = files[a].stem[:24], files[b].stem[:24]
        pictures += list(zip(titles, path.mel(positions), strict=True))
        if len(pictures) == PATHS * args.steps:
            break
    spectrogram_png(pictures, args.out, spec=pipeline.spec, per_row=args.steps)
    print(f"{len(pictures) // args.steps} paths in {args.out}")


if __name__ == "__main__":
    main()
