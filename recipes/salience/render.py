"""Notes and chords of the instruments of FluidR3, of which the pitches are known: render.py OUT.

Needs fluidsynth, the sound font FluidR3_GM.sf2 (Debian: fluidsynth, fluid-soundfont-gm) and mido. Each file OUT/*.npz
holds 15 s of sound at 22,050 Hz, its notes (start, end, MIDI pitch) and the bend of all pitches along time in
semitones. Some have drums beside the notes, some only drums or noise, which have no pitch. Files that begin with "held"
are of instruments that the others do not have.
"""

import argparse
import random
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import mido
import numpy as np
import soundfile as sf

FONT = "/usr/share/sounds/sf2/FluidR3_GM.sf2"
RATE, SECONDS = 22050, 15
HELD = (0, 11, 19, 22, 26, 33, 40, 42, 48, 52, 56, 65, 73, 81)  # programs, one or two of each family
BASSES, LOW = range(32, 40), {42: (36, 67), 43: (28, 55), 58: (28, 60), 70: (34, 70)}
LEFT_OUT = (14, 47)  # tubular bells and timpani, whose pitch is disputed
PROGRAMS, PER_PROGRAM, PER_HELD = range(96), 4, 2
DRUM_FILES, HELD_DRUMS, NOISE_FILES = 24, 4, 12
BEND = 4096  # steps of the pitch wheel in a semitone


def notes_of(rng: random.Random, program: int) -> list[tuple[float, float, int, int]]:
    """Random notes (start, end, pitch, velocity), up to five at a time."""
    low, high = (28, 55) if program in BASSES else LOW.get(program, (40, 92))
    most = 1 if program in BASSES else rng.choice([1, 1, 2, 3, 4, 5])
    notes, time, pace = [], 0.1, rng.choice([0.12, 0.25, 0.5, 1.0])
    while time < SECONDS - 0.3:
        length = pace * rng.choice([0.5, 1, 1, 2, 3])
        if rng.random() >= 0.15:
            base = rng.randint(low, high)
            steps = [rng.choice([3, 4, 5, 7, 8, 9, 12, -12, -5, 16, 19, 24, rng.randint(-20, 20)]) for _ in range(4)]
            chosen = {base, *(base + step for step in steps[: rng.randint(1, most) - 1])}
            for pitch in sorted(chosen):
                if low - 6 <= pitch <= min(high + 8, 104):
                    end = min(SECONDS, time + length * rng.uniform(0.6, 1.1) + 0.05)
                    notes.append((time + rng.uniform(0, 0.02), end, pitch, rng.randint(40, 120)))
        time += length
    return notes


def drums_of(rng: random.Random, pace: float) -> list[tuple[float, mido.Message]]:
    """Random hits of a drum kit."""
    found, time = [], 0.1
    while time < SECONDS:
        hit = mido.Message("note_on", channel=9, note=rng.randint(35, 81), velocity=rng.randint(30, 115))
        found.append((time, hit))
        time += pace * rng.choice([0.5, 1, 1, 2])
    return found


def rendered(events: list[tuple[float, mido.Message]], room: bool) -> np.ndarray:
    """The sound (T,) int16 of MIDI messages."""
    track, now = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=500_000)]), 0
    for time, message in sorted(events, key=lambda one: one[0]):
        tick = round(time * 960)
        track.append(message.copy(time=tick - now))
        now = tick
    with tempfile.TemporaryDirectory() as folder:
        midi, wav = Path(folder) / "a.mid", Path(folder) / "a.wav"
        mido.MidiFile(ticks_per_beat=480, tracks=[track]).save(midi)
        how = ["-ni", "-R", str(int(room)), "-C", "0", "-g", "0.6", "-r", str(RATE), "-F", str(wav)]
        subprocess.run(["fluidsynth", *how, FONT, str(midi)], capture_output=True, check=True)
        x = sf.read(wav, dtype="float32")[0].mean(1)[: SECONDS * RATE]
    x = np.pad(x, (0, SECONDS * RATE - len(x)))
    return (x * 32767 / max(1.0, float(np.abs(x).max()))).astype(np.int16)


def melodic(out: Path, program: int, number: int) -> None:
    """A file of one instrument."""
    rng = random.Random(f"{program}-{number}")
    notes = notes_of(rng, program)
    times = np.arange(0, SECONDS, 0.02)
    still = rng.uniform(-0.5, 0.5) if rng.random() < 0.6 else 0.0
    depth = rng.uniform(0.1, 0.5) if rng.random() < 0.35 else 0.0
    bend = still + depth * np.sin(2 * np.pi * rng.uniform(4, 7) * times + rng.uniform(0, 6))
    events = [(0.0, mido.Message("program_change", program=program))]
    events += [(start, mido.Message("note_on", note=pitch, velocity=hard)) for start, _, pitch, hard in notes]
    events += [(end, mido.Message("note_off", note=pitch)) for _, end, pitch, _ in notes]
    wheel = np.clip(np.round(bend * BEND), -8192, 8191).astype(int).tolist()
    events += [(float(at), mido.Message("pitchwheel", pitch=step)) for at, step in zip(times, wheel, strict=True)]
    if rng.random() < 0.3:
        events += drums_of(rng, 0.25)
    save(out / f"{'held' if program in HELD else 'train'}-{program:03d}-{number}.npz",
         rendered(events, rng.random() < 0.3), [note[:3] for note in notes], times, bend)  # fmt: skip


def drum_file(out: Path, number: int) -> None:
    """A file of drums alone."""
    rng, held = random.Random(f"drums-{number}"), number >= DRUM_FILES - HELD_DRUMS
    kit = rng.choice([8, 16, 25, 32] if held else [0, 0, 24, 40, 48])
    events = [
        (0.0, mido.Message("program_change", channel=9, program=kit)),
        *drums_of(rng, rng.choice([0.1, 0.25, 0.5])),
    ]
    save(out / f"{'held' if held else 'train'}-900-{number}.npz", rendered(events, number % 2 == 1), [], [0], [0])


def noise_file(out: Path, number: int) -> None:
    """A file of noise of some colour, in bursts or slowly changing."""
    rng, size = np.random.default_rng(number), SECONDS * RATE
    spectrum, hz = np.fft.rfft(rng.standard_normal(size)), np.fft.rfftfreq(size, 1 / RATE)
    x = np.fft.irfft(spectrum * np.maximum(hz, hz[1]) ** rng.uniform(-1.5, 0.5), size)
    time = np.arange(size) / RATE
    slow = np.interp(time, np.linspace(0, SECONDS, 40), rng.uniform(0.05, 1, 40))
    x *= slow if number % 2 else np.exp(-rng.uniform(2, 20) * (time % rng.uniform(0.1, 1)))
    save(out / f"train-901-{number}.npz", (x * 20_000 / np.abs(x).max()).astype(np.int16), [], [0], [0])


def save(path: Path, x: np.ndarray, notes: list, times: object, bend: object) -> None:
    known = np.array(notes, np.float32).reshape(-1, 3)
    np.savez(path, x=x, notes=known, times=np.asarray(times, np.float32), bend=np.asarray(bend, np.float32))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    jobs = [
        (program, number)
        for program in PROGRAMS if program not in LEFT_OUT
        for number in range(PER_HELD if program in HELD else PER_PROGRAM)
    ]  # fmt: skip
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda job: melodic(out, *job), jobs))
        list(pool.map(lambda number: drum_file(out, number), range(DRUM_FILES)))
    for number in range(NOISE_FILES):
        noise_file(out, number)
    print(f"{len(list(out.glob('*.npz')))} files in {out}")


if __name__ == "__main__":
    main()
