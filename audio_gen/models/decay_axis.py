"""The decay axis: log-mel spectrograms by the share of a clip's own length instead of seconds."""

import math

import torch
from torch import Tensor, nn

ATTACK_SEC = 0.035  # after the onset; it keeps its duration
DECAY_DB = 50.0  # below the peak: the end of a decay
END_NATS = DECAY_DB * math.log(10) / 20
SHORTEST = 2.0  # frames of decay
LONGEST = 1.5  # clips' frames; decays that leave the clip are continued up to here
BEYOND = 0.15  # of the decay, which the axis holds after its end
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
    part = level[:, int(frames * (1 - SLOPE_SHARE)) :].clamp(min=floor).double()
    time = torch.arange(part.shape[1], device=mel.device, dtype=part.dtype)
    time = time - time.mean()
    slope = -((part - part.mean(1, keepdim=True)) @ time / time.square().sum()).to(mel.dtype)  # nats a frame
    beyond = frames - 1 + (here - wanted) / slope.clamp(min=1e-4)
    end = torch.where(last == frames - 1, beyond, inside)
    return (top + (end - top) * (END_NATS / fall)).clamp(max=LONGEST * frames)


class DecayAxis(nn.Module):
    """Conversion of log-mels between time and an axis on which every decay has the same length.

    Frames up to shortly after the onset keep their time; the decay from there to its end is scaled linearly. So a blend
    of a short and a long sound is a sound in between, whose length is the geometric mean: mixed over time it would be
    a short sound with the tail of a long one.
    """

    def __init__(self, *, frames: int, onset: float, attack: float, floor: float) -> None:
        """An axis for clips of `frames` frames.

        They begin at frame `onset`, their first `attack` frames keep their duration; `floor` is the level of silence in
        nats.
        """
        super().__init__()
        self.frames, self.onset, self.attack, self.floor = frames, onset, attack, floor
        self.start = onset + attack  # frame from which time is scaled
        self.common = max(frames - 1.0, self.start + SHORTEST)  # row at which every decay ends
        self.rows = math.ceil(self.common + BEYOND * (self.common - self.start)) + 1

    def lengths(self, mel: Tensor) -> Tensor:
        """The log of the frames (B,) from onset to the end of the decay of log-mels (B, M, L)."""
        return (decay_end(mel, self.floor) - self.onset).clamp(min=self.attack + SHORTEST).log()

    def to_rows(self, mel: Tensor, length: Tensor) -> Tensor:
        """Log-mel (B, M, L) of a log length (B,) -> (B, M, rows); after the clip's end its decay is continued."""
        row = torch.arange(self.rows, device=mel.device, dtype=mel.dtype)
        speed = self._speed(length)[:, None]  # frames a row
        time = torch.where(row <= self.start, row, self.start + (row - self.start) * speed)
        fall = END_NATS / self._decay(length)
        return read_continued(mel, time, fall).clamp(min=self.floor)

    def to_time(self, rows: Tensor, length: Tensor) -> Tensor:
        """Rows (B, M, rows) at a log length (B,) -> log-mel (B, M, L)."""
        return read_continued(
            rows, self._row_of(length), END_NATS / (self.common - self.start) * torch.ones_like(length)
        )

    def position(self, length: Tensor) -> Tensor:
        """Each frame as a share of the decay (B, L): 0 until the attack ends, 1 at the decay's end."""
        return ((self._row_of(length) - self.start) / (self.common - self.start)).clamp(min=0)

    def carry(self, image: Tensor, source: Tensor, target: Tensor) -> Tensor:
        """An image (B, M, L) of a sound of one log length (B,) as it lies on a sound of another; zero after its end."""
        row = self._row_of(target)
        speed = self._speed(source)[:, None]
        time = torch.where(row <= self.start, row, self.start + (row - self.start) * speed)
        inside = (time <= self.frames - 1 + 1e-4).to(image.dtype)
        return read_continued(image, time, torch.zeros_like(source)) * inside[:, None]

    def _row_of(self, length: Tensor) -> Tensor:
        """The row (B, L) of each frame."""
        frame = torch.arange(self.frames, device=length.device, dtype=length.dtype)
        return torch.where(frame <= self.start, frame, self.start + (frame - self.start) / self._speed(length)[:, None])

    def _decay(self, length: Tensor) -> Tensor:
        """Frames (B,) of the decay, without the attack."""
        return (length.exp() - self.attack).clamp(SHORTEST, LONGEST * self.frames)

    def _speed(self, length: Tensor) -> Tensor:
        return self._decay(length) / (self.common - self.start)


def read_continued(x: Tensor, position: Tensor, fall: Tensor) -> Tensor:
    """Interpolate x (B, N, K) linearly at positions (B, J) -> (B, N, J); it falls by `fall` (B,) a step after K."""
    last = x.shape[-1] - 1
    inside = position.clamp(0, last)
    low = inside.detach().long().clamp(max=max(last - 1, 0))
    high = (low + 1).clamp(max=last)
    weight = (inside - low)[:, None]

    def at(index: Tensor) -> Tensor:
        return x.gather(2, index[:, None].expand(-1, x.shape[1], -1))

    beyond = (position - last).clamp(min=0)
    return torch.lerp(at(low), at(high), weight) - (beyond * fall[:, None])[:, None]
