"""Notes, phrases and drum hits rendered by fluidsynth from FluidR3_GM (MIT), and which of its recordings presets share.

Everything to play is a `Piece`; many of them go into one MIDI file, so that the bank is opened once for all. Nothing
here is random but the drawing functions, which take a generator.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile as sf

from audio_gen.errors import DataError

SAMPLE_RATE = 44100
BANKS = ("/usr/share/sounds/sf2/FluidR3_GM.sf2", "/usr/share/soundfonts/FluidR3_GM.sf2")
DRUM_CHANNEL = 9
GAP_SEC = 0.5  # between two pieces of one file: what still sounds then is cut, reverberation fades in it
PIECES_PER_FILE = 20
OPTIONS = "-ni -q -C 0 -g 0.4 -T wav -O float -o player.timing-source=sample -o synth.lock-memory=0"

# General MIDI programs by name. Left out: presets of effects, and most that repeat another's recordings.
_PROGRAMS = """
grand_piano 0, electric_grand 2, honky_tonk 3, rhodes 4, electric_piano 5, harpsichord 6, clavinet 7, celesta 8,
glockenspiel 9, music_box 10, vibraphone 11, marimba 12, xylophone 13, tubular_bells 14, dulcimer 15, drawbar_organ 16,
percussive_organ 17, rock_organ 18, church_organ 19, reed_organ 20, accordion 21, harmonica 22, nylon_guitar 24,
steel_guitar 25, jazz_guitar 26, clean_guitar 27, muted_guitar 28, overdrive_guitar 29, distortion_guitar 30,
acoustic_bass 32, fingered_bass 33, picked_bass 34, fretless_bass 35, slap_bass 36, synth_bass 38, synth_bass_2 39,
violin 40, viola 41, cello 42, contrabass 43, tremolo_strings 44, pizzicato 45, harp 46, timpani 47, strings 48,
synth_strings 50, choir_aahs 52, voice_oohs 53, synth_voice 54, orchestra_hit 55, trumpet 56, trombone 57, tuba 58,
muted_trumpet 59, french_horn 60, brass_section 61, synth_brass 62, soprano_sax 64, alto_sax 65, tenor_sax 66,
baritone_sax 67, oboe 68, english_horn 69, bassoon 70, clarinet 71, piccolo 72, flute 73, recorder 74, pan_flute 75,
bottle 76, shakuhachi 77, whistle 78, ocarina 79, square_lead 80, saw_lead 81, calliope 82, fantasia 88, warm_pad 89,
bowed_glass 92, sweep_pad 95, ice_rain 96, crystal 98, brightness 100, echo_drops 102, sitar 104, banjo 105,
shamisen 106, koto 107, kalimba 108, bagpipe 109, shenai 111, steel_drums 114, taiko 116, synth_drum 118
"""
INSTRUMENTS = {name: int(program) for name, program in (entry.split() for entry in _PROGRAMS.split(","))}

# Kits by name: program on the drum channel, and keys. FluidR3's kits share most of their recordings, so the two that
# are kept out (see `build_corpus`) play only those keys whose recordings no other preset has.
_ALL_KEYS = tuple(range(35, 82))
KITS: dict[str, tuple[int, tuple[int, ...]]] = {
    "standard": (0, _ALL_KEYS),
    "power": (16, _ALL_KEYS),
    "jazz": (32, _ALL_KEYS),
    "brush": (40, _ALL_KEYS),
    "orchestra": (48, _ALL_KEYS),
    "electronic": (24, (35, 36, 38, 40, 41, 43, 45, 47, 48, 50)),
    "tr808": (25, (35, 36, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 56, 62, 63, 64, 75)),
}


@dataclass(frozen=True)
class Note:
    """One key held on one channel; times in ms from the start of its piece."""

    start_ms: int
    length_ms: int
    channel: int
    key: int
    velocity: int


@dataclass(frozen=True)
class Piece:
    """What one clip plays: names of its instruments and kits, (channel, program) pairs, and notes."""

    groups: tuple[str, ...]
    programs: tuple[tuple[int, int], ...]
    notes: tuple[Note, ...]
    seconds: float


def draw_note(rng: np.random.Generator, instruments: Sequence[str]) -> Piece:
    """One note of one instrument: pitch C1..C7, any loudness, held 0.1..2.5 s, then its release."""
    name = str(rng.choice(instruments))
    held_sec = float(rng.uniform(0.1, 2.5))
    note = Note(0, round(1000 * held_sec), 0, int(rng.integers(24, 97)), int(rng.integers(30, 128)))
    return Piece((name,), ((0, INSTRUMENTS[name]),), (note,), held_sec + float(rng.uniform(0.3, 1.0)))


def draw_hit(rng: np.random.Generator, kits: Sequence[str]) -> Piece:
    """One stroke of one kit, with its decay."""
    name = str(rng.choice(kits))
    program, keys = KITS[name]
    note = Note(0, 400, DRUM_CHANNEL, int(rng.choice(keys)), int(rng.integers(30, 128)))
    return Piece((name,), ((DRUM_CHANNEL, program),), (note,), float(rng.uniform(0.6, 2.5)))


def draw_beat(rng: np.random.Generator, kits: Sequence[str]) -> Piece:
    """A few bars of random strokes of one kit on a grid of sixteenths."""
    name, seconds = str(rng.choice(kits)), float(rng.uniform(3, 6))
    strokes = _strokes(rng, KITS[name][1], seconds, float(rng.uniform(90, 200)))
    return Piece((name,), ((DRUM_CHANNEL, KITS[name][0]),), strokes, seconds)


def draw_phrase(rng: np.random.Generator, instruments: Sequence[str], kits: Sequence[str]) -> Piece:
    """A polyphonic phrase of 1 to 4 instruments in a random scale and tempo; drums play in three of ten."""
    seconds, step_ms = float(rng.uniform(4, 9)), float(rng.uniform(90, 300))
    scale = [(0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 3, 5, 7, 10), tuple(range(12))][rng.integers(4)]
    root = int(rng.integers(12))
    pitches = [key for key in range(28, 97) if (key - root) % 12 in scale]
    names = [str(name) for name in rng.choice(instruments, min(len(instruments), int(rng.integers(1, 5))), False)]
    notes: list[Note] = []
    for channel in range(len(names)):
        notes += _part(rng, channel, pitches, seconds, step_ms)
    programs = [(channel, INSTRUMENTS[name]) for channel, name in enumerate(names)]
    if rng.random() < 0.3:
        kit = str(rng.choice(kits))
        notes += _strokes(rng, KITS[kit][1], seconds, step_ms)
        programs.append((DRUM_CHANNEL, KITS[kit][0]))
        names.append(kit)
    return Piece(tuple(names), tuple(programs), tuple(sorted(notes, key=lambda n: n.start_ms)), seconds)


def _part(rng: np.random.Generator, channel: int, pitches: Sequence[int], seconds: float, step_ms: float) -> list[Note]:
    """One instrument's notes: chords of 1 to 4 keys that walk up and down, each 1 to 8 steps long."""
    at, now, loudness, notes = int(rng.integers(len(pitches))), 0.0, int(rng.integers(50, 115)), []
    largest, end_ms = int(rng.integers(1, 5)), 1000 * seconds - 400
    while now < end_ms:
        length_ms = step_ms * int(rng.choice([1, 1, 2, 2, 4, 8]))
        at = int(np.clip(at + rng.integers(-3, 4), 0, len(pitches) - 1))
        for third in range(int(rng.integers(0, largest + 1))):  # 0: a rest
            key = pitches[min(at + 2 * third, len(pitches) - 1)]
            held_ms = min(length_ms * float(rng.uniform(0.5, 1.1)), end_ms + 200 - now)
            velocity = int(np.clip(loudness + rng.integers(-20, 21), 20, 127))
            notes.append(Note(round(now), max(round(held_ms), 20), channel, key, velocity))
        now += length_ms
    return notes


def _strokes(rng: np.random.Generator, keys: Sequence[int], seconds: float, step_ms: float) -> tuple[Note, ...]:
    """A bar of 8 steps of up to 6 drums, repeated with other velocities."""
    drums = rng.choice(keys, min(len(keys), int(rng.integers(2, 7))), False)
    bar = rng.random((len(drums), 8)) < 0.3
    bar[0, 0] = True
    steps = int((1000 * seconds - 500) / step_ms)
    return tuple(
        Note(round(step * step_ms), 100, DRUM_CHANNEL, int(key), int(rng.integers(40, 128)))
        for step in range(max(steps, 1))
        for key, played in zip(drums, bar[:, step % 8], strict=True)
        if played
    )


def varlen(number: int) -> bytes:
    """A MIDI variable-length quantity: 7 bits a byte, the high bit set on all but the last."""
    out = [number & 0x7F]
    while number := number >> 7:
        out.append(0x80 | (number & 0x7F))
    return bytes(reversed(out))


def midi_file(pieces: Sequence[Piece]) -> tuple[bytes, list[int]]:
    """The pieces one after the other as a format-0 file at 1 tick a ms, and the ms at which each starts."""
    events: list[tuple[int, int, bytes]] = [(0, 0, b"\xff\x51\x03" + (1_000_000).to_bytes(3, "big"))]
    starts, now = [], 500
    for piece in pieces:
        starts.append(now)
        for channel, program in piece.programs:  # all sound off, then the programs, just before the piece
            events.append((now - 60, 1, bytes([0xB0 | channel, 120, 0])))
            events.append((now - 50, 2, bytes([0xC0 | channel, program])))
        for note in piece.notes:  # at the same moment keys are left before others are struck
            on, off = now + note.start_ms, now + note.start_ms + note.length_ms
            events.append((on, 4, bytes([0x90 | note.channel, note.key, note.velocity])))
            events.append((off, 3, bytes([0x80 | note.channel, note.key, 0])))
        now += round(1000 * (piece.seconds + GAP_SEC))
        events += [(now - 300, 1, bytes([0xB0 | channel, 120, 0])) for channel, _ in piece.programs]
    body, before = b"", 0
    for when, _, data in sorted(events):
        body, before = body + varlen(when - before) + data, when
    body += varlen(now - before) + b"\xff\x2f\x00"
    head = b"MThd" + struct.pack(">IHHH", 6, 0, 1, 1000)
    return head + b"MTrk" + len(body).to_bytes(4, "big") + body, starts


def find_bank() -> Path:
    """FluidR3_GM.sf2, and fluidsynth's presence; DataError names the package of what is missing."""
    if shutil.which("fluidsynth") is None:
        raise DataError("fluidsynth not found: apt-get install fluidsynth")
    for path in map(Path, BANKS):
        if path.is_file():
            return path
    raise DataError(f"{BANKS[0]} not found: apt-get install fluid-soundfont-gm")


def render(pieces: Sequence[Piece], bank: Path, *, reverb: bool = False) -> list[np.ndarray]:
    """The pieces as float32 mono clips at 44.1 kHz, each of its `seconds`, the end faded over 20 ms."""
    data, starts = midi_file(pieces)
    with tempfile.TemporaryDirectory() as folder:
        mid, wav = Path(folder) / "pieces.mid", Path(folder) / "pieces.wav"
        mid.write_bytes(data)
        command = ["fluidsynth", *OPTIONS.split(), "-R", str(int(reverb)), "-r", str(SAMPLE_RATE), "-F", str(wav)]
        subprocess.run([*command, str(bank), str(mid)], check=True, capture_output=True)
        mono = sf.read(wav, dtype="float32", always_2d=True)[0].mean(axis=1)
    clips, fade = [], np.linspace(1, 0, SAMPLE_RATE // 50, dtype=np.float32)
    for piece, start_ms in zip(pieces, starts, strict=True):
        first, length = start_ms * SAMPLE_RATE // 1000, round(piece.seconds * SAMPLE_RATE)
        clip = np.pad(mono[first : first + length], (0, max(0, first + length - len(mono))))
        clip[-len(fade) :] *= fade
        clips.append(clip)
    return clips


# The bank's own tables (SoundFont 2.04, section 7): which recordings a preset plays at a key.
_RECORDS = {b"phdr": "<20sHHHIII", b"pbag": "<HH", b"pgen": "<HH", b"inst": "<20sH", b"ibag": "<HH", b"igen": "<HH"}
_KEY_RANGE, _INSTRUMENT, _SAMPLE = 43, 41, 53


def read_presets(bank: Path) -> dict[tuple[int, int], dict[int, set[int]]]:
    """(bank, program) -> key -> numbers of the recordings that sound there; the recordings are not read."""
    tables = _read_tables(bank)
    presets: dict[tuple[int, int], dict[int, set[int]]] = {}
    inst, zones = tables[b"inst"], (tables[b"pbag"], tables[b"pgen"])
    for header, following in zip(tables[b"phdr"], tables[b"phdr"][1:], strict=False):  # the last record ends the list
        keys: dict[int, set[int]] = {key: set() for key in range(128)}
        for low, high, number in _zones(*zones, header[3], following[3], _INSTRUMENT):
            first, last = inst[number][1], inst[number + 1][1]
            for low_2, high_2, sample in _zones(tables[b"ibag"], tables[b"igen"], first, last, _SAMPLE):
                for key in range(max(low, low_2), min(high, high_2) + 1):
                    keys[key].add(sample)
        presets[header[2], header[1]] = keys
    return presets


def _zones(
    bags: list[tuple], generators: list[tuple], first: int, last: int, target: int
) -> list[tuple[int, int, int]]:
    """(lowest key, highest key, target's number) of each zone that has the generator `target`."""
    found = []
    for number in range(first, last):
        settings = dict(generators[bags[number][0] : bags[number + 1][0]])
        if target in settings:
            keys = settings.get(_KEY_RANGE, 127 << 8)
            found.append((keys & 255, keys >> 8, settings[target]))
    return found


def _read_tables(bank: Path) -> dict[bytes, list[tuple]]:
    tables: dict[bytes, list[tuple]] = {}
    with bank.open("rb") as file:
        file.seek(12)  # RIFF, size, sfbk
        while len(head := file.read(8)) == 8:
            name, size = struct.unpack("<4sI", head)
            if name == b"LIST":
                if file.read(4) == b"sdta":  # the recordings: past them; any other list: into it
                    file.seek(size - 4 + (size & 1), 1)
            elif name in _RECORDS:
                tables[name] = list(struct.iter_unpack(_RECORDS[name], file.read(size)))
            else:
                file.seek(size + (size & 1), 1)
    return tables
