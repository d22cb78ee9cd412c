"""How far sounds that were made worse are from real ones: the calibration table of an embedding.

    python recipes/evaluation_floors/floors.py --notes NOTES --drums DRUMS [--embeddings yamnet crepe ...] \\
        [--vocoder RUN] [--json FILE] [--cache DIR]
    python recipes/evaluation_floors/floors.py --notes NOTES --speed

NOTES is a folder by notes_vae/render_notes.py, DRUMS one by drums_vae/collect_drums.py. Only instruments and kits at
odd places of the sorted list are read; what was tuned was tuned on the others.
"""

import argparse
import csv
import json
import random
import statistics
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import degrade
import torch
from comparisons import load
from torch import Tensor

from audio_gen.audio.io import read_wav
from audio_gen.audio.resample import resample
from audio_gen.evaluation.distances import kad, kad_interval
from audio_gen.evaluation.embeddings.base import Embedding
from audio_gen.vocoding.load import load_vocoder

ISSUE_ORDER = (
    "real", "mp3 32k", "plain Griffin-Lim 32", "low-pass 4 kHz", "noise 30 dB below", "reversed", "three groups only",
    "white noise",
)  # fmt: skip
REAL_COUNTS = (50, 100, 200, 500)
SEARCH_COUNTS = (50, 100, 200, 300, 400, 500)
COPIES = ("griffinlim:8", "plain Griffin-Lim 32")  # by the project and by the book
CLIP_SEC = 2.0
SLOW = {"crepe": 64}  # clips a row, of what takes too long
RATE = degrade.SPEC.sample_rate

Vectors = dict[str, Tensor]


@dataclass(frozen=True)
class Sound:
    wav: Tensor
    group: str  # instrument or kit
    kind: str  # class of a drum, "" of a note


def read_set(folder: Path, group_column: str, every_group: bool = False) -> tuple[list[Sound], list[Sound]]:
    """Two halves by file of the odd groups, or of all: what is compared with, and what is made worse."""
    table = next(place / "metadata.csv" for place in (folder, folder.parent) if (place / "metadata.csv").is_file())
    with open(table, encoding="utf-8", newline="") as f:
        rows = list(csv.DictReader(f))
    names = sorted({row[group_column] for row in rows})
    read = set(names if every_group else names[1::2])
    rows = [row for row in rows if row[group_column] in read]
    random.Random(0).shuffle(rows)
    sounds = []
    for row in rows:
        wav, _ = read_wav(folder / row["file"], sample_rate=RATE)
        sounds.append(Sound(wav.mean(0)[: round(CLIP_SEC * RATE)], row[group_column], row.get("class", "")))
    return sounds[: len(sounds) // 2], sounds[len(sounds) // 2 :]


def chosen(sounds: list[Sound], column: Callable[[Sound], str]) -> list[int]:
    """The sounds of the three commonest values (of equally common ones, the first by name)."""
    counts = Counter(map(column, sounds))
    three = sorted(counts, key=lambda name: (-counts[name], name))[:3]
    return [i for i, sound in enumerate(sounds) if column(sound) in three]


def make_rows(made_of: list[Sound], recipes: dict[str, degrade.Degrade], cache: Path | None) -> dict[str, list[Tensor]]:
    """Every row's sounds."""
    rows = {}
    for name, recipe in recipes.items():
        file = cache / f"{name.replace(' ', '_').replace(':', '_')}.pt" if cache else None
        if file and file.is_file():
            rows[name] = torch.load(file)
        else:
            with ThreadPoolExecutor(2) as pool:
                rows[name] = list(pool.map(recipe, [sound.wav for sound in made_of]))
            if file:
                file.parent.mkdir(parents=True, exist_ok=True)
                torch.save(rows[name], file)
        assert all(len(made) == len(sound.wav) for made, sound in zip(rows[name], made_of, strict=True)), name
    return rows


def embed_rows(embedding: Embedding, rows: dict[str, list[Tensor]]) -> Vectors:
    """Vectors (N, D) of every row."""
    return {
        name: embedding([resample(wav[None], RATE, embedding.sample_rate)[0] for wav in wavs])
        for name, wavs in rows.items()
    }


def with_choices(vectors: Vectors, made_of: list[Sound], is_drums: bool) -> Vectors:
    """The rows that hold only some of the real sounds."""
    real = vectors["real"]
    choices = {"three groups only": chosen(made_of[: len(real)], lambda sound: sound.group)}
    if is_drums:
        choices["three classes only"] = chosen(made_of[: len(real)], lambda sound: sound.kind)
    return {**vectors, **{name: real[indices] for name, indices in choices.items()}}


def score(reference: Tensor, made: Tensor) -> dict:
    low, high = kad_interval(reference, made)
    return {"n": len(made), "kad": kad(reference, made), "low": low, "high": high}


def score_rows(vectors: Vectors) -> dict[str, dict]:
    """KAD and its interval: real sounds at several N, then each row against all of the reference."""
    reference, real = vectors["reference"], vectors["real"]
    both = min(len(reference), len(real))
    scores = {f"real, N = {n}": score(reference[:n], real[:n]) for n in REAL_COUNTS if n < both}
    return scores | {name: score(reference, made) for name, made in vectors.items() if name != "reference"}


def out_of_order(scores: dict[str, dict]) -> list[str]:
    """Each pair of the issue's ordering that is the wrong way round, and whether the intervals tell them apart."""
    pairs = []
    for i, lower in enumerate(ISSUE_ORDER):
        for upper in ISSUE_ORDER[i + 1 :]:
            a, b = scores[lower], scores[upper]
            if a["kad"] >= b["kad"]:
                clear = "" if a["low"] > b["high"] else " (intervals overlap)"
                pairs.append(f"{lower} {a['kad']:.2f} > {upper} {b['kad']:.2f}{clear}")
    return pairs


def separated_at(vectors: Vectors, copy_name: str) -> tuple[int | None, int]:
    """The smallest N from which the intervals of real sounds and of copy-synthesis are apart, and the largest tried."""
    everything = min(len(vectors["reference"]), len(vectors["real"]))
    counts = [n for n in SEARCH_COUNTS if n < everything] + [everything]
    apart = None
    for n in reversed(counts):
        real, copy = (score(vectors["reference"][:n], vectors[name][:n]) for name in ("real", copy_name))
        if not real["high"] < copy["low"]:
            break
        apart = n
    return apart, everything


def show(title: str, result: dict) -> None:
    scores = result["scores"]
    print(f"\n{title}: {result['seconds']:.0f} s\n\n| sounds | N | KAD | 95 % interval |\n|---|---|---|---|")
    for name, row in scores.items():
        print(f"| {name} | {row['n']} | {row['kad']:.2f} | {row['low']:.2f} .. {row['high']:.2f} |")
    wrong = result["out_of_order"]
    print("\nThe issue's ordering " + ("holds." if not wrong else "does not hold: " + "; ".join(wrong) + "."))
    for copy_name, (apart, most) in result["separated_at"].items():
        told = f"are apart from N = {apart} on" if apart else f"are not apart at N = {most}"
        print(f"real and {copy_name} {told}", flush=True)


def speed(folder: Path, name: str) -> None:
    """Clips a second, median of three, from 16 kHz and from 44.1 kHz."""
    reference, made_of = read_set(folder, "instrument")
    embedding = load(name)
    wavs = [sound.wav for sound in reference + made_of]
    resampled = [resample(wav[None], RATE, embedding.sample_rate)[0] for wav in wavs]
    embedding(resampled[:64])
    for label, run in (
        ("resampled before", lambda: embedding(resampled)),
        ("with resampling", lambda: embed_rows(embedding, {"": wavs})),
    ):
        times = []
        for _ in range(3):
            start = time.perf_counter()
            run()
            times.append(time.perf_counter() - start)
        rate = len(wavs) / statistics.median(times)
        print(f"{name}, {len(wavs)} clips of {CLIP_SEC:g} s, {torch.get_num_threads()} threads, {label}: {rate:.0f}/s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--notes", type=Path)
    parser.add_argument("--drums", type=Path)
    parser.add_argument("--embeddings", nargs="+", default=["yamnet", "log-mel"])
    parser.add_argument("--vocoder", help="run or bundle of a trained vocoder, as a row of its own")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--cache", type=Path, help="keep the sounds that were made here, and take those that are there")
    parser.add_argument("--all", action="store_true", help="read all groups, those of the tuning too, for a larger N")
    parser.add_argument("--speed", action="store_true", help="only measure how many clips a second are embedded")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.set_grad_enabled(False)
    if args.speed:
        for name in args.embeddings:
            speed(args.notes, name)
        return
    recipes = degrade.table()
    if args.vocoder:
        recipes["vocoder"] = degrade.through(load_vocoder(args.vocoder, degrade.SPEC))
    results: dict[str, dict] = {}
    for set_name, folder, column in (("notes", args.notes, "instrument"), ("drums", args.drums, "kit")):
        if not folder:
            continue
        start = time.perf_counter()
        reference, made_of = read_set(folder, column, args.all)
        rows = {"reference": [s.wav for s in reference], "real": [s.wav for s in made_of]}
        rows |= make_rows(made_of, recipes, args.cache / (set_name + "_all" * args.all) if args.cache else None)
        print(f"{set_name}: {len(reference)} and {len(made_of)} clips, {time.perf_counter() - start:.0f} s", flush=True)
        for name in args.embeddings:
            start = time.perf_counter()
            few = {row: wavs[: SLOW.get(name)] for row, wavs in rows.items()}
            vectors = with_choices(embed_rows(load(name), few), made_of, set_name == "drums")
            scores, apart = score_rows(vectors), {copy: separated_at(vectors, copy) for copy in COPIES}
            result = {"scores": scores, "out_of_order": out_of_order(scores), "separated_at": apart}
            results.setdefault(set_name, {})[name] = result | {"seconds": round(time.perf_counter() - start, 1)}
            show(f"{set_name}, {name}", results[set_name][name])
            if args.json:  # after each, so that what is done is kept
                args.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
