"""Causal networks over a sequence of tokens, with a state for one token at a time: an LSTM and a transformer."""

from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

ROTARY_BASE = 10_000.0


class Memory(NamedTuple):
    """What a causal network keeps of the tokens so far: tensors of its layers, and their number."""

    tensors: tuple[Tensor, ...] = ()
    length: int = 0


class CausalNetwork(Protocol):
    """Tokens x (B, N, H) -> features (B, N, H) of each token and those before it."""

    def __call__(self, x: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        """Features of N more tokens after those in the memory, and the memory with them."""


class LSTM(nn.Module):
    """A stack of LSTM layers (Hochreiter and Schmidhuber 1997)."""

    def __init__(self, *, width: int, layers: int) -> None:
        """`layers` layers of `width` cells."""
        super().__init__()
        self.lstm = nn.LSTM(width, width, layers, batch_first=True)

    def forward(self, x: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        """See `CausalNetwork`."""
        state = None if memory.length == 0 else (memory.tensors[0], memory.tensors[1])
        y, (h, c) = self.lstm(x, state)
        return x + y, Memory((h, c), memory.length + x.shape[1])


class CausalTransformer(nn.Module):
    """A pre-norm transformer; each layer sees the last `reach` tokens, by their relative positions.

    Source: Vaswani et al. 2017; rotary positions, Su et al. 2021 (2104.09864).
    """

    def __init__(self, *, width: int, layers: int, heads: int, reach: int) -> None:
        """`layers` layers of `heads` heads; `heads` divides `width`, and a head has an even size."""
        super().__init__()
        self.reach = reach
        self.layers = nn.ModuleList(Layer(width=width, heads=heads) for _ in range(layers))

    def forward(self, x: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        """See `CausalNetwork`."""
        kept = memory.tensors[0].shape[2] if memory.length else 0
        query = torch.arange(memory.length, memory.length + x.shape[1], device=x.device)
        key = torch.arange(memory.length - kept, memory.length + x.shape[1], device=x.device)
        behind = query[:, None] - key
        mask = (behind >= 0) & (behind < self.reach)
        bias = torch.zeros(mask.shape, device=x.device).masked_fill_(~mask, -torch.inf)
        tensors: list[Tensor] = []
        for i, layer in enumerate(self.layers):
            x, keys, values = layer(x, query, bias, memory.tensors[2 * i : 2 * i + 2])
            tensors += [keys[:, :, -self.reach :], values[:, :, -self.reach :]]
        return x, Memory(tuple(tensors), memory.length + x.shape[1])


class Layer(nn.Module):
    """Attention and an MLP, each added to its input."""

    def __init__(self, *, width: int, heads: int) -> None:
        """`heads` heads, an MLP of four times the width."""
        super().__init__()
        self.heads = heads
        self.norm_attention, self.norm_mlp = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(
        self, x: Tensor, position: Tensor, bias: Tensor, past: tuple[Tensor, ...]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens x (B, N, H) at positions (N,), after keys and values `past`, with a mask as bias (N, K).

        Returns:
            Tokens (B, N, H), and all keys and values (B, heads, K, H / heads), turned to their positions.
        """
        qkv = self.qkv(self.norm_attention(x)).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        query, keys, values = rotate(qkv[0], position), rotate(qkv[1], position), qkv[2]
        if past:
            keys, values = torch.cat([past[0], keys], dim=2), torch.cat([past[1], values], dim=2)
        y = F.scaled_dot_product_attention(query, keys, values, attn_mask=bias.to(query.dtype))
        x = x + self.out(y.transpose(1, 2).flatten(2))  # (B, heads, N, H / heads) -> (B, N, H)
        return x + self.mlp(self.norm_mlp(x)), keys, values


def rotate(x: Tensor, position: Tensor) -> Tensor:
    """Turn pairs of numbers of x (.., N, F) by angles in proportion to the positions (N,)."""
    half = x.shape[-1] // 2
    rate = ROTARY_BASE ** (-torch.arange(half, device=x.device) / half)
    angle = position[:, None] * rate
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)
