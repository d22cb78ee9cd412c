"""What a vocoder leaves of attacks: drum hits beside their copies.

    python recipes/sampler_check/hits.py collect KIT_FOLDER .. --out HITS [--count 200]
    audio-gen vocode HITS/* --out COPIES
    python recipes/sampler_check/hits.py measure HITS COPIES

`collect` copies hits, evenly from each folder: mono, at most 2 s, the start of the file as it is.

`measure` prints, over all hits: the share whose first peak rises within 1 ms of the original's time; the error of the
energy of the first 5 ms after the onset against that of the first 50; the energy before the onset (up to 1 ms before)
against that of the first 50 ms, where the original has anything there; the share whose onset lies within 1 ms; the
first sample over the peak.
"""

import argparse
import re
from pathlib import Path

import numpy as np
import soundfile
import torch

from audio_gen.audio.distance import mrmel
from audio_gen.audio.io import read_wav, write_wav
from audio_gen.audio.onset import lead_samples, onset, rise_sec
from audio_gen.errors import AudioGenError

RATE, LONGEST_SEC, SHORTEST_SEC, QUIET, FIRST_SAMPLE = 44100, 2.0, 0.05, 0.01, 0.005
SUFFIXES = {".wav", ".flac", ".aif", ".aiff", ".ogg"}


def usable(file: Path) -> torch.Tensor | None:
    """A hit (1, T); None for what is too short, too quiet, or no sound."""
    try:
        wav, _ = read_wav(file, sample_rate=RATE)
    except AudioGenError:
        return None
    loud = wav.shape[-1] >= SHORTEST_SEC * RATE and float(wav.abs().max()) > QUIET
    return wav[:, : int(LONGEST_SEC * RATE)] if loud else None


def collect(folders: list[Path], out: Path, count: int) -> None:
    """Write `count` different hits, from each folder as many as from the others where it has them."""
    kits: list[list[tuple[str, torch.Tensor]]] = []
    seen: set[bytes] = set()
    for folder in folders:
        kit = []
        for file in sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES):
            wav = usable(file)
            if wav is not None and (content := wav.numpy().tobytes()) not in seen:
                seen.add(content)
                kit.append((re.sub(r"[^\w.-]+", "_", f"{folder.name}-{file.stem}"), wav))
        kits.append(kit)
    share = next((n for n in range(1, count + 1) if sum(min(n, len(kit)) for kit in kits) >= count), count)
    chosen = [kit[i] for kit in kits for i in np.linspace(0, len(kit) - 1, min(share, len(kit))).round().astype(int)]
    for name, wav in chosen[:count]:
        write_wav(out / f"{name}.wav", wav, RATE, "FLOAT")
    print(f"{len(chosen[:count])} hits of {len(kits)} folders in {out}")


def energy(x: np.ndarray, first: int, last: int) -> float:
    return float(np.square(x[max(0, first) : max(0, last)], dtype=np.float64).sum()) + 1e-20


def compared(original: np.ndarray, made: np.ndarray) -> dict[str, float]:
    """The figures of one hit."""
    at, soon, later = onset(original, RATE), round(0.005 * RATE), round(0.05 * RATE)
    before = at - lead_samples(RATE)

    def opening_db(x: np.ndarray) -> float:
        return 10 * np.log10(energy(x, at, at + soon) / energy(x, at, at + later))

    def before_db(x: np.ndarray) -> float:
        return 10 * np.log10(energy(x, 0, before) / energy(x, at, at + later)) if before > 0 else np.nan

    rise = [rise_sec(x[max(0, at - round(0.01 * RATE)) :], RATE) for x in (original, made)]
    return {
        "rise": abs(rise[0] - rise[1]) <= 0.001, "opening": abs(opening_db(original) - opening_db(made)),
        "before": before_db(made), "before_original": before_db(original),
        "onset": abs(onset(made, RATE) - at) <= 0.001 * RATE, "first": abs(made[0]) / max(1e-9, np.abs(made).max()),
        "first_original": abs(original[0]) / np.abs(original).max(),
        "mrmel": mrmel(torch.from_numpy(original), torch.from_numpy(made), RATE),
    }  # fmt: skip


def measure(originals: Path, copies: Path) -> None:
    """Print the figures of all hits that have a copy."""
    rows = []
    for file in sorted(originals.glob("*.wav")):
        copy = copies / f"{file.stem}.vocoded.wav"
        pair = [soundfile.read(path, dtype="float32")[0] for path in (file, copy)]
        length = min(map(len, pair))
        rows.append(compared(pair[0][:length], np.pad(pair[1][:length], (0, length - len(pair[1][:length])))))
    found = {key: np.array([row[key] for row in rows], np.float64) for key in rows[0]}
    middle = np.median(found["opening"])
    lines = {
        "rise of the first peak within 1 ms": f"{found['rise'].mean():.0%}",
        "energy of the first 5 ms off by": f"{found['opening'].mean():.2f} dB (median {middle:.2f})",
        "energy before the onset, median": f"{np.nanmedian(found['before']):.0f} dB"
        f" (originals {np.nanmedian(found['before_original']):.0f})",
        "onset within 1 ms": f"{found['onset'].mean():.0%}",
        "first sample above 0.005 of the peak": f"{(found['first'] > FIRST_SAMPLE).mean():.0%}"
        f" (originals {(found['first_original'] > FIRST_SAMPLE).mean():.0%})",
        "mrmel": f"{found['mrmel'].mean():.3f}",
    }
    print(f"{len(rows)} hits")
    for name, value in lines.items():
        print(f"{name:38s} {value}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    collecting = commands.add_parser("collect")
    collecting.add_argument("folders", nargs="+", type=Path)
    collecting.add_argument("--out", type=Path, required=True)
    collecting.add_argument("--count", type=int, default=200)
    measuring = commands.add_parser("measure")
    measuring.add_argument("originals", type=Path)
    measuring.add_argument("copies", type=Path)
    args = parser.parse_args()
    if args.command == "collect":
        collect(args.folders, args.out, args.count)
    else:
        measure(args.originals, args.copies)


if __name__ == "__main__":
    main()
