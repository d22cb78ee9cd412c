"""Measure ways of transfer on kept-out phrases: table.py PHRASES OUT [NAME=RUN ..].

For each pair of folders: the same notes as the target plays them, grains, and the run that is named after the target,
if one is given (cello=runs/cello). Prints one line for each, and writes the sounds and OUT/table.json. The sources as
they are would have a way of 0, and keep everything.
"""

import argparse
import json
import time
from pathlib import Path

import soundfile as sf
import torch

from audio_gen.evaluation.transfer import TransferEvaluationRequest, evaluate_transfer
from audio_gen.generation.operations.transfer import TransferRequest, transfer

PAIRS = (
    ("voices", "trumpet", "cello"), ("voices", "flute", "violin"), ("chords", "piano", "strings"),
    ("chords", "organ", "piano"), ("drums", "kit_power", "kit_808"), ("speech", "speech", "kit_808"),
    ("speech", "speech", "cello"),
)  # fmt: skip
VOCODER = "small:2"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("phrases", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("runs", nargs="*", metavar="NAME=RUN")
    given = parser.parse_args()
    torch.set_num_threads(2)
    phrases, out = given.phrases, given.out
    runs = dict(text.split("=", 1) for text in given.runs)
    rows = []
    print(
        "kind, pair, way: way travelled, KAD, class, pitch, salience F1, onset F1, level dB, copied (real), x real time"
    )
    for kind, source, target in PAIRS:
        sounds = phrases / source / "kept" if (phrases / source / "kept").is_dir() else phrases / source
        known, kept = phrases / target / "train", phrases / target / "kept"
        same = phrases / "same" / f"{source}-to-{target}"
        ways: dict[str, list[str] | Path] = {"same notes": same}
        ways["grains"] = ["--to", str(known)]
        if target in runs:
            ways["model"] = [runs[target]]
        for way, how in ways.items():
            speed = 0.0
            if isinstance(how, list):
                place = out / f"{source}-to-{target}-{way}"
                began = time.perf_counter()
                files = [Path(how[0]), sounds] if way == "model" else [sounds]
                request = TransferRequest(files=files, to=how[1] if way == "grains" else None, vocoder=VOCODER)
                transfer(request).save(place, force=True)
                length = sum(sf.info(path).duration for path in sounds.glob("*.wav"))
                speed = length / (time.perf_counter() - began)
            else:
                place = how
            if not place.is_dir():
                continue
            found = evaluate_transfer(TransferEvaluationRequest(source=sounds, output=place, target=kept))
            travelled = found.pop("way")
            about = {"kind": kind, "pair": f"{source} -> {target}", "way": way, "travelled": travelled, "speed": speed}
            rows.append(about | found)
            print(line(rows[-1]), flush=True)
    out.mkdir(parents=True, exist_ok=True)
    (out / "table.json").write_text(json.dumps(rows, indent=1))


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
