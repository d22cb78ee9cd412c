"""Compare ways from log-mel to wave without a network: distance to the original (mrmel) and speed, over a folder.

Peaks are brought to 0.95, files mixed to mono, and the first 4 seconds of each taken. Speed is the median of five runs
over all clips, one at a time, after a warm-up.

    python recipes/vocoder_small/inversion_benchmark.py FOLDER [--every 10] [--threads 2]
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import librosa
import numpy as np
import soundfile
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from audio_gen.audio.distance import mrmel
from audio_gen.audio.mel import DEFAULT_PRESET, PRESETS, MelFrontEnd, MelSpec
from audio_gen.audio.stft import STFT
from audio_gen.vocoding.bands import nnls_amplitude
from audio_gen.vocoding.griffinlim import MOMENTUM, GriffinLimVocoder
from audio_gen.vocoding.phases import initial_phasors

SUFFIXES = {".wav", ".flac", ".ogg", ".aiff", ".aif"}
PEAK = 0.95

Invert = Callable[[Tensor], Tensor]  # log-mel (1, M, L) -> wav (1, 1, T)


def load_clips(folder: Path, every: int, sample_rate: int, max_sec: float) -> list[Tensor]:
    """Read every n-th file by sorted name as a mono clip (1, 1, T)."""
    clips = []
    for path in sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES)[::every]:
        samples, file_rate = soundfile.read(path, dtype="float32", always_2d=True)
        resampled = librosa.resample(samples.mean(axis=1), orig_sr=file_rate, target_sr=sample_rate)
        wav = torch.from_numpy(PEAK * resampled / max(np.abs(resampled).max(), 1e-9))
        clips.append(wav[None, None, : int(max_sec * sample_rate)])
    return clips


def griffin_lim(amplitude: Tensor, spec: MelSpec, iterations: int, momentum: float = MOMENTUM) -> Tensor:
    """Fast Griffin-Lim (Perraudin 2013, algorithm 2) of STFT amplitudes (1, F, L), which stay as they are."""
    stft = STFT(spec.n_fft, spec.hop_length)
    spectrum, previous = amplitude * initial_phasors(amplitude, spec), None
    for _ in range(iterations):
        consistent = stft(stft.inverse(spectrum))
        ahead = consistent if previous is None else consistent + momentum * (consistent - previous)
        spectrum, previous = amplitude * ahead / ahead.abs().clamp(min=1e-12), consistent
    return stft.inverse(spectrum)


def fixed_amplitudes(spec: MelSpec, iterations: int) -> Invert:
    """NNLS amplitudes that stay as they are, to show what the refitting is worth."""
    return lambda mel: griffin_lim(nnls_amplitude(mel, spec), spec, iterations)


def with_librosa(spec: MelSpec, iterations: int) -> Invert:
    """librosa's NNLS and Griffin-Lim, with its own centred frames shifted to ours."""

    def invert(mel: Tensor) -> Tensor:
        amplitude = librosa.feature.inverse.mel_to_stft(
            mel[0].exp().numpy(), sr=spec.sample_rate, n_fft=spec.n_fft, power=1.0
        )
        # Its first frame is centred on sample 0, ours on the middle of the first hop.
        amplitude = np.pad(amplitude, ((0, 0), (1, 1)), mode="edge")
        made = librosa.griffinlim(amplitude, n_iter=iterations, hop_length=spec.hop_length, random_state=0)
        made = made[spec.hop_length // 2 :][: spec.samples(mel.shape[-1])]
        return torch.from_numpy(made)[None, None]

    return invert


def methods(spec: MelSpec) -> dict[str, Invert]:
    """Return what is compared, by the name to print."""
    table: dict[str, Invert] = {}
    for n in (1, 2, 4, 8, 16, 32):
        table[f"GriffinLimVocoder, {n} iterations"] = GriffinLimVocoder(spec, iterations=n)
    table["the same without refitting, 32"] = fixed_amplitudes(spec, 32)
    for n in (32, 60):
        table[f"librosa mel_to_stft + griffinlim, {n}"] = with_librosa(spec, n)
    return table


def measure(
    invert: Invert, clips: list[Tensor], mels: list[Tensor], sample_rate: int, runs: int
) -> tuple[float, float]:
    """Return the mean mrmel, and how many times faster than real time the clips are made."""
    scores = [mrmel(clip[0, 0], invert(mel)[0, 0], sample_rate) for clip, mel in zip(clips, mels, strict=True)]
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        for mel in mels:
            invert(mel)
        times.append(time.perf_counter() - start)
    duration_sec = sum(clip.shape[-1] for clip in clips) / sample_rate
    return statistics.mean(scores), duration_sec / statistics.median(times)


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--every", type=int, default=10, help="take every n-th file by sorted name")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--preset", choices=list(PRESETS), default=DEFAULT_PRESET)
    parser.add_argument("--max-sec", type=float, default=4.0)
    parser.add_argument("--runs", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    spec = MelSpec.preset(args.preset)
    clips = load_clips(args.folder, args.every, spec.sample_rate, args.max_sec)
    if not clips:
        parser.error(f"{args.folder} holds no sound file ({', '.join(sorted(SUFFIXES))})")
    front_end = MelFrontEnd(spec)
    mels = [front_end(clip) for clip in clips]
    table = Table("method", "mrmel", "x real time", title=f"{len(clips)} clips, {args.preset}, {args.threads} threads")
    for name, invert in methods(spec).items():
        score, speed = measure(invert, clips, mels, spec.sample_rate, args.runs)
        table.add_row(name, f"{score:.3f}", f"{speed:.1f}")
    Console().print(table)


if __name__ == "__main__":
    main()
