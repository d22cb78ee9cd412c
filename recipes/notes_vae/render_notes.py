#!/usr/bin/env python3
"""Render an NSynth-like set of single instrument notes from a Debian sample bank.

    apt-get install fluidsynth fluid-soundfont-gm
    python3 render_notes.py --out notes-dev --rate 44100

Each clip is one note: 1.5 s held, then its release, 2.0 s in all, mono 16-bit FLAC,
named `instrument-pitch-velocity.flac` (`grand_piano-060-110.flac`). `metadata.csv`
beside them gives family and preset of each clip. The bank is FluidR3_GM (MIT).

Deterministic: the same packages give the same bytes (reverb and chorus are off,
the MIDI clock follows the sample clock, nothing is random).

Needs: fluidsynth, numpy, scipy, soundfile.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile as sf
from scipy.signal import resample_poly

RENDER_SR = 44100  # rate of the synthesiser
SLOT_MS = 3500  # distance of two note-ons while rendering
NOTE_MS = 1500  # how long a key is held
CLIP_S = 2.0  # length of a clip
FADE_S = 0.02  # fade-out at the end of a clip
PEAK = 0.9  # peak of the loudest clip of each instrument
SILENT = 1e-3  # clips whose peak is below this are left out

SOUNDFONT = "FluidR3_GM.sf2"
SF2_FOLDERS = ("/usr/share/sounds/sf2", "/usr/share/soundfonts")

# (instrument, family, General MIDI program)
INSTRUMENTS = [
    ("grand_piano", "keyboard", 0),
    ("electric_piano", "keyboard", 4),
    ("harpsichord", "keyboard", 6),
    ("celesta", "mallet", 8),
    ("glockenspiel", "mallet", 9),
    ("xylophone", "mallet", 13),
    ("church_organ", "organ", 19),
    ("accordion", "organ", 21),
    ("nylon_guitar", "guitar", 24),
    ("steel_guitar", "guitar", 25),
    ("clean_guitar", "guitar", 27),
    ("fingered_bass", "bass", 33),
    ("synth_bass", "bass", 38),
    ("violin", "string", 40),
    ("cello", "string", 42),
    ("string_ensemble", "string", 48),
    ("pizzicato_strings", "string", 45),
    ("voice_oohs", "vocal", 53),
    ("trumpet", "brass", 56),
    ("french_horn", "brass", 60),
    ("tuba", "brass", 58),
    ("alto_sax", "reed", 65),
    ("oboe", "reed", 68),
    ("flute", "flute", 73),
]


def find_soundfont(folder: str | None) -> Path:
    for place in ([folder] if folder else []) + list(SF2_FOLDERS):
        path = Path(place) / SOUNDFONT
        if path.is_file():
            return path
    sys.exit(f"{SOUNDFONT} not found: install its Debian package or give --sf2-dir")


def varlen(n: int) -> bytes:
    """A MIDI variable-length quantity."""
    out = [n & 0x7F]
    while n := n >> 7:
        out.append(0x80 | (n & 0x7F))
    return bytes(reversed(out))


def midi_file(program: int, notes: list[tuple[int, int]]) -> bytes:
    """A format-0 MIDI file at 1 tick a millisecond: one note in each slot."""
    events = [(0, bytes([0xFF, 0x51, 3]) + (1_000_000).to_bytes(3, "big")), (0, bytes([0xC0, program]))]
    for i, (pitch, velocity) in enumerate(notes):
        start = (i + 1) * SLOT_MS
        events.append((start - 50, bytes([0xB0, 120, 0])))  # all sound off
        events.append((start, bytes([0x90, pitch, velocity])))
        events.append((start + NOTE_MS, bytes([0x80, pitch, 0])))
    end = (len(notes) + 1) * SLOT_MS
    events.append((end, bytes([0xB0, 120, 0])))
    body, now = b"", 0
    for when, data in events:  # already in order
        body += varlen(when - now) + data
        now = when
    body += varlen(0) + bytes([0xFF, 0x2F, 0])
    return (
        b"MThd"
        + (6).to_bytes(4, "big")
        + bytes([0, 0, 0, 1])
        + (1000).to_bytes(2, "big")
        + b"MTrk"
        + len(body).to_bytes(4, "big")
        + body
    )


def render(program: int, notes: list[tuple[int, int]], sf2_dir: str | None) -> list[np.ndarray]:
    """The notes as float mono clips at RENDER_SR."""
    with tempfile.TemporaryDirectory() as tmp:
        mid, wav = Path(tmp) / "notes.mid", Path(tmp) / "notes.wav"
        mid.write_bytes(midi_file(program, notes))
        cmd = [
            "fluidsynth",
            "-ni",
            "-q",
            "-R",
            "0",
            "-C",
            "0",
            "-g",
            "0.4",
            "-r",
            str(RENDER_SR),
            "-T",
            "wav",
            "-O",
            "float",
            "-o",
            "player.timing-source=sample",
            "-o",
            "synth.lock-memory=0",
            "-F",
            str(wav),
            str(find_soundfont(sf2_dir)),
            str(mid),
        ]
        subprocess.run(cmd, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        audio, sr = sf.read(wav, dtype="float32", always_2d=True)
    assert sr == RENDER_SR
    mono = audio.mean(axis=1)
    n = int(CLIP_S * RENDER_SR)
    clips = []
    for i in range(len(notes)):
        at = (i + 1) * SLOT_MS * RENDER_SR // 1000
        clip = mono[at : at + n]
        clips.append(np.pad(clip, (0, n - len(clip))))
    return clips


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("--out", type=Path, required=True, help="folder to fill")
    ap.add_argument("--sf2-dir", help="where the SoundFonts are, if not Debian's place")
    ap.add_argument("--low", type=int, default=36)
    ap.add_argument("--high", type=int, default=84)
    ap.add_argument("--step", type=int, default=2)
    ap.add_argument("--velocities", type=int, nargs="+", default=[60, 110])
    ap.add_argument("--rate", type=int, default=44100)
    args = ap.parse_args()

    args.out.mkdir(parents=True, exist_ok=True)
    notes = [(p, v) for p in range(args.low, args.high + 1, args.step) for v in args.velocities]
    fade = np.linspace(1, 0, int(FADE_S * args.rate), dtype=np.float32)
    rows = []
    for name, family, program in INSTRUMENTS:
        clips = render(program, notes, args.sf2_dir)
        clips = [resample_poly(c, args.rate, RENDER_SR).astype(np.float32) for c in clips]
        gain = PEAK / max(max(np.abs(c).max() for c in clips), 1e-9)
        kept = 0
        for (pitch, velocity), clip in zip(notes, clips, strict=True):
            clip = clip * gain
            peak = float(np.abs(clip).max())
            if peak < SILENT:
                continue
            clip[-len(fade) :] *= fade
            file = f"{name}-{pitch:03d}-{velocity:03d}.flac"
            sf.write(args.out / file, clip, args.rate, subtype="PCM_16")
            rows.append([file, name, family, pitch, velocity, program, f"{peak:.4f}"])
            kept += 1
        print(f"{name:18s} program {program:3d}: {kept} clips", flush=True)
    with open(args.out / "metadata.csv", "w", newline="") as f:
        w = csv.writer(f)
        w.writerow(["file", "instrument", "family", "pitch", "velocity", "program", "peak"])
        w.writerows(rows)
    print(f"{len(rows)} clips, {len(rows) * CLIP_S / 60:.1f} minutes in {args.out}")


if __name__ == "__main__":
    main()
