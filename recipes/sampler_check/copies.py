"""Does the search for copies name planted copies, and leave new sounds alone?

    python recipes/sampler_check/copies.py --train SOUNDS --new KIT KIT ..

Planted: 20 of the training sounds, 6 dB louder or softer, 5 ms later, through the vocoder. New: at most 200 sounds of
kits that are not in SOUNDS. Both are searched twice: by the views alone, as `sample` does, and with the embedding, as
`evaluate` does. It also tells how many sounds of each kit of SOUNDS (what precedes "-" in their names) are as near to
one of another kit: on these the thresholds were chosen.
"""

import argparse
import random
import time
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from audio_gen.audio.io import read_wav
from audio_gen.audio.resample import resample
from audio_gen.audio.similarity import distances, view
from audio_gen.evaluation.copies import EmbeddingDistance, levelled
from audio_gen.evaluation.embeddings import load_embedding
from audio_gen.generation.originals import COPY_DB, SAME_DB, Match, find_copies
from audio_gen.vocoding.load import load_vocoder
from audio_gen.vocoding.long import copy_synthesis
from audio_gen.vocoding.vocoder import Vocoder

SUFFIXES = {".wav", ".flac", ".aif", ".aiff", ".ogg"}
GAIN_DB, SHIFT_SEC, PLANTED, NEW = 6.0, 0.005, 20, 200


def sounds(place: Path) -> list[Path]:
    return sorted(path for path in place.rglob("*") if path.suffix.lower() in SUFFIXES)


def read(path: Path, sample_rate: int) -> Tensor:
    return read_wav(path, sample_rate=sample_rate)[0].mean(0)


def planted(wav: Tensor, i: int, vocoder: Vocoder) -> Tensor:
    rate = vocoder.spec.sample_rate
    gain = 10 ** ((GAIN_DB if i % 2 else -GAIN_DB) / 20)
    shifted = F.pad(gain * wav, (round(SHIFT_SEC * rate), 0))
    return copy_synthesis(vocoder, shifted[None])[0]


def views(wavs: Sequence[Tensor], sample_rate: int) -> Tensor:
    return torch.stack([view(wav, sample_rate) for wav in wavs])


def same(bank: Tensor, row: int, other: int) -> bool:
    return row == other or float(distances(bank[row : row + 1], bank[other : other + 1])) < SAME_DB


def share(matches: Sequence[Match], verdict: str) -> str:
    count = sum(match.verdict == verdict for match in matches)
    return f"{count} of {len(matches)} ({count / len(matches):.1%})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--new", type=Path, nargs="+", required=True)
    parser.add_argument("--planted", type=int, default=PLANTED)
    parser.add_argument("--vocoder", default="small")
    parser.add_argument("--embedding", default="yamnet")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    chance = random.Random(args.seed)
    vocoder, embed = load_vocoder(args.vocoder, None, torch.device("cpu")), load_embedding(args.embedding)
    rate = vocoder.spec.sample_rate
    paths = sounds(args.train)
    train = [read(path, rate) for path in paths]
    names = [path.name for path in paths]
    new_paths = [path for place in args.new for path in sounds(place)]
    new = [read(path, rate) for path in chance.sample(new_paths, min(NEW, len(new_paths)))]
    rows = chance.sample(range(len(train)), min(args.planted, len(train)))
    with torch.inference_mode():
        copies = [planted(train[row], i, vocoder) for i, row in enumerate(rows)]

    start = time.monotonic()
    bank = views(train, rate)
    print(f"{len(train)} views: {time.monotonic() - start:.1f} s")
    at_rate = [resample(wav[None], rate, embed.sample_rate)[0] for wav in train]
    vectors = embed([levelled(wav, embed.sample_rate) for wav in at_rate])
    for what, wavs in (("planted", copies), ("new", new)):
        load = [resample(wav[None], rate, embed.sample_rate)[0] for wav in wavs].__getitem__
        apart = EmbeddingDistance(embed, load, at_rate.__getitem__, embed.sample_rate, vectors)
        start = time.monotonic()
        alone = find_copies(views(wavs, rate), bank, names)
        took = time.monotonic() - start
        both = find_copies(views(wavs, rate), bank, names, apart)
        for by, matches in (("by views", alone), ("by views and embedding", both)):
            print(f"{what}, {by}: copies {share(matches, 'copy')}, close {share(matches, 'close')}", end="")
            if what == "planted":
                told = [names.index(match.file) for match in matches]
                right = sum(same(bank, row, other) for row, other in zip(rows, told, strict=True))
                print(f", the right file, or one of the same sound: {right}", end="")
            print()
        print(f"{what}, by views: {took:.1f} s for {len(wavs)} against {len(train)}")
        for match in both:
            if (match.verdict == "copy") != (what == "planted"):
                print(f"  {what}, {match.verdict} of {match.file}: {match.distance_db:.2f} dB")

    kits = [name.split("-")[0] for name in names]
    found = distances(bank, bank)
    found[torch.tensor([[a == b for b in kits] for a in kits])] = torch.inf
    near = (found.amin(1) < COPY_DB).double().mean()
    print(f"training sounds within {COPY_DB} dB of one of another kit: {near:.1%}")


if __name__ == "__main__":
    main()
