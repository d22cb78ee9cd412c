"""Work on clips of a batch, or on parts of one clip, side by side: as many at a time as there are processor cores."""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from typing import TypeVar

import torch
from torch import Tensor

FRAMES_AT_ONCE = 1 << 15  # about 2 GB in all that an inversion needs

_lock, _inside, _threads = threading.Lock(), 0, 1
_share = threading.local()
Item = TypeVar("Item")


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch work on one core meanwhile: to wake others up takes longer than a short transform."""
    global _inside, _threads
    with _lock:
        _inside += 1
        if _inside == 1:
            _threads = torch.get_num_threads()
            torch.set_num_threads(1)
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                torch.set_num_threads(_threads)


def cores() -> int:
    """How many cores there are for the work of this thread."""
    return getattr(_share, "cores", None) or (_threads if _inside else torch.get_num_threads())


def joined(clips: Sequence[Tensor]) -> Tensor:
    """Clips (1, ..) as a batch (B, ..); a single one is not copied."""
    return torch.cat(list(clips)) if len(clips) > 1 else clips[0]


def on_cores(function: Callable[[Item], None], items: Sequence[Item]) -> None:
    """Apply a function to each item, side by side if there are several, and without gradients.

    Give it no more items than there are cores; the function finds itself with one.
    """
    # These belong to a thread, and the others would not have them.
    inference, cast = torch.is_inference_mode_enabled(), torch.is_autocast_enabled("cpu")
    precision = torch.get_autocast_dtype("cpu")

    def there(item: Item) -> None:
        shared, _share.cores = getattr(_share, "cores", None), 1
        try:
            call(item)
        finally:
            _share.cores = shared

    def call(item: Item) -> None:
        with torch.inference_mode(inference), torch.no_grad(), torch.autocast("cpu", precision, enabled=cast):
            function(item)

    if len(items) > 1:
        with one_thread():
            # One stays here: if all threads were new ones, the system might wake two on one core.
            others = [_pool(os.getpid()).submit(there, item) for item in items[1:]]
            try:
                there(items[0])
            finally:
                for other in others:
                    other.result()
    else:
        for item in items:
            call(item)


@lru_cache(maxsize=1)
def _pool(process: int) -> ThreadPoolExecutor:
    """Threads that stay, as the first FFT of a thread takes milliseconds; a fork has none of those before it."""
    return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix=f"cores-{process}")


def each_clip(function: Callable[[Tensor], Tensor], batch: Tensor) -> Tensor:
    """Apply a function of batches to each clip of a batch (B, .., L) without gradients, and join what it gives.

    On a CPU a clip comes out the same in every batch: the iterations of an inversion would blow up the rounding of a
    batch or a number of cores of another size. Elsewhere many clips go at once: one has too little to do for a GPU.
    """
    if batch.device.type != "cpu":
        with torch.no_grad():
            return joined([function(some) for some in batch.split(max(1, FRAMES_AT_ONCE // batch.shape[-1]))])
    clips, there = batch.split(1), cores()
    workers = min(there, len(clips))

    def share() -> None:
        _share.cores = there // workers

    @torch.no_grad()
    def alone(clip: Tensor) -> Tensor:
        return function(clip)

    with one_thread():
        if workers < 2:
            return joined([alone(clip) for clip in clips])
        with ThreadPoolExecutor(workers, initializer=share) as pool:
            return joined(list(pool.map(alone, clips)))
