"""Classes of sequences that are not asked for: drawn by their frequency in training."""

from collections.abc import Sequence

import torch
from torch import Tensor

from audio_gen.models.contract import CLASS, Conditions


def drawn_classes(asked: Conditions, shares: Tensor, generators: Sequence[torch.Generator]) -> Conditions:
    """The same conditions with a class for every clip.

    Args:
        asked: Conditions of B clips, on the CPU.
        shares: Frequencies of the classes (C,).
        generators: B random generators; one number is drawn from each.
    """
    edges = shares.double().cpu().cumsum(0)
    found = []
    for known, generator in zip(asked.get(CLASS).tolist(), generators, strict=True):
        draw = torch.rand((), generator=generator, dtype=torch.float64) * edges[-1]
        found.append(known if known >= 0 else min(int((edges <= draw).sum()), len(edges) - 1))
    return asked.replaced(CLASS, torch.tensor(found))
