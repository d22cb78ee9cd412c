"""Sounds for tests, made on the spot."""

import struct
from pathlib import Path

import numpy as np
import soundfile as sf

RATE = 22050


def sine(f0_hz: float = 440.0, sec: float = 0.5, sample_rate: int = RATE, amplitude: float = 0.5) -> np.ndarray:
    """A sine (T,) float32 that starts at phase 0."""
    t = np.arange(round(sec * sample_rate)) / sample_rate
    return (amplitude * np.sin(2 * np.pi * f0_hz * t)).astype(np.float32)


def noise(sec: float = 0.5, sample_rate: int = RATE, amplitude: float = 0.3, seed: int = 0) -> np.ndarray:
    """White noise (T,) float32, uniform within the amplitude."""
    return np.random.default_rng(seed).uniform(-amplitude, amplitude, round(sec * sample_rate)).astype(np.float32)


def pluck(f0_hz: float = 220.0, sec: float = 0.5, sample_rate: int = RATE) -> np.ndarray:
    """A decaying tone with overtones (T,) float32."""
    t = np.arange(round(sec * sample_rate)) / sample_rate
    tone = sum(np.sin(2 * np.pi * k * f0_hz * t) * np.exp(-6 * k * t) / k for k in (1, 2, 3))
    return (0.5 * tone).astype(np.float32)


def write(path: Path, x: np.ndarray, sample_rate: int = RATE, **how: str) -> Path:
    """Write (T,) or (T, C) samples with soundfile; folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sf.write(path, x, sample_rate, **how)
    return path


def write_notes(folder: Path, count: int = 8, sec: float = 0.4) -> Path:
    """A folder of `count` different plucks, note-00.wav and so on."""
    for i in range(count):
        write(folder / f"note-{i:02d}.wav", pluck(110 * 2 ** (i / 12), sec))
    return folder


def write_second(model: str, notes: Path) -> Path | None:
    """A second folder beside `notes`, for a model of two domains; None for other models."""
    if model != "cycle":
        return None
    for i in range(4):
        write(notes.parent / "second" / f"{i}.wav", noise(0.4, seed=i))
    return notes.parent / "second"


def wav_bytes(
    x: np.ndarray, sample_rate: int = RATE, *, data_size: int | None = None, channels: int = 1, after: bytes = b""
) -> bytes:
    """A 16-bit WAV made by hand, so that its header can be wrong."""
    pcm = (x * 32767).astype("<i2").tobytes()
    fmt = struct.pack("<HHIIHH", 1, channels, sample_rate, 2 * channels * sample_rate, 2 * channels, 16)
    size = len(pcm) if data_size is None else data_size
    body = b"WAVEfmt " + struct.pack("<I", 16) + fmt + b"data" + struct.pack("<I", size) + pcm + after
    return b"RIFF" + struct.pack("<I", len(body)) + body
