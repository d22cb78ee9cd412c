"""The operation `evaluate --transfer`: how far transferred sounds have come, and what they kept of their sources."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from pydantic import model_validator
from torch import Tensor
from torch.nn import functional as F

from audio_gen.artefacts.folders import EvaluationFolder
from audio_gen.artefacts.sidecar import read_transfer
from audio_gen.audio.io import read_wav
from audio_gen.audio.resample import resample
from audio_gen.data.store import Cache, Clip
from audio_gen.device import resolve_device
from audio_gen.errors import DataError
from audio_gen.evaluation.compare import finite
from audio_gen.evaluation.distances import kad_estimate, kad_floor
from audio_gen.evaluation.embeddings import load_embedding
from audio_gen.evaluation.embeddings.store import EmbeddingStore
from audio_gen.evaluation.novelty import nearness
from audio_gen.evaluation.pitch import track
from audio_gen.evaluation.probe import class_probe
from audio_gen.files import write_json
from audio_gen.generation.originals import run_cache
from audio_gen.generation.outputs import check_out, sound_files
from audio_gen.generation.transfer import GRAINS
from audio_gen.models.salience import peaks, salience_of
from audio_gen.models.transforms.sound import shifted_pitch
from audio_gen.reporter import SILENT, Reporter
from audio_gen.request import Request
from audio_gen.text import one_line

RATE = 22050  # of all measures but the embedding's
WINDOW_SEC, HOP_SEC = 2.0, 1.0
LEAST_WINDOWS = 4
SALIENT = 0.5
ONSET_SEC, ONSET_HOP, ONSET_DELTA = 0.05, 220, 0.1
LEVEL_SEC, HEARD_DB = 0.1, 40.0
CENTS, NEAR_CENTS, GRID_SEMITONES = 1200, 50, 0.2
OCTAVES = range(-3, 4)
VOICED_LEAST = 0.3  # pitches in a frame on average, without which a sound has none
MOST_VOICES = 1.5  # pitches at a time on average, above which pitch is that of chords
TRACKED_SEC = 10.0  # of each sound, for pYIN
PITCHED_SHARE = 0.3  # of the frames of the sources that pYIN finds voiced, from which pitch is judged
SOURCE, TARGET, OUTPUT = "source", "target", "output"


class TransferEvaluationRequest(Request):
    """Options of `evaluate --transfer`."""

    source: Path
    """The sounds that were transferred: a file or a folder."""
    output: Path
    """The results."""
    target: Path
    """Sounds of the target, if possible such as the transfer has not used."""
    out: Path | None = None
    """Folder for the figures; None writes nothing."""
    embedding: str = "yamnet"
    """Embedding that compares sounds."""
    embedding_path: Path | None = None
    """Its weights, if no package contains them."""
    seed: int = 0
    """Seed of random choices."""
    device: str = "auto"
    """Where to compute."""
    force: bool = False
    """Replace files that exist already."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        for place in (self.source, self.output, self.target):
            if not place.exists():
                raise DataError(f"{one_line(place)}: no such file or folder; check the path")
        return self


@dataclass(frozen=True)
class _Sound:
    """A sound that is read when it is needed.

    Attributes:
        name: Of its file.
        load: Returns wav (1, T) and its rate.
    """

    name: str
    load: Callable[[], tuple[Tensor, int]]

    @classmethod
    def of_file(cls, file: Path) -> "_Sound":
        """That of a file."""
        return cls(str(file), lambda: read_wav(file))

    @classmethod
    def of_cache(cls, cache: Cache, clip: Clip) -> "_Sound":
        """A clip of a cache."""

        def load() -> tuple[Tensor, int]:
            wav = cache.read(clip, 0, clip.samples).astype(np.float32, copy=False)
            return torch.from_numpy(wav)[None], cache.sample_rate

        return cls(clip.path, load)


@dataclass(frozen=True)
class _Side:
    """A set of sounds.

    Attributes:
        wavs: Each (T,) at RATE.
        vectors: Embeddings (N, D) of their windows.
        groups: The file of each window.
    """

    wavs: list[Tensor]
    vectors: Tensor
    groups: list[str]


def evaluate_transfer(request: TransferEvaluationRequest, reporter: Reporter = SILENT) -> dict[str, Any]:
    """Measure transferred sounds against their sources and the target.

    Args:
        request: The options.
        reporter: Gets notes and progress.

    Returns:
        "way": 1 - KAD(output, target) / KAD(source, target), with both distances and the floor of real sounds; "class":
        the share of windows that a probe takes for the target; "pitch": the share of voiced frames within 50 cents, up
        to octaves; "salience_f1", "onset_f1" (50 ms), "loudness_db" (mean absolute difference), and "memorised".

    Raises:
        AudioGenError: A folder cannot be used, or an output has no source.
    """
    place = resolve_device(request.device)
    if request.out is not None:
        check_out(request.out, [EvaluationFolder(request.out).result.name], force=request.force)
    embedding = load_embedding(request.embedding, place, request.embedding_path)
    embed = EmbeddingStore(embedding, note=reporter.note)
    pairs = _pairs(sound_files([request.source]), sound_files([request.output]))
    sides = {}
    for name, files in (
        (SOURCE, [a for a, _ in pairs]), (OUTPUT, [b for _, b in pairs]), (TARGET, sound_files([request.target])),
    ):  # fmt: skip
        sounds = [_Sound.of_file(file) for file in files]
        sides[name] = _side(name, sounds, embed, embedding.sample_rate, reporter)
    source, output, target = sides[SOURCE], sides[OUTPUT], sides[TARGET]
    figures = {**_distances(source, output, target, request.seed), **_kept(source, output, reporter)}
    learned = _learned_from(pairs[0][1])
    if learned is not None and not _same(learned.place, request.target) and (sounds := learned.sounds()):
        used = _side("what was learned from", sounds, embed, embedding.sample_rate, reporter, least=2)
        found = nearness(output.vectors, used.vectors, target.vectors)
        figures["memorised"] = {"share": found.share, "real_share": found.real_share, "of": one_line(learned.place)}
    figures = finite(figures)
    if request.out is not None:
        write_json(EvaluationFolder(request.out).result, figures)
    return figures


def sentences(figures: dict[str, Any]) -> list[str]:
    """The figures, a line each, with what they mean."""
    way, lines = figures["way"], []
    lines.append(
        f"way travelled: {_percent(way['share'])} (KAD to the target {_number(way['output'])}, of the sources "
        f"{_number(way['source'])}, between real sounds {_number(way['floor'])})"
    )
    if figures["class"] is not None:
        probe = figures["class"]
        lines.append(f"taken for the target: {_percent(probe['output'])} (of real ones {_percent(probe['real'])})")
    if figures["pitch"] is not None:
        lines.append(
            f"pitch within 50 cents: {_percent(figures['pitch']['share'])} of the frames that are voiced in both"
        )
    if figures["salience_f1"] is not None:
        lines.append(f"pitches (F1 of salience): {_number(figures['salience_f1'])}")
    lines.append(f"onsets within 50 ms (F1): {_number(figures['onset_f1'])}")
    lines.append(f"level: {_number(figures['loudness_db'])} dB apart on average")
    if (copied := figures.get("memorised")) is not None:
        lines.append(
            f"windows nearer to what it learned from than 99 % of real ones: {_percent(copied['share'])} (real ones "
            f"{_percent(copied['real_share'])})"
        )
    return lines


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.2f}"


def _percent(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.0%}"


def _pairs(sources: Sequence[Path], outputs: Sequence[Path]) -> list[tuple[Path, Path]]:
    """Each output with its source: by its sidecar, by its name, or by its place if there are as many."""
    by_name, by_stem = {one.name: one for one in sources}, {one.stem: one for one in sources}
    found: list[tuple[Path, Path]] = []
    for output in outputs:
        about = read_transfer(output)
        named = output.name if about is None else Path(about.source).name
        source = by_name.get(named) or by_stem.get(output.stem)
        if source is None:
            raise DataError(
                f"{one_line(output)}: comes from {one_line(named)}, which is not among the sources; give the sounds "
                "that were transferred as SOURCE"
            )
        found.append((source, output))
    return found


def _side(
    name: str,
    sounds: Sequence[_Sound],
    embed: EmbeddingStore,
    rate: int,
    reporter: Reporter,
    least: int = LEAST_WINDOWS,
) -> _Side:
    wavs, parts, groups = [], [], []
    with reporter.progress(f"Reading {name}", len(sounds), "files") as advance:
        for sound in sounds:
            wav, own = sound.load()
            wavs.append(resample(wav, own, RATE)[0])
            heard = resample(wav, own, rate)[0]
            size, hop = round(WINDOW_SEC * rate), round(HOP_SEC * rate)
            starts = range(0, max(1, len(heard) - size + 1), hop)
            windows = [F.pad(heard[at : at + size], (0, max(0, at + size - len(heard)))) for at in starts]
            parts.append(embed(windows))
            groups += [sound.name] * len(windows)
            advance(1)
    vectors = torch.cat(parts)
    if len(vectors) < least:
        raise DataError(
            f"{one_line(sounds[0].name)}: {name} has {len(vectors)} windows of 2 s, and {least} are needed; "
            "give more sounds"
        )
    return _Side(wavs, vectors, groups)


def _distances(source: _Side, output: _Side, target: _Side, seed: int) -> dict[str, Any]:
    start, end = (kad_estimate(target.vectors, one.vectors, seed=seed)[0] for one in (source, output))
    floor = kad_floor(target.vectors, target.groups, seed=seed)["median"]
    groups = [*source.groups, *target.groups]
    names = [SOURCE] * len(source.vectors) + [TARGET] * len(target.vectors)
    asked = [TARGET] * len(output.vectors)
    both = torch.cat([source.vectors, target.vectors])
    probe = class_probe(both, names, groups, output.vectors, asked, seed=seed)
    return {
        "way": {"share": 1 - end / start if start > 0 else math.nan, "output": end, "source": start, "floor": floor},
        "class": None if probe is None else {"output": probe["accuracy"], "real": probe["real_accuracy"]},
        "n": {"source": len(source.vectors), "output": len(output.vectors), "target": len(target.vectors)},
    }


def _kept(source: _Side, output: _Side, reporter: Reporter) -> dict[str, Any]:
    """What the outputs kept of their sources, as means over sounds."""
    salience, onsets, levels, near, voiced, octaves = [], [], [], [0, 0], [0, 0], []
    with reporter.progress("Comparing", len(source.wavs), "sounds") as advance:
        for a, b in zip(source.wavs, output.wavs, strict=True):
            f1, moved, voices = _salience_f1(a, b)
            salience.append(f1)
            octaves.append(moved)
            onsets.append(_f1(_onsets(a), _onsets(b)))
            levels.append(_level_difference_db(a, b))
            found = _pitch_matches(a, b) if voices and voices < MOST_VOICES else (0, 0, 0, 1)
            near = [near[0] + found[0], near[1] + found[1]]
            voiced = [voiced[0] + found[2], voiced[1] + found[3]]
            advance(1)
    pitched = voiced[0] > PITCHED_SHARE * max(1, voiced[1])
    return {
        "pitch": {"share": near[0] / max(1, near[1]), "frames": near[1]} if pitched else None,
        "salience_f1": _mean(salience), "octaves": octaves, "onset_f1": _mean(onsets), "loudness_db": _mean(levels),
    }  # fmt: skip


def _salience_f1(a: Tensor, b: Tensor) -> tuple[float, int, float]:
    """F1 of the peaks of pitch salience within 50 cents, the octaves that b moved by, and the pitches at a time in a.

    NaN, 0 and 0 without pitches.
    """
    first, second = (salience_of(one[None], RATE) for one in (a, b))
    count = min(first.shape[1], second.shape[1])
    mine, theirs = (peaks(one[:, :count], SALIENT).float() for one in (first, second))
    if float(mine.sum()) < max(1.0, VOICED_LEAST * mine.shape[1]):
        return math.nan, 0, 0.0
    best = (-1.0, 0)
    for octave in sorted(OCTAVES, key=abs):
        moved = shifted_pitch(mine, 12 * octave)
        hits = float((moved * _beside(theirs)).sum() + (theirs * _beside(moved)).sum())
        best = max(best, (hits / float(mine.sum() + theirs.sum()), octave), key=lambda one: one[0])
    at_a_time = mine.sum(0)
    return *best, float(at_a_time[at_a_time > 0].mean())


def _beside(marks: Tensor) -> Tensor:
    """Marks (P, L) and the pitches beside them."""
    return F.max_pool1d(marks.T[None], 3, 1, 1)[0].T


def _pitch_matches(a: Tensor, b: Tensor) -> tuple[int, int, int, int]:
    """Frames voiced in both within 50 cents up to octaves, and all of those; and the voiced and all heard of a."""
    tracks = [track(one[: round(TRACKED_SEC * RATE)], RATE, grid_semitones=GRID_SEMITONES) for one in (a, b)]
    count = min(len(one.f0_hz) for one in tracks)
    first, second = ((one.voiced & one.sounding)[:count] for one in tracks)
    both = first & second
    cents = CENTS * np.log2(tracks[0].f0_hz[:count][both] / tracks[1].f0_hz[:count][both])
    off = np.abs(cents - CENTS * np.round(np.median(cents) / CENTS)) if len(cents) else cents
    return int((off <= NEAR_CENTS).sum()), int(both.sum()), int(first.sum()), int(tracks[0].sounding[:count].sum())


def _onsets(wav: Tensor) -> list[float]:
    """Onsets in seconds. Source: SuperFlux, Böck 2013, by librosa."""
    import librosa

    mel = librosa.feature.melspectrogram(
        y=wav.numpy(), sr=RATE, n_fft=1024, hop_length=ONSET_HOP, fmin=27.5, n_mels=138
    )
    levels = librosa.power_to_db(mel, top_db=80)
    strength = librosa.onset.onset_strength(S=levels, sr=RATE, hop_length=ONSET_HOP, lag=2, max_size=3)
    found = librosa.onset.onset_detect(
        onset_envelope=strength, sr=RATE, hop_length=ONSET_HOP, units="time", delta=ONSET_DELTA
    )
    return [float(time) for time in found]


def _f1(mine: Sequence[float], theirs: Sequence[float]) -> float:
    """F1 of times within 50 ms, each used once; NaN without any."""
    hits, at = 0, 0
    for time in mine:
        while at < len(theirs) and theirs[at] < time - ONSET_SEC:
            at += 1
        if at < len(theirs) and theirs[at] <= time + ONSET_SEC:
            hits, at = hits + 1, at + 1
    return 2 * hits / (len(mine) + len(theirs)) if mine or theirs else math.nan


def _level_difference_db(a: Tensor, b: Tensor) -> float:
    """Mean absolute difference of levels over 0.1 s, where the source is within 40 dB of its loudest."""
    size = round(LEVEL_SEC * RATE)
    count = min(len(a), len(b)) // size * size
    if not count:
        return math.nan
    first, second = (
        10 * one[:count].unflatten(0, (-1, size)).square().mean(1).clamp(min=1e-9).log10() for one in (a, b)
    )
    heard = first > first.max() - HEARD_DB
    return float((first - second).abs()[heard].mean())


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return float(np.mean(known)) if known else math.nan


@dataclass(frozen=True)
class _Learned:
    """What a transfer has learned from.

    Attributes:
        place: A folder or a cache.
        cache: The cache; None for a folder.
        target: The class of the cache that is the target, if it is one.
    """

    place: Path
    cache: Cache | None = None
    target: str = ""

    def sounds(self) -> "list[_Sound]":
        """Its sounds; of a cache, those of training."""
        if self.cache is None:
            return [_Sound.of_file(file) for file in sound_files([self.place])]
        clips, known = self.cache.split("train"), self.target in self.cache.classes
        return [_Sound.of_cache(self.cache, clip) for clip in clips if not known or clip.class_name == self.target]


def _learned_from(output: Path) -> _Learned | None:
    """What a transfer has learned from, if its sidecar names it and it is still there."""
    about = read_transfer(output)
    if about is None:
        return None
    if about.method == GRAINS:
        return _Learned(about.place) if about.place.exists() else None
    cache = run_cache(about.place)
    return None if cache is None else _Learned(cache.path, cache, about.target)


def _same(a: Path, b: Path) -> bool:
    return a.resolve() == b.resolve()
