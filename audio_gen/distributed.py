"""Distributed data-parallel training: the processes of a run, as `torchrun` starts them.

A batch is split into micro-batches with separate noise. Gradients, losses and statistics are averaged over all
processes, so a run's result depends on the number of micro-batches, not on that of processes. Each process holds all
networks; only the main process (rank 0) writes files.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from audio_gen.errors import AudioGenError, ConfigError, DesertedError

Value = TypeVar("Value")
CPU = torch.device("cpu")
PATIENCE = timedelta(hours=2)  # timeout of other processes while the main process evaluates and saves


@dataclass(frozen=True)
class World:
    """The processes of a run.

    Attributes:
        rank: Number of this process, from 0.
        size: Number of processes.
        device: Device of this process.
    """

    rank: int = 0
    size: int = 1
    device: torch.device = CPU

    @property
    def is_main(self) -> bool:
        """Whether this is the main process, which writes files and prints messages."""
        return self.rank == 0

    def micro_batches(self, batch_size: int, count: int | None) -> tuple[range, int, int]:
        """The micro-batches of this process.

        Args:
            batch_size: Clips of a step, over all processes.
            count: Micro-batches of a step; None for one per process.

        Returns:
            The numbers of its micro-batches, their count over all processes, and the clips in each.

        Raises:
            ConfigError: They cannot be divided evenly.
        """
        count = count or self.size
        own, rest = divmod(count, self.size)
        if rest:
            raise ConfigError(
                f"train.micro_batches ({count}) cannot be spread over {self.size} processes; start a number of "
                f"processes that divides it, or give --set train.micro_batches={self.size * (own + 1)}"
            )
        if count > batch_size:
            raise ConfigError(
                f"train.micro_batches ({count}) is above train.batch_size ({batch_size}), so that some would be empty; "
                "lower the first or raise the second"
            )
        if batch_size % count:
            raise ConfigError(
                f"train.batch_size ({batch_size}) cannot be split into {count} equal micro-batches; "
                f"give --set train.batch_size={count * -(-batch_size // count)}"
            )
        return range(self.rank * own, (self.rank + 1) * own), count, batch_size // count

    def sum(self, tensors: Sequence[Tensor]) -> None:
        """Sum tensors of any shape over all processes, in place.

        Raises:
            DesertedError: Another process is gone.
        """
        if self.size == 1 or not tensors:
            return
        flat = torch.cat([tensor.reshape(-1).to(torch.float32) for tensor in tensors])
        with connection_errors():
            dist.all_reduce(flat)
        parts = flat.split([tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view(tensor.shape))

    def maximum(self, *values: float) -> list[float]:
        """The maximum of each value over all processes.

        Raises:
            DesertedError: Another process is gone.
        """
        if self.size == 1:
            return list(values)
        own = torch.tensor(values, dtype=torch.float32 if self.device.type == "mps" else torch.float64)
        own = own.to(self.device)
        with connection_errors():
            dist.all_reduce(own, op=dist.ReduceOp.MAX)
        return own.tolist()

    def from_main(self, value: Any = None) -> Any:
        """Broadcast a plain value of the main process.

        Raises:
            DesertedError: Another process is gone.
        """
        if self.size == 1:
            return value
        box = [value]
        with connection_errors():
            dist.broadcast_object_list(box, src=0, device=self.device)
        return box[0]

    def broadcast(self, module: nn.Module) -> None:
        """Broadcast a module's state from the main process.

        Raises:
            DesertedError: Another process is gone.
        """
        if self.size == 1:
            return
        with connection_errors(), torch.no_grad():
            for tensor in module.state_dict().values():
                whole = tensor.detach().contiguous()
                dist.broadcast(whole, src=0)
                tensor.copy_(whole)

    def main_first(self, make: Callable[[], Value]) -> Value:
        """Call `make` in the main process, and return its plain value in every process.

        Raises:
            AudioGenError: `make` failed; every process raises the same message.
        """
        if self.size == 1:
            return make()
        if not self.is_main:
            error, value = self.from_main()
            if error is not None:
                raise ConfigError(error)
            return value
        try:
            value = make()
        except AudioGenError as e:
            self.from_main((str(e), None))
            raise
        return self.from_main((None, value))[1]


def own_rank() -> int:
    """Rank of this process from the launcher's environment; 0 without a launcher."""
    return int(os.environ.get("RANK", 0))


def join(device: torch.device) -> World:
    """Connect to the other processes of a run that `torchrun` or `accelerate launch` started.

    Args:
        device: Device of a single process; with several GPUs each process takes one.

    Raises:
        ConfigError: There are fewer GPUs than processes on this machine.
        DesertedError: The other processes cannot be reached.
    """
    size = int(os.environ.get("WORLD_SIZE", 1))
    if size == 1 or "MASTER_ADDR" not in os.environ:
        return World(device=device)
    if device.type == "cuda":
        local = int(os.environ.get("LOCAL_RANK", 0))
        if local >= torch.cuda.device_count():
            raise ConfigError(
                f"{local + 1} or more processes on a machine with {torch.cuda.device_count()} GPUs; "
                "start one per GPU, or add --device cpu"
            )
        device = torch.device("cuda", local)
        torch.cuda.set_device(device)
    if not dist.is_initialized():
        with connection_errors():
            dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
    return World(dist.get_rank(), dist.get_world_size(), device)


def leave() -> None:
    """Disconnect from the other processes, if any."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


@contextmanager
def connection_errors() -> Iterator[None]:
    """Raise a lost connection as a `DesertedError`.

    Raises:
        DesertedError: Another process is gone.
    """
    try:
        yield
    except RuntimeError as e:  # the type of torch's errors of distribution
        if isinstance(e, torch.OutOfMemoryError):
            raise
        raise DesertedError(
            f"process {own_rank()} lost contact with the other processes; start all of them again with the same "
            f"command to resume from the newest checkpoint ({(str(e).splitlines() or [type(e).__name__])[0][:200]})"
        ) from e
