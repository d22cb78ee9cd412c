"""Do the checks of clips for a sampler stay silent on real sounds? One half of each folder is judged against the other.

python recipes/sampler_check/real_against_real.py FOLDER FOLDER .. --seeds 5
"""

import argparse
import random
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from audio_gen.evaluation import signal
from audio_gen.evaluation.clip_features import ClipFeatures, describe_clips
from audio_gen.evaluation.clips import find_clips
from audio_gen.evaluation.copies import duplicates
from audio_gen.evaluation.playability import playability


class Nothing:
    """An embedding that costs nothing: none of these checks asks for one."""

    name, digest, sample_rate, dimensions = "nothing", "0", 16_000, 1

    def __call__(self, wavs: list[Tensor]) -> Tensor:
        return torch.zeros(len(wavs), 1)


def figures(real: ClipFeatures, made: ClipFeatures) -> dict[str, Any]:
    assert real.views is not None and made.views is not None
    both = {"real": duplicates(real.views, real.classes), "generated": duplicates(made.views, made.classes)}
    return {"signal": signal.compare(real.signal, made.signal), "twins": both}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--seeds", type=int, default=5)
    args = parser.parse_args()
    for folder in args.folders:
        clips = find_clips(folder, labels="none").clips
        real = describe_clips(folder.name, clips, Nothing(), views=True)  # type: ignore[arg-type]
        alarms = []
        for seed in range(args.seeds):
            rows = list(range(len(real)))
            random.Random(seed).shuffle(rows)
            half = len(rows) // 2
            alarms += playability(figures(real.pick(rows[:half]), real.pick(rows[half:])))
        print(f"{folder.name}: {len(real)} clips, {args.seeds} splits, {len(alarms)} findings")
        for finding in alarms:
            print(f"  {finding.text}")


if __name__ == "__main__":
    main()
