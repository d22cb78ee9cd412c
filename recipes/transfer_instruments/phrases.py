"""Phrases of FluidR3's instruments, drum kits and textures, for transfer: phrases.py OUT.

Needs fluidsynth, FluidR3_GM.sf2 (Debian: fluidsynth, fluid-soundfont-gm), espeak-ng and mido. Of each instrument:
OUT/NAME/train, 24 phrases of 10 s, and OUT/NAME/kept, 10 others. OUT/speech has sentences. OUT/same/A-to-B holds the
kept phrases of A as B plays them: the same notes, for comparison.
"""

import argparse
import json
import random
import subprocess
import tempfile
from pathlib import Path

import mido
import numpy as np
import soundfile as sf

FONT, RATE, SECONDS = "/usr/share/sounds/sf2/FluidR3_GM.sf2", 44100, 10
# Program, lowest and highest note; those of chords; drum kits.
VOICES = {"trumpet": (56, 58, 80), "cello": (42, 40, 67), "violin": (40, 58, 86), "flute": (73, 62, 88)}
CHORDS = {"piano": (0, 45, 80), "strings": (48, 43, 79), "organ": (19, 45, 79)}
KITS = {"kit_power": 16, "kit_808": 25}
TEXTURES = {"seashore": 122, "applause": 126}
PAIRS = (("trumpet", "cello", -12), ("flute", "violin", 0), ("piano", "strings", 0), ("organ", "piano", 0),
         ("kit_power", "kit_808", 0))  # fmt: skip
SIDES = (("train", 24, 0), ("kept", 10, 1000))
SCALE, DRUMS = (0, 2, 4, 5, 7, 9, 11), 9
SENTENCES = 10
WORDS = [
    "the",
    "river",
    "moved",
    "slowly",
    "under",
    "old",
    "bridges",
    "while",
    "people",
    "carried",
    "bread",
    "fish",
    "and",
    "copper",
    "pots",
    "to",
    "the",
    "market",
    "square",
    "nobody",
    "spoke",
    "until",
    "the",
    "bell",
    "rang",
    "twice",
    "then",
    "everyone",
    "laughed",
    "and",
    "ran",
    "for",
    "shelter",
    "from",
    "the",
    "cold",
    "bright",
    "rain",
]

Note = tuple[float, float, int, int]  # start and length in seconds, pitch, velocity


def melody(rng: random.Random, low: int, high: int, chords: bool) -> list[Note]:
    """A random walk on a scale, with rests; as chords of two or three notes."""
    root = rng.randint(0, 11)
    steps = [pitch for pitch in range(low, high + 1) if (pitch - root) % 12 in SCALE]
    time, place, notes = 0.2, rng.randint(low + 6, high - 6), []
    while time < SECONDS - 0.6:
        length = rng.choice([0.25, 0.25, 0.5, 0.5, 0.75, 1.0]) * (2 if chords else 1)
        hard = rng.randint(60, 115)
        if rng.random() >= 0.12:
            place = min(max(place + rng.choice([-5, -4, -3, -2, -2, -1, -1, 1, 1, 2, 2, 3, 4, 5]), low), high)
            first = min(range(len(steps)), key=lambda i: abs(steps[i] - place))
            shape = rng.choice([(0, 2, 4), (0, 2, 4), (0, 3, 5), (0, 2)]) if chords else (0,)
            held = length * rng.uniform(0.8, 1.0)
            pitches = {steps[min(len(steps) - 1, first + i)] for i in shape}
            notes += [(time, held, pitch, hard) for pitch in sorted(pitches)]
        time += length
    return notes


def beat(rng: random.Random) -> list[Note]:
    """A drum pattern of sixteenths, with variations."""
    step = 60 / rng.uniform(80, 150) / 4
    kick = [rng.random() < share for share in (1, 0.1, 0.2, 0.2, 0.3, 0.1, 0.5, 0.2) * 2]
    snare = [rng.random() < share for share in (0, 0.05, 0.1, 0.1, 0.95, 0.1, 0.1, 0.2) * 2]
    every, hat, notes = rng.choice([1, 2, 2, 4]), rng.choice([42, 42, 46, 51]), []
    for i in range(int((SECONDS - 0.2) / step)):
        time, at = 0.1 + i * step, i % 16
        if kick[at] and rng.random() < 0.9:
            notes.append((time, 0.1, rng.choice([36, 36, 35]), rng.randint(80, 120)))
        if snare[at] and rng.random() < 0.9:
            notes.append((time, 0.1, rng.choice([38, 38, 40, 39]), rng.randint(60, 120)))
        if i % every == 0 and rng.random() < 0.95:
            notes.append((time, 0.1, hat if rng.random() < 0.85 else 46, rng.randint(40, 100)))
        if at > 11 and rng.random() < 0.12:
            notes.append((time, 0.1, rng.choice([41, 45, 48, 50]), rng.randint(70, 115)))
    return notes


def texture(rng: random.Random) -> list[Note]:
    """Long sounds that swell into each other, at several speeds."""
    time, notes = 0.0, []
    while time < SECONDS - 1:
        length = rng.uniform(2, 5)
        notes.append((time, length, rng.randint(48, 72), rng.randint(50, 120)))
        time += length * rng.uniform(0.5, 0.9)
    return notes


def phrase(rng: random.Random, name: str) -> list[Note]:
    """A phrase of an instrument, a kit or a texture."""
    if name in KITS:
        return beat(rng)
    if name in TEXTURES:
        return texture(rng)
    return melody(rng, *(VOICES | CHORDS)[name][1:], name in CHORDS)


def render(path: Path, notes: list[Note], program: int, channel: int) -> None:
    """Write notes as a WAV at a peak of 0.8, and beside it as JSON."""
    events = [(start, "note_on", pitch, hard) for start, _, pitch, hard in notes]
    events += [(start + length, "note_off", pitch, 0) for start, length, pitch, _ in notes]
    track = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=500_000)])
    track.append(mido.Message("program_change", program=program, channel=channel))
    now = 0
    for time, kind, pitch, hard in sorted(events, key=lambda one: (one[0], one[1] == "note_on")):
        tick = round(time * 960)
        track.append(mido.Message(kind, note=pitch, velocity=hard, channel=channel, time=tick - now))
        now = tick
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        midi = Path(folder) / "a.mid"
        mido.MidiFile(ticks_per_beat=480, tracks=[track]).save(midi)
        how = ["-ni", "-R", "0", "-C", "0", "-g", "0.8", "-r", str(RATE), "-F", str(path)]
        subprocess.run(["fluidsynth", *how, FONT, str(midi)], capture_output=True, check=True)
    x = sf.read(path)[0].mean(1)[: SECONDS * RATE]
    x = np.pad(x, (0, SECONDS * RATE - len(x)))
    sf.write(path, 0.8 * x / np.abs(x).max(), RATE, subtype="PCM_16")
    path.with_suffix(".json.txt").write_text(json.dumps(notes))


def speech(out: Path) -> None:
    """Sentences of random words, spoken by espeak-ng."""
    out.mkdir(parents=True, exist_ok=True)
    for number in range(SENTENCES):
        rng = random.Random(f"speech{number}")
        text = " ".join(rng.choice(WORDS) for _ in range(22))
        voice = ["-v", rng.choice(["en-gb", "en-us"]), "-s", str(rng.randint(130, 170)), "-p", str(rng.randint(30, 70))]
        subprocess.run(["espeak-ng", *voice, "-w", str(out / f"speech-{number:02d}.wav"), text], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    programs = {name: about[0] for name, about in (VOICES | CHORDS).items()} | KITS | TEXTURES
    for name, program in programs.items():
        for side, count, first in SIDES:
            for number in range(count):
                rng = random.Random(f"{name}{first + number}")
                channel = DRUMS if name in KITS else 0
                render(out / name / side / f"{name}-{number:02d}.wav", phrase(rng, name), program, channel)
    for source, target, semitones in PAIRS:
        for path in sorted((out / source / "kept").glob("*.json.txt")):
            known = json.loads(path.read_text())
            notes = [(start, length, pitch + semitones, hard) for start, length, pitch, hard in known]
            place = out / "same" / f"{source}-to-{target}" / path.name.replace(".json.txt", ".wav")
            render(place, notes, programs[target], DRUMS if source in KITS else 0)
    speech(out / "speech")
    print(f"{len(list(out.rglob('*.wav')))} files in {out}")


if __name__ == "__main__":
    main()
