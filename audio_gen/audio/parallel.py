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

FRAMES_AT_ONCE = 1 << 15  # about 2 GB of memory in an inversion

_lock, _inside, _threads = threading.Lock(), 0, 1
_share = threading.local()
Item = TypeVar("Item")


@contextmanager
def one_thread() -> Iterator[None]:
    """Limit torch to one thread: waking others takes longer than a short transform."""
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
    """The number of cores that this thread may use."""
    return getattr(_share, "cores", None) or (_threads if _inside else torch.get_num_threads())


def joined(clips: Sequence[Tensor]) -> Tensor:
    """Clips (1, ..) as a batch (B, ..); a single clip is not copied."""
    return torch.cat(list(clips)) if len(clips) > 1 else clips[0]


def on_cores(function: Callable[[Item], None], items: Sequence[Item]) -> None:
    """Apply a function to each item, on several cores, without gradients.

    Each core takes the next item when it is done, so a core that other programs use takes fewer. Within the function
    `cores` is its share of the cores. The first error cancels the items that have not begun.
    """
    available = cores()
    workers = min(available, len(items))
    if workers < 2:
        with torch.no_grad():
            for item in items:
                function(item)
        return
    # These settings are per thread.
    inference, cast = torch.is_inference_mode_enabled(), torch.is_autocast_enabled("cpu")
    precision = torch.get_autocast_dtype("cpu")
    waiting = deque(items)

    def work() -> None:
        shared, _share.cores = getattr(_share, "cores", None), available // workers
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
        # One worker is this thread: the system may wake two pool threads on one core.
        others = [_pool(os.getpid()).submit(work) for _ in range(workers - 1)]
        try:
            work()
        finally:
            for other in others:
                if not other.cancel():  # a worker that never began needs no wait
                    other.result()


def side_by_side(function: Callable[[int], Tensor], count: int) -> list[Tensor]:
    """The results of a function of 0 .. count - 1, each on one core (see `on_cores`).

    The result does not depend on `count` or the number of cores: torch uses one thread even for a single item, since
    sums that are split between threads round differently.
    """
    results: list[Tensor | None] = [None] * count

    def store(i: int) -> None:
        results[i] = function(i)

    with one_thread():
        on_cores(store, range(count))
    return [result for result in results if result is not None]


@lru_cache(maxsize=1)
def _pool(process: int) -> ThreadPoolExecutor:
    """Persistent threads (a thread's first FFT takes milliseconds), separate ones after a fork."""
    return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix=f"cores-{process}")


def each_clip(function: Callable[[Tensor], Tensor], batch: Tensor) -> Tensor:
    """Apply a function of batches to each clip of a batch (B, .., L) without gradients, and join the results.

    On a CPU a clip's result does not depend on the batch or the number of cores; iterations would amplify
    differences in rounding. On a GPU many clips run at once, since one does not fill it.
    """
    if batch.device.type != "cpu":
        with torch.no_grad():
            return joined([function(some) for some in batch.split(max(1, FRAMES_AT_ONCE // batch.shape[-1]))])
    clips = batch.split(1)
    return joined(side_by_side(lambda i: function(clips[i]), len(clips)))
