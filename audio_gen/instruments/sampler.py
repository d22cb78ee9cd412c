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
from audio_gen.instruments.sustain_loop import SustainLoop, rescaled
from audio_gen.instruments.tuning import shifted
from audio_gen.instruments.zones import Instrument, Zone, zone_for
from audio_gen.midi.general_midi import drum_kind, kind_playing
from audio_gen.midi.score import BEND, EXPRESSION, PAN, VOLUME, Curve, Note, Score
from audio_gen.reporter import Advance

BLOCK_SEC = 1.0
KEPT = 64  # sounds at their key, of an instrument, that are kept for the next note
FADE_SEC = 0.02  # of a sound that another one stops
CURVE_SEC = 0.01  # steps of controllers, joined by lines
BEND_STEP = 64  # samples between two places at which a bend is read
MOST_BEND = 48.0  # semitones
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


class _Voice:
    """A sounding note, which is played on from block to block, so that its length needs no memory."""

    def __init__(
        self, wav: np.ndarray, loop: SustainLoop | None, first: int, *, held: int | None, release: int, level: float,
        channel: int, choke: int, bend: "_Bend | None",
    ) -> None:  # fmt: skip
        """Play wav (C, T) from sample `first` of a song on; without `held` to its end."""
        self.wav, self.loop, self.first, self.level = wav, loop, first, level
        self.held, self.release, self.channel, self.choke, self.bend = held, release, channel, choke, bend
        self.done, self.place = 0, 0.0  # samples that are played, and where in the sound a bent note is
        self.cut: tuple[int, int] | None = None
        self.samples = wav.shape[1] if held is None else held + release
        if loop is None and bend is None:
            self.samples = min(self.samples, wav.shape[1])

    @property
    def stop(self) -> int:
        """The sample after its last one."""
        return self.first + self.samples

    def stop_at(self, sample: int, fade: int) -> None:
        """Fade out from a sample of the song on."""
        at = max(0, sample - self.first)
        if at + fade < self.samples:
            self.cut, self.samples = (at, fade), at + fade

    def take(self, count: int) -> np.ndarray:
        """The next samples (C, n), at most `count`."""
        count = min(count, self.samples - self.done)
        if self.bend is None:
            out = self._at(np.arange(self.done, self.done + count))
        else:
            speed = self.bend.speed(self.done, count)
            places = self.place + np.concatenate([[0.0], np.cumsum(speed)])
            self.place = float(places[-1])
            out = self._between(places[:-1])
        out = out * np.float32(self.level)
        at = np.arange(self.done, self.done + count)
        if self.held is not None and self.done + count > self.held:
            out = out * _release(at - self.held, self.release)
        if self.cut is not None and self.done + count > self.cut[0]:
            out = out * np.clip(1 - (at - self.cut[0]) / self.cut[1], 0, 1).astype(np.float32)
        self.done += count
        return np.asarray(out, np.float32)

    def _at(self, places: np.ndarray) -> np.ndarray:
        """Samples at whole places (n,): those after the loop's end are in the loop, and after the sound's end 0."""
        if self.loop is not None:
            places = self.loop.places(places)
        beyond = places >= self.wav.shape[1]
        if not beyond.any():
            return np.asarray(self.wav[:, np.maximum(places, 0)])
        return np.where(beyond, np.float32(0), self.wav[:, np.clip(places, 0, self.wav.shape[1] - 1)])

    def _between(self, places: np.ndarray) -> np.ndarray:
        """Samples at places (n,) between whole ones, by cubic interpolation (Catmull-Rom)."""
        whole = np.floor(places).astype(np.int64)
        x = (places - whole).astype(np.float32)
        a, b, c, d = (self._at(whole + shift) for shift in (-1, 0, 1, 2))
        return np.asarray(b + 0.5 * x * (c - a + x * (2 * a - 5 * b + 4 * c - d + x * (3 * (b - c) + d - a))))


@dataclass(frozen=True)
class _Bend:
    """The wheel along a note that starts at a time."""

    curve: Curve
    start_sec: float
    rate: int

    def speed(self, first: int, count: int) -> np.ndarray:
        """How fast a sound is played (count,): its bend without the steps of the wheel."""
        grid = np.arange(first // BEND_STEP - 2, (first + count) // BEND_STEP + 4)
        bend = np.clip(self.curve.along(self.start_sec + grid * BEND_STEP / self.rate), -MOST_BEND, MOST_BEND)
        smooth = np.convolve(np.pad(bend, 2, mode="edge"), np.ones(5) / 5, mode="valid")
        return np.asarray(2 ** (np.interp(np.arange(first, first + count) / BEND_STEP, grid, smooth) / 12))


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
        self._by_kind: dict[str, int] = {}
        for zone in self.instrument.zones if self.instrument.drums else ():
            if (kind := drum_kind(zone.class_name)) is not None:
                self._by_kind.setdefault(kind, zone.keys[0])

    def key_for(self, key: int) -> int:
        """The key that plays a key: itself, the same note in another octave, or another drum of a near kind."""
        if key in self._keys:
            return key
        if not self.instrument.drums:
            moved = round(folded(key, self._keys[0], self._keys[-1]))
            return moved if moved in self._keys else min(self._keys, key=lambda one: abs(one - key))
        near = kind_playing(key, self._by_kind)
        return self._by_kind[near] if near is not None else self._keys[key % len(self._keys)]

    def voice(self, note: Note, first: int, bend: "_Bend | None" = None) -> _Voice:
        """A note that sounds from a sample of the song on, with its release and its level."""
        key = self.key_for(note.pitch)
        turn = self._turns.get(key, 0)
        self._turns[key] = turn + 1
        zone = zone_for(self.instrument.zones, key, note.velocity, turn)
        assert zone is not None
        wav, loop = self._at_key(zone, key)
        held = round(note.length_sec * self.rate) + lead_samples(self.rate) if zone.pitched else None
        return _Voice(
            wav.numpy(), loop, first, held=held, release=max(2, round(self.instrument.release_sec * self.rate)),
            level=(note.velocity / LOUDEST) ** VELOCITY_POWER, channel=note.channel, choke=zone.choke,
            bend=bend if zone.pitched else None,
        )  # fmt: skip

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
            wav, loop = rescaled(wav, loop, wav.shape[-1] / zone.samples)
        self._kept[place] = wav, loop
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return wav, loop


def _release(at: np.ndarray, samples: int) -> np.ndarray:
    """The gain (n,) of a note at samples after its release: to -60 dB, with an end at 0."""
    share = np.clip(at / samples, 0, 1)
    return np.asarray(10 ** (-3 * share) * (1 - share**8), np.float32)


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
    block, at, played = round(BLOCK_SEC * rate), 0, 0
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
            played += out.shape[1]
            yield torch.from_numpy(out)
        at = stop
    if not played and samples is None:  # nothing can be heard
        yield torch.zeros(2, block)


def _start(voices: list[_Voice], player: Player, part: Part, note: Note, score: Score, rate: int) -> None:
    """Add the voice of a note; it stops others of its choke group."""
    curve = score.curve(note.channel, BEND)
    end_sec = note.end_sec + part.instrument.release_sec
    first = round(note.start_sec * rate) - lead_samples(rate)
    bent = bool(curve.at(note.start_sec)) or curve.changes(note.start_sec, end_sec)
    voice = player.voice(note, first, _Bend(curve, note.start_sec, rate) if bent else None)
    for other in voices if voice.choke else ():
        if other.choke == voice.choke and other.stop > first:
            other.stop_at(first, round(FADE_SEC * rate))
    if first < 0:
        voice.take(-first)  # before the song
    voices.append(voice)


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
            begin = max(0, voice.first - at)
            sound = voice.take(stop - at - begin)
            bus[:, begin : begin + sound.shape[1]] += sound
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
