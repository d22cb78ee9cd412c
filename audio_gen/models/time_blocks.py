"""Blocks along time, for latents (B, N, C) of any length: convolution (centred, causal or circular) and attention."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SHARPNESS = 3.0  # of attention at first: the largest logit

Edges = Literal["zeros", "circular"]  # what is beyond both ends: nothing, or the other end


class TimeConv(nn.Module):
    """Depthwise convolution along time of x (B, N, C).

    As a sum of shifted products it is faster on CPUs than a grouped convolution, and both ends can be joined.
    """

    def __init__(self, *, channels: int, kernel: int = 7, dilation: int = 1, causal: bool = False) -> None:
        """With `causal` a value depends on earlier ones only."""
        super().__init__()
        self.kernel, self.dilation = kernel, dilation
        reach = (kernel - 1) * dilation
        self.before = reach if causal else reach // 2
        self.after = reach - self.before
        self.weight = nn.Parameter(torch.empty(kernel, channels).uniform_(-1, 1) * kernel**-0.5)
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor, edges: Edges = "zeros") -> Tensor:
        """x (B, N, C) -> (B, N, C)."""
        count = x.shape[1]
        padded = padded_in_time(x, self.before, self.after, edges)
        weight = self.weight.to(x.dtype)
        total = self.bias.to(x.dtype).expand_as(x)
        for tap in range(self.kernel):
            start = tap * self.dilation
            total = torch.addcmul(total, padded[:, start : start + count], weight[tap])
        return total


def padded_in_time(x: Tensor, before: int, after: int, edges: Edges) -> Tensor:
    """x (B, N, C) with values added at both ends."""
    if edges == "circular":
        rows = torch.arange(-before, x.shape[1] + after, device=x.device) % x.shape[1]
        return x[:, rows]
    return F.pad(x, (0, 0, before, after))


class TimeBlock(nn.Module):
    """ConvNeXt block along time with scale and shift from a condition; a new block is nearly the identity.

    Source: Liu 2022 (ConvNeXt); AdaLN conditioning from Peebles and Xie 2023.
    """

    def __init__(
        self, *, channels: int, condition_dim: int = 0, kernel: int = 7, dilation: int = 1, causal: bool = False,
        expansion: int = 4,
    ) -> None:  # fmt: skip
        """A block for x (B, N, channels) and a condition (B, 1 or N, condition_dim)."""
        super().__init__()
        self.conv = TimeConv(channels=channels, kernel=kernel, dilation=dilation, causal=causal)
        self.norm = nn.LayerNorm(channels, elementwise_affine=condition_dim == 0)
        self.project = nn.Linear(condition_dim, 3 * channels) if condition_dim else None
        self.widen = nn.Linear(channels, expansion * channels)
        self.narrow = nn.Linear(expansion * channels, channels)
        self.gate = nn.Parameter(torch.full((channels,), 0.1)) if condition_dim == 0 else None
        if self.project is not None:
            nn.init.zeros_(self.project.weight)
            nn.init.zeros_(self.project.bias)

    def forward(self, x: Tensor, condition: Tensor | None = None, edges: Edges = "zeros") -> Tensor:
        """x (B, N, C) -> (B, N, C)."""
        h = self.norm(self.conv(x, edges))
        if self.project is None or condition is None:
            assert self.gate is not None
            return x + self.gate.to(x.dtype) * self.narrow(F.gelu(self.widen(h)))
        scale, shift, gate = self.project(condition).chunk(3, dim=2)
        h = torch.addcmul(shift, h, 1 + scale)
        return torch.addcmul(x, self.narrow(F.gelu(self.widen(h))), gate)


class TimeAttention(nn.Module):
    """Self-attention over all latents, without positions, with scale and shift from a condition; identity at first.

    Convolutions know what is near; this looks for what is alike, anywhere in a window or a circle.
    Source: Vaswani et al. 2017; normalised queries and keys from Dehghani et al. 2023.
    """

    def __init__(self, *, channels: int, condition_dim: int, heads: int = 4) -> None:
        """For x (B, N, channels), `channels` a multiple of `heads`, and a condition (B, 1 or N, condition_dim)."""
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(channels, elementwise_affine=False)
        self.project = nn.Linear(condition_dim, 3 * channels)
        nn.init.zeros_(self.project.weight)
        nn.init.zeros_(self.project.bias)
        self.mixed, self.out = nn.Linear(channels, 3 * channels), nn.Linear(channels, channels)
        self.sharpness = nn.Parameter(torch.full((heads, 1, 1), SHARPNESS))

    def forward(self, x: Tensor, condition: Tensor, sound: Tensor | None = None) -> Tensor:
        """x (B, N, C) -> (B, N, C); `sound` (B, N) bool says which latents are looked at."""
        scale, shift, gate = self.project(condition).chunk(3, dim=2)
        h = self.mixed(torch.addcmul(shift, self.norm(x), 1 + scale))
        query, key, value = h.unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # each (B, heads, N, C / heads)
        query = self.sharpness.to(x.dtype) * F.normalize(query, dim=-1)
        mask = None if sound is None else sound[:, None, None]
        found = _attended(query, F.normalize(key, dim=-1), value, mask)
        return torch.addcmul(x, self.out(found.transpose(1, 2).flatten(2)), gate)


def _attended(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    """Values (B, H, N, D) by the product of queries and keys.

    The fused kernel of torch 2.14 is slow backwards on a CPU: 65 to 120 ms in bf16 where plain products take 19.
    """
    if query.device.type != "cpu" or not torch.is_grad_enabled():
        return F.scaled_dot_product_attention(query, key, value, mask, scale=1.0)
    weights = (query.flatten(0, 1) @ key.flatten(0, 1).transpose(1, 2)).unflatten(0, query.shape[:2])
    weights = weights if mask is None else weights.masked_fill(~mask, -torch.inf)
    return (weights.softmax(dim=3).flatten(0, 1) @ value.flatten(0, 1)).unflatten(0, query.shape[:2])
