"""Trained models side by side: each is judged by `audio-gen evaluate` on the same real sounds, in one table.

    python recipes/gan_benchmark/figures.py FOLDER [--labels CSV] --work DIR "VAE, 10 min=RUN/bundle-10min" GAN=RUN ..

FOLDER has the real sounds. What evaluate writes of each model (samples, report, figures) lies in DIR under its name; a
model whose figures are there is not judged again, unless its weights or the arguments have changed. The rows of real
sounds, copy-synthesis and white noise are those of the first model. Figures in brackets are those of real sounds.
"""

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

HEAD = [
    "what", "clips", "KAD (95 %)", "floor", "KAD / floor", "coverage", "precision", "recall", "memorised (real)",
    "class accuracy (real)", "within 50 cents (real)", "silent", "loudness, dB from real",
]  # fmt: skip
SCALE = {"real_vs_real": "real against real", "copy_synthesis": "copy-synthesis", "white_noise": "white noise"}


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """A table, its head first."""
    head, *rest = rows
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rest))


def cell(value: float | None, form: str = ".2f") -> str:
    return "" if value is None else format(value, form)


def beside_real(value: float | None, real: float | None, form: str = ".2f") -> str:
    return "" if value is None else f"{cell(value, form)} ({cell(real, form) or '?'})"


def silent_share(result: Mapping[str, Any]) -> float:
    """Of the clips made, those that evaluate left out as silent."""
    silent = sum("silent" in why for _, why in result["left_out"]["generated"])
    return silent / max(1, result["n"]["generated"] + result["n"]["left_out_generated"])


def pitch_of(result: Mapping[str, Any], kind: str) -> float | None:
    """Share of the clips within 50 cents of what was wanted."""
    return ((result["pitch"] or {}).get(kind) or {}).get("accuracy")


def summary(result: Mapping[str, Any]) -> dict[str, float | None]:
    """The figures of a model that the table has, out of an evaluation."""
    classes, memorised = result["classes"] or {}, result["memorised"] or {}
    loudness = result["signal"].get("loudness_lufs")
    value, floor = result["kad"]["value"], result["kad"]["floor"]
    low, high = result["kad"]["ci"] or (None, None)
    return {
        "n": result["n"]["generated"], "kad": value, "kad_low": low, "kad_high": high, "floor": floor,
        "kad_over_floor": value / floor if value is not None and floor and floor > 0 else None,
        **{key: result[key] for key in ("coverage", "precision", "recall")},
        "memorised": memorised.get("share"), "memorised_real": memorised.get("real_share"),
        "class": classes.get("accuracy"), "class_real": classes.get("real_accuracy"),
        "pitch": pitch_of(result, "generated"), "pitch_real": pitch_of(result, "real"),
        "silent": silent_share(result),
        "loudness_db": loudness["generated"]["median"] - loudness["real"]["median"] if loudness else None,
    }  # fmt: skip


def row_of(name: str, found: Mapping[str, Any]) -> list[str]:
    """A line of the table from what `summary` gives, or the part of it that a set has."""
    low, high = found.get("kad_low"), found.get("kad_high")
    interval = "" if low is None or high is None else f" ({low:.2f} .. {high:.2f})"
    return [
        name, cell(found["n"], "d"), cell(found["kad"]) + interval, cell(found.get("floor")),
        cell(found.get("kad_over_floor"), ".1f"), *(cell(found[key]) for key in ("coverage", "precision", "recall")),
        beside_real(found.get("memorised"), found.get("memorised_real"), ".1%"),
        beside_real(found.get("class"), found.get("class_real")),
        beside_real(found.get("pitch"), found.get("pitch_real")),
        cell(found.get("silent"), ".1%"), cell(found.get("loudness_db"), "+.1f"),
    ]  # fmt: skip


def scale_rows(result: Mapping[str, Any]) -> list[list[str]]:
    """The rows that show what figures real sounds, their copies and noise have."""
    rows = []
    for key, name in SCALE.items():
        found = result.get(key)
        if found is None:
            continue
        low, high = found["kad_ci"] or (None, None)
        # Real sounds have the other figures in every model's row, in brackets; copies have classes and pitches too.
        more = {"pitch": pitch_of(result, key), "pitch_real": pitch_of(result, "real")}
        if key == "copy_synthesis":
            classes = result["classes"] or {}
            more |= {"class": classes.get("copy_accuracy"), "class_real": classes.get("real_accuracy")}
        rows.append(row_of(name, {**found, **more, "kad_low": low, "kad_high": high}))
    return rows


def evaluate(place: Path, out: Path, args: argparse.Namespace) -> dict[str, Any]:
    """The figures of one model, from an earlier call where nothing has changed since."""
    weights = next(p for p in (place / "model.safetensors", place / "bundle/model.safetensors") if p.is_file())
    asked = {
        "real": str(args.folder.resolve()), "labels": args.labels, "count": args.count, "seed": args.seed,
        "pitch": args.pitch, "vocoder": args.vocoder, "embedding": args.embedding,
        "weights": hashlib.sha256(weights.read_bytes()).hexdigest(),
    }  # fmt: skip
    kept = out / "asked.json"
    if not (kept.is_file() and json.loads(kept.read_text(encoding="utf-8")) == asked):
        command = [sys.executable, "-m", "audio_gen", "evaluate", str(args.folder), str(place), "--out", str(out)]
        command += ["--labels", args.labels, "-n", str(args.count), "--seed", str(args.seed), "--pitch", args.pitch]
        command += ["--embedding", args.embedding, "--device", args.device, "--force", "--json"]
        command += ["--vocoder", args.vocoder] if args.vocoder else []
        threads = {"OMP_NUM_THREADS": str(args.threads), "OPENBLAS_NUM_THREADS": str(args.threads)}
        done = subprocess.run(command, env={**os.environ, **threads}, stdout=subprocess.PIPE, text=True)
        if done.returncode:
            raise SystemExit(f"{place}: evaluate ended with {done.returncode}, see above")
        kept.write_text(json.dumps(asked), encoding="utf-8")
    return json.loads((out / "evaluation.json").read_text(encoding="utf-8"))


def named(text: str) -> tuple[str, Path]:
    """NAME=PATH; the name may hold anything but "="."""
    name, equals, path = text.partition("=")
    if not equals or not any((Path(path) / part).exists() for part in ("model.safetensors", "bundle")):
        raise argparse.ArgumentTypeError(f"{text}: must be NAME=PATH of a run or a bundle")
    return name, Path(path)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("models", nargs="+", type=named, metavar="NAME=PATH")
    parser.add_argument("--labels", default="auto")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("-n", "--count", type=int, default=256)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pitch", default="pyin")
    parser.add_argument("--embedding", default="yamnet")
    parser.add_argument("--vocoder")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def main() -> None:
    args = parsed()
    results: dict[str, dict[str, Any]] = {}
    for name, place in args.models:
        out = args.work / re.sub(r"[^\w.-]+", "-", name)
        results[name] = evaluate(place, out, args)
        if args.json:  # after each, so that what is done is kept
            told = {key: {"summary": summary(one), "evaluation": one} for key, one in results.items()}
            args.json.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    first = next(iter(results.values()))
    rows = [row_of(name, summary(result)) for name, result in results.items()]
    print(markdown([HEAD, *rows, *scale_rows(first)]))
    for name, result in results.items():
        for finding in result["verdict"]:
            if finding["alarm"]:
                print(f"\nalarm, {name}: {finding['text']}")


if __name__ == "__main__":
    main()
