"""What does stereo cost? Steps of training and rendered samples, mono and stereo in turn, in one process.

    python recipes/stereo/speed.py FOLDER [--model gan] [--steps 12] [--batch 32] [--threads 2]

FOLDER has stereo sounds; two caches of it, with 1 and 2 channels, are made in a temporary folder. A step reads a
batch and updates every network. The second row is the mel of real clips and its rendering by the default vocoder.
Prints the medians of CPU seconds, which other programs on the machine disturb less than the clock, and the speed of
stereo relative to mono.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch

from audio_gen import config
from audio_gen.audio.mel import MelFrontEnd
from audio_gen.data.cache import build_cache
from audio_gen.data.dataset import ClipDataset
from audio_gen.training.task import Task
from audio_gen.training.tasks.run import TASKS
from audio_gen.vocoding.load import load_vocoder

SAMPLES = 8  # rendered clips


class Trainer:
    """A model of clips with a number of channels, and its optimisers."""

    def __init__(self, folder: Path, out: Path, model: str, channels: int, batch: int) -> None:
        kind, make = TASKS[model]
        values = {"model": model, "data": {"channels": channels}, "train": {"steps": 1, "batch_size": batch}}
        self.settings, self.batch = config.build(kind, values), batch
        self.spec = self.settings.spec
        cache = build_cache(folder, out / str(channels), sample_rate=self.spec.sample_rate, data=self.settings.data)
        self.task: Task = make(self.settings, self.spec, cache)
        self.clips = ClipDataset(
            cache, split="train", segment_samples=self.task.segments[0], seed=0, preroll=self.task.preroll,
            crop=self.settings.data.crop, channels=self.spec.channels,
        )  # fmt: skip
        self.task.initialise(self.clips)
        self.phases = {phase.name: torch.optim.AdamW(phase.parameters(), lr=1e-5) for phase in self.task.phases()}
        self.generator = torch.Generator().manual_seed(0)
        self.vocoder = load_vocoder(None, self.spec)

    def step(self, number: int) -> None:
        """A step of training, half-way through a run."""
        shared = self.task.begin(self.clips.batch(number, self.batch), self.generator)
        statistics: dict[str, torch.Tensor] = {}
        for name, optimiser in self.phases.items():
            loss = self.task.loss(name, shared, self.generator, 0.5)
            optimiser.zero_grad()
            loss.total().backward()
            optimiser.step()
            statistics |= loss.statistics
        self.task.after_step(statistics)

    @torch.no_grad()
    def sample(self, number: int) -> None:
        """Render a few images; those of real clips, since their sound does not matter here."""
        self.vocoder(MelFrontEnd(self.spec)(self.clips.batch(number, SAMPLES).wav))


def cpu_sec(work: Callable[[int], None], number: int) -> float:
    """CPU seconds of a call, on all threads."""
    start = time.process_time()
    work(number)
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", choices=("gan", "vae"), default="gan")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as out:
        trainers = {c: Trainer(args.folder, Path(out), args.model, c, args.batch) for c in (1, 2)}
        print("| | mono, s | stereo, s | speed of stereo |\n| --- | --- | --- | --- |")
        for what, name in (("step", f"a step of the {args.model}"), ("sample", f"mel and vocoder of {SAMPLES} clips")):
            seconds: dict[int, list[float]] = {1: [], 2: []}
            for i in range(args.steps + 1):
                for channels, trainer in trainers.items():
                    seconds[channels].append(cpu_sec(getattr(trainer, what), i))
            mono, stereo = (median(seconds[channels][1:]) for channels in (1, 2))  # the first warms up
            print(f"| {name} | {mono:.3f} | {stereo:.3f} | {mono / stereo:.2f} x |", flush=True)


if __name__ == "__main__":
    main()
