"""Variations of files that a model has not seen: does amount 0 give the file back, and is an amount one distance?

    python recipes/blends/edits.py FOLDER RUN [--only REGEX] [--count 100] [--each 2] [--vocoder small] [--seed 0]

FOLDER has sounds; `--only` selects those whose name contains a match, for example kits that RUN has not learned from.
`count` of them, drawn at random, are varied by `vary --amount` 0, 0.1, 0.3 and 1 (`each` variations, of amount 0 one),
written as `vary` does by default, and read again. Files that are longer than the model's clip are compared up to its
length.

Distance: `mel_distance_db` of the log-mels of two waves with their onsets aligned, the mean absolute difference over
cells in which either sounds. Levels count; only the gain that keeps peaks below full scale is undone. Of amount 0
against copy-synthesis of the file; of the others against amount 0. The rows show the median and the 10th and 90th
percentile, the share within 0.5 dB of 10 times the amount (of amount 0 within 0.3 dB), and the length of the variation
as a ratio to that of the file: from the onset to 60 dB below the peak, and of the whole file.
"""

import argparse
import random
import re
import tempfile
from pathlib import Path

import torch
from torch import Tensor

from audio_gen.artefacts.sidecar import sidecar_path
from audio_gen.audio.distance import mel_distance_db
from audio_gen.audio.io import read_wav
from audio_gen.audio.onset import amplitude, onset, sound_end
from audio_gen.files import read_json
from audio_gen.generation.inputs import read_start
from audio_gen.generation.operations.vary import VaryRequest, vary
from audio_gen.generation.outputs import sound_files
from audio_gen.generation.pipeline import Pipeline

AMOUNTS = (0.0, 0.1, 0.3, 1.0)
NEAR_DB, SAME_DB = 0.5, 0.3


def length_sec(wav: Tensor, sample_rate: int) -> float:
    """From the onset to 60 dB below the peak."""
    x = wav[0].numpy()
    return (sound_end(x) - onset(x, sample_rate)) / sample_rate


def varied(pipeline: Pipeline, file: Path, amount: float, count: int, seed: int, out: Path) -> list[Tensor]:
    """Variations (1, T) of a file, as they are on disk."""
    saved = vary(pipeline, VaryRequest(clip=file, amount=amount, count=count, seed=seed)).save(out, force=True)
    rate = pipeline.spec.sample_rate
    gains = [read_json(sidecar_path(one.path))["gain_db"] for one in saved]
    return [read_wav(one.path, sample_rate=rate)[0] / amplitude(gain) for one, gain in zip(saved, gains, strict=True)]


def row(name: str, columns: Tensor, wanted_db: float, near_db: float) -> str:
    """A row of the table: distances and lengths in columns (N, 3)."""
    near = float(((columns[:, 0] - wanted_db).abs() <= near_db).double().mean())
    spreads = columns.quantile(torch.tensor([0.5, 0.1, 0.9], dtype=columns.dtype), dim=0).T.tolist()
    shown = [f"{middle:.2f} ({low:.2f} to {high:.2f})" for middle, low, high in spreads]
    return f"| {name} | {' | '.join([shown[0], f'{100 * near:.0f} %', *shown[1:]])} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="sounds")
    parser.add_argument("run", help="a run or a bundle")
    parser.add_argument("--only", default="", help="regular expression for names of files")
    parser.add_argument("--count", type=int, default=100, help="number of files")
    parser.add_argument("--each", type=int, default=2, help="variations of each file and amount")
    parser.add_argument("--vocoder", help="see `audio-gen vary --vocoder`")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    pipeline = Pipeline.load(options.run, vocoder=options.vocoder, device="cpu")
    rate = pipeline.spec.sample_rate
    files = [path for path in sound_files([options.folder]) if re.search(options.only, path.name)]
    random.Random(options.seed).shuffle(files)

    def mel(wav: Tensor) -> Tensor:
        return pipeline.mel(wav)[None]

    figures: dict[float, list[tuple[float, float, float]]] = {amount: [] for amount in AMOUNTS}
    with tempfile.TemporaryDirectory() as folder:
        for file in files[: options.count]:
            wav = read_start(file, rate, pipeline.samples + rate)[0]
            begin = max(0, pipeline.begin(wav))
            clip = wav[:, begin : begin + pipeline.samples]
            length = length_sec(clip, rate)
            reference = mel(pipeline.vocode(mel(wav))[0])  # copy-synthesis
            for amount in AMOUNTS:
                for sound in varied(pipeline, file, amount, options.each if amount else 1, options.seed, Path(folder)):
                    distance_db = float(mel_distance_db(mel(sound), reference))
                    whole = sound.shape[-1] / clip.shape[-1]
                    figures[amount].append((distance_db, length_sec(sound, rate) / length, whole))
                    reference = reference if amount else mel(sound)
    print(f"{len(figures[0.0])} files of {options.folder}, {options.run}\n")
    print("| amount | distance in dB, median (10 to 90 %) | as far as it should be | length to -60 dB | whole length |")
    print("|---|---|---|---|---|")
    for amount in AMOUNTS:
        print(row(f"{amount:g}", torch.tensor(figures[amount]), 10 * amount, NEAR_DB if amount else SAME_DB))


if __name__ == "__main__":
    main()
