"""Where the corpus comes from: one generator of clips for each source, and which groups each split may use."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile as sf
import soundfont
import soxr
import speech
import synthetic

from audio_gen.errors import DataError

SAMPLE_RATE = 44100
# What is kept out. Of every other group all clips are in train. Sonic Pi's files are split by name instead.
INSTRUMENTS = {"val": ("flute", "banjo"), "test": ("xylophone", "cello", "oboe")}
KITS = {"val": ("electronic",), "test": ("tr808", "rumpf")}
VOICES = {"val": ("m5",), "test": ("f3",)}
PEAK_DB = (-20.0, 0.0)  # peak of what is made here, drawn evenly
MIXTURE_DB = (-40.0, 0.0)
SONIC_PI = Path("/usr/share/sonic-pi/samples")
HYDROGEN = Path("/usr/share/hydrogen/data/drumkits")
RECORDED_KITS = {"audiophob": ("Audiophob", "CC0-1.0"), "rumpf": ("rumpf_kit_z01_h2", "CC-BY-3.0")}
STRUMS = ("belofilms_GuitarStrums", "CC-BY-3.0")


@dataclass(frozen=True)
class Clip:
    """A sound to be written, of one or more groups."""

    groups: tuple[str, ...]
    licence: str
    wav: np.ndarray


def pool(names: Iterable[str], kept_out: Mapping[str, tuple[str, ...]], split: str) -> tuple[str, ...]:
    """Those of `names` that a split may use: for train, all that no other split has."""
    held = {name for group in kept_out.values() for name in group}
    return tuple(n for n in names if (n not in held if split == "train" else n in kept_out[split]))


def tenths(names: Sequence[str], split: str) -> list[str]:
    """Sorted names: every tenth from the first is test, every tenth from the sixth is val."""
    place = {"test": 0, "val": 5}
    chosen = {split: list(sorted(names)[first::10]) for split, first in place.items()}
    held = set(chosen["test"]) | set(chosen["val"])
    return chosen[split] if split in chosen else [n for n in sorted(names) if n not in held]


def at_peak(wav: np.ndarray, rng: np.random.Generator, range_db: tuple[float, float] = PEAK_DB) -> np.ndarray:
    """The sound with a peak drawn from a range of dBFS; what holds nothing stays as it is."""
    peak = float(np.abs(wav).max(initial=0))
    return wav * (10 ** (rng.uniform(*range_db) / 20) * 0.999 / peak) if peak > 1e-4 else wav


def read_mono(path: Path) -> np.ndarray:
    """A file as float32 mono at 44.1 kHz; its level is kept unless it would clip."""
    wav, rate = sf.read(path, dtype="float32", always_2d=True)
    mono = wav.mean(axis=1)
    mono = mono if rate == SAMPLE_RATE else soxr.resample(mono, rate, SAMPLE_RATE)
    return mono / max(1.0, float(np.abs(mono).max(initial=0)) / 0.999)


def recordings(folder: Path, package: str) -> list[Path]:
    """The sound files of an installed package, sorted by name."""
    files = sorted(p for p in folder.glob("*") if p.suffix.lower() in {".flac", ".wav"})
    if not files:
        raise DataError(f"no sounds in {folder}: apt-get install {package}")
    return files


def sonicpi(split: str, rng: np.random.Generator) -> Iterator[Clip]:
    """Sonic Pi's samples in random order, each its own group."""
    files = {path.stem: path for path in recordings(SONIC_PI, "sonic-pi-samples")}
    names = tenths([path.name for path in files.values()], split)
    for stem in rng.permutation([Path(name).stem for name in names]):
        yield Clip((str(stem),), "CC0-1.0", read_mono(files[stem]))


def strums(split: str, rng: np.random.Generator) -> Iterator[Clip]:
    """Guitar chords; one guitar, so train only."""
    files = recordings(HYDROGEN / STRUMS[0], "hydrogen-drumkits-effects")
    for number in rng.permutation(len(files)) if split == "train" else ():
        yield Clip(("belofilms",), STRUMS[1], read_mono(files[number]))


def rendered(
    draw: Callable[[], soundfont.Piece], rng: np.random.Generator, *, rooms: Sequence[bool] = (False,)
) -> Iterator[Clip]:
    """Pieces drawn and rendered in batches, with and without reverberation in turn; silent ones are left out."""
    bank = soundfont.find_bank()
    for reverb in itertools.cycle(rooms):
        pieces = [draw() for _ in range(soundfont.PIECES_PER_FILE // len(rooms))]
        clips = soundfont.render(pieces, bank, reverb=reverb)
        for piece, wav in zip(pieces, clips, strict=True):
            if np.abs(wav).max() > 1e-3:
                yield Clip(piece.groups, "MIT", at_peak(wav, rng))


def notes(split: str, rng: np.random.Generator) -> Iterator[Clip]:
    """Single notes."""
    names = pool(soundfont.INSTRUMENTS, INSTRUMENTS, split)
    return rendered(lambda: soundfont.draw_note(rng, names), rng)


def phrases(split: str, rng: np.random.Generator) -> Iterator[Clip]:
    """Polyphonic phrases, half of them in a room."""
    names, kits = pool(soundfont.INSTRUMENTS, INSTRUMENTS, split), pool(soundfont.KITS, KITS, split)
    return rendered(lambda: soundfont.draw_phrase(rng, names, kits), rng, rooms=(False, True))


def drums(split: str, rng: np.random.Generator) -> Iterator[Clip]:
    """Recorded strokes as long as there are any, each followed by a rendered one or a beat."""
    kits = pool(soundfont.KITS, KITS, split)
    draws = (soundfont.draw_hit, soundfont.draw_hit, soundfont.draw_beat)
    made = rendered(lambda: draws[rng.integers(3)](rng, kits), rng)
    for name in pool(RECORDED_KITS, KITS, split):
        folder, licence = RECORDED_KITS[name]
        files = recordings(HYDROGEN / folder, "hydrogen-drumkits")
        for number in rng.permutation(len(files)):
            yield Clip((name,), licence, read_mono(files[number]))
            yield next(made)
    yield from made


def spoken(split: str, rng: np.random.Generator) -> Iterator[Clip]:
    """Sentences in all languages."""
    speech.find_espeak()
    voices = pool(speech.VOICES, VOICES, split)
    while True:
        utterance = speech.draw_utterance(rng, str(rng.choice(voices)), kept_out=split in VOICES)
        yield Clip((utterance.voice,), "own text", at_peak(speech.speak(utterance), rng))


def formulas(split: str, rng: np.random.Generator) -> Iterator[Clip]:
    """All kinds, then all again in another order; 2 to 5 s each."""
    while True:
        for kind in map(str, rng.permutation(list(synthetic.KINDS))):
            wav = synthetic.make(kind, rng, int(SAMPLE_RATE * rng.uniform(2, 5)))
            yield Clip((kind,), "own", at_peak(wav, rng))


def mixtures(parts: Sequence[dict[str, str]], root: Path, rng: np.random.Generator) -> Iterator[Clip]:
    """Two to four clips of one split, each at -20..0 dB and with its own start, the sum at -40..0 dBFS."""
    if not parts:
        raise DataError("mixtures are made of other sources' clips; name one of these too with --only")
    while True:
        chosen = [parts[n] for n in rng.choice(len(parts), min(len(parts), int(rng.integers(2, 5))), False)]
        mix = np.zeros(int(SAMPLE_RATE * rng.uniform(3, 7)), dtype=np.float32)
        for row in chosen:
            wav = at_peak(sf.read(root / row["file"], dtype="float32")[0], rng)
            start = int(rng.integers(0, max(1, len(mix) - len(wav)) if len(wav) < len(mix) else len(mix) // 2))
            mix[start : start + len(wav)] += wav[: len(mix) - start]
        mix[-2000:] *= np.linspace(1, 0, 2000, dtype=np.float32)
        groups = sorted({group for row in chosen for group in row["group"].split("+")})
        licences = sorted({licence for row in chosen for licence in row["licence"].split(" + ")})
        yield Clip(tuple(groups), " + ".join(licences), at_peak(mix, rng, MIXTURE_DB))


SOURCES: dict[str, Callable[[str, np.random.Generator], Iterator[Clip]]] = {
    "sonicpi": sonicpi,
    "strums": strums,
    "notes": notes,
    "phrases": phrases,
    "drums": drums,
    "speech": spoken,
    "synthetic": formulas,
}


def check_packages(names: Iterable[str]) -> None:
    """DataError, before any work, if a package that one of the sources needs is not installed."""
    wanted = set(names)
    if "sonicpi" in wanted:
        recordings(SONIC_PI, "sonic-pi-samples")
    if "strums" in wanted:
        recordings(HYDROGEN / STRUMS[0], "hydrogen-drumkits-effects")
    if "drums" in wanted:
        for folder, _ in RECORDED_KITS.values():
            recordings(HYDROGEN / folder, "hydrogen-drumkits")
    if wanted & {"notes", "phrases", "drums"}:
        soundfont.find_bank()
    if "speech" in wanted:
        speech.find_espeak()
