#!/usr/bin/env python3
"""Make the noise that inversions start from: `audio_gen/vocoding/excitation.npy`.

    python excitation.py [--out audio_gen/vocoding/excitation.npy] [--rounds 300]

White noise has spectra that go up and down at random. This noise goes in a circle and is flat, as nearly as can be, in
spectra of four window lengths at once, so that what is shaped by a mel's amplitudes has these amplitudes.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

SAMPLES = 1 << 17  # 3 s at 44.1 kHz
SIZES = (2048, 1024, 512, 256)
OUT = Path(__file__).parents[2] / "audio_gen" / "vocoding" / "excitation.npy"


def spectra(wav: Tensor, n_fft: int) -> Tensor:
    """Complex STFT (F, L) of wav (T,), which goes in a circle; hops are a quarter of a window."""
    around = torch.cat([wav[-n_fft // 2 :], wav, wav[: n_fft // 2]])
    window = torch.hann_window(n_fft)
    return torch.stft(around, n_fft, n_fft // 4, window=window, center=False, return_complex=True)[
        :, : len(wav) * 4 // n_fft
    ]


def wave(spectrum: Tensor, n_fft: int) -> Tensor:
    """The wav (T,) whose circular STFT is nearest to `spectrum`."""
    window, hop = torch.hann_window(n_fft), n_fft // 4
    frames, samples = torch.fft.irfft(spectrum.T, n=n_fft) * window, spectrum.shape[1] * hop
    places = (torch.arange(len(frames))[:, None] * hop - n_fft // 2 + torch.arange(n_fft)) % samples
    sums = torch.zeros(2, samples)
    for row, values in zip(sums, (frames, window.square().expand_as(frames)), strict=True):
        row.index_put_((places,), values, accumulate=True)
    return sums[0] / sums[1]


def flattened(wav: Tensor, rounds: int) -> Tensor:
    """`wav` (T,) brought nearer to flat spectra at each of SIZES in turn, at a deviation of 1."""
    for _ in range(rounds):
        for n_fft in SIZES:
            spectrum = spectra(wav, n_fft)
            wav = wave(n_fft**0.5 * spectrum / spectrum.abs().clamp(min=1e-9), n_fft)
    return wav / wav.std()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--rounds", type=int, default=300)
    args = parser.parse_args()
    wav = flattened(torch.randn(SAMPLES, generator=torch.Generator().manual_seed(0)), args.rounds)
    np.save(args.out, (wav / wav.abs().max()).numpy().astype(np.float16))
    for n_fft in SIZES:
        levels = spectra(wav, n_fft).abs().log()
        print(f"{n_fft}: log amplitudes deviate by {float(levels.std()):.2f} (white noise: 0.64)")


if __name__ == "__main__":
    main()
