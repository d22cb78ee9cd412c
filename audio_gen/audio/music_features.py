"""Log-mel and chroma of a sound of any length, from blocks, for tempo and self-similarity."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain

import numpy as np

N_FFT_SEC = 2048 / 44100
N_MELS = 40
CHROMA_WINDOW = 4  # times n_fft, to resolve semitones
F_MIN, F_MAX = 30.0, 16_000.0
FLOOR_DB = 80.0  # below the loudest band of the sound


@dataclass(frozen=True)
class MusicFeatures:
    """Features of a sound. Frame i is centred at sample i * hop_length.

    Attributes:
        sample_rate: In Hz.
        hop_length: In samples, about 12 ms.
        samples: Length of the sound.
        mel_db: (L, 40) float32, at most 80 dB below its maximum.
        chroma: (L / 2, 12) float32, unit vectors; 0 in silence. Its hop is 2 * hop_length.
    """

    sample_rate: int
    hop_length: int
    samples: int
    mel_db: np.ndarray
    chroma: np.ndarray

    @property
    def frame_rate(self) -> float:
        """Frames of `mel_db` per second."""
        return self.sample_rate / self.hop_length


def music_features(blocks: Iterable[np.ndarray], sample_rate: int, *, chroma: bool = True) -> MusicFeatures:
    """Compute the features of a mono sound; memory grows by 16 kB per second of sound.

    Args:
        blocks: float32 arrays (T,), in order.
        sample_rate: In Hz.
        chroma: Whether to compute the chroma; without it, it has no frames.
    """
    import scipy.fft

    n_fft = window_length(sample_rate)
    hop, long = n_fft // 4, CHROMA_WINDOW * n_fft
    mel_filters, chroma_filters = _filters(sample_rate)
    mels, chromas, samples = [], [np.zeros((0, 12), np.float32)], 0
    short_frames, long_frames = _Frames(n_fft, hop), _Frames(long, 2 * hop)

    def powers(frames: np.ndarray) -> np.ndarray:
        window = np.hanning(frames.shape[1] + 1)[:-1].astype(np.float32)
        return np.abs(scipy.fft.rfft(frames * window)) ** 2

    for block in chain(blocks, [None]):
        samples += 0 if block is None else len(block)
        mels += [powers(frames) @ mel_filters for frames in short_frames.take(block)]
        if chroma:
            chromas += [powers(frames) @ chroma_filters for frames in long_frames.take(block)]
    mel_db = np.concatenate(mels)
    mels.clear()
    mel_db += np.float32(1e-20)
    np.log10(mel_db, out=mel_db)  # in place: an hour has 50 MB
    mel_db *= 10
    np.maximum(mel_db, mel_db.max() - FLOOR_DB, out=mel_db)
    pitches = np.concatenate(chromas)
    size = np.linalg.norm(pitches, axis=1, keepdims=True)
    pitches = np.where(size > size.max(initial=0) * 1e-6, pitches / np.maximum(size, 1e-20), 0)
    return MusicFeatures(sample_rate, hop, samples, mel_db, pitches.astype(np.float32))


@lru_cache(maxsize=4)
def _filters(sample_rate: int) -> tuple[np.ndarray, np.ndarray]:
    """Filters of the mel (F, 40) and of the chroma (F, 12)."""
    import librosa

    n_fft, top = window_length(sample_rate), min(F_MAX, sample_rate / 2)
    mel = librosa.filters.mel(sr=sample_rate, n_fft=n_fft, n_mels=N_MELS, fmin=F_MIN, fmax=top, norm=None)
    chroma = librosa.filters.chroma(sr=sample_rate, n_fft=CHROMA_WINDOW * n_fft, norm=None)
    return mel.T.astype(np.float32), chroma.T.astype(np.float32)


def window_length(sample_rate: int) -> int:
    """Samples of a frame of the mel: a power of two near 46 ms. The hop is a quarter of it."""
    return 1 << max(7, round(np.log2(N_FFT_SEC * sample_rate)))


class _Frames:
    """Frames of a sound given in blocks, with zeros before and after it."""

    MOST = 1024  # frames at a time

    def __init__(self, size: int, hop: int) -> None:
        self._size, self._hop = size, hop
        self._held = np.zeros(size // 2, np.float32)

    def take(self, block: np.ndarray | None) -> Iterator[np.ndarray]:
        """Yield the frames (N, size) that a block completes; None ends the sound."""
        more = np.zeros(self._size - self._size // 2 - 1, np.float32) if block is None else block
        self._held = np.concatenate([self._held, more])
        count = (len(self._held) - self._size) // self._hop + 1
        if count <= 0:
            return
        frames = np.lib.stride_tricks.sliding_window_view(self._held, self._size)[:: self._hop]
        for first in range(0, count, self.MOST):
            yield frames[first : min(count, first + self.MOST)]
        self._held = self._held[count * self._hop :].copy()
