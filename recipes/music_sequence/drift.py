"""How do long sounds change over time? Drift, slopes, repetition and copied passages of folders, a Markdown row each.

    python recipes/music_sequence/drift.py KEPT_OUT TRAIN [NAME=FOLDER ..] [--faults] [--minutes 16]

KEPT_OUT holds real tracks that no model learned from, TRAIN those that it did learn from. A row for each FOLDER of long
sounds. With --faults, first rows of known outcome, of a minute of each track that is long enough: training tracks (all
copies), kept-out tracks, these with a fade of 6 dB a minute, their first 2 s again and again, their windows of 2 s in
random order, and fading into noise. KAD is that of windows of 2 s against windows of the kept-out tracks; that of
kept-out tracks themselves is too low. Shares are means over stretches of a minute. Copied: windows closer to a training
passage than 99 % of kept-out windows; behind it the share of the kept-out tracks, each against the threshold of the
others.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from audio_gen.audio.io import read_wav
from audio_gen.data.index import inspect_folder
from audio_gen.evaluation.compare import finite
from audio_gen.evaluation.embeddings import load_embedding
from audio_gen.evaluation.embeddings.store import EmbeddingStore
from audio_gen.evaluation.long_sound import LongSound
from audio_gen.evaluation.sequences import LongSets, over_time
from audio_gen.evaluation.strips import Strip

SKIPPED_SEC, MINUTE_SEC, WINDOW_SEC = 20, 60, 2
COLUMNS = (
    "", "minutes", "KAD 0-10 s", "10-30 s", "30-60 s", "change", "coverage, first and last", "level, dB/min",
    "centroid, semitones/min", "beat", "returns", "stalls", "copied",
)  # fmt: skip


def sounds_of(folder: Path) -> list[LongSound]:
    """All usable sounds of a folder."""
    found = inspect_folder(folder, generated=True).usable
    return [LongSound.of_file(f.path, f.file, f.measurement) for f in found if f.measurement is not None]


def minutes_of(folder: Path, most: int) -> list[tuple[str, Tensor, int]]:
    """A minute (T,) of up to `most` tracks, from 20 s on."""
    paths = [Path(path) for path in sorted(folder.rglob("*")) if path.is_file()]
    found = []
    for path in paths[:: max(1, len(paths) // most)]:
        wav, rate = read_wav(path)
        part = wav[0, SKIPPED_SEC * rate :][: MINUTE_SEC * rate]
        if len(part) == MINUTE_SEC * rate:
            found.append((path.name, part, rate))
    return found


def faded(wav: Tensor, rate: int) -> Tensor:
    """6 dB softer at the end of a minute."""
    return wav * 10 ** (-6 / 20 * torch.arange(len(wav)) / (MINUTE_SEC * rate))


def looped(wav: Tensor, rate: int) -> Tensor:
    """The first two seconds, again and again."""
    return wav[: WINDOW_SEC * rate].repeat(MINUTE_SEC // WINDOW_SEC)


def shuffled(wav: Tensor, rate: int) -> Tensor:
    """Its windows of two seconds in random order."""
    windows = wav.view(-1, WINDOW_SEC * rate)
    return windows[torch.randperm(len(windows), generator=torch.Generator().manual_seed(0))].flatten()


def drowned(wav: Tensor, rate: int) -> Tensor:
    """Fades into white noise of its level."""
    share = torch.linspace(0, 1, len(wav))
    noise = torch.randn(len(wav), generator=torch.Generator().manual_seed(0)) * wav.std()
    return (1 - share) * wav + share * noise


FAULTS: dict[str, Callable[[Tensor, int], Tensor]] = {
    "fade of 6 dB a minute": faded, "2 s again and again": looped, "windows shuffled": shuffled,
    "fading into noise": drowned,
}  # fmt: skip


def row(name: str, found: dict[str, Any]) -> str:
    """A Markdown row."""
    drift, measures, copies = found["drift"], found["measures"], found["memorised"]
    ranges = [part["generated"] for part in drift["ranges"]]

    def number(value: float | None, form: str = ".2f") -> str:
        return "" if value is None else format(value, form)

    def median(key: str, form: str) -> str:
        return number(measures[key]["generated"]["median"], form) if measures[key] else ""

    def mean(key: str) -> str:
        return number(measures[key]["generated"]["mean"], ".0%") if measures[key] else ""

    kads = [number(part["kad"]) for part in ranges[:3]]
    known = [part["coverage"] for part in ranges if part["coverage"] is not None]
    change = drift["generated"]
    cells = [
        name, number(found["minutes"]["generated"], ".1f"), *kads, *([""] * (3 - len(kads))),
        number(change["change"], "+.0%") if change else "",
        f"{known[0]:.2f}, {known[-1]:.2f}" if known else "", median("level_db_per_minute", "+.1f"),
        median("centroid_semitones_per_minute", "+.1f"), median("beat_strength", ".2f"), mean("repeats"),
        mean("stalls"), f"{copies['share']:.1%} ({number(copies['real_share'], '.1%')})" if copies else "",
    ]  # fmt: skip
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Print the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kept_out", type=Path)
    parser.add_argument("train", type=Path)
    parser.add_argument("folders", nargs="*", help="NAME=FOLDER")
    parser.add_argument("--faults", action="store_true")
    parser.add_argument("--minutes", type=int, default=16)
    args = parser.parse_args()
    embedding = load_embedding()
    embed = EmbeddingStore(embedding)
    real, train = sounds_of(args.kept_out), sounds_of(args.train)
    strips: dict[LongSound, Strip] = {}
    print("| " + " | ".join(COLUMNS) + " |\n|" + "---|" * len(COLUMNS))

    def show(name: str, generated: list[LongSound]) -> None:
        sets = LongSets(generated, real, train, real)
        print(row(name, finite(over_time(sets, embedding.sample_rate, embed, strips=strips))), flush=True)

    if args.faults:
        kept = minutes_of(args.kept_out, args.minutes)
        known = {"training tracks": minutes_of(args.train, args.minutes), "kept-out tracks": kept}
        known |= {name: [(title, change(x, rate), rate) for title, x, rate in kept] for name, change in FAULTS.items()}
        for name, some in known.items():
            show(name, [LongSound.of(title, wav[None], rate) for title, wav, rate in some])
    for named in args.folders:
        name, _, folder = named.partition("=")
        show(name, sounds_of(Path(folder or name)))


if __name__ == "__main__":
    main()
