"""Shared by all embeddings: the interface, the digest, and the mean over the windows of a clip."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor

BATCH_WINDOWS = 64

Cut = Callable[[Tensor], Tensor]
Network = Callable[[Tensor], Tensor]


class Embedding(Protocol):
    """Turns clips into vectors; two vectors can be compared only if `name` and `digest` agree.

    Attributes:
        name: Its name in reports.
        digest: Twelve hex digits of its weights and its use of them.
        sample_rate: Sample rate of its input clips, in Hz.
        dimensions: Length of a vector, D.
    """

    name: str
    digest: str
    sample_rate: int
    dimensions: int

    def __call__(self, wavs: Sequence[Tensor]) -> Tensor:
        """Embed clips.

        Args:
            wavs: Mono float32 clips (T,) at `sample_rate`, each of any length from 1 sample.

        Returns:
            (N, D) float32 on the CPU; a clip's vector does not depend on the others (to 1e-5).
        """


def digest_of(weights: Iterable[Tensor], use: str) -> str:
    """Twelve hex digits that change with any weight, and with `use`, a description of the computation."""
    digest = hashlib.sha256(use.encode())
    for weight in weights:
        digest.update(f"{tuple(weight.shape)} {weight.dtype}".encode())
        digest.update(weight.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:12]


def mean_over_windows(wavs: Sequence[Tensor], cut: Cut, network: Network, dimensions: int) -> Tensor:
    """Embed each clip as the mean of the network's vectors of its windows, `BATCH_WINDOWS` at a time across clips.

    Args:
        wavs: Clips (T,).
        cut: Turns a clip into its windows (K, ...), at least one, of the same shape for every clip.
        network: Turns windows (B, ...) into vectors (B, D).
        dimensions: D.

    Returns:
        (N, D) float32 on the CPU.
    """
    # In double precision, so that the order of windows does not matter.
    total = torch.zeros(len(wavs), dimensions, dtype=torch.float64)
    count = torch.zeros(len(wavs), 1, dtype=torch.float64)
    for windows, owners in _batches(wavs, cut):
        with torch.inference_mode():
            vectors = network(windows).cpu().double()
        total.index_add_(0, owners, vectors)
        count.index_add_(0, owners, torch.ones(len(owners), 1, dtype=torch.float64))
    return (total / count).float()


def _batches(wavs: Sequence[Tensor], cut: Cut) -> Iterator[tuple[Tensor, Tensor]]:
    """Windows (B, ...) and the indices (B,) of the clips that they come from."""
    windows: list[Tensor] = []
    owners: list[int] = []
    for i, wav in enumerate(wavs):
        for part in cut(wav).split(BATCH_WINDOWS):
            windows.append(part)
            owners += [i] * len(part)
            if len(owners) >= BATCH_WINDOWS:
                whole, which = torch.cat(windows), torch.tensor(owners)
                yield whole[:BATCH_WINDOWS], which[:BATCH_WINDOWS]
                windows, owners = [whole[BATCH_WINDOWS:]], owners[BATCH_WINDOWS:]
    if owners:
        yield torch.cat(windows), torch.tensor(owners)
