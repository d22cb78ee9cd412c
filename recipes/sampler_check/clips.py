"""Can clips go straight into a sampler? What a user would see who opens each of them.

    audio-gen sample RUN -n 256 --out CLIPS
    python recipes/sampler_check/clips.py CLIPS [--real SOUNDS]

Prints how many files begin or end with a click (a first or last sample above 0.5 % of the peak), how much of a file is
silence (what lies before the onset and after the end, 60 dB below the peak), how much longer a file is than its sound,
the peaks, how many the model's length cut, and the share of twins: clips of which another one of the class is within
1 dB. Classes are those of the sidecars. With --real, the same of a folder of real sounds stands beside it.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch

from audio_gen.audio.onset import onset, sound_end
from audio_gen.audio.similarity import view
from audio_gen.evaluation.copies import duplicates

CLICK = 0.005
SUFFIXES = {".wav", ".flac", ".aif", ".aiff", ".ogg"}


def sidecar(path: Path) -> dict[str, Any]:
    about = path.with_suffix(".json")
    return json.loads(about.read_text(encoding="utf-8")) if about.is_file() else {}


def read(path: Path) -> tuple[np.ndarray, int]:
    wav, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return wav.mean(axis=1), rate


def figures(wav: np.ndarray, rate: int) -> dict[str, float]:
    """What one clip is like; NaN for silence."""
    peak = float(np.abs(wav).max(initial=0))
    if not peak:
        return dict.fromkeys(("first", "last", "silence", "over_ms", "peak_db"), float("nan"))
    begin, end = onset(wav, rate), sound_end(wav)
    return {
        "first": abs(wav[0]) / peak, "last": abs(wav[-1]) / peak, "silence": 1 - (end - begin) / len(wav),
        "over_ms": 1000 * (len(wav) - (end - begin)) / rate, "peak_db": 20 * np.log10(peak),
    }  # fmt: skip


def show(name: str, paths: Sequence[Path]) -> None:
    """Print the figures of some files."""
    sounds, abouts = [read(path) for path in paths], [sidecar(path) for path in paths]
    rows = [figures(*sound) for sound in sounds]
    found = {key: np.array([row[key] for row in rows]) for key in rows[0]}
    silent = int(np.isnan(found["first"]).sum())
    cut = sum(bool(about.get("cut")) for about in abouts)
    print(f"{name}: {len(paths)} files, {silent} silent, {cut} cut by the model's length")
    for key, text in (("first", "first"), ("last", "last")):
        clicks, middle = int((found[key] > CLICK).sum()), np.nanmedian(found[key])
        print(f"  {text} sample above {CLICK:.1%} of the peak: {clicks} files (median {middle:.4f})")
    for key, text, unit in (
        ("silence", "silence, share of the file", ""),
        ("over_ms", "longer than the sound by", " ms"),
    ):
        mean, middle, most = np.nanmean(found[key]), np.nanmedian(found[key]), np.nanmax(found[key])
        print(f"  {text}: mean {mean:.3g}{unit}, median {middle:.3g}{unit}, most {most:.3g}{unit}")
    print(f"  peak: {np.nanmin(found['peak_db']):.2f} to {np.nanmax(found['peak_db']):.2f} dBFS")
    views = torch.stack([view(torch.from_numpy(wav), rate) for wav, rate in sounds])
    alike = duplicates(views, [about.get("class") for about in abouts])
    print(f"  twins: {alike['share']:.1%}; by class of ten or more: " + ", ".join(
        f"{kind} {one['share']:.1%} of {one['n']}" for kind, one in alike["per_class"].items()
    ))  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path)
    parser.add_argument("--real", type=Path)
    args = parser.parse_args()
    for place in (args.clips, args.real):
        if place is not None:
            show(place.name, sorted(path for path in place.rglob("*") if path.suffix.lower() in SUFFIXES))


if __name__ == "__main__":
    main()
