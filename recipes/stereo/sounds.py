"""Stereo sounds for the scripts of this folder, and their embeddings by channel."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from audio_gen.artefacts.sidecar import read_labels
from audio_gen.audio.io import info, read_wav
from audio_gen.audio.onset import amplitude, lead_samples, loudest, silent_until, sound_end
from audio_gen.audio.resample import resample
from audio_gen.evaluation.distances import MIN_FLOOR_CLIPS, kad_estimate, kad_floor
from audio_gen.evaluation.embeddings.base import Embedding
from audio_gen.evaluation.signal import is_silent
from audio_gen.generation.outputs import sound_files

RATE = 44_100
SIDES = ("left", "right", "mid", "side")
AT_ONCE = 32


@dataclass(frozen=True)
class Sound:
    """wav (2, T) at RATE, and the file that it is from."""

    file: str
    wav: Tensor


def read_sounds(place: Path, clip_sec: float, each: int = 1, *, as_modelled: bool = False) -> list[Sound]:
    """The stereo sounds of a folder, from the onset to the end of the sound; mono files are left out.

    Args:
        place: The folder.
        clip_sec: The longest clip.
        each: Clips of a file that is at least twice as long, evenly spread.
        as_modelled: Take the gain of samples, by their sidecars, away.
    """
    found = []
    for path in sorted(sound_files([place])):
        if info(path).channels < 2:
            continue
        wav, _ = read_wav(path, sample_rate=RATE, channels=2)
        about = read_labels(path) if as_modelled and path.suffix == ".wav" else None
        wav = wav * amplitude(-about["gain_db"]) if about and about["gain_db"] else wav
        found += [Sound(path.as_posix(), part) for part in _parts(wav, round(clip_sec * RATE), each) if len(part[0])]
    return found


def _parts(wav: Tensor, longest: int, each: int) -> list[Tensor]:
    if wav.shape[1] < 2 * longest or each == 1:
        level = loudest(wav.numpy())
        start = max(0, silent_until(level, RATE) - lead_samples(RATE))
        return [wav[:, start : min(start + longest, sound_end(level))]]
    starts = torch.linspace(0, wav.shape[1] - longest, each + 2)[1:-1].long().tolist()  # neither intro nor end
    return [wav[:, start : start + longest] for start in starts]


def correlation(wav: Tensor) -> float:
    """Of left and right (2, T); 0 if one is silent."""
    left, right = wav.double()
    return float(left @ right / (left.norm() * right.norm()).clamp(min=1e-12))


def on_both(wav: Tensor) -> Tensor:
    """(1, T) -> (2, T)."""
    return wav.expand(2, -1)


@dataclass(frozen=True)
class Vectors:
    """Embeddings of clips, the number of each in its set, and its file."""

    values: Tensor
    clips: list[int]
    files: list[str]

    def __len__(self) -> int:
        return len(self.files)


def vectors_by_side(sounds: Sequence[Sound], embedding: Embedding) -> dict[str, Vectors]:
    """Embeddings of left, right, mid and side; clips in which one of these is silent are left out of it."""
    found = {}
    for name in SIDES:
        parts = [_side(sound.wav, name) for sound in sounds]
        heard = [(i, wav) for i, wav in enumerate(parts) if not is_silent(wav, RATE)]
        rows = [torch.zeros(0, embedding.dimensions)]
        for first in range(0, len(heard), AT_ONCE):
            wavs = [resample(wav[None], RATE, embedding.sample_rate)[0] for _, wav in heard[first : first + AT_ONCE]]
            rows.append(embedding(wavs))
        found[name] = Vectors(torch.cat(rows), [i for i, _ in heard], [sounds[i].file for i, _ in heard])
    return found


def _side(wav: Tensor, name: str) -> Tensor:
    left, right = wav
    return {"left": left, "right": right, "mid": (left + right) / 2, "side": (left - right) / 2}[name]


def kads(reference: dict[str, Vectors], made: dict[str, Vectors]) -> list[str]:
    """A cell for each of SIDES: the KAD, its 95 % interval, and the number of clips."""
    cells = []
    for name in SIDES:
        one, other = reference[name], made[name]
        if min(len(one), len(other)) < MIN_FLOOR_CLIPS:
            cells.append(f"- ({len(other)} clips)")
            continue
        value, low, high = kad_estimate(one.values, other.values)
        cells.append(f"{value:.2f} ({low:.2f} to {high:.2f}; {len(other)})")
    return cells


def floors(reference: dict[str, Vectors]) -> list[str]:
    """A cell for each of SIDES: the KAD of random halves, median and 95 %; a file is in one half."""
    cells = []
    for name in SIDES:
        if len(reference[name]) < MIN_FLOOR_CLIPS:
            cells.append(f"- ({len(reference[name])} clips)")
            continue
        found = kad_floor(reference[name].values, reference[name].files)
        cells.append(f"{found['median']:.2f} (95 %: {found['p95']:.2f}; {found['n']} in a half)")
    return cells


def row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
