"""Ways to make sounds worse by a known amount, each a function of a clip (T,) at 44.1 kHz that keeps its length."""

import io
from collections.abc import Callable

import librosa
import numpy as np
import soundfile
import torch
import torch.nn.functional as F
from torch import Tensor

from audio_gen.audio.mel import MelFrontEnd, MelSpec
from audio_gen.vocoding.griffinlim import GriffinLimVocoder

SPEC = MelSpec.preset("44khz_128band_512x")
MP3_KBPS = 32, 320  # of MPEG-1 layer III, at libsndfile's compression levels 1 and 0
MP3_FRAME = 1152  # samples
MP3_TAIL = 8192  # more than the delay of encoder and decoder together
NOISE_LEVEL = 0.1

Degrade = Callable[[Tensor], Tensor]


def mp3(kbps: int) -> Degrade:
    """Encoded and decoded at a constant rate by libsndfile, and shifted back by the codec's delay."""
    low, high = MP3_KBPS
    # The very ends of the scale are refused.
    level = min((high - kbps) / (high - low), 0.99)

    def degrade(wav: Tensor) -> Tensor:
        file = io.BytesIO()
        padded = F.pad(wav, (0, MP3_TAIL)).numpy()
        soundfile.write(
            file, padded, SPEC.sample_rate, format="MP3", subtype="MPEG_LAYER_III",
            compression_level=level, bitrate_mode="CONSTANT",
        )  # fmt: skip
        bits_per_sample = 1000 * kbps / SPEC.sample_rate
        frames = file.getbuffer().nbytes * 8 / bits_per_sample / MP3_FRAME
        assert 0 <= frames - len(padded) / MP3_FRAME < 4, f"not {kbps} kbit/s: {frames:.1f} frames for {len(padded)}"
        file.seek(0)
        decoded = torch.from_numpy(soundfile.read(file, dtype="float32")[0])
        return F.pad(decoded[delay(wav, decoded) :], (0, len(wav)))[: len(wav)].clone()

    return degrade


def delay(wav: Tensor, later: Tensor) -> int:
    """Samples by which `later` comes late, from the peak of the cross-correlation."""
    size = len(wav) + len(later)
    lags = torch.fft.irfft(torch.fft.rfft(wav, size).conj() * torch.fft.rfft(later, size), size)
    return int(lags[:MP3_TAIL].argmax())


def through(vocoder: Callable[[Tensor], Tensor]) -> Degrade:
    """Copy-synthesis: the clip's mel through a vocoder."""
    front_end = MelFrontEnd(SPEC)
    return lambda wav: vocoder(front_end(wav[None, None]))[0, 0, : len(wav)].cpu()


def griffinlim(iterations: int) -> Degrade:
    """The project's inversion."""
    return through(GriffinLimVocoder(SPEC, iterations=iterations))


def plain_griffinlim(iterations: int) -> Degrade:
    """Griffin-Lim as in 1984, from the pseudo-inverse of the mel, with librosa."""
    filters = librosa.filters.mel(sr=SPEC.sample_rate, n_fft=SPEC.n_fft, n_mels=SPEC.n_mels)
    inverse = np.linalg.pinv(filters)

    def degrade(wav: Tensor) -> Tensor:
        amplitude = np.abs(librosa.stft(wav.numpy(), n_fft=SPEC.n_fft, hop_length=SPEC.hop_length))
        made = librosa.griffinlim(
            np.maximum(inverse @ (filters @ amplitude), 0), n_iter=iterations, hop_length=SPEC.hop_length,
            n_fft=SPEC.n_fft, momentum=0.0, length=len(wav), random_state=0,
        )  # fmt: skip
        return torch.from_numpy(made.astype(np.float32))

    return degrade


def low_pass(cutoff_hz: float) -> Degrade:
    """Nothing above a frequency."""

    def degrade(wav: Tensor) -> Tensor:
        spectrum = torch.fft.rfft(wav)
        hz = torch.fft.rfftfreq(len(wav), 1 / SPEC.sample_rate)
        return torch.fft.irfft(spectrum * (hz < cutoff_hz), len(wav))

    return degrade


def with_noise(below_db: float) -> Degrade:
    """White noise added, so far below the clip's own level."""

    def degrade(wav: Tensor) -> Tensor:
        return wav + _noise(wav) * wav.square().mean().sqrt() * 10 ** (-below_db / 20)

    return degrade


def backwards(wav: Tensor) -> Tensor:
    return wav.flip(0)


def only_noise(wav: Tensor) -> Tensor:
    return NOISE_LEVEL * _noise(wav)


def _noise(wav: Tensor) -> Tensor:
    """Gaussian noise that differs from clip to clip, and not from run to run."""
    seed = int(wav.abs().double().sum() * 1e6) % 2**31
    return torch.randn(len(wav), generator=torch.Generator().manual_seed(seed))


def table() -> dict[str, Degrade]:
    """What is done to the sounds, by the name of the row; "three" rows only choose among them."""
    return {
        "mp3 48k": mp3(48),
        "mp3 32k": mp3(32),
        "griffinlim:8": griffinlim(8),
        "griffinlim:1": griffinlim(1),
        "plain Griffin-Lim 32": plain_griffinlim(32),
        "low-pass 4 kHz": low_pass(4000),
        "noise 30 dB below": with_noise(30),
        "reversed": backwards,
        "white noise": only_noise,
    }
