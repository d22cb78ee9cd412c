"""Does the search for copies find copies, and only these?

    python recipes/evaluation_floors/novelty_check.py --notes NOTES

NOTES is a folder by notes_vae/render_notes.py. A fifth of the notes (instrument and pitch, at both velocities) is kept
out; the others are what a model is said to have learned from. Then these are searched for copies: training notes made
1 dB louder, training notes at another velocity than the one learned from, and the notes kept out.
"""

import argparse
import random
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from audio_gen.audio.io import read_wav
from audio_gen.evaluation.embeddings import load_embedding
from audio_gen.evaluation.novelty import nearness

GAIN_DB, KEPT_OUT, COUNT = 1.0, 0.2, 200


def read(path: Path, sample_rate: int) -> Tensor:
    return read_wav(path, sample_rate=sample_rate)[0].mean(0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--notes", type=Path, required=True)
    parser.add_argument("--embedding", default="yamnet")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    embed = load_embedding(args.embedding)
    notes = sorted({path.stem.rsplit("-", 1)[0] for path in args.notes.glob("*-*-*.flac")})
    random.Random(0).shuffle(notes)
    kept, learned = notes[: int(KEPT_OUT * len(notes))], notes[int(KEPT_OUT * len(notes)) :]
    soft, loud = (sorted({p.stem.rsplit("-", 1)[1] for p in args.notes.glob("*-*-*.flac")})[i] for i in (0, -1))

    def vectors(names: list[str], velocity: str, gain_db: float = 0.0) -> Tensor:
        paths = [path for name in names if (path := args.notes / f"{name}-{velocity}.flac").is_file()]
        gain = 10 ** (gain_db / 20)
        return embed([gain * read(path, embed.sample_rate) for path in paths])

    loud_notes, soft_notes, new = vectors(learned, loud), vectors(learned, soft), vectors(kept, loud)
    train = torch.cat([loud_notes, soft_notes])
    instruments = [name.rsplit("-", 1)[0] for name in learned]
    own: Callable[[int], str] = lambda i: instruments[i % len(instruments)]  # noqa: E731

    def tell(what: str, made: Tensor, bank: Tensor, sources: list[str]) -> None:
        found = nearness(made, bank, torch.cat([new, vectors(kept, soft)]))
        same = sum(own(j) == sources[i] for i, j, _ in _pairs(found.nearest, made, bank)) / len(made)
        print(
            f"{what}: {found.share:.1%} of {len(made)} count as copies; nearest is of the same instrument: {same:.1%}"
        )

    tell(f"training notes, {GAIN_DB:g} dB louder", vectors(learned[:COUNT], loud, GAIN_DB), train, instruments)
    tell("soft notes where only the loud ones were learned from", soft_notes[:COUNT], loud_notes, instruments)
    tell("notes kept out", new, train, [name.rsplit("-", 1)[0] for name in kept])


def _pairs(distances: Tensor, made: Tensor, bank: Tensor) -> list[tuple[int, int, float]]:
    nearest = torch.cdist(made, bank).argmin(1).tolist()
    return [(i, j, float(distances[i])) for i, j in enumerate(nearest)]


if __name__ == "__main__":
    main()
