"""`train --auto`: choose threads, model size and batch size by a short benchmark on this device and these sounds."""

import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from audio_gen import config
from audio_gen.data.dataset import ClipDataset
from audio_gen.data.store import Cache
from audio_gen.errors import is_out_of_memory
from audio_gen.training.schedule import Budget
from audio_gen.training.step import Updater
from audio_gen.training.task import Task
from audio_gen.training.tasks.gan.settings import SIZES as GAN_SIZES
from audio_gen.training.tasks.sequence.settings import SIZES as PRIOR_SIZES
from audio_gen.training.tasks.settings import RunConfig

# From small to large: overrides of the defaults.
SIZES: dict[str, dict[str, dict[str, Any]]] = {
    "vae": {
        "the default size": {},
        "twice as wide": {"net": {"channels": [64, 128, 192, 256]}},
        "three times as wide": {"net": {"channels": [96, 192, 288, 384], "blocks": 2}},
    },
    "gan": {f"net.size={size}": {"net": {"size": size}} for size in GAN_SIZES},
    "vocoder": {
        "net.dim=128": {"net": {"dim": 128}},
        "net.dim=192": {"net": {"dim": 192}},
        "net.dim=256": {"net": {"dim": 256, "blocks": 8}},
    },
    "transfer": {
        "net.width=256": {},
        "net.width=384": {"net": {"width": 384}},
        "net.width=768": {"net": {"width": 768, "depth": 8}},
    },
    "sequence": {f"prior.size={size}": {"prior": {"size": size}} for size in PRIOR_SIZES["flow"]},
}
WANTED_CLIPS = 20_000  # that a run should see, repeats included
LONGEST_SEC = 3600.0  # of a run with a length in steps or images
PROBE_SEC, MIN_STEPS = 1.5, 2
FASTER = 1.15  # least speed-up for a larger batch or more threads
MOST_CLIPS = 256  # in a batch


@dataclass
class Probe:
    """Measures the training speed of settings.

    Attributes:
        make_task: Builds the task of settings.
        cache: The sounds.
        device: Device to train on.
    """

    make_task: Callable[[RunConfig], Task]
    cache: Cache
    device: torch.device

    def clips_a_sec(self, settings: RunConfig) -> float:
        """Training clips per second; 0 if memory is too small."""
        try:
            return self._clips_a_sec(settings)
        except Exception as e:
            if not is_out_of_memory(e):
                raise
            return 0.0
        finally:
            if self.device.type == "cuda":
                torch.cuda.empty_cache()

    def _clips_a_sec(self, settings: RunConfig) -> float:
        task, train = self.make_task(settings), settings.train
        samples, _ = task.segments
        data = ClipDataset(self.cache, split="train", segment_samples=samples, seed=train.seed, preroll=task.preroll)
        task.modules.to(self.device).train()
        updater = Updater(task, train.model_copy(update={"micro_batches": None}), self.device)
        done, started = -1, 0.0
        while done < MIN_STEPS or time.perf_counter() - started < PROBE_SEC:
            updater.step([data.batch(done + 1, train.batch_size).to(self.device)], done + 1, 0.5)
            if self.device.type == "cuda":
                torch.cuda.synchronize(self.device)
            done += 1
            if done == 0:  # the first step includes set-up
                started = time.perf_counter()
        return done * train.batch_size / (time.perf_counter() - started)


def choose(settings: RunConfig, given: Iterable[str], probe: Probe, tell: Callable[[str], None]) -> RunConfig:
    """Choose threads, model size and batch size for the device and the run's length.

    Args:
        settings: Settings without --auto.
        given: Keys set by the user, such as train.batch_size; they stay.
        probe: Measures settings.
        tell: Gets a line with the reason for each choice.

    Returns:
        The settings to train with; torch's thread count is set.
    """
    given = set(given)
    if probe.device.type == "cpu":
        _choose_threads(settings, probe, tell)
    if not any(key.startswith("net.") for key in given):
        settings = _choose_size(settings, probe, tell)
    if probe.device.type != "cpu" and "train.batch_size" not in given:
        settings = _choose_batch(settings, probe, tell)
    return settings


def _choose_threads(settings: RunConfig, probe: Probe, tell: Callable[[str], None]) -> None:
    """The fewest threads that are nearly as fast as the best; OMP_NUM_THREADS takes precedence."""
    most = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if "OMP_NUM_THREADS" in os.environ or most == 1:
        return tell(f"--auto: {torch.get_num_threads()} threads, as the environment says")
    rates: dict[int, float] = {}
    for count in sorted({1, (most + 1) // 2, most}):
        torch.set_num_threads(count)
        rates[count] = probe.clips_a_sec(settings)
    chosen = next(count for count in rates if FASTER * rates[count] >= max(rates.values()))
    torch.set_num_threads(chosen)
    tell(f"--auto: {chosen} threads ({_rates_text({str(count): rate for count, rate in rates.items()})} clips/s)")


def _choose_size(settings: RunConfig, probe: Probe, tell: Callable[[str], None]) -> RunConfig:
    """The largest model that sees enough clips in the run's time, or ends in time."""
    budget, train = Budget.of(settings.train), settings.train
    clips = None if budget.steps is None else budget.steps * train.batch_size
    rates: dict[str, float] = {}
    chosen, name = settings, ""
    for size, changes in SIZES[settings.model].items():
        sized = changed(settings, changes)
        rates[size] = probe.clips_a_sec(sized)
        seconds = LONGEST_SEC if budget.minutes is None else 60 * budget.minutes
        if name and rates[size] * seconds < (WANTED_CLIPS if clips is None else clips):
            break
        chosen, name = sized, size
    why = (
        f"{rates[name] * 60 * budget.minutes:,.0f} clips in {budget.minutes:g} minutes, {WANTED_CLIPS:,} are wanted"
        if budget.minutes is not None
        else f"{clips:,} clips in {(clips or 0) / max(rates[name], 1e-9) / 60:,.0f} minutes"
    )
    tell(f"--auto: {name}, {why} ({_rates_text(rates)} clips/s)")
    return chosen


def _choose_batch(settings: RunConfig, probe: Probe, tell: Callable[[str], None]) -> RunConfig:
    """Double the batch while that is faster, fits in memory, and there are enough clips."""
    size = settings.train.batch_size
    rates = {size: probe.clips_a_sec(settings)}
    while 2 * size <= min(MOST_CLIPS, len(probe.cache.split("train"))):
        rates[2 * size] = probe.clips_a_sec(changed(settings, {"train": {"batch_size": 2 * size}}))
        if rates[2 * size] < FASTER * rates[size]:
            break
        size *= 2
    tell(f"--auto: batches of {size} ({_rates_text({str(count): rate for count, rate in rates.items()})} clips/s)")
    return changed(settings, {"train": {"batch_size": size}})


def changed(settings: RunConfig, changes: Mapping[str, Any]) -> RunConfig:
    """Settings with some of their values changed."""
    return config.build(type(settings), config.merge(settings.model_dump(mode="json", exclude_none=True), changes))


def _rates_text(rates: Mapping[str, float]) -> str:
    return ", ".join(f"{name}: {rate:.3g}" if rate else f"{name}: too large" for name, rate in rates.items())
