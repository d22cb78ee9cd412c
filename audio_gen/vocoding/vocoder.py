"""What a vocoder is, and what a log-mel must be to go into one."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from audio_gen.audio.mel import LOG_FLOOR, MelSpec
from audio_gen.errors import DataError, MelMismatchError

CHECKED_FRAMES = 2048
# In nats. Full-scale white noise dips far below the first in some band; amplitudes do not, even if interpolated.
LINEAR_ABOVE, LOUDEST, QUIETEST = -0.1, 15.0, -40.0


Decoder = Callable[[Tensor, int], Tensor]  # log-mel (M, L) and the clip's frame that it begins with -> wav (1, T)


@dataclass(frozen=True)
class Streaming:
    """How a vocoder decodes one clip part by part.

    Attributes:
        context_frames: Frames to either side of its own that the sound of a frame depends on.
        begin: Returns the decoder of a new clip, which takes the parts in order.
    """

    context_frames: int
    begin: Callable[[], Decoder]


class Vocoder(Protocol):
    """Anything that turns log-mels of its `spec` into sound."""

    @property
    def name(self) -> str:
        """Name in sidecars and reports."""

    @property
    def spec(self) -> MelSpec:
        """Mel definition of its input."""

    @property
    def streaming(self) -> Streaming | None:
        """How it decodes a clip in parts; None if it needs the whole clip."""

    def __call__(self, mel: Tensor, onset: float | None = None) -> Tensor:
        """Turn log-mel (B, M, L) into wav (B, 1, L * hop_length); on a CPU a clip is the same in every batch.

        Silence surrounds the clips. `onset` is the sample before which all clips are silent, if known; it sharpens
        attacks.
        """


class LongMel(Protocol):
    """A log-mel (M, L) read in parts: a tensor, or an object that returns tensors (M, l) without holding all of it."""

    @property
    def shape(self) -> Sequence[int]:
        """M and L."""

    def __getitem__(self, part: tuple[slice, slice], /) -> Tensor:
        """Return the bands and frames that two slices name."""


def check_mel(mel: LongMel, spec: MelSpec, name: str = "the mel") -> None:
    """Refuse an array that cannot be a log-mel; a long one is read block by block.

    Args:
        mel: (M, L), natural logarithm.
        spec: Mel definition of the vocoder.
        name: The user's name for the mel.

    Raises:
        MelMismatchError: It has another number of bands.
        DataError: It holds NaN or infinity, or is linear or in dB.
    """
    shape = tuple(mel.shape)
    if len(shape) != 2 or not shape[1] or shape[0] != spec.n_mels:
        raise MelMismatchError(
            f"{name}: has the shape {'x'.join(map(str, shape))}, and the vocoder takes {spec.n_mels} bands x frames; "
            "make it with the vocoder's mel, or transpose it if frames come first"
        )
    low, high = math.inf, -math.inf
    for start in range(0, shape[1], CHECKED_FRAMES):
        block = mel[:, start : start + CHECKED_FRAMES]
        _check_finite(block, start, spec, name)
        low, high = min(low, float(block.min())), max(high, float(block.max()))
    if low >= LINEAR_ABOVE:
        raise DataError(
            f"{name}: lies between {low:.3g} and {high:.3g}, as amplitudes do and logarithms do not; give "
            "log(max(mel, 1e-5))"
        )
    if low < QUIETEST or high > LOUDEST:
        raise DataError(
            f"{name}: lies between {low:.3g} and {high:.3g}, which no natural-log mel of a sound does; if it "
            "is in dB, divide it by 8.686"
        )


def _check_finite(block: Tensor, start: int, spec: MelSpec, name: str) -> None:
    """Refuse NaN and infinity in the part (M, l) of a mel that begins with its frame `start`."""
    if not bool(block.isfinite().all()):
        frame, band = (int(i) for i in (~block.isfinite()).T.nonzero()[0])  # the earliest frame's lowest band
        seconds, value = (start + frame) / spec.frame_rate, float(block[band, frame])
        raise DataError(
            f"{name}: holds {value} in band {band} of frame {start + frame} ({seconds:.2f} s), counted from 0; look at "
            f"what made it, a silent band is {LOG_FLOOR:.2f}"
        )
