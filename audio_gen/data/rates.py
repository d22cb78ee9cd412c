"""Warn if sounds have a lower sample rate than the mel: a model would learn the empty upper band."""

import math
from collections.abc import Iterable

from audio_gen.data.report import DatasetReport
from audio_gen.hints import command

DEFAULT_SAMPLE_RATE = 44100  # of the default mel preset
LOWER = 0.75  # of the mel's rate; sounds below it leave a quarter of the band empty
MOST = 0.5  # share of such sounds that gives a note
PRESET, PRESET_RATES = "22khz_80band_256x", range(16001, 24001)


def rate_notes(report: DatasetReport, sample_rate: int = DEFAULT_SAMPLE_RATE) -> list[str]:
    """A note if most sounds have nothing in the upper part of the mel's band, with a suitable mel.

    Args:
        report: The folder.
        sample_rate: The mel's, in Hz.
    """
    return note_of_rates([f.measurement.sample_rate for f in report.usable if f.measurement], sample_rate)


def note_of_rates(rates: Iterable[int], sample_rate: int) -> list[str]:
    """As `rate_notes`, from the rates of the sounds in Hz."""
    rates = list(rates)
    low = [rate for rate in rates if rate < LOWER * sample_rate]
    if not low or len(low) <= MOST * len(rates):
        return []
    highest = max(low)
    which = f"{len(low)} of {len(rates)} sounds are" if len(low) < len(rates) else f"all {len(rates)} sounds are"
    which = "the only sound is" if len(rates) == 1 else which
    stored = f"{highest / 1000:g} kHz" + (" or less" if min(low) < highest else "")
    suits = command("train", "FOLDER", "--run", "RUN", "--set", f"mel={suited_mel(highest)}")
    return [
        f"{which} stored at {stored}: nothing above {highest / 2000:g} kHz, and the mel goes up to "
        f"{sample_rate / 2000:g} kHz; a suitable mel: `{suits}`"
    ]


def suited_mel(sample_rate: int) -> str:
    """A value of the setting `mel` for sounds of a rate: a preset's name, or fields."""
    return PRESET if sample_rate in PRESET_RATES else mel_fields(sample_rate)


def mel_fields(sample_rate: int) -> str:
    """The fields of a mel of exactly this rate, as a value of the setting `mel`."""
    n_fft = 1 << max(7, round(math.log2(sample_rate * 2048 / 44100)))  # about 46 ms
    n_mels = 80 if n_fft >= 256 else 32
    return f"{{sample_rate: {sample_rate}, n_fft: {n_fft}, hop_length: {n_fft // 4}, n_mels: {n_mels}}}"
