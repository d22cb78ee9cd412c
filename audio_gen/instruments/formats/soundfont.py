"""SoundFont 2: one file with 16-bit samples, for hardware, DAWs and FluidSynth.

Source: SoundFont Technical Specification 2.04 (E-mu Systems, 2006); section numbers below are its.
"""

import math
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from audio_gen.files import write_atomic
from audio_gen.instruments.zones import Instrument, Zone

GUARD = 46  # zero samples after each sample (6.1)
NAME_BYTES = 20
PERCUSSION_BANK = 128
MONO, RIGHT, LEFT = 1, 2, 4  # sample types (7.10)
# Generators (8.1.2)
PAN, RELEASE, INSTRUMENT, KEY_RANGE, VELOCITY_RANGE = 17, 38, 41, 43, 44
SAMPLE, MODES, SCALE, EXCLUSIVE, ROOT = 53, 54, 56, 57, 58
LOOP_UNTIL_RELEASE = 3
RING_SEC = 20.0  # release of drums, so that note-offs do not cut them
HARD_LEFT, HARD_RIGHT = -500, 500


def write_sf2(instruments: Sequence[Instrument], path: Path, name: str, about: str) -> None:
    """Write a bank with a preset for each instrument, in order; drums are also the percussion of bank 128.

    Of takes only the first is written, since the format knows no turns.

    Args:
        instruments: The instruments.
        path: The file.
        name: Of the bank.
        about: A line on where it comes from.
    """
    data, headers = bytearray(), bytearray()
    bags, generators, heads, number = (
        [bytearray(), bytearray()],
        [bytearray(), bytearray()],
        [bytearray(), bytearray()],
        0,
    )
    for i, instrument in enumerate(instruments):
        heads[1] += struct.pack("<20sH", _name(instrument.name), len(bags[1]) // 4)
        for zone in (one for one in instrument.zones if one.take == 0):
            for channel, x in enumerate(zone.wav.numpy()):
                stereo = len(zone.wav) == 2
                partner = number + (1 - 2 * channel) if stereo else 0
                headers += _sample(data, zone, x, (LEFT if channel == 0 else RIGHT) if stereo else MONO, partner)
                pan = (HARD_LEFT if channel == 0 else HARD_RIGHT) if stereo else None
                _bag(bags[1], generators[1], _zone_generators(instrument, zone, number, pan))
                number += 1
        places = [(0, i), (PERCUSSION_BANK, 0)] if instrument.drums else [(0, i)]
        for bank, program in places:
            heads[0] += struct.pack("<20sHHHIII", _name(instrument.name), program, bank, len(bags[0]) // 4, 0, 0, 0)
            _bag(bags[0], generators[0], [(INSTRUMENT, struct.pack("<H", i))])
    heads[0] += struct.pack("<20sHHHIII", b"EOP", 0, 0, len(bags[0]) // 4, 0, 0, 0)
    heads[1] += struct.pack("<20sH", b"EOI", len(bags[1]) // 4)
    headers += struct.pack("<20sIIIIIBbHH", b"EOS", 0, 0, 0, 0, 0, 0, 0, 0, 0)
    tables = []
    for kind, letter in enumerate((b"p", b"i")):
        _bag(bags[kind], generators[kind], [])  # the end of the last zone
        generators[kind] += bytes(4)
        tables += [
            _chunk(b"phdr" if kind == 0 else b"inst", heads[kind]), _chunk(letter + b"bag", bags[kind]),
            _chunk(letter + b"mod", bytes(10)), _chunk(letter + b"gen", generators[kind]),
        ]  # fmt: skip
    info = b"INFO" + b"".join((
        _chunk(b"ifil", struct.pack("<HH", 2, 1)), _chunk(b"isng", b"EMU8000\0"), _chunk(b"INAM", _text(name)),
        _chunk(b"ICMT", _text(about)), _chunk(b"ISFT", _text("audio_gen")),
    ))  # fmt: skip
    body = b"sfbk" + b"".join((
        _chunk(b"LIST", info), _chunk(b"LIST", b"sdta" + _chunk(b"smpl", data)),
        _chunk(b"LIST", b"pdta" + b"".join(tables) + _chunk(b"shdr", headers)),
    ))  # fmt: skip
    write_atomic(path, lambda temporary: temporary.write_bytes(_chunk(b"RIFF", body)))


def _zone_generators(
    instrument: Instrument, zone: Zone, sample: int, pan: int | None
) -> list[tuple[int, bytes]]:  # fmt: skip
    """Generators of a zone, in the order that the format asks for: ranges first, the sample last (8.1.2)."""
    release = RING_SEC if instrument.drums else instrument.release_sec
    found = [(KEY_RANGE, struct.pack("BB", *zone.keys)), (VELOCITY_RANGE, struct.pack("BB", *zone.velocities))]
    found += [] if pan is None else [(PAN, struct.pack("<h", pan))]
    found += [(RELEASE, struct.pack("<h", round(1200 * math.log2(release))))]
    found += [] if zone.pitched else [(SCALE, struct.pack("<h", 0))]
    found += [(EXCLUSIVE, struct.pack("<H", zone.choke))] if zone.choke else []
    found += [(MODES, struct.pack("<H", LOOP_UNTIL_RELEASE))] if zone.loop else []
    return [*found, (ROOT, struct.pack("<H", zone.root)), (SAMPLE, struct.pack("<H", sample))]


def _sample(data: bytearray, zone: Zone, x: np.ndarray, kind: int, partner: int) -> bytes:
    """Append the samples of a channel; its header (7.10)."""
    start = len(data) // 2
    data += np.round(np.clip(x, -1, 1) * 32767).astype("<i2").tobytes() + bytes(2 * GUARD)
    first, stop = (zone.loop.first, zone.loop.stop) if zone.loop else (0, 0)
    cents = min(max(-round(zone.cents), -99), 99)
    return struct.pack(
        "<20sIIIIIBbHH", _name(zone.name.rpartition("/")[2]), start, start + len(x), start + first, start + stop,
        zone.sample_rate, zone.root, cents, partner, kind,
    )  # fmt: skip


def _bag(bags: bytearray, generators: bytearray, some: list[tuple[int, bytes]]) -> None:
    bags += struct.pack("<HH", len(generators) // 4, 0)
    for number, amount in some:
        generators += struct.pack("<H", number) + amount


def _chunk(name: bytes, body: bytes | bytearray) -> bytes:
    return name + struct.pack("<I", len(body)) + bytes(body) + bytes(len(body) % 2)


def _name(text: str) -> bytes:
    """A name in ASCII; the end of a long one tells samples apart, so its middle is cut."""
    plain = text.encode("ascii", "replace")
    half = (NAME_BYTES - 1) // 2
    return plain if len(plain) < NAME_BYTES else plain[: half - 1] + b"~" + plain[-half:]


def _text(text: str) -> bytes:
    """A string of INFO: at most 255 bytes, zero-terminated, of even length (5)."""
    plain = text.encode("ascii", "replace")[:253] + b"\0"
    return plain + bytes(len(plain) % 2)
