"""The decay axis: the envelope of log-mel spectrograms by the share of a clip's own length instead of seconds."""

import math

import torch
from torch import Tensor, nn

from audio_gen.audio.mel import DB_PER_NAT

ATTACK_SEC = 0.035  # after the onset; it keeps its duration
DECAY_DB = 50.0  # below the peak: the end of a decay
END_NATS = DECAY_DB / DB_PER_NAT
SHORTEST = 2.0  # frames of decay
LONGEST = 1.5  # clips' frames; decays that leave the clip are continued up to here
BEYOND = 0.15  # of the decay, which the axis holds after its end
KNOTS = 12  # points of the envelope; more blur the detail of blends, fewer leave steps in their decay
LAST = 3  # intervals between knots, whose slope goes on after the last one
READS = 8  # of the decay for each knot
FLOOR_MARGIN, LEAST_NATS = 0.5, 1.0  # above the floor, and of a fall that is measured
SLOPE_SHARE = 0.5  # of a clip, the last part, whose slope continues the decay


def frame_levels(mel: Tensor, floor: float = -math.inf) -> Tensor:
    """The level of each frame in nats (B, L) of log-mels (B, M, L): half the log of the power above `floor`."""
    return torch.logsumexp(2 * mel.masked_fill(mel <= floor, -math.inf), dim=1) / 2


def decay_end(mel: Tensor, floor: float) -> Tensor:
    """The frame (B,) from which log-mels (B, M, L) stay 50 dB below their peak, read between frames.

    A decay that leaves the clip is continued with the slope of its second half, and one that reaches the floor (nats)
    earlier with its mean slope, up to `LONGEST` clips.
    """
    level, frames = frame_levels(mel, floor), mel.shape[2]
    peak, top = level.max(1)  # (B,)
    peak = peak.clamp(min=floor)
    fall = (peak - floor - FLOOR_MARGIN).clamp(LEAST_NATS, END_NATS)
    wanted = peak - fall
    frame = torch.arange(frames, device=mel.device)
    last = torch.where(level >= wanted[:, None], frame, 0).amax(1)
    here = level.gather(1, last[:, None])[:, 0]
    after = level.gather(1, (last + 1).clamp(max=frames - 1)[:, None])[:, 0]
    inside = last + ((here - wanted) / (here - after).clamp(min=1e-6)).nan_to_num(0.0).clamp(0, 1)
    part = level[:, int(frames * (1 - SLOPE_SHARE)) :].clamp(min=floor)
    time = torch.arange(part.shape[1], device=mel.device, dtype=part.dtype)
    time = time - time.mean()
    # Not a product of matrices, which autocast would compute in bf16.
    slope = -((part - part.mean(1, keepdim=True)) * time).sum(1) / time.square().sum()  # nats a frame
    beyond = frames - 1 + (here - wanted) / slope.clamp(min=1e-4)
    end = torch.where(last == frames - 1, beyond, inside)
    return (top + (end - top) * (END_NATS / fall)).clamp(max=LONGEST * frames)


class DecayAxis(nn.Module):
    """Conversion of log-mels between time and the coordinates in which sounds are blended.

    The attack keeps its time. The decay is split: its envelope, a few knots joined by lines, lies at shares of the
    clip's own length; the detail around the envelope keeps its time, since stretched noise is no noise. So a blend of a
    short and a long sound has a length in between, the geometric mean, and one decay. Mixed over time, it would be the
    short sound with the tail of the long one.
    """

    fit: Tensor
    share: Tensor

    def __init__(self, *, frames: int, onset: float, attack: float, floor: float) -> None:
        """An axis for clips of `frames` frames.

        They begin at frame `onset`, their first `attack` frames keep their duration; `floor` is the level of silence in
        nats.
        """
        super().__init__()
        fits = onset >= 0 and attack >= 0 and onset + attack < frames
        assert fits, f"decay_onset ({onset:g}) and decay_attack ({attack:g}) must lie within {frames} frames"
        self.frames, self.onset, self.attack, self.floor = frames, onset, attack, floor
        self.start = onset + attack  # frame of the first knot
        self.columns = KNOTS + frames
        self.weight = math.sqrt(frames / KNOTS)  # of a knot, so that a column counts as much as it changes
        share = torch.linspace(0, 1, READS * (KNOTS - 1) + 1)
        hats = (1 - (torch.arange(KNOTS)[:, None] - share * (KNOTS - 1)).abs()).clamp(min=0)
        self.register_buffer("share", share * (1 + BEYOND), persistent=False)  # of the decay
        self.register_buffer("fit", torch.linalg.pinv(hats.double()).float(), persistent=False)  # least squares

    def lengths(self, mel: Tensor) -> Tensor:
        """The log of the frames (B,) from onset to the end of the decay of log-mels (B, M, L)."""
        return (decay_end(mel, self.floor) - self.onset).clamp(min=self.attack + SHORTEST).log()

    def to_columns(self, mel: Tensor, length: Tensor) -> Tensor:
        """Log-mel (B, M, L) of a log length (B,) -> weighted knots of its envelope, then its detail (B, M, columns)."""
        fall = END_NATS / length.exp()  # nats a frame, by which a decay that leaves the clip is continued
        knots = self._knots(mel, length, fall).clamp(min=self.floor)
        return torch.cat([self.weight * knots, mel - self._envelope(knots, length)], dim=2)

    def to_time(self, columns: Tensor, length: Tensor) -> Tensor:
        """Columns (B, M, columns) at a log length (B,) -> log-mel (B, M, L)."""
        return self._envelope(columns[..., :KNOTS] / self.weight, length) + columns[..., KNOTS:]

    def carry(self, image: Tensor, start: Tensor, end: Tensor) -> Tensor:
        """An image (B, M, L) of a sound of log length `start` (B,) as it lies on a sound of log length `end`.

        It is zero after that sound's end.
        """
        knots = self._knots(image, start, torch.zeros_like(start))
        detail = image - self._joined(knots, start)
        inside = (self._share_of(end) <= 1 + BEYOND).to(image.dtype)[:, None]
        return (self._joined(knots, end) + detail) * inside

    def _knots(self, mel: Tensor, length: Tensor, fall: Tensor) -> Tensor:
        """The knots (B, M, KNOTS) whose lines are closest to log-mels (B, M, L)."""
        with torch.autocast(mel.device.type, enabled=False):
            time = self.start + self.share * self._decay(length)[:, None]
            return read_continued(mel.float(), time, fall) @ self.fit

    def _envelope(self, knots: Tensor, length: Tensor) -> Tensor:
        """The envelope (B, M, L), not below the floor; 0 in the attack."""
        return torch.where(self._after_attack(length), self._joined(knots, length).clamp(min=self.floor), 0.0)

    def _joined(self, knots: Tensor, length: Tensor) -> Tensor:
        """Lines between knots over time (B, M, L): 0 in the attack, and after the last knot going on down."""
        position = self._share_of(length).clamp(min=0) / (1 + BEYOND) * (KNOTS - 1)
        fall = ((knots[..., -1 - LAST] - knots[..., -1]) / LAST).clamp(min=0)  # (B, M)
        beyond = (position - (KNOTS - 1)).clamp(min=0)[:, None]
        joined = read_continued(knots, position, torch.zeros_like(length)) - beyond * fall[..., None]
        return torch.where(self._after_attack(length), joined, 0.0)

    def _after_attack(self, length: Tensor) -> Tensor:
        return torch.arange(self.frames, device=length.device) > self.start

    def _share_of(self, length: Tensor) -> Tensor:
        """Each frame as a share of the decay (B, L); negative in the attack."""
        frame = torch.arange(self.frames, device=length.device, dtype=length.dtype)
        return (frame - self.start) / self._decay(length)[:, None]

    def _decay(self, length: Tensor) -> Tensor:
        """Frames (B,) of the decay, without the attack."""
        return (length.exp() - self.attack).clamp(SHORTEST, LONGEST * self.frames)


def read_continued(x: Tensor, position: Tensor, fall: Tensor) -> Tensor:
    """Interpolate x (B, N, K) linearly at positions (B, J) -> (B, N, J); it falls by `fall` (B,) a step after K."""
    last = x.shape[-1] - 1
    inside = position.clamp(0, last)
    low = inside.detach().nan_to_num(0.0).long().clamp(max=max(last - 1, 0))  # NaN comes through the weight
    high = (low + 1).clamp(max=last)
    weight = (inside - low)[:, None]

    def at(index: Tensor) -> Tensor:
        return x.gather(2, index[:, None].expand(-1, x.shape[1], -1))

    beyond = (position - last).clamp(min=0)
    return torch.lerp(at(low), at(high), weight) - (beyond * fall[:, None])[:, None]
