"""What each direction does to 50 samples: does it move the right way, as far as asked, and nothing else?

    audio-gen directions RUN; python recipes/blends/moves.py RUN .. [-n 50] [--amount 1] [--seed 20000]

Each sample moves by +AMOUNT and by -AMOUNT along each direction. Right way: by a tenth of the request or more. Reached:
the change as a share of the request, median (10th to 90th percentile). Others: the median change of each of the other
descriptors. Held: samples whose attack and whose length change by at most 10 %. Peak: samples that come within 1 dB of
their peak more than 50 ms earlier or later. All are measured on the decoded log-mels. A sound that reaches the end of
the model's clip can sound no longer: "can" counts the samples whose length is inside the clip before and after.
"""

import argparse
import math
from pathlib import Path

import torch
from torch import Tensor

from audio_gen.audio.mel import MelSpec
from audio_gen.generation.descriptors import DESCRIPTORS, describe_mel, descriptors_of, steps_of
from audio_gen.generation.directions import load_directions
from audio_gen.generation.moves import LENGTH, move
from audio_gen.generation.pipeline import Pipeline
from audio_gen.models.decay_axis import frame_levels

NAMES = list(DESCRIPTORS)
ATTACK = NAMES.index("attack")
RIGHT, HELD, PEAK_SEC, COUNT, SEED = 0.1, math.log2(1.1), 0.05, 50, 20000
NEAR_NATS, INSIDE = math.log(10) / 20, 0.95


def size(name: str, change: float) -> str:
    return f"{change:.1f} dB" if DESCRIPTORS[name].unit == "dB" else f"{2**change - 1:.0%}"


def percent(which: Tensor) -> str:
    return f"{float(which.double().mean()):.0%}" if len(which) else "-"


def peaks(image: Tensor, spec: MelSpec) -> Tensor:
    level = frame_levels(image[:, : spec.n_mels])
    return (level >= level.amax(1, keepdim=True) - NEAR_NATS).int().argmax(1) / spec.frame_rate


def row(run: str, pipeline: Pipeline, name: str, amount: float, count: int, seed: int) -> str:
    names = list(descriptors_of(pipeline.spec))
    points = pipeline.latents(range(seed, seed + count))
    found = move(pipeline, points, load_directions(pipeline), {name: amount})
    mels = [pipeline.decode(some) for some in (points, found.points)]
    before, after = (describe_mel(mel, pipeline.spec, pipeline.codec.mel_floor) for mel in mels)
    number, change = NAMES.index(name), after - before
    audible = ~change.isnan().any(1)
    change = change[audible]
    steps = steps_of(pipeline.spec)
    share = change[:, number] / (amount * steps[number])
    can = torch.ones(len(change), dtype=torch.bool)
    if number == LENGTH:
        can = before[audible, LENGTH] + max(amount, 0) * steps[LENGTH] < math.log2(INSIDE * pipeline.duration_sec)
    low, middle, high = share.quantile(torch.tensor([0.1, 0.5, 0.9])).tolist()
    others = ", ".join(
        f"{other} {size(other, float(change[:, i].abs().median()))}" for i, other in enumerate(names) if i != number
    )
    held = [percent(change[:, i].abs() <= HELD) if i != number else "-" for i in (ATTACK, LENGTH)]
    first, second = (peaks(mel, pipeline.spec)[audible] for mel in mels)
    shifted = percent((second - first).abs() > PEAK_SEC)
    return (
        f"| {run} | {name} {amount:+g} | {percent(share > RIGHT)} | {percent(share[can] > RIGHT)} of {int(can.sum())} "
        f"| {middle:.2f} ({low:.2f} to {high:.2f}) | {others} | {held[0]} / {held[1]} | {shifted} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("-n", "--count", type=int, default=COUNT)
    parser.add_argument("--amount", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=SEED)
    args = parser.parse_args()
    print("| run | move | right way | of those that can | reached | others | attack / length held | peak moved |")
    print("|---|---|---|---|---|---|---|---|")
    for run in args.runs:
        pipeline = Pipeline.load(run, vocoder="griffinlim:1", device="cpu")
        for name in descriptors_of(pipeline.spec):
            for sign in (1, -1):
                print(row(run.name, pipeline, name, sign * args.amount, args.count, args.seed), flush=True)


if __name__ == "__main__":
    main()
