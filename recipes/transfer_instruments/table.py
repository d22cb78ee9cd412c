"""Measure ways of transfer on kept-out phrases: table.py PHRASES OUT [NAME=RUN ..].

For each pair of folders: the sources through the vocoder, the same notes as the target plays them, grains, the decoder
that is named after the target, if one is given (cello=runs/cello), and the cycle GAN that is named after the pair
(kit_power-to-kit_808=runs/kits). Prints one line for each, and writes the sounds and OUT/table.json.
"""

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path

import soundfile as sf
import torch

from audio_gen.evaluation.transfer import TransferEvaluationRequest, evaluate_transfer
from audio_gen.generation.operations.transfer import TransferRequest, transfer

PAIRS = (
    ("voices", "trumpet", "cello"), ("voices", "flute", "violin"), ("chords", "piano", "strings"),
    ("chords", "organ", "piano"), ("drums", "kit_power", "kit_808"), ("speech", "speech", "kit_808"),
    ("speech", "speech", "cello"), ("textures", "seashore", "applause"),
)  # fmt: skip
VOCODER = "small:2"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("phrases", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("runs", nargs="*", metavar="NAME=RUN")
    parser.add_argument("--pairs", nargs="*", metavar="SOURCE-to-TARGET", help="default: all")
    given = parser.parse_args()
    torch.set_num_threads(2)
    phrases, out = given.phrases, given.out
    runs = dict(text.split("=", 1) for text in given.runs)
    rows = []
    print(
        "kind, pair, way: way travelled, KAD, class, pitch, salience F1, onset F1, level dB, copied (real), x real time"
    )
    for kind, source, target in PAIRS:
        if given.pairs and f"{source}-to-{target}" not in given.pairs:
            continue
        sounds = phrases / source / "kept" if (phrases / source / "kept").is_dir() else phrases / source
        for way, place, speed in ways(phrases, out, runs, source, target, sounds):
            found = evaluate_transfer(
                TransferEvaluationRequest(source=sounds, output=place, target=phrases / target / "kept")
            )
            travelled = found.pop("way")
            about = {"kind": kind, "pair": f"{source} -> {target}", "way": way, "travelled": travelled, "speed": speed}
            rows.append(about | found)
            print(line(rows[-1]), flush=True)
    out.mkdir(parents=True, exist_ok=True)
    (out / "table.json").write_text(json.dumps(rows, indent=1))


def ways(
    phrases: Path, out: Path, runs: dict[str, str], source: str, target: str, sounds: Path
) -> Iterator[tuple[str, Path, float]]:
    """Name, folder and speed of each way's results."""
    pair, known = f"{source}-to-{target}", str(phrases / target / "train")
    if (same := phrases / "same" / pair).is_dir():
        yield "same notes", same, 0.0
    asked: dict[str, dict] = {
        "copy": {"files": [sounds], "to": known, "start": 0.0, "end": 0.0},
        "grains": {"files": [sounds], "to": known},
    }
    if target in runs:
        asked["decoder"] = {"files": [Path(runs[target]), sounds]}
    if pair in runs:
        asked["cycle"] = {"files": [Path(runs[pair]), sounds]}
    length = sum(sf.info(path).duration for path in sounds.glob("*.wav"))
    for way, options in asked.items():
        place, began = out / f"{pair}-{way}", time.perf_counter()
        transfer(TransferRequest(vocoder=VOCODER, **options)).save(place, force=True)
        yield way, place, length / (time.perf_counter() - began)


def line(row: dict) -> str:
    def number(value: float | None, form: str = ".2f") -> str:
        return "" if value is None else format(value, form)

    pitch, probe, copied = row["pitch"] or {}, row["class"] or {}, row.get("memorised") or {}
    way = row["travelled"]
    return " | ".join([
        row["kind"], row["pair"], row["way"], number(way["share"]), number(way["output"], ".1f"),
        number(probe.get("output"), ".0%"), number(pitch.get("share"), ".0%"), number(row["salience_f1"]),
        number(row["onset_f1"]), number(row["loudness_db"], ".1f"),
        f"{number(copied.get('share'), '.0%')} ({number(copied.get('real_share'), '.0%')})",
        number(row["speed"] or None, ".1f"),
    ])  # fmt: skip


if __name__ == "__main__":
    main()
