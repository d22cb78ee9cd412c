"""Train cycle GANs between two folders, and measure both directions on kept-out sounds: measure.py A B OUT.

A and B are folders with `train` and `kept` in them. Each seed is trained for some minutes; prints, for each direction
and seed, what `evaluate --transfer` measures, how much the results differ among themselves relative to real sounds, and
the verdict of the run. The first rows are the sources through mel and vocoder, and grains.
"""

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from audio_gen.evaluation.transfer import TransferEvaluationRequest, evaluate_transfer
from audio_gen.generation.operations.transfer import TransferRequest, transfer
from audio_gen.training.diagnosis import diagnose
from audio_gen.training.metrics import read_metrics
from audio_gen.training.tasks.run import train_run

VOCODER = "small:2"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("a", type=Path)
    parser.add_argument("b", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2, 3, 4])
    parser.add_argument("--minutes", type=float, default=8)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    rows = []
    print("direction, way: way travelled, KAD, class, salience F1, onset F1, level dB, copied (real), variety; verdict")
    ends = [(given.a, given.b), (given.b, given.a)]
    for source, target in ends:
        for way, amount in (("copy", 0.0), ("grains", 1.0)):
            options = {"files": [source / "kept"], "to": str(target / "train"), "start": amount, "end": amount}
            rows.append(measured(options, way, source, target, given.out, "", None))
    for seed in given.seeds:
        began, run = time.monotonic(), given.out / f"seed-{seed}"
        train_run(
            given.a / "train", run, to=given.b / "train", minutes=given.minutes, seed=seed, device="cpu",
            model="cycle", overrides=given.set,
        )  # fmt: skip
        log = read_metrics(run)
        found = "; ".join(finding.name for finding in diagnose(log))
        spread = next((row["eval/diversity"] for row in reversed(log) if "eval/diversity" in row), None)
        print(f"seed {seed}: {log[-1]['step']} steps in {(time.monotonic() - began) / 60:.1f} min", flush=True)
        for source, target in ends:
            options = {"files": [run, source / "kept"], "to": target.resolve().name}
            rows.append(measured(options, f"cycle-{seed}", source, target, given.out, found, spread))
    (given.out / f"table-{given.seeds[0] if given.seeds else 0}.json").write_text(json.dumps(rows, indent=1))


def measured(
    options: dict, way: str, source: Path, target: Path, out: Path, verdict: str, spread: float | None
) -> dict:
    """Transfer the kept sounds of a folder, and print a row of figures."""
    place = out / f"{source.resolve().name}-to-{target.resolve().name}-{way}"
    transfer(TransferRequest(vocoder=VOCODER, **options)).save(place, force=True)
    figures = evaluate_transfer(TransferEvaluationRequest(source=source / "kept", output=place, target=target / "kept"))
    print(" | ".join([place.name, *cells(figures, spread), verdict]), flush=True)
    return {"direction": place.name, "verdict": verdict, "variety": spread, **figures}


def cells(figures: dict, spread: float | None) -> Iterator[str]:
    """The figures as text."""
    way, probe, copied = figures["way"], figures["class"] or {}, figures.get("memorised") or {}
    for value, form in (
        (way["share"], ".2f"), (way["output"], ".1f"), (probe.get("output"), ".0%"), (figures["salience_f1"], ".2f"),
        (figures["onset_f1"], ".2f"), (figures["loudness_db"], ".1f"), (copied.get("share"), ".0%"),
        (copied.get("real_share"), ".0%"), (spread, ".2f"),
    ):  # fmt: skip
        yield "" if value is None else format(value, form)


if __name__ == "__main__":
    main()
