"""Find the parts of a sound that loop best, by self-similarity, beats and cross-correlation."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from audio_gen.audio.channels import fold, foldable, mono
from audio_gen.audio.io import finite, open_sound
from audio_gen.audio.music_features import MusicFeatures, music_features
from audio_gen.audio.seam import Seam, reach, seam
from audio_gen.data.tempo import BEATS_PER_BAR, HIGHEST_BPM, LOWEST_BPM, beats_of
from audio_gen.errors import AudioFileError, ConfigError, DataError
from audio_gen.generation.loop_cut import MARGIN_SEC, Cut, align, render
from audio_gen.generation.loop_search import Place, best_places, similar, similarity_frames
from audio_gen.text import one_line

SHORTEST_SEC, LONGEST_SEC = 0.2, 120.0
SILENT_DB = -90.0  # mean power of a band
TRIED = 6  # places that are cut for each loop that is asked for
OVERLAP = 0.6  # two loops that share more of their time are one
SEAM_COST = 0.05  # of the score, for one deviation of the step across the join above that of the file itself ..
NOTICED_Z = 2.0  # .. or above this


@dataclass(frozen=True)
class LoopSearch:
    """Which loops to find.

    Attributes:
        count: Loops per file.
        bpm: Tempo; None estimates it.
        bars: Length in bars of four beats; None is any length between `min_sec` and `max_sec`.
        min_sec, max_sec: Limits of the length, without `bars`.

    Raises:
        ConfigError: A value is out of its range; the message names the option.
    """

    count: int = 8
    bpm: float | None = None
    bars: int | None = None
    min_sec: float = 1.0
    max_sec: float = 16.0

    def __post_init__(self) -> None:
        """Check the values."""
        if self.count < 1:
            raise ConfigError(f"-n {self.count}: must be at least 1")
        if self.bpm is not None and not LOWEST_BPM <= self.bpm <= HIGHEST_BPM:
            raise ConfigError(f"--bpm {self.bpm:g}: must be between {LOWEST_BPM:g} and {HIGHEST_BPM:g}; try 120")
        if self.bars is not None and not 1 <= self.bars <= 64:
            raise ConfigError(f"--bars {self.bars}: must be between 1 and 64; try 4")
        if not SHORTEST_SEC <= self.min_sec <= LONGEST_SEC:
            raise ConfigError(f"--min {self.min_sec:g}: must be between {SHORTEST_SEC:g} and {LONGEST_SEC:g} s; try 1")
        if not self.min_sec < self.max_sec <= LONGEST_SEC:
            raise ConfigError(
                f"--max {self.max_sec:g}: must be above --min ({self.min_sec:g}) and at most {LONGEST_SEC:g} s; try 16"
            )


@dataclass(frozen=True)
class FoundLoop:
    """A loop of a file.

    Attributes:
        source: The file.
        sample_rate: In Hz.
        cut: Its ends in samples of the file, and its cross-fade.
        beats: Its length in beats; None without a beat.
        fit: How alike the surroundings of both ends are: 1 the same, 0 like random places of the file. None for the
            whole file, which nothing surrounds.
        seam: The join, as measured on the loop.
        score: By which loops are ranked.
    """

    source: Path
    sample_rate: int
    cut: Cut
    beats: int | None
    fit: float | None
    seam: Seam
    score: float

    @property
    def samples(self) -> int:
        """Length in samples."""
        return self.cut.end - self.cut.start

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return self.samples / self.sample_rate

    @property
    def bpm(self) -> float | None:
        """The exact tempo of the loop."""
        return None if self.beats is None else 60 * self.beats / self.seconds

    @property
    def length_name(self) -> str:
        """Its length for a file name, such as 4bars-92bpm or 5.2s."""
        if self.beats is None or self.bpm is None:
            return f"{self.seconds:.1f}s"
        bars, rest = divmod(self.beats, BEATS_PER_BAR)
        number, unit = (self.beats, "beat") if rest else (bars, "bar")
        return f"{number}{unit}{'s' * (number > 1)}-{self.bpm:.0f}bpm"

    def to_json(self) -> dict[str, Any]:
        """Its entries in the sidecar."""
        rate = self.sample_rate
        return {
            "start": self.cut.start, "end": self.cut.end, "start_sec": round(self.cut.start / rate, 6),
            "end_sec": round(self.cut.end / rate, 6), "sample_rate": rate, "beats": self.beats,
            "bpm": None if self.bpm is None else round(self.bpm, 4),
            "fade_sec": round(self.cut.fade / rate, 6), "fade_at": "start" if self.cut.at_start else "end",
            "fit": None if self.fit is None else round(self.fit, 4), "correlation": round(self.cut.correlation, 4),
            "seam_z": round(self.seam.step_z, 3), "source_z": round(self.seam.source_z, 3),
            "jump": round(self.seam.jump, 4), "slip": round(self.seam.slip, 4),
            "score": round(self.score, 4),
        }  # fmt: skip


def find_loops(path: Path, search: LoopSearch) -> list[FoundLoop]:
    """Find the best loops of a file, best first; the file is read twice, block by block.

    Candidates are pairs of places whose surroundings are alike in log-mel and chroma; if the file has a steady beat,
    they start on beats and last a whole number of them. Their ends are refined by cross-correlation, and the seams of
    the best are measured. Near duplicates are dropped.

    Args:
        path: The file.
        search: What to look for.

    Raises:
        AudioFileError: The file cannot be read.
        DataError: It is silent, too short, has no beat for `bars`, or nothing in it can loop.
    """
    name = one_line(path)
    features = _features(path)
    seconds = features.samples / features.sample_rate
    if features.mel_db.max() < SILENT_DB:
        raise DataError(f"{name}: is silent; choose another file")
    beats = beats_of(features, search.bpm)
    if search.bars is not None:
        if search.bpm is None and not beats.steady:
            raise DataError(f"{name}: no steady beat found, so {search.bars} bars have no length; give --bpm")
        length = search.bars * BEATS_PER_BAR * 60 / (search.bpm or beats.bpm)
        search = replace(search, min_sec=0.94 * length, max_sec=1.06 * length)
    if seconds < search.min_sec:
        option = "shorter than --min" if search.bars is None else f"shorter than {search.bars} bars,"
        raise DataError(
            f"{name}: {option} ({seconds:.2f} s of {search.min_sec:.2f}); choose a longer file or a lower one"
        )
    known = beats if beats.steady or search.bpm is not None else None
    places = best_places(features, known, search.min_sec, search.max_sec, search.bars, TRIED * search.count)
    if not places:
        raise DataError(f"{name}: nothing in it can loop; widen --min and --max, or choose another file")
    found = sorted(_cut_all(path, features, places), key=lambda one: -one.score)
    return _distinct(found, features, search.count)


def loop_sounds(path: Path, loops: Sequence[FoundLoop]) -> Iterator[tuple[int, np.ndarray]]:
    """Read a file once and yield the index and the samples (C, T) of each of its loops, in the order of their ends."""
    margin = round(MARGIN_SEC * loops[0].sample_rate)
    parts = [(max(0, one.cut.start - margin), one.cut.end + margin) for one in loops]
    for i, part in _parts(path, parts):
        begin = parts[i][0]
        cut = loops[i].cut
        yield i, render(part, replace(cut, start=cut.start - begin, end=cut.end - begin))


def _features(path: Path) -> MusicFeatures:
    with open_sound(path) as sound:
        features = music_features((mono(block) for block in _channels(sound)), sound.about.sample_rate)
    if not features.samples:
        raise AudioFileError(f"{one_line(path)}: holds no samples; choose another file")
    return features


def _channels(sound: Any) -> Iterator[np.ndarray]:
    """Blocks (C, T) of an open file: one or two channels."""
    about = sound.about
    for block in sound.blocks():
        finite(block)
        if foldable(about.channels):
            yield fold(block, about.vorbis_order)
        else:
            yield block.mean(1, dtype=np.float32)[None]


def _parts(path: Path, parts: Sequence[tuple[int, int]]) -> Iterator[tuple[int, np.ndarray]]:
    """Read a file once and yield parts (C, T) of it as soon as they are complete; one that ends too late is shorter."""
    waiting = sorted(range(len(parts)), key=lambda i: parts[i])
    held, first = np.zeros((1, 0), np.float32), 0
    with open_sound(path) as sound:
        for block in _channels(sound):
            held = np.concatenate([held, block], axis=1) if held.shape[1] else block
            last = first + held.shape[1]
            for i in [i for i in waiting if parts[i][1] <= last]:
                yield i, held[:, parts[i][0] - first : parts[i][1] - first]
                waiting.remove(i)
            drop = min([parts[i][0] for i in waiting], default=last) - first
            if drop > 0:
                held, first = held[:, min(drop, held.shape[1]) :].copy(), first + min(drop, held.shape[1])
    for i in waiting:
        yield i, held[:, max(0, parts[i][0] - first) :]


def _cut_all(path: Path, features: MusicFeatures, places: Sequence[Place]) -> Iterator[FoundLoop]:
    rate = features.sample_rate
    margin = round(MARGIN_SEC * rate)
    parts = [(max(0, place.start - margin), min(features.samples, place.end + margin)) for place in places]
    for i, part in _parts(path, parts):
        place, begin = places[i], parts[i][0]
        cut = align(part, place.start - begin, place.end - begin, rate)
        around = reach(rate)
        ends = [part[:, at - around : at + around] for at in (cut.start, cut.end) if at >= around]
        measured = seam(render(part, cut), rate, [one for one in ends if one.shape[1] == 2 * around])
        whole = replace(cut, start=cut.start + begin, end=cut.end + begin)
        excess = max(measured.step_z - max(measured.source_z, 0.0), 0.0) + max(measured.step_z - NOTICED_Z, 0.0)
        cost = SEAM_COST * min(excess, 8.0)
        yield FoundLoop(path, rate, whole, place.beats, place.fit, measured, place.score - cost)


def _distinct(loops: Sequence[FoundLoop], features: MusicFeatures, count: int) -> list[FoundLoop]:
    """The first loops of which no two share their time or sound the same."""
    frames = similarity_frames(features)
    hop = 2 * features.hop_length
    kept: list[FoundLoop] = []
    for one in loops:
        for other in kept:
            shared = min(one.cut.end, other.cut.end) - max(one.cut.start, other.cut.start)
            union = one.samples + other.samples - max(shared, 0)
            ends = ((x.cut.start // hop, x.cut.end // hop) for x in (one, other))
            if shared > OVERLAP * union or similar(frames, *ends):
                break
        else:
            kept.append(one)
        if len(kept) == count:
            break
    return kept
