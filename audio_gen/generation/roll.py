"""A roll: hits at even distances in time, each a step on the way from one sound to another."""

import re
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from audio_gen.audio.onset import has_onset, loudest, onset, sound_end
from audio_gen.errors import ConfigError
from audio_gen.generation.finish import Finish, finish

BEATS_OF_WHOLE = 4  # a beat is a quarter note
LOWEST_BPM, HIGHEST_BPM = 20.0, 999.0
SLOWEST, FASTEST = 0.1, 100.0  # hits per second
MOST_HITS = 512
NOTE_VALUE = re.compile(r"\s*(\d{1,3})\s*/\s*(\d{1,3})\s*")
PER_SECOND = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*(?:/\s*s)?\s*")
END_BELOW_PEAK_DB = 40.0
PERCUSSIVE_CENTRE = 0.35  # of a sound's length; decays have their energy before it, held sounds near the middle


def parse_hits(text: str, bpm: float) -> float:
    """Seconds between the hits of "1/16", a note value at a tempo, or of "8" or "8/s", a number per second.

    Raises:
        ConfigError: The text is neither, or the tempo or the result is out of its range.
    """
    if not LOWEST_BPM <= bpm <= HIGHEST_BPM:
        raise ConfigError(f"--bpm {bpm:g}: must be between {LOWEST_BPM:g} and {HIGHEST_BPM:g}; try 120")
    per_sec = 0.0
    if (match := NOTE_VALUE.fullmatch(text)) is not None:
        above, below = int(match[1]), int(match[2])
        per_sec = below * bpm / 60 / BEATS_OF_WHOLE / above if above and below else 0.0
    elif (match := PER_SECOND.fullmatch(text.lower())) is not None:
        per_sec = float(match[1])
    if not SLOWEST <= per_sec <= FASTEST:
        limits = f"{SLOWEST:g} to {FASTEST:g} a second"
        raise ConfigError(f"--hits {text}: must be a note value or a number per second, {limits}; try 1/16 or 8")
    return 1 / per_sec


def count_hits(duration_sec: float, interval_sec: float) -> int:
    """Number of hits in a duration.

    Raises:
        ConfigError: There are more than 512.
    """
    count = int(duration_sec / interval_sec + 1e-6)
    if count > MOST_HITS:
        raise ConfigError(f"--morph: a roll of {count} hits; at most {MOST_HITS} are possible, use fewer --hits")
    return count


def is_percussive(wav: Tensor, sample_rate: int) -> bool:
    """Whether a sound (C, T) begins with an onset and decays: the centre of its energy lies in its first 35 %."""
    x = wav.numpy()
    level = loudest(x)
    if not has_onset(level, sample_rate):
        return False
    extent = slice(onset(level, sample_rate), sound_end(level, END_BELOW_PEAK_DB))
    energy = np.square(x[:, extent], dtype=np.float64).sum(0)
    centre = float(energy @ np.arange(len(energy)) / max(energy.sum(), 1e-30) / max(1, len(energy)))
    return centre < PERCUSSIVE_CENTRE


def roll(hits: Iterable[Tensor], interval_sec: float, sample_rate: int) -> Tensor:
    """Hits at even distances, with their onsets on the grid; each rings out under the next.

    Args:
        hits: Sounds (C, T) of any length.
        interval_sec: Between two onsets.
        sample_rate: In Hz.

    Returns:
        wav (C, T), at most as loud in its peak as the loudest hit.
    """
    mixed, most = torch.zeros(1, 0), 0.0
    for i, hit in enumerate(hits):
        sound = finish(hit, sample_rate, Finish(normalize="none")).wav  # from the onset to the end, faded
        if not i:
            mixed = torch.zeros(len(sound), 0)
        first = round(i * interval_sec * sample_rate)
        mixed = torch.nn.functional.pad(mixed, (0, max(0, first + sound.shape[-1] - mixed.shape[-1])))
        mixed[:, first : first + sound.shape[-1]] += sound
        most = max(most, float(sound.abs().max()))
    peak = float(mixed.abs().max())
    return mixed * (most / peak) if peak > most else mixed
