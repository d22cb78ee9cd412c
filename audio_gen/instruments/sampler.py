"""A sampler: plays notes with the zones of instruments, in blocks, so that memory does not grow with the length."""

import math
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from audio_gen.audio.onset import amplitude, lead_samples
from audio_gen.audio.resample import resample
from audio_gen.generation.vocabulary import LOUDEST, folded
from audio_gen.instruments.sustain_loop import SustainLoop, played
from audio_gen.instruments.tuning import shifted
from audio_gen.instruments.zones import Instrument, Zone, zone_for
from audio_gen.midi.general_midi import drum_kind, kinds_for
from audio_gen.midi.score import BEND, EXPRESSION, PAN, VOLUME, Note, Score
from audio_gen.reporter import Advance

BLOCK_SEC = 1.0
KEPT = 64  # sounds at their key, of an instrument, that are kept for the next note
FADE_SEC = 0.02  # of a sound that another one stops
CURVE_SEC = 0.01  # steps of controllers, joined by lines
BEND_STEP = 64  # samples between two places of a bent note
VELOCITY_POWER = 2.0  # of the velocity, which gives the amplitude: General MIDI's 40 dB per factor of ten
VOLUME_POWER = 2.0


@dataclass(frozen=True)
class Part:
    """Notes that one instrument plays.

    Attributes:
        name: Of the part, for stems.
        instrument: What plays it.
        notes: Its notes, in the order of time.
        gain_db: Its level.
        pan: Where it stands, -1 (left) to 1 (right), whatever its channels say; None is as they say.
    """

    name: str
    instrument: Instrument
    notes: Sequence[Note]
    gain_db: float = 0.0
    pan: float | None = None


@dataclass
class _Voice:
    """A sounding note: wav (C, T) from a sample of the song on."""

    wav: np.ndarray
    first: int
    channel: int
    choke: int

    @property
    def stop(self) -> int:
        return self.first + self.wav.shape[1]


@dataclass
class Player:
    """Plays the notes of an instrument at a sample rate."""

    instrument: Instrument
    rate: int
    _kept: "OrderedDict[tuple[str, int], tuple[Tensor, SustainLoop | None]]" = field(default_factory=OrderedDict)
    _turns: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Index the zones by key."""
        self._keys = sorted({key for zone in self.instrument.zones for key in range(zone.keys[0], zone.keys[1] + 1)})

    def key_for(self, key: int) -> int:
        """The key that plays a key: itself, the same note in another octave, or another drum of a near kind."""
        if key in self._keys:
            return key
        if not self.instrument.drums:
            moved = round(folded(key, self._keys[0], self._keys[-1]))
            return moved if moved in self._keys else min(self._keys, key=lambda one: abs(one - key))
        by_kind: dict[str, int] = {}
        for zone in self.instrument.zones:
            if (kind := drum_kind(zone.class_name)) is not None:
                by_kind.setdefault(kind, zone.root)
        near = next((by_kind[kind] for kind in kinds_for(key) if kind in by_kind), None)
        return near if near is not None else self._keys[key % len(self._keys)]

    def wav(self, note: Note, bend: "np.ndarray | None" = None) -> tuple[np.ndarray, int]:
        """The sound of a note (C, T) float32 with its release and its level, and its choke group.

        Args:
            note: The note.
            bend: Semitones along it, every `BEND_STEP` samples; None for none.
        """
        key = self.key_for(note.pitch)
        turn = self._turns.get(key, 0)
        self._turns[key] = turn + 1
        zone = zone_for(self.instrument.zones, key, note.velocity, turn)
        assert zone is not None
        wav, loop = self._at_key(zone, key)
        level = (note.velocity / LOUDEST) ** VELOCITY_POWER
        if not zone.pitched:
            return (wav * level).numpy(), zone.choke
        held = max(1, round(note.length_sec * self.rate)) + lead_samples(self.rate)
        release = round(self.instrument.release_sec * self.rate)
        samples = held + release
        needed = samples
        if bend is not None:
            needed = math.ceil(samples * 2 ** (float(bend.max(initial=0.0)) / 12)) + 4
        sound = (played(wav, loop, needed) if loop is not None else wav[:, :needed]).numpy()
        if bend is not None:
            sound = _bent(sound, bend, samples)
        sound = sound * np.float32(level)
        if sound.shape[1] > held:
            count = sound.shape[1] - held
            sound[:, held:] *= _release(release)[:count]
        return sound, zone.choke

    def _at_key(self, zone: Zone, key: int) -> tuple[Tensor, SustainLoop | None]:
        """A zone's sound at a key and at the rate, with its loop."""
        place = (zone.name, key)
        if place in self._kept:
            self._kept.move_to_end(place)
            return self._kept[place]
        semitones = (key - zone.root - zone.cents / 100) if zone.pitched else 0.0
        wav = shifted(resample(zone.wav, zone.sample_rate, self.rate), self.rate, semitones)
        loop = zone.loop
        if loop is not None:
            scale = wav.shape[-1] / zone.samples
            loop = SustainLoop(round(loop.first * scale), round(loop.stop * scale), loop.correlation)
        self._kept[place] = wav, loop
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return wav, loop


def _release(samples: int) -> np.ndarray:
    """The fade of a released note (T,): to -60 dB, with an end at 0."""
    at = np.linspace(0, 1, max(2, samples), dtype=np.float32)
    return np.asarray(10 ** (-3 * at) * (1 - at**8), np.float32)


def _bent(wav: np.ndarray, bend: np.ndarray, samples: int) -> np.ndarray:
    """A sound (C, T) played faster and slower, by cubic interpolation (Catmull-Rom)."""
    places = np.arange(samples) / BEND_STEP
    speed = 2 ** (np.interp(places, np.arange(len(bend)), bend) / 12)
    at = np.concatenate([[0.0], np.cumsum(speed)[:-1]])
    at = at[at < wav.shape[1] - 3]
    whole = at.astype(np.int64)
    x = (at - whole).astype(np.float32)
    padded = np.pad(wav, ((0, 0), (1, 2)))
    a, b, c, d = (padded[:, whole + i] for i in range(4))
    return np.asarray(b + 0.5 * x * (c - a + x * (2 * a - 5 * b + 4 * c - d + x * (3 * (b - c) + d - a))), np.float32)


def mix(
    score: Score,
    parts: Sequence[Part],
    rate: int,
    *,
    samples: int | None = None,
    advance: Advance = lambda amount: None,
) -> Iterator[Tensor]:
    """Play parts together.

    Args:
        score: Its controllers are followed; notes come from the parts.
        parts: The parts.
        rate: Sample rate in Hz.
        samples: Length; None is until the last sound has ended.
        advance: Gets the number of notes that have been started.

    Yields:
        Blocks (2, n), of a second.
    """
    players = [Player(part.instrument, rate) for part in parts]
    waiting = sorted((round(note.start_sec * rate), i, j) for i, part in enumerate(parts)
                     for j, note in enumerate(part.notes))  # fmt: skip
    waiting.reverse()
    sounding: list[list[_Voice]] = [[] for _ in parts]
    block, at = round(BLOCK_SEC * rate), 0
    while waiting or any(sounding) or (samples is not None and at < samples):
        if samples is not None and at >= samples:
            return
        stop = at + block if samples is None else min(at + block, samples)
        started = 0
        while waiting and waiting[-1][0] - lead_samples(rate) < stop:
            _, i, j = waiting.pop()
            _start(sounding[i], players[i], parts[i], parts[i].notes[j], score, rate)
            started += 1
        out = np.zeros((2, stop - at), np.float32)
        for part, voices in zip(parts, sounding, strict=True):
            _add(out, voices, part, score, at, stop, rate)
            voices[:] = [voice for voice in voices if voice.stop > stop]
        if started:
            advance(started)
        if samples is None and not waiting and not any(sounding):
            loud = np.flatnonzero(np.abs(out).max(0) > 0)
            out = out[:, : int(loud[-1]) + 1 if len(loud) else 0]
        if out.shape[1]:
            yield torch.from_numpy(out)
        at = stop


def _start(voices: list[_Voice], player: Player, part: Part, note: Note, score: Score, rate: int) -> None:
    """Add the voice of a note; it stops others of its choke group."""
    bend = None
    curve = score.curve(note.channel, BEND)
    end_sec = note.end_sec + part.instrument.release_sec
    if not part.instrument.drums and (curve.at(note.start_sec) or curve.changes(note.start_sec, end_sec)):
        count = int(((note.length_sec + part.instrument.release_sec) * rate) / BEND_STEP) + 3
        bend = _smooth(curve.along(note.start_sec + np.arange(count) * BEND_STEP / rate))
    wav, choke = player.wav(note, bend)
    first = round(note.start_sec * rate) - lead_samples(rate)
    if choke:
        for other in voices:
            if other.choke == choke and other.stop > first:
                _stop(other, first - other.first, round(FADE_SEC * rate))
    if first < 0:
        wav, first = wav[:, -first:], 0
    voices.append(_Voice(wav, first, note.channel, choke))


def _stop(voice: _Voice, at: int, fade: int) -> None:
    """Fade a voice out from a sample on."""
    at = max(0, at)
    kept = voice.wav[:, : at + fade].copy()
    kept[:, at:] *= np.linspace(1, 0, fade, dtype=np.float32)[: kept.shape[1] - at]
    voice.wav = kept


def _smooth(values: np.ndarray) -> np.ndarray:
    """Values without the steps of a wheel."""
    return np.convolve(np.pad(values, 2, mode="edge"), np.ones(5) / 5, mode="valid")


def _add(
    out: np.ndarray, voices: Sequence[_Voice], part: Part, score: Score, at: int, stop: int, rate: int
) -> None:  # fmt: skip
    """Add the voices of a part to a block (2, stop - at), channel by channel."""
    by_channel: dict[int, list[_Voice]] = {}
    for voice in voices:
        if voice.first < stop:
            by_channel.setdefault(voice.channel, []).append(voice)
    for channel, some in by_channel.items():
        bus = np.zeros((max(len(voice.wav) for voice in some), stop - at), np.float32)
        for voice in some:
            first, last = max(voice.first, at), min(voice.stop, stop)
            bus[:, first - at : last - at] += voice.wav[:, first - voice.first : last - voice.first]
        left, right = _gains(part, score, channel, at, stop, rate)
        out[0] += bus[0] * left
        out[1] += bus[-1] * right


def _gains(part: Part, score: Score, channel: int, at: int, stop: int, rate: int) -> tuple[np.ndarray, np.ndarray]:
    """Gains (T,) of left and right: volume, expression and pan at equal power."""
    grid = np.arange(at, stop + CURVE_SEC * rate, CURVE_SEC * rate)
    times = grid / rate
    level = (score.curve(channel, VOLUME).along(times) / (100 / LOUDEST)) ** VOLUME_POWER
    level = level * score.curve(channel, EXPRESSION).along(times) ** VOLUME_POWER * amplitude(part.gain_db)
    where = score.curve(channel, PAN).along(times) if part.pan is None else np.full(len(times), part.pan)
    angle = (where + 1) * math.pi / 4
    places = np.arange(at, stop)
    sides = (level * np.cos(angle) * math.sqrt(2), level * np.sin(angle) * math.sqrt(2))
    left, right = (np.interp(places, grid, side).astype(np.float32) for side in sides)
    return left, right


def peak_of(blocks: Iterator[Tensor]) -> float:
    """The largest magnitude of blocks (C, n)."""
    return max((float(block.abs().max()) for block in blocks), default=0.0)
