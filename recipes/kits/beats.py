"""Measure beats: lengths, onsets on the grid, joins; and what a learned style hears in loops of another kit.

    python recipes/kits/beats.py RUN_OR_KIT [--work DIR] [--soundfont FluidR3_GM.sf2]

Each style is written at an odd tempo. Lengths are counted in samples. Onsets of each stem are searched in the WAV and
compared with the MIDI file beside it. A loop is played twice, and the step at the join is compared with all others. For
the learned style the MIDI files are played by FluidSynth with its own drums, and the probe that was fitted to the kit
names the drums of each 16th: F1 of kinds, tom and percussion apart.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile as sf

from audio_gen.instruments.beat import KINDS_HEARD, BeatRequest, kit_for
from audio_gen.instruments.drum_probe import DrumProbe
from audio_gen.instruments.learned_style import hear
from audio_gen.instruments.patterns import key_of, styles
from audio_gen.instruments.play import load_source
from audio_gen.midi.general_midi import ORDER
from audio_gen.midi.read import read_score
from audio_gen.reporter import SILENT

BPM, BARS, LOOPS = 123.7, 4, 4
BEFORE_SEC, AFTER_SEC, LEVEL = 0.02, 0.03, 0.02


def grid_errors_ms(stem: Path, midi: Path, rate: int) -> list[float]:
    """How far onsets in a stem are from the notes of its kind, where nothing sounds just before them."""
    wav = np.abs(sf.read(stem)[0]).max(1)
    keys = {key for kind, keys in ORDER.items() if kind == stem.stem for key in keys} | {key_of(stem.stem)}
    notes = sorted(note.start_sec for note in read_score(midi).notes if note.pitch in keys)
    found = []
    for at in notes:
        first, before, after = round(at * rate), round(BEFORE_SEC * rate), round(AFTER_SEC * rate)
        near = np.take(wav, np.arange(first - before, first + after), mode="wrap")
        if near[: before // 2].max() > LEVEL * near.max():  # another sound rings
            continue
        found.append(1000 * (int(np.argmax(near > LEVEL * near.max())) - before) / rate)
    return found


def join(path: Path) -> float:
    """The step from the last sample to the first, over the largest step elsewhere."""
    x = sf.read(path)[0]
    return float(np.abs(x[0] - x[-1]).max() / np.abs(np.diff(x, axis=0)).max())


def heard_f1(midi: Path, probe: DrumProbe, soundfont: Path, folder: Path) -> tuple[int, int, int] | None:
    """Hits, hits of the score and hits that are heard, of the kinds that matter; None if no beat is found."""
    wav = folder / "heard.wav"
    command = ["fluidsynth", "-ni", "-R", "0", "-C", "0", "-g", "0.7", "-r", "44100", "-F", str(wav), str(soundfont)]
    subprocess.run([*command, str(midi)], check=True, capture_output=True)
    x, rate = sf.read(wav)
    score = read_score(midi)
    bpm = score.tempos[0][1]
    sf.write(wav, x[: round(BARS * 4 * 60 / bpm * rate)], rate)
    found = hear(wav, probe)
    if found is None:
        return None
    wanted = np.zeros_like(found.velocities, dtype=bool)
    for note in score.notes:
        kind = "hihat" if note.pitch in (42, 46) else next((k for k, keys in ORDER.items() if note.pitch in keys), None)
        step = round(note.start_sec * bpm / 60 * 4)
        if kind in probe.kinds and step < len(wanted):
            wanted[step, probe.kinds.index(kind)] = True
    heard = found.velocities > 0
    if len(heard) != BARS * 16:
        return None
    counted = [i for i, kind in enumerate(probe.kinds) if kind in ("kick", "snare", "clap", "hihat")]
    wanted, heard = wanted[:, counted], heard[:, counted]
    return int((wanted & heard).sum()), int(wanted.sum()), int(heard.sum())


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="a run or a kit of drums")
    parser.add_argument("--work", type=Path, help="where loops are kept (default: a temporary folder)")
    parser.add_argument("--soundfont", type=Path, default=Path("/usr/share/sounds/sf2/FluidR3_GM.sf2"))
    args = parser.parse_args()
    source = load_source(args.source)
    request = BeatRequest(source=args.source, out=Path("unused"))
    probe = DrumProbe(kit_for(source, KINDS_HEARD, request, SILENT))
    errors: list[float] = []
    joins: list[float] = []
    lengths: list[int] = []
    counts = np.zeros(3, int)
    unheard = 0
    with tempfile.TemporaryDirectory() as temporary:
        for style in styles():
            out = (args.work or Path(temporary)) / style
            command = [sys.executable, "-m", "audio_gen", "beat", str(args.source), "--out", str(out), "--force"]
            options = ["--style", style, "--bpm", str(BPM), "--bars", str(BARS), "-n", str(LOOPS), "--stems"]
            subprocess.run([*command, *options], check=True, capture_output=True)
            for path in sorted(out.glob("*.wav")):
                info = sf.info(path)
                lengths.append(info.frames - round(BARS * styles()[style].beats * 60 / BPM * info.samplerate))
                joins.append(join(path))
                for stem in sorted((out / path.stem).glob("*.wav")):
                    errors += grid_errors_ms(stem, path.with_suffix(".mid"), info.samplerate)
                if styles()[style].beats == 4:
                    found = heard_f1(path.with_suffix(".mid"), probe, args.soundfont, Path(temporary))
                    unheard += found is None
                    counts += found or (0, 0, 0)
    off = np.abs(errors)
    print(json.dumps({
        "loops": len(lengths), "lengths_off_by_samples": int(np.abs(lengths).max()), "onsets": len(errors),
        "within_1_ms": round(float((off <= 1).mean()), 4), "median_ms": round(float(np.median(errors)), 2),
        "worst_ms": round(float(off.max()), 2), "largest_join_over_other_steps": round(max(joins), 3),
        "heard_f1": round(float(2 * counts[0] / max(1, counts[1] + counts[2])), 3), "loops_without_a_beat": unheard,
    }))  # fmt: skip


if __name__ == "__main__":
    main()
