"""The vocoder protocol, and checks of its input."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from audio_gen.audio.mel import LOG_FLOOR, MelSpec
from audio_gen.errors import DataError, MelMismatchError

CHECKED_FRAMES = 2048
# In nats. Log-mels fall below the first even for full-scale noise; linear amplitudes are never below it.
LINEAR_ABOVE, LOUDEST, QUIETEST = -0.1, 15.0, -40.0


Decoder = Callable[[Tensor, int], Tensor]  # log-mel (M, L) and its first frame within the clip -> wav (1, T)


@dataclass(frozen=True)
class Streaming:
    """How a vocoder decodes one clip part by part.

    Attributes:
        context_frames: Frames of context on each side of a frame's sound.
        begin: Returns the decoder of a new clip, called with its parts in order.
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
        """Turn log-mel (B, M, L) into wav (B, C, L * hop_length); on a CPU a clip does not depend on its batch.

        C is 1, or 2 for a stereo spec, whose mels have rows of stereo.

        The clips are surrounded by silence. `onset` is the sample before which all clips are silent, if known; it
        sharpens attacks.
        """


class LongMel(Protocol):
    """A log-mel (M, L) read in parts: a tensor, or an object that returns tensors (M, l) without holding all of it."""

    @property
    def shape(self) -> Sequence[int]:
        """M and L."""

    def __getitem__(self, part: tuple[slice, slice], /) -> Tensor:
        """Return a slice of bands and frames."""


def check_mel(mel: LongMel, spec: MelSpec, name: str = "the mel") -> None:
    """Raise if an array cannot be a log-mel; long ones are read in blocks.

    Args:
        mel: (M, L), natural logarithm.
        spec: Mel definition of the vocoder.
        name: The user's name for the mel.

    Raises:
        MelMismatchError: It has another number of bands.
        DataError: It holds NaN or infinity, or is linear or in dB.
    """
    shape = tuple(mel.shape)
    if len(shape) != 2 or not shape[1] or shape[0] != spec.rows:
        raise MelMismatchError(
            f"{name}: has the shape {'x'.join(map(str, shape))}, and the vocoder takes {spec.rows} bands x frames; "
            "compute it with the vocoder's mel, or transpose it if frames come first"
        )
    low, high = math.inf, -math.inf
    for start in range(0, shape[1], CHECKED_FRAMES):
        block = mel[:, start : start + CHECKED_FRAMES]
        _check_finite(block, start, spec, name)
        block = block[: spec.n_mels]
        low, high = min(low, float(block.min())), max(high, float(block.max()))
    if low >= LINEAR_ABOVE:
        raise DataError(
            f"{name}: is between {low:.3g} and {high:.3g}, like amplitudes and not logarithms; give log(max(mel, 1e-5))"
        )
    if low < QUIETEST or high > LOUDEST:
        raise DataError(
            f"{name}: is between {low:.3g} and {high:.3g}, unlike a natural-log mel of a sound; if it is in dB, "
            f"divide it by 8.686"
        )


def _check_finite(block: Tensor, start: int, spec: MelSpec, name: str) -> None:
    """Raise for NaN or infinity in a block (M, l) of a mel from frame `start`."""
    if not bool(block.isfinite().all()):
        frame, band = (int(i) for i in (~block.isfinite()).T.nonzero()[0])  # the earliest frame's lowest band
        seconds, value = (start + frame) / spec.frame_rate, float(block[band, frame])
        raise DataError(
            f"{name}: holds {value} in band {band} of frame {start + frame} ({seconds:.2f} s), counted from 0; check "
            f"its computation, a silent band is {LOG_FLOOR:.2f}"
        )
