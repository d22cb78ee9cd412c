"""Play every key of a kit in samplers that are not ours, and measure pitch, level, loops and timbre.

    python recipes/kits/measure.py KIT [--real NOTES]

SF2 is played by FluidSynth (the program), SFZ by sfizz (`pip install pysfizz`); a format without a file or a player is
left out, and said. NOTES is the folder of notes that the model learned from, named instrument-pitch-velocity: the
distance of its neighbouring notes stands beside that of the kit's.
"""

import argparse
import importlib.util
import json
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from audio_gen.audio.io import read_wav
from audio_gen.audio.resample import resample
from audio_gen.audio.seam import seam
from audio_gen.evaluation.embeddings import load_embedding
from audio_gen.evaluation.pitch import track
from audio_gen.instruments.kit_folder import load_kit
from audio_gen.instruments.levels import loudness_of
from audio_gen.instruments.zones import Instrument
from audio_gen.midi.score import DRUM_CHANNEL, Note, Score, pitch_to_hz
from audio_gen.midi.write import write_score

RATE, HELD_SEC, APART_SEC, VELOCITY = 44100, 3.0, 4.0, 100
HEARD_SEC = (0.15, 1.2)  # of a note, for its pitch
GRID_SEMITONES = 0.05
NEAR_CENTS, STEP_DB = 10, 1.5

Player = Callable[[Instrument, Sequence[int], int], list[Tensor]]


def fluidsynth(kit: Path, presets: dict[str, int]) -> Player | None:
    """Plays a kit's SF2 through the program."""
    banks = list(kit.glob("*.sf2"))
    if not banks or shutil.which("fluidsynth") is None:
        return None

    def play(instrument: Instrument, keys: Sequence[int], velocity: int) -> list[Tensor]:
        channel = DRUM_CHANNEL if instrument.drums else 0
        notes = [
            Note(i * APART_SEC, key, HELD_SEC, velocity, channel, presets[instrument.name])
            for i, key in enumerate(keys)
        ]
        with tempfile.TemporaryDirectory() as folder:
            midi, out = Path(folder) / "keys.mid", Path(folder) / "keys.wav"
            write_score(midi, Score(tuple(notes)))
            options = ["-ni", "-R", "0", "-C", "0", "-g", "1", "-r", str(RATE), "-F", str(out)]
            subprocess.run(["fluidsynth", *options, str(banks[0]), str(midi)], check=True, capture_output=True)
            wav = read_wav(out, sample_rate=RATE)[0]
        return list(wav.split(round(APART_SEC * RATE), dim=1))[: len(keys)]

    return play


def sfizz(kit: Path) -> Player | None:
    """Plays a kit's SFZ through sfizz."""
    if not list(kit.glob("*.sfz")) or importlib.util.find_spec("pysfizz") is None:
        return None
    import pysfizz

    def play(instrument: Instrument, keys: Sequence[int], velocity: int) -> list[Tensor]:
        synth = pysfizz.Synth(RATE, 512)
        assert synth.load_sfz_file(kit / f"{instrument.name}.sfz"), f"{instrument.name}.sfz: sfizz loads no region"
        return [
            torch.from_numpy(synth.render_note(key, velocity, HELD_SEC, APART_SEC).mean(0, keepdims=True)).float()
            for key in keys
        ]

    return play


def cents_off(wav: Tensor, key: int) -> float | None:
    """Cents of a played note (1, T) above its key, by pYIN, octaves aside; None without a pitch."""
    low, high = (round(x * RATE) for x in HEARD_SEC)
    hz = pitch_to_hz(key)
    found = track(wav[0, low:high], RATE, f_min_hz=hz / 2.2, f_max_hz=hz * 2.2, grid_semitones=GRID_SEMITONES)
    both = found.voiced & found.sounding & np.isfinite(found.f0_hz)
    if both.sum() < 4:
        return None
    cents = 1200 * float(np.log2(np.median(found.f0_hz[both]) / hz))
    return (cents + 600) % 1200 - 600


def embedded(wavs: Sequence[Tensor], rate: int) -> np.ndarray:
    """Distances of neighbours among sounds (1, T), by the embedding."""
    embedding = load_embedding()
    vectors = embedding([resample(wav, rate, embedding.sample_rate)[0] for wav in wavs])
    return np.asarray((vectors[1:] - vectors[:-1]).norm(dim=1))


def measured(play: Player, instrument: Instrument, real: Path | None) -> dict[str, object]:
    """The figures of an instrument."""
    roots = sorted({zone.root for zone in instrument.zones})
    if instrument.drums:
        wavs = play(instrument, roots, VELOCITY)
        peaks = [float(wav.abs().max()) for wav in wavs]
        starts = [int((wav[0].abs() > 0.05 * wav.abs().max()).float().argmax()) / RATE * 1000 for wav in wavs]
        return {"keys": len(roots), "silent": sum(peak < 1e-3 for peak in peaks), "latest_start_ms": max(starts)}
    keys = list(range(roots[0], roots[-1] + 1))
    wavs = play(instrument, keys, VELOCITY)
    cents = [cents_off(wav, key) for wav, key in zip(wavs, keys, strict=True)]
    known = np.array([abs(x) for x in cents if x is not None])
    levels = np.array([loudness_of(wav, RATE) for wav in wavs])
    steps = np.abs(np.diff(levels))
    held = [float(wav[:, round(2.7 * RATE) : round(2.9 * RATE)].abs().max() / wav.abs().max()) for wav in wavs]
    about: dict[str, object] = {
        "keys": len(keys), "without_pitch": sum(x is None for x in cents),
        "within_10_cents": float((known <= NEAR_CENTS).mean()), "median_cents": float(np.median(known)),
        "worst_cents": float(known.max()), "worst_key": keys[int(np.argmax([abs(x or 0) for x in cents]))],
        "largest_step_db": float(steps.max()), "steps_above_1.5_db": int((steps > STEP_DB).sum()),
        "still_held_after_2.7_s": sum(x > 0.05 for x in held),
    }  # fmt: skip
    class_name = instrument.zones[0].class_name
    files = {}
    if real is not None and class_name is not None:
        found = {key: next(iter(sorted(real.glob(f"{class_name}-{key:03d}-110.*"))), None) for key in keys}
        files = {key: file for key, file in found.items() if file is not None}
    if len(files) > 2:  # the same keys of both
        same = [wav[:, : 2 * RATE] for wav in play(instrument, list(files), VELOCITY)]
        about["neighbours"] = float(np.median(embedded(same, RATE)))
        notes = [read_wav(file, sample_rate=RATE)[0] for file in files.values()]
        real_cents = [cents_off(note, key) for note, key in zip(notes, files, strict=True)]
        about["real_within_10_cents"] = float(np.mean([x is not None and abs(x) <= NEAR_CENTS for x in real_cents]))
        about["neighbours_real"], about["real_notes"] = float(np.median(embedded(notes, RATE))), len(notes)
    return about


def clicks(instrument: Instrument) -> dict[str, object]:
    """The joins of the loops as `audio_gen.audio.seam` measures them: steps over the peak, and over those around."""
    seams = [
        seam(zone.wav[:, zone.loop.first : zone.loop.stop].numpy(), zone.sample_rate)
        for zone in instrument.zones
        if zone.loop is not None
    ]
    return {
        "sounds": len(instrument.zones), "loops": len(seams), "clicks": sum(one.clicks for one in seams),
        "largest_slip_over_those_around": max((one.slip_ratio for one in seams), default=0.0),
    }  # fmt: skip


def hydrogen(kit: Path) -> str:
    """What Hydrogen's own program says of a kit's drumkit."""
    drumkits = list(kit.glob("*.h2drumkit"))
    if not drumkits or shutil.which("h2cli") is None:
        return "not checked: no drumkit, or no h2cli"
    done = subprocess.run(["h2cli", "-c", str(drumkits[0])], capture_output=True, text=True)
    lines = (done.stdout + done.stderr).splitlines()
    return next((line for line in lines if "valid" in line), f"exit status {done.returncode}")


def main() -> None:
    """Measure a kit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kit", type=Path, help="a folder that `audio-gen kit` wrote")
    parser.add_argument("--real", type=Path, help="the notes that the model learned from")
    args = parser.parse_args()
    torch.set_num_threads(1)
    instruments = load_kit(args.kit)
    presets = {one.name: 0 if one.drums else i for i, one in enumerate(instruments)}
    players = {"sf2 in FluidSynth": fluidsynth(args.kit, presets), "sfz in sfizz": sfizz(args.kit)}
    print("h2cli:", hydrogen(args.kit))
    for instrument in instruments:
        print(instrument.name, "loops", json.dumps(clicks(instrument)), flush=True)
        for name, play in players.items():
            if play is None:
                print(instrument.name, name, "not measured: no such file in the kit, or no player")
                continue
            print(instrument.name, name, json.dumps(measured(play, instrument, args.real)), flush=True)


if __name__ == "__main__":
    main()
