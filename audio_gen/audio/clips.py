"""Process clips of a batch, or parts of a clip, in parallel on all cores."""

import os
import threading
from collections import deque
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

    A core takes the next item when it is done with one, so that a core which other programs use takes fewer. The
    function finds itself with its share of the cores. The first error ends it: what has not begun is dropped.
    """
    there = cores()
    workers = min(there, len(items))
    if workers < 2:
        with torch.no_grad():
            for item in items:
                function(item)
        return
    # These belong to a thread, and the others would not have them.
    inference, cast = torch.is_inference_mode_enabled(), torch.is_autocast_enabled("cpu")
    precision = torch.get_autocast_dtype("cpu")
    waiting = deque(items)

    def work() -> None:
        shared, _share.cores = getattr(_share, "cores", None), there // workers
        try:
            with torch.inference_mode(inference), torch.no_grad(), torch.autocast("cpu", precision, enabled=cast):
                while True:
                    try:
                        item = waiting.popleft()
                    except IndexError:
                        return
                    function(item)
        except BaseException:
            waiting.clear()
            raise
        finally:
            _share.cores = shared

    with one_thread():
        # One stays here: if all threads were new ones, the system might wake two on one core.
        others = [_pool(os.getpid()).submit(work) for _ in range(workers - 1)]
        try:
            work()
        finally:
            for other in others:
                if not other.cancel():  # what never began has nothing left to do
                    other.result()


def side_by_side(function: Callable[[int], Tensor], count: int) -> list[Tensor]:
    """What a function gives for 0 .. count - 1, as `on_cores` applies it, on one core each.

    The result does not depend on `count` or on the number of cores: torch works with one thread even if there is but
    one item to do, since sums may round differently in shares of another number.
    """
    made: list[Tensor | None] = [None] * count

    def keep(i: int) -> None:
        made[i] = function(i)

    with one_thread():
        on_cores(keep, range(count))
    return [one for one in made if one is not None]


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
    clips = batch.split(1)
    return joined(side_by_side(lambda i: function(clips[i]), len(clips)))
