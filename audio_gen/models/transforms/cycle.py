"""A network between two domains of sounds: the log-mel of a sound of one -> what it would be in the other."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from audio_gen.audio.mel import DB_PER_NAT
from audio_gen.models.codecs.patches import CEILING, CEILING_MARGIN, KERNEL, LEAST_SCALE, STRIDE, patched, unpatched
from audio_gen.models.contract import Kept
from audio_gen.models.time_blocks import TimeBlock
from audio_gen.models.transforms.sound import FINE, FLOOR, SoundFrames, loudness_db, quantiles, sounding

DOMAINS = 2
CONDITION = 64
LOUD = 95  # percent of the frames are softer
OUTPUTS = 3  # for each value: what is added, the share that is replaced, and the new value
SHARE_BIAS = 4.0  # at first 2 % are replaced
MOST_GAIN_DB = 40.0
LOUDER_DB = 6.0  # the most that a frame of a result is turned up to the level of the sound


class CycleNetwork(nn.Module):
    """Log-mel of any length -> log-mel, in patches of four frames; it starts as the identity, to within 0.1 nats.

    One network has both directions. It adds a change to each value, and replaces a share of it by a new one: what it
    leaves alone stays as sharp as it was, and a pause can be silent.
    Source: CycleGAN, Zhu 2017; frames that are masked in training and filled in, Kaneko 2021 (MaskCycleGAN-VC).
    """

    mean: Tensor
    scale: Tensor
    ceiling: Tensor
    level_db: Tensor

    def __init__(
        self, *, n_mels: int, n_classes: int, target: int = DOMAINS, width: int = 256, depth: int = 6,
        mel_floor: float = FLOOR,
    ) -> None:  # fmt: skip
        """For log-mel (B, n_mels, L) of two domains; `target` is the one that is meant if none is named, 2 for none."""
        super().__init__()
        if n_classes != DOMAINS:
            raise ValueError(f"{n_classes} domains: there are two")
        self.usual_target = target if target < DOMAINS else None
        self.n_mels, self.mel_floor = n_mels, mel_floor
        self.reach = depth * ((KERNEL - 1) // 2)  # patches on each side that a patch depends on
        self.register_buffer("mean", torch.zeros(n_mels, 1))
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("ceiling", torch.full((n_mels, 1), CEILING))
        self.register_buffer("level_db", torch.zeros(DOMAINS))
        self.stem = nn.Linear(STRIDE * (n_mels + 1), width)
        self.domain = nn.Embedding(DOMAINS, CONDITION)
        self.blocks = nn.ModuleList(
            TimeBlock(channels=width, condition_dim=CONDITION, kernel=KERNEL) for _ in range(depth)
        )
        self.head = nn.Linear(width, OUTPUTS * STRIDE * n_mels)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, mel: Tensor, target: Tensor) -> Tensor:
        """Log-mels (B, M, L) -> (B, M, L) in nats, no lower than silence; see `raw`."""
        return self.raw(mel, target).clamp(min=self.mel_floor)

    def raw(self, mel: Tensor, target: Tensor, known: Tensor | None = None) -> Tensor:
        """Transform log-mels.

        Args:
            mel: (B, M, L) in nats, L a multiple of 4.
            target: Numbers of the domains (B,).
            known: (B, 1, L), 0 for frames that are masked; None masks none.

        Returns:
            (B, M, L) in nats, no higher than training sounds.
        """
        known = torch.ones_like(mel[:, :1]) if known is None else known
        x = (mel - self.mean) / self.scale
        h = self.stem(patched(torch.cat([x * known, known], dim=1)))
        condition = self.domain(target)[:, None]
        for block in self.blocks:
            h = block(h, condition)
        change, share, new = unpatched(self.head(h), OUTPUTS * self.n_mels).float().chunk(OUTPUTS, dim=1)
        share = torch.sigmoid(share - SHARE_BIAS)
        return torch.minimum(mel + self.scale * change + share * (self.scale * new + self.mean - mel), self.ceiling)

    @torch.no_grad()
    def normalise(self, mel: Tensor) -> None:
        """Set mean, scale and ceiling by log-mels (B, M, L)."""
        self.mean.copy_(mel.mean((0, 2))[:, None])
        self.scale.copy_((mel - self.mean).std().clamp(min=LEAST_SCALE))
        self.ceiling.copy_(mel.amax((0, 2))[:, None] + CEILING_MARGIN)

    def begin(
        self, sound: SoundFrames, target: int, kept: Kept, advance: Callable[[float], object] = lambda share: None
    ) -> "CycleRendition":
        """See `Transform.begin`; of what can be kept, only loudness and levels are a choice."""
        gain_db = 0.0
        if kept.levels:
            gain_db = float(self.level_db[1 - target]) - usual_level_db(sound, advance)
        else:
            advance(1)
        return CycleRendition(self, target, sound, min(max(gain_db, -MOST_GAIN_DB), MOST_GAIN_DB) / DB_PER_NAT)


def usual_level_db(sound: SoundFrames, advance: Callable[[float], object] = lambda share: None) -> float:
    """The level in dB that a twentieth of the frames exceed, of those that are not silent."""
    levels = []
    for first, stop in sound.blocks():
        levels.append(loudness_db(sound.mel(first, stop), sound.spec))
        advance((stop - first) / sound.frames)
    return loud_db(torch.cat(levels))


def loud_db(level_db: Tensor) -> float:
    """The level that a twentieth of the frames (L,) exceed, of those that are not silent."""
    return float(quantiles(level_db[sounding(level_db)])[LOUD])


@dataclass(frozen=True)
class CycleRendition:
    """See `Rendition`.

    Attributes:
        network: The network.
        target: Number of the target.
        sound: The sound.
        gain: Nats that bring the sound to the level of the sounds that the network learned from.
    """

    network: CycleNetwork
    target: int
    sound: SoundFrames
    gain: float
    notes = ()
    smoothing = FINE
    louder_db = LOUDER_DB  # a pause that the target makes stays one

    @torch.no_grad()
    def mel(self, first: int, stop: int) -> Tensor:
        """See `Rendition.mel`."""
        network, device = self.network, self.network.mean.device
        start, end = first // STRIDE - network.reach, -(-stop // STRIDE) + network.reach
        mine = self.sound.mel(STRIDE * start, STRIDE * end)
        mine = torch.where(mine > FLOOR, (mine + self.gain).clamp(min=FLOOR), mine)
        mel = network(mine[None].to(device), torch.tensor([self.target], device=device))[0].cpu()
        return mel[:, first - STRIDE * start : stop - STRIDE * start]
