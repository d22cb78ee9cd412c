"""Prefetch batches in the background."""

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Prefetcher(Generic[Item]):
    """Calls `make(step)` for step, step + 1, .. in a thread and yields the results in order.

    An error in `make` is raised by `get`. Use it in a `with` block, or call `close`.
    """

    def __init__(self, make: Callable[[int], Item], start_step: int = 0, depth: int = 2) -> None:
        """Start the thread.

        Args:
            make: Returns the item of a step.
            start_step: The first step.
            depth: Maximum number of waiting items.
        """
        self._make, self._step = make, start_step
        self._waiting: queue.Queue[Item | BaseException] = queue.Queue(depth)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="prefetch", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[Item]:
        """Yield items endlessly."""
        while True:
            yield self.get()

    def get(self) -> Item:
        """The next item.

        Raises:
            Exception: The error of `make`.
            RuntimeError: The prefetcher is closed.
        """
        if self._closed.is_set():
            raise RuntimeError("this prefetcher is closed")
        item = self._waiting.get()
        if isinstance(item, BaseException):
            self._closed.set()
            raise item
        return item

    def close(self) -> None:
        """Stop the thread after its current item."""
        self._closed.set()
        self._thread.join()

    def __enter__(self) -> "Prefetcher[Item]":
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the thread."""
        self.close()

    def _run(self) -> None:
        step = self._step
        while not self._closed.is_set():
            item: Item | BaseException
            try:
                item = self._make(step)
            except BaseException as e:  # raised in the consumer
                item = e
            self._put(item)
            if isinstance(item, BaseException):
                return
            step += 1

    def _put(self, item: Item | BaseException) -> None:
        while not self._closed.is_set():
            try:
                return self._waiting.put(item, timeout=0.1)
            except queue.Full:
                continue
