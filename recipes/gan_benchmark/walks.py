"""Interpolation in w against interpolation in z: how straight the way sounds, how even its steps are, and its pitch.

    python recipes/gan_benchmark/walks.py RUN [--pairs 32] [--pitch-pairs 12] [--seed 0] [--json FILE]

RUN is a GAN's run or bundle. A pair is two random latents of one class and, where the model has pitches, of one pitch.
Three ways lead from one to the other, with the same ends: w by lerp, z by lerp, z by slerp (each point of the two is
mapped). The points are decoded, made sound and embedded. Length: the sum of the distances between neighbouring points
over the distance of the ends, 1 for a straight line. Roughness: the mean square of a step, in units of the same step on
a straight and even line between the ends (1 for such a line), and in squared distance per squared position. Drift: how
far the median f0 of a point gets from that of the first, in cents (pYIN's grid is 10 cents wide).
Source: path lengths in z and w, Karras 2019.
"""

import argparse
import json
import os
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from figures import cell, markdown
from torch import Tensor

from audio_gen.audio.resample import resample
from audio_gen.data.index import in_threads
from audio_gen.evaluation.embeddings import load_embedding
from audio_gen.evaluation.embeddings.base import Embedding
from audio_gen.evaluation.pitch import CENTS, RANGE_AROUND, REQUESTED_VOICED_SHARE, track
from audio_gen.evaluation.signal import is_silent
from audio_gen.generation.latents import Latents
from audio_gen.generation.pipeline import Pipeline
from audio_gen.models.contract import Conditions
from audio_gen.models.pitch_axis import midi_to_hz
from audio_gen.models.priors.mapped import MappedPrior

STEADY_CENTS = 20.0  # what an interpolation at a fixed pitch should stay within
HEARD_SEC = 1.0


def slerp(start: Tensor, end: Tensor, weight: Tensor) -> Tensor:
    """Points (N, Z) on the great circle from start to end (Z,), their norms moving evenly, at weights (N,)."""
    angle = torch.arccos(torch.cosine_similarity(start, end, dim=0).clamp(-1, 1))
    if float(angle.sin()) < 1e-4:
        return torch.lerp(start, end, weight[:, None])
    norms = torch.lerp(start.norm(), end.norm(), weight)[:, None]
    first, last = ((share * angle).sin()[:, None] for share in (1 - weight, weight))
    return norms * (first * start / start.norm() + last * end / end.norm()) / angle.sin()


def path_figures(points: Tensor) -> dict[str, float]:
    """Of points (N, D) along a way: its length and its roughness, see above; infinite where the ends are one point."""
    steps = (points[1:] - points[:-1]).norm(dim=1).double()
    across = float((points[-1] - points[0]).norm())
    squares = len(steps) ** 2 * float(steps.square().mean())
    return {
        "length": float(steps.sum()) / across if across else float("inf"),
        "roughness": squares / across**2 if across else float("inf"),
        "squared_steps": squares,
        "longest_step": float(steps.max() / steps.mean()) if float(steps.mean()) else float("inf"),
    }  # fmt: skip


def ways(pipeline: Pipeline, seed: int, count: int) -> dict[str, Latents]:
    """The three ways between two random latents of one condition, of `count` points each."""
    prior = pipeline.prior
    assert isinstance(prior, MappedPrior)
    generator = torch.Generator().manual_seed(seed)
    conditions = prior.fill(Conditions(1), [generator]).repeat(count)
    start, end = torch.randn(2, prior.mapping.noise_dim, generator=generator)
    weight = torch.linspace(0, 1, count)

    def mapped(z: Tensor) -> Tensor:
        return prior.mapping(z.to(pipeline.device), conditions[: len(z)].to(pipeline.device)).cpu()

    first, last = mapped(torch.stack([start, end]))
    latents = {
        "w, lerp": torch.lerp(first, last, weight[:, None, None]),
        "z, lerp": mapped(torch.lerp(start, end, weight[:, None])),
        "z, slerp": mapped(slerp(start, end, weight)),
    }
    return {name: Latents(w, conditions) for name, w in latents.items()}


def median_cents(wav: Tensor, sample_rate: int, pitch: float) -> float | None:
    """How far the median f0 of a clip (T,) is from a MIDI pitch; None where too little of it is voiced."""
    wanted_hz = float(midi_to_hz(torch.tensor(pitch)))
    heard = wav[: round(HEARD_SEC * sample_rate)]
    found = track(heard, sample_rate, f_min_hz=wanted_hz / RANGE_AROUND, f_max_hz=wanted_hz * RANGE_AROUND)
    both = found.voiced & found.sounding & np.isfinite(found.f0_hz)
    if both.sum() < REQUESTED_VOICED_SHARE * max(1, found.sounding.sum()):
        return None
    return float(CENTS * np.log2(np.median(found.f0_hz[both]) / wanted_hz))


def pitch_figures(cents: Sequence[float | None]) -> dict[str, float | None]:
    """Drift from the first voiced point, largest distance from the pitch asked for, and share of voiced points."""
    heard = [x for x in cents if x is not None]
    return {
        "drift_cents": max(abs(x - heard[0]) for x in heard) if len(heard) > 1 else None,
        "off_cents": max(map(abs, heard)) if heard else None,
        "voiced": len(heard) / len(cents),
    }


def walk(pipeline: Pipeline, embed: Embedding, seed: int, args: argparse.Namespace, listen: bool) -> dict[str, Any]:
    """The figures of one pair by each way; "silent" alone where a point of any of them is."""
    rate, found = pipeline.spec.sample_rate, ways(pipeline, seed, args.points)
    sounds = {name: pipeline.vocode(pipeline.decode(points))[:, 0] for name, points in found.items()}
    first = found["w, lerp"][0]
    pitch = float(first.conditions.pitch)
    about: dict[str, Any] = {"seed": seed, "class": int(first.conditions.class_id)}
    about["pitch"] = pitch if np.isfinite(pitch) else None
    if any(is_silent(wav, rate) for wavs in sounds.values() for wav in wavs):
        return about | {"silent": True}
    for name, wavs in sounds.items():
        about[name] = path_figures(embed(list(resample(wavs, rate, embed.sample_rate))))
        if listen and about["pitch"] is not None:
            hear: Callable[[Tensor], float | None] = lambda wav: median_cents(wav, rate, pitch)  # noqa: E731
            about[name] |= pitch_figures(list(in_threads(hear, wavs, args.threads, "pitch")))
    return about


def summary(pairs: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Median and 90th percentile of each figure of each way, and how many pairs stay within 20 cents."""
    heard = [pair for pair in pairs if not pair.get("silent")]
    found: dict[str, dict[str, Any]] = {}
    for name in ("w, lerp", "z, lerp", "z, slerp"):
        rows = [pair[name] for pair in heard]
        keys = dict.fromkeys(key for row in rows for key in row)
        values = {key: [row[key] for row in rows if row.get(key) is not None] for key in keys}
        told = {key: [statistics.median(x), float(np.quantile(x, 0.9))] for key, x in values.items() if x}
        drifts = values.get("drift_cents", [])
        found[name] = {
            **told, "pairs": len(rows), "heard": len(drifts), "steady": sum(x <= STEADY_CENTS for x in drifts),
        }  # fmt: skip
    straight = [pair["w, lerp"]["length"] / pair["z, lerp"]["length"] for pair in heard]
    found["w over z"] = {"length": [statistics.median(straight), float(np.quantile(straight, 0.9))]} if straight else {}
    return found


def table(found: dict[str, dict[str, Any]]) -> list[list[str]]:
    keys = {
        "length": "length (90 %)", "roughness": "roughness (90 %)", "squared_steps": "squared steps (90 %)",
        "longest_step": "longest step over mean (90 %)", "drift_cents": "drift, cents (90 %)",
        "off_cents": "most cents off (90 %)", "voiced": "voiced",
    }  # fmt: skip
    rows = [["way", "pairs", *keys.values(), f"within {STEADY_CENTS:.0f} cents"]]
    for name, row in found.items():
        if "pairs" not in row:
            continue
        cells = [f"{cell(row[key][0])} ({cell(row[key][1])})" if key in row else "" for key in keys]
        steady = f"{row['steady']} of {row['heard']}" if row["heard"] else ""
        rows.append([name, str(row["pairs"]), *cells, steady])
    return rows


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--pairs", type=int, default=32)
    parser.add_argument("--points", type=int, default=16)
    parser.add_argument("--pitch-pairs", type=int, default=12, help="so many of them are listened to for their pitch")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--vocoder")
    parser.add_argument("--embedding", default="yamnet")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    if args.points < 3:
        parser.error(f"--points {args.points}: give at least 3")
    return args


@torch.no_grad()
def main() -> None:
    args = parsed()
    os.environ["OMP_NUM_THREADS"] = str(args.threads)
    torch.set_num_threads(args.threads)
    pipeline = Pipeline.load(args.run, vocoder=args.vocoder, device=args.device)
    if not isinstance(pipeline.prior, MappedPrior):
        raise SystemExit(f"{args.run}: holds a {pipeline.kind}, which has no z to be mapped; give a GAN")
    embed = load_embedding(args.embedding, pipeline.device)
    pairs = [walk(pipeline, embed, args.seed + i, args, i < args.pitch_pairs) for i in range(args.pairs)]
    found = summary(pairs)
    silent = sum(bool(pair.get("silent")) for pair in pairs)
    print(f"{len(pairs)} pairs, {args.points} points each; {silent} left out, as a point of theirs is silent\n")
    print(markdown(table(found)))
    if found["w over z"]:
        middle, high = found["w over z"]["length"]
        print(f"\nlength in w over that in z (lerp), pair by pair: median {middle:.3f}, 90th percentile {high:.3f}")
    if args.json:
        args.json.write_text(json.dumps({"summary": found, "pairs": pairs}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
