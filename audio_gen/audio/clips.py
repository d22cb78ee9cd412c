"""Clips of a batch one by one, each on one processor core: as many at a time as there are cores."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch
from torch import Tensor

_lock, _inside, _threads = threading.Lock(), 0, 1


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


def each_clip(function: Callable[[Tensor], Tensor], batch: Tensor) -> Tensor:
    """Apply a function to each clip (1, ..) of a batch (B, ..), without gradients, and join what it gives (1, ..).

    A clip comes out the same in every batch: the iterations of an inversion would blow up the rounding of a batch or a
    number of cores of another size.
    """

    @torch.no_grad()
    def alone(clip: Tensor) -> Tensor:
        return function(clip)

    clips = batch.split(1)
    if batch.device.type != "cpu":
        return torch.cat([alone(clip) for clip in clips])
    cores = torch.get_num_threads()
    with one_thread():
        if min(cores, len(clips)) < 2:
            return torch.cat([alone(clip) for clip in clips])
        with ThreadPoolExecutor(min(cores, len(clips))) as pool:
            return torch.cat(list(pool.map(alone, clips)))
