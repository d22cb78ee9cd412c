#!/usr/bin/env python3
"""Build the training corpus of the universal vocoder from Debian packages with permissive licences.

    apt-get install sonic-pi-samples fluidsynth fluid-soundfont-gm hydrogen-drumkits hydrogen-drumkits-effects espeak-ng
    python build_corpus.py --out CORPUS --minutes 120

CORPUS/train, CORPUS/val and CORPUS/test hold mono 16-bit FLAC at 44.1 kHz, CORPUS/metadata.csv has file, source, group
(instrument, kit, voice or file; joined by + where several sound), licence, split and seconds of each, and
CORPUS/sources.md the minutes of each source. No group is in two splits, in mixtures and phrases either.

The same seed, minutes and packages give the same sounds. DATA.md says where everything comes from.
"""

from __future__ import annotations

import argparse
import csv
import math
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import soundfile as sf
import soundfont
import synthetic
from sources import INSTRUMENTS, KITS, SOURCES, check_packages, mixtures, pool

from audio_gen.errors import AudioGenError, ConfigError, DataError, OutputError

SAMPLE_RATE = 44100
SPLITS = {"train": 0.9, "val": 0.04, "test": 0.06}  # share of the minutes
SHARES = {  # of the minutes; recordings give at most what there is, and the others make up for it
    "sonicpi": 0.05,
    "strums": 0.05,
    "notes": 0.15,
    "phrases": 0.25,
    "drums": 0.10,
    "speech": 0.10,
    "synthetic": 0.10,
    "mixtures": 0.20,
}
PACKAGES = {
    "sonicpi": "sonic-pi-samples",
    "strums": "hydrogen-drumkits-effects",
    "notes": "fluid-soundfont-gm",
    "phrases": "fluid-soundfont-gm",
    "speech": "espeak-ng",
    "mixtures": "those of the parts",
}
KIT_PACKAGES = {"MIT": "fluid-soundfont-gm"}  # of drums, by licence; the others are hydrogen-drumkits'
FIELDS = ("file", "source", "group", "licence", "split", "seconds")
OURS = {*SPLITS, "metadata.csv", "sources.md"}


def check_leaks(rows: Iterable[dict[str, str]]) -> None:
    """DataError if a group sounds in two splits; synthetic kinds have no identity and are left out."""
    found: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        for group in set(row["group"].split("+")) - set(synthetic.KINDS):
            found[group].add(row["split"])
    leaked = sorted(group for group, splits in found.items() if len(splits) > 1)
    if leaked:
        raise DataError(f"{', '.join(leaked)} in more than one split; report it, the corpus is not to be used")


def check_bank(bank: Path) -> None:
    """DataError if an instrument or kit that is kept out plays recordings that another split plays too."""
    presets = soundfont.read_presets(bank)
    used: dict[str, set[int]] = {}
    for split in SPLITS:
        used[split] = set()
        for name in pool(soundfont.INSTRUMENTS, INSTRUMENTS, split):
            used[split] |= set().union(*presets[0, soundfont.INSTRUMENTS[name]].values())
        for name in pool(soundfont.KITS, KITS, split):
            program, keys = soundfont.KITS[name]
            used[split] |= set().union(*(presets[128, program][key] for key in keys))
    shared = (used["train"] & used["val"]) | (used["train"] & used["test"]) | (used["val"] & used["test"])
    if shared:
        raise DataError(f"{bank} shares {len(shared)} recordings between splits; use FluidR3_GM 3.1")


def build(root: Path, minutes: float, seed: int, only: Sequence[str]) -> list[dict[str, str]]:
    """Write all clips under `root` and return their rows; recordings first, so that others can make up for them."""
    check_packages(only)
    if {"notes", "phrases", "drums"} & set(only):
        check_bank(soundfont.find_bank())
    rows: list[dict[str, str]] = []
    left_sec, shares = 60 * minutes, {name: SHARES[name] for name in SHARES if name in only}
    for name in list(shares):
        target_sec = left_sec * shares[name] / sum(shares.values())
        made = [row for split in SPLITS for row in _fill(root, rows, name, split, target_sec, seed)]
        rows += made
        left_sec -= sum(float(row["seconds"]) for row in made)
        del shares[name]
        print(f"{name:10s} {len(made):6d} clips {sum(float(row['seconds']) for row in made) / 60:7.1f} min", flush=True)
    check_leaks(rows)
    return rows


def _fill(
    root: Path, rows: list[dict[str, str]], source: str, split: str, target_sec: float, seed: int
) -> list[dict[str, str]]:
    """One source's clips of one split, as long as its share wants; all of Sonic Pi's test files always."""
    rng = np.random.default_rng([seed, list(SHARES).index(source), list(SPLITS).index(split)])
    parts = [row for row in rows if row["split"] == split]
    clips = mixtures(parts, root, rng) if source == "mixtures" else SOURCES[source](split, rng)
    wanted_sec = math.inf if (source, split) == ("sonicpi", "test") else target_sec * SPLITS[split]
    made: list[dict[str, str]] = []
    total_sec = 0.0
    for clip in clips:
        name = re.sub(r"\W+", "_", "+".join(clip.groups) if len(clip.groups) == 1 else "several")
        file = f"{split}/{source}-{name}-{len(made):05d}.flac"
        seconds = write(root / file, clip.wav)
        values = (file, source, "+".join(clip.groups), clip.licence, split, f"{seconds:.3f}")
        made.append(dict(zip(FIELDS, values, strict=True)))
        total_sec += seconds
        if total_sec >= wanted_sec:
            break
    return made


def write(path: Path, wav: np.ndarray) -> float:
    """Write mono 16-bit FLAC and return its seconds; a NaN or a clipped sample here is our mistake."""
    assert np.isfinite(wav).all() and np.abs(wav).max(initial=0) <= 1, path
    path.parent.mkdir(parents=True, exist_ok=True)
    sf.write(path, wav, SAMPLE_RATE, subtype="PCM_16")
    return len(wav) / SAMPLE_RATE


def sources_table(rows: Sequence[dict[str, str]]) -> str:
    """A Markdown table: a line for each source and licence, minutes of each split, and the sum."""
    lines = ["| source | package | licence | groups | clips | train (min) | val | test |", "|---" * 8 + "|"]
    kinds = sorted({(r["source"], "of the parts" if r["source"] == "mixtures" else r["licence"]) for r in rows})
    for source, licence in [*sorted(kinds, key=lambda kind: list(SHARES).index(kind[0])), ("all", "")]:
        here = [
            r
            for r in rows
            if source == "all" or (r["source"] == source and (licence in (r["licence"], "of the parts")))
        ]
        groups = len({group for row in here for group in row["group"].split("+")})
        minutes = [sum(float(r["seconds"]) for r in here if r["split"] == split) / 60 for split in SPLITS]
        cells = [source, _package(source, licence), licence, groups, len(here), *(f"{m:.1f}" for m in minutes)]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines) + "\n"


def _package(source: str, licence: str) -> str:
    return KIT_PACKAGES.get(licence, "hydrogen-drumkits") if source == "drums" else PACKAGES.get(source, "")


def check_out(out: Path, force: bool) -> None:
    """OutputError if `out` holds something, unless it is a corpus and `force` is given."""
    names = {path.name for path in out.iterdir()} if out.is_dir() else set()
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out} is a file; give a folder")
    if names and not force:
        raise OutputError(f"{out} is not empty; give another folder, or --force to build it anew")
    if names and not ("metadata.csv" in names and names <= OURS):
        raise OutputError(
            f"{out} holds {min(names - OURS, default='no metadata.csv')}: no corpus, so --force leaves it"
        )


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="folder to build")
    parser.add_argument("--minutes", type=float, default=120, help="length of all together (default: 120)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", metavar="SOURCE", default=list(SHARES), help=", ".join(SHARES))
    parser.add_argument("--force", action="store_true", help="replace the corpus in --out")
    args = parser.parse_args(argv)
    if unknown := set(args.only) - set(SHARES):
        raise ConfigError(f"--only {min(unknown)} is no source; choose from {', '.join(SHARES)}")
    if not 0 < args.minutes < math.inf:
        raise ConfigError(f"--minutes ({args.minutes}) must be above 0; try 120")
    if args.seed < 0:
        raise ConfigError(f"--seed ({args.seed}) must be 0 or above; try 0")
    return args


def run(args: argparse.Namespace) -> None:
    check_out(args.out, args.force)
    part = args.out.with_name(args.out.name + ".part")  # renamed at the end: a corpus is whole or not there
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        rows = build(part, args.minutes, args.seed, args.only)
        with (part / "metadata.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, FIELDS)
            writer.writeheader()
            writer.writerows(rows)
        table = sources_table(rows)
        (part / "sources.md").write_text(table, encoding="utf-8")
        if args.out.is_dir():
            shutil.rmtree(args.out)
        part.rename(args.out)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    print(f"\n{table}\nin {args.out}")


def main(argv: Sequence[str] | None = None) -> int:
    try:
        run(arguments(argv))
    except subprocess.CalledProcessError as error:
        lines = (error.stderr or b"").decode(errors="replace").strip().splitlines() or ["it said nothing"]
        print(f"{error.cmd[0]} failed: {lines[-1]}", file=sys.stderr)
        return 2
    except (AudioGenError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
