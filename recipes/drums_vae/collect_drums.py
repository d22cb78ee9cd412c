#!/usr/bin/env python3
"""Collect recorded drum and percussion one-shots from Debian packages.

    apt-get install sonic-pi-samples hydrogen-drumkits hydrogen-data
    python3 collect_drums.py --out drums-dev

`OUT/raw/KIT/` keeps each file as the package ships it (44.1/48 kHz, mono/stereo,
16/24 bit; FLAC, WAV and AIFF). `OUT/44100/` has the same sounds at 44100 Hz, mono,
16-bit FLAC, named `kit-file.flac`: these are what a model trains on.
`OUT/metadata.csv` has kit, licence, class, rate, channels and length.

Loops, backing tracks and anything longer than --max-seconds are left out.

Deterministic. Needs: numpy, scipy, soundfile.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import re
import shutil
import sys
import xml.etree.ElementTree as ET
from math import gcd
from pathlib import Path

import numpy as np
import soundfile as sf
from scipy.signal import resample_poly

SONIC_PI = Path("usr/share/sonic-pi/samples")
HYDROGEN = Path("usr/share/hydrogen/data/drumkits")

# Kit folder: (short name, licence as its package's copyright file or drumkit.xml says).
KITS = {
    HYDROGEN / "GMRockKit": ("gmrock", "GPL"),
    HYDROGEN / "The Black Pearl 1.0": ("blackpearl", "GPL"),
    HYDROGEN / "Gimme A Hand 1.0": ("gimmeahand", "GPL"),
    HYDROGEN / "TR808EmulationKit": ("tr808", "GPL-2+"),
    HYDROGEN / "ElectricEmpireKit": ("electricempire", "GPL-2+"),
    HYDROGEN / "HardElectro1": ("hardelectro", "GPL-2+"),
    HYDROGEN / "VariBreaks": ("varibreaks", "GPL-2+"),
    HYDROGEN / "BJA_Pacific": ("bjapacific", "CC-BY-SA-3.0-US"),
    HYDROGEN / "ForzeeStereo": ("forzee", "GPL-2"),
    HYDROGEN / "Audiophob": ("audiophob", "CC0-1.0"),
    SONIC_PI: ("sonicpi", "CC0-1.0"),
}
# Sonic Pi's folder holds all kinds of sounds: only these groups are one-shots of drums.
SONIC_PI_GROUPS = re.compile(r"^(bd|drum|sn|tabla|perc|elec)_")
LOOPS = re.compile(r"loop|_roll\b", re.I)

# The first pattern that a sound's name matches names its class. The name is its
# instrument's in drumkit.xml and, after it, the file's.
CLASSES = [
    ("clap", r"clap|snap"),
    ("hand-drum", r"conga|bongo|djembe|tabla|dunun|cajon|doum|kenken|sangba"),
    ("kick", r"kick|\bbd|_bd|bass|_k_"),
    ("snare", r"snare|\bsn_|_sn_|\bsd|stick|rim"),
    ("hihat", r"hi.?hat|\bhh|_hh|hhat|hat\b|hat[_-]|chh|ohh|pedal"),
    ("tom", r"tom"),
    ("cymbal", r"crash|ride|cymbal|splash|china|paiste|\brd"),
    ("percussion", r"."),
]


def audio_files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.suffix.lower() in {".flac", ".wav", ".aif", ".aiff"})


def instrument_names(folder: Path) -> dict[str, str]:
    """File name -> instrument name, as a Hydrogen kit's drumkit.xml has it."""
    xml = folder / "drumkit.xml"
    if not xml.is_file():
        return {}
    names = {}
    tree = ET.fromstring(re.sub(rb'xmlns="[^"]*"', b"", xml.read_bytes()))
    for instrument in tree.iter("instrument"):
        name = (instrument.findtext("name") or "").strip()
        for file in instrument.iter("filename"):
            names[(file.text or "").strip()] = name
    return names


def class_of(name: str) -> str:
    return next(cls for cls, pattern in CLASSES if re.search(pattern, name, re.I))


def to_mono(x: np.ndarray, rate: int, target: int) -> np.ndarray:
    mono = x.mean(axis=1)
    if rate != target:
        g = gcd(rate, target)
        mono = resample_poly(mono, target // g, rate // g)
    return mono.astype(np.float32)


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("--out", type=Path, required=True, help="folder to fill")
    ap.add_argument("--root", type=Path, default=Path("/"), help="where the packages are installed")
    ap.add_argument("--rate", type=int, default=44100)
    ap.add_argument("--max-seconds", type=float, default=6.0)
    args = ap.parse_args()

    (args.out / str(args.rate)).mkdir(parents=True, exist_ok=True)
    seen: set[str] = set()
    rows, skipped, missing = [], {"loop": 0, "long": 0, "duplicate": 0, "unreadable": 0, "silent": 0}, []
    for folder, (kit, licence) in KITS.items():
        files = audio_files(args.root / folder)
        if not files:
            missing.append(str(folder))
        instruments = instrument_names(args.root / folder)
        for path in files:
            if folder == SONIC_PI and not SONIC_PI_GROUPS.match(path.stem):
                continue
            if LOOPS.search(path.stem):
                skipped["loop"] += 1
                continue
            try:
                x, rate = sf.read(path, dtype="float32", always_2d=True)
                info = sf.info(path)
            except sf.LibsndfileError:
                skipped["unreadable"] += 1
                continue
            if len(x) > args.max_seconds * rate:
                skipped["long"] += 1
                continue
            if np.abs(x).max(initial=0) < 1e-4:
                skipped["silent"] += 1
                continue
            digest = hashlib.sha256(x.tobytes()).hexdigest()
            if digest in seen:
                skipped["duplicate"] += 1
                continue
            seen.add(digest)
            raw = args.out / "raw" / kit / path.name
            raw.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, raw)
            mono = to_mono(x, rate, args.rate)
            peak = float(np.abs(mono).max())
            if peak > 1:  # resampling can overshoot full scale
                mono /= peak
            name = re.sub(r"[^A-Za-z0-9]+", "_", path.stem).strip("_").lower()
            file, n = f"{kit}-{name}.flac", 2
            while (args.out / str(args.rate) / file).exists() and any(r[0] == file for r in rows):
                file, n = f"{kit}-{name}_{n}.flac", n + 1
            sf.write(args.out / str(args.rate) / file, mono, args.rate, subtype="PCM_16")
            rows.append(
                [
                    file,
                    kit,
                    licence,
                    class_of(f"{instruments.get(path.name, '')} {path.stem}"),
                    f"raw/{kit}/{path.name}",
                    rate,
                    info.subtype,
                    info.channels,
                    f"{len(x) / rate:.3f}",
                ]
            )
    with open(args.out / "metadata.csv", "w", newline="") as f:
        w = csv.writer(f)
        w.writerow(["file", "kit", "licence", "class", "raw", "raw_rate", "raw_subtype", "raw_channels", "seconds"])
        w.writerows(rows)
    total = sum(float(r[-1]) for r in rows)
    print(f"{len(rows)} one-shots, {total / 60:.1f} minutes in {args.out}; left out: {skipped}")
    if missing:
        sys.exit("nothing found in: " + ", ".join(missing) + " (package not installed?)")


if __name__ == "__main__":
    main()
