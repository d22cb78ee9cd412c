"""Finish a clip for a sampler: channels, trim, fade, normalise, resample, quantise."""

import difflib
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from audio_gen.audio.channels import mono
from audio_gen.audio.io import SAMPLE_RATES
from audio_gen.audio.loudness import loudness_lufs
from audio_gen.audio.onset import amplitude, fade_in, lead_samples, loudest, onset, sound_end
from audio_gen.audio.resample import resample
from audio_gen.errors import ConfigError

Normalize = Literal["none", "peak", "lufs"]
Length = Literal["sound", "model"]
SUBTYPES = {"16": "PCM_16", "24": "PCM_24", "float": "FLOAT"}
PEAK_DB, LOUDNESS_LUFS = -1.0, -23.0
TAIL_DB, MIN_TAIL_DB, MAX_TAIL_DB = 60.0, 20.0, 120.0
FADE_OUT_SEC, CUT_FADE_SEC = 0.008, 0.03
SILENT = 1e-6  # a peak below this is silence, which no gain makes louder


@dataclass(frozen=True)
class Finish:
    """Settings of files of clips.

    Attributes:
        normalize: "peak" brings the peak to -1 dBFS; "lufs" the loudness to -23 LUFS (EBU R 128), limited by a peak of
            -1 dBFS; "none" leaves the level.
        bits: "16" (with dither), "24" or "float".
        rate: Sample rate in Hz; None is the model's.
        tail_db: Level below the peak, in dB, at which a file ends.
        length: "sound": from 1 ms before the onset to the end of the sound; "model": the model's length.
        channels: 1: the mean of left and right, or the louder one if they cancel each other; 2: stereo; None: those of
            the sound.

    Raises:
        ConfigError: A value is out of its range; the message names the option.
    """

    normalize: Normalize = "peak"
    bits: str = "24"
    rate: int | None = None
    tail_db: float = TAIL_DB
    length: Length = "sound"
    channels: int | None = None

    def __post_init__(self) -> None:
        """Check the values."""
        _one_of("--normalize", self.normalize, get_args(Normalize))
        _one_of("--bits", self.bits, tuple(SUBTYPES))
        _one_of("--length", self.length, get_args(Length))
        if self.channels not in (None, 1, 2):
            raise ConfigError(f"--channels {self.channels}: must be 1 (mono) or 2 (stereo)")
        if self.rate is not None and self.rate not in SAMPLE_RATES:
            low, high = SAMPLE_RATES[0], SAMPLE_RATES[-1]
            raise ConfigError(f"--rate {self.rate}: must be between {low} and {high} Hz; try 44100")
        if not MIN_TAIL_DB <= self.tail_db <= MAX_TAIL_DB:
            limits = f"{MIN_TAIL_DB:g} and {MAX_TAIL_DB:g} dB below the peak"
            raise ConfigError(f"--tail {self.tail_db:g}: must be between {limits}; try 60")

    @property
    def subtype(self) -> str:
        """The encoding as libsndfile names it."""
        return SUBTYPES[self.bits]


@dataclass(frozen=True)
class Finished:
    """A clip that is ready to be written.

    Attributes:
        wav: (C, T).
        sample_rate: In Hz.
        begin_sec: Its start in the vocoder's output.
        cut: Whether the sound is longer than the model's clips.
        gain_db: Gain that normalising applied.
    """

    wav: Tensor
    sample_rate: int
    begin_sec: float
    cut: bool
    gain_db: float

    def to_json(self) -> dict[str, Any]:
        """Its entries in the sidecar."""
        about = {"sample_rate": self.sample_rate, "begin_sec": round(self.begin_sec, 6), "cut": self.cut}
        about |= {"channels": len(self.wav)} if len(self.wav) > 1 else {}
        return {**about, "gain_db": round(self.gain_db, 4)}


def finish(wav: Tensor, sample_rate: int, how: Finish) -> Finished:
    """Cut, fade and level one clip; both channels alike.

    Args:
        wav: (C, T) as the vocoder rendered it.
        sample_rate: In Hz.
        how: The settings.

    Returns:
        The clip: faded in over 0.5 ms; faded out over 8 ms, or over 30 ms if the sound had not ended.
    """
    rate = how.rate or sample_rate
    wav = resample(wav.float(), sample_rate, rate) if rate != sample_rate else wav.float().clone()
    if how.channels is not None and how.channels != len(wav):
        wav = mono(wav)[None] if how.channels == 1 else wav.repeat(2, 1)
    x = wav.numpy()
    peak = float(wav.abs().max()) if wav.numel() else 0.0
    if peak < SILENT:
        return Finished(wav, rate, 0.0, cut=False, gain_db=0.0)
    level = loudest(x)
    begin, end, fade = 0, len(level), round(FADE_OUT_SEC * rate)
    sounding = sound_end(level, how.tail_db)
    cut = sounding + fade > len(level)
    if how.length == "sound":
        begin, end = max(0, onset(level, rate) - lead_samples(rate)), min(len(level), sounding + fade)
    x = x[:, begin:end].copy()
    if cut:
        _fade_out(x, round(CUT_FADE_SEC * rate))
        if how.length == "sound":  # a soft sound falls below the tail level before the fade ends
            x = x[:, : sound_end(loudest(x), how.tail_db) + fade].copy()
    _fade_out(x, fade)
    fade_in(x, rate)
    wav = torch.from_numpy(x)
    gain_db = gain_to(wav, rate, how.normalize)
    return Finished(wav * amplitude(gain_db), rate, begin / rate, cut, gain_db)


def _fade_out(x: Any, samples: int) -> None:
    """Fade x (C, T) to 0 over its last samples, in place."""
    backwards = x[:, ::-1]
    samples = min(x.shape[1] // 2, samples)
    ramp = 0.5 - 0.5 * torch.cos(torch.pi * torch.arange(samples) / max(1, samples))
    backwards[:, :samples] *= ramp.numpy()


def gain_to(wav: Tensor, rate: int, normalize: Normalize) -> float:
    """The gain in dB that brings wav (C, T) to the level of a setting."""
    if normalize == "none":
        return 0.0
    to_peak = PEAK_DB - 20 * float(torch.log10(wav.abs().max().clamp(min=SILENT)))
    if normalize == "peak":
        return to_peak
    loudness = loudness_lufs(wav, rate)
    return min(LOUDNESS_LUFS - loudness, to_peak) if loudness == loudness else to_peak


def _one_of(option: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        near = difflib.get_close_matches(value, known, n=1)
        raise ConfigError(f"{option} {value}: unknown; use {near[0] if near else ', '.join(known)}")


AS_MODELLED = Finish(normalize="none", bits="float")  # the model's levels, for evaluation
AS_IT_IS = Finish(normalize="none", length="model")  # versions of a user's sound
