"""The short-time Fourier transform: frame positions, padding, and the inverse."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MAGNITUDE_EPSILON = 1e-9  # under the square root, so that silence has a gradient


def padding(n_fft: int, hop_length: int) -> int:
    """Samples that are reflected at each end."""
    return (n_fft - hop_length) // 2


def reach(n_fft: int, hop_length: int) -> int:
    """Frames on each side of a frame whose windows overlap with it."""
    return -(-(n_fft - hop_length) // hop_length)


def overlap_add(frames: Tensor, hop_length: int) -> Tensor:
    """Add up frames (B, L, N) that start `hop_length` samples apart into (B, (L - 1) * hop_length + N)."""
    batch, count, size = frames.shape
    blocks = -(-size // hop_length)
    if size % hop_length:
        frames = F.pad(frames, (0, blocks * hop_length - size))
    frames = frames.reshape(batch, count, blocks, hop_length)
    out = frames.new_zeros(batch, count + blocks - 1, hop_length)
    for block in range(blocks):
        out[:, block : block + count] += frames[:, :, block]
    return out.flatten(1)[:, : (count - 1) * hop_length + size]


class STFT(nn.Module):
    """Wave to complex spectrum and back, under a periodic Hann window.

    Frame l is centred on the middle of samples [l * hop_length, (l + 1) * hop_length). A length that is not a multiple
    of hop_length is padded with zeros. Everything is computed in float32, also under autocast.
    """

    window: Tensor

    def __init__(self, n_fft: int, hop_length: int) -> None:
        """Compute the window; both lengths in samples."""
        super().__init__()
        self.n_fft, self.hop_length, self.pad = n_fft, hop_length, padding(n_fft, hop_length)
        self.reach = reach(n_fft, hop_length)
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)

    def forward(self, wav: Tensor, step: int = 1) -> Tensor:
        """Turn wav (B, 1, T) into the complex STFT (B, F, L), L = ceil(T / hop_length), or every `step`-th frame."""
        with torch.autocast(wav.device.type, enabled=False):
            return torch.stft(
                self._padded(wav.float()).squeeze(1),
                self.n_fft,
                step * self.hop_length,
                window=self.window,
                center=False,
                return_complex=True,
            )

    def inverse(self, spectrum: Tensor) -> Tensor:
        """Turn a complex STFT (B, F, L) into the wav (B, 1, L * hop_length) whose STFT is nearest to it.

        Source: Griffin & Lim 1984, eq. 6 (weighted overlap-add), including the reflected ends.
        """
        return self.overlapped(spectrum) / self.coverage(spectrum.shape[-1])

    def overlapped(self, spectrum: Tensor) -> Tensor:
        """Return the inverse STFT (B, 1, L * hop_length) before it is divided by `coverage(L)`."""
        with torch.autocast(spectrum.device.type, enabled=False):
            frames = torch.fft.irfft(spectrum.mT, n=self.n_fft)  # (B, F, L) -> (B, L, n_fft)
            return self._gathered(frames * self.window)

    def coverage(self, frames: int) -> Tensor:
        """Return the sum (1, 1, frames * hop_length) of the squared windows over each sample."""
        few = 4 * -(-self.n_fft // self.hop_length)
        if frames > few:  # in the middle all hops are equal
            ends, middle = self.coverage(few), few // 2 * self.hop_length
            repeated = ends[..., middle : middle + self.hop_length].repeat(1, 1, frames - few)
            return torch.cat([ends[..., :middle], repeated, ends[..., middle:]], dim=-1)
        return self._gathered(self.window.square().expand(1, frames, -1)).clamp(min=MAGNITUDE_EPSILON)

    def coverage_of(self, frame: int, frames: int) -> Tensor:
        """Return the contribution (frames * hop_length,) of one frame to `coverage(frames)`."""
        alone = self.window.new_zeros(1, frames, self.n_fft)
        alone[0, frame] = self.window.square()
        return self._gathered(alone)[0, 0]

    def _padded(self, wav: Tensor) -> Tensor:
        """Pad with zeros to whole frames, then reflect (n_fft - hop_length) / 2 samples at each end."""
        pad, whole = self.pad, self.hop_length * -(-wav.shape[-1] // self.hop_length)
        # A reflection needs more samples than it adds; a shorter wav is extended with silence.
        wav = F.pad(wav, (0, max(whole, pad + 1) - wav.shape[-1]))
        return F.pad(wav, (pad, pad), mode="reflect")[..., : whole + 2 * pad]

    def _gathered(self, frames: Tensor) -> Tensor:
        """Add up frames (B, L, n_fft) into (B, 1, L * hop_length), and fold the reflected samples back."""
        pad, samples = self.pad, self.hop_length * frames.shape[1]
        padded = overlap_add(frames, self.hop_length)
        wav, mirrored = padded[:, pad : pad + samples], min(pad, samples - 1)
        wav[:, 1 : 1 + mirrored] += padded[:, :pad].flip(1)[:, :mirrored]
        if samples > pad:  # otherwise the reflected end is silence
            wav[:, samples - 1 - pad : samples - 1] += padded[:, pad + samples :].flip(1)
        return wav.unsqueeze(1)
