"""How good are the loops that `find-loops` finds? Seams beside random cuts, known loops in other music, and tempo.

    python recipes/loops_sequence/find.py --music FOLDER --loops FOLDER [-n 8] [--seed 0]

MUSIC and LOOPS are folders of files that nothing was tuned on. Prints Markdown rows:

- "found" and "random": of the loops found in each folder, and of as many cuts of the same lengths at random places of
  the same files: the median of the seam's z-score, the share with a z-score below 2, the medians of the sample jump and
  of its change (slip) over the RMS of the 20 ms around, and the share with a jump of at most 1 % of the peak.
- "in music": each file of LOOPS, two and three times in a row between 20 s of MUSIC on either side: in how many the
  best loop, and one of the eight, lies inside and lasts the true length, or a whole multiple of it, to within 1 ms.
- "tempo": of the found loops that have one: the share of which librosa finds the same tempo, within 2 % and up to
  octaves, in the loop played until it lasts 12 s; and of random cuts of the same lengths.
- "speed": seconds of sound per second of one core.
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import librosa
import numpy as np
import soundfile as sf

from audio_gen.audio.io import read_wav
from audio_gen.audio.seam import Seam, seam
from audio_gen.data.scan import scan_folder
from audio_gen.errors import DataError
from audio_gen.generation.find_loops import FoundLoop, LoopSearch, find_loops, loop_sounds

AROUND_SEC, RATE, EXACT_SEC, PLAYED_SEC = 20, 44100, 0.001, 12


def files_in(folder: Path) -> list[Path]:
    return sorted(one.path for one in scan_folder(folder).found if one.problem is None)


def stereo(path: Path, sample_rate: int | None = None) -> tuple[np.ndarray, int]:
    wav, rate = read_wav(path, sample_rate=sample_rate, channels=2)
    return wav.numpy(), rate


def seam_row(name: str, seams: Sequence[Seam], peaks: Sequence[float]) -> str:
    z, jump, slip = (np.array([getattr(one, key) for one in seams]) for key in ("step_z", "jump", "slip"))
    small = np.mean(np.array(peaks) <= 0.01)
    figures = f"{np.median(z):.2f} | {np.mean(z < 2):.0%} | {np.median(jump):.3f} | {np.median(slip):.3f} | {small:.0%}"
    return f"| {name} | {len(seams)} | {figures} |"


def jump_of_peak(loop: np.ndarray) -> float:
    return float(np.abs(loop[:, 0] - loop[:, -1]).max() / max(float(np.abs(loop).max()), 1e-9))


def tempo_agrees(loop: np.ndarray, rate: int, bpm: float) -> bool:
    mono = np.tile(loop.mean(0), int(np.ceil(PLAYED_SEC * rate / loop.shape[1])))
    found = float(np.ravel(librosa.feature.tempo(y=mono, sr=rate, hop_length=128 * rate // 22050 or 1))[0])
    return any(abs(found / (bpm * ratio) - 1) < 0.02 for ratio in (0.5, 1, 2))


def found_and_random(name: str, folder: Path, count: int, rng: np.random.Generator) -> None:
    kinds: dict[str, tuple[list[Seam], list[float], list[bool]]] = {"found": ([], [], []), "random": ([], [], [])}
    spent = seconds = 0.0
    for path in files_in(folder):
        began = time.process_time()
        try:
            loops = find_loops(path, LoopSearch(count))
        except DataError as e:
            print(f"  ({e})")
            continue
        spent += time.process_time() - began
        wav, rate = stereo(path)
        seconds += wav.shape[1] / rate
        pairs: list[tuple[str, FoundLoop, np.ndarray]] = []
        for i, loop in loop_sounds(path, loops):
            start = rng.integers(0, wav.shape[1] - loop.shape[1] + 1)
            if loop.shape[1] < wav.shape[1]:
                pairs.append(("random", loops[i], wav[:, start : start + loop.shape[1]]))
            pairs.append(("found", loops[i], loop))
        for kind, one, sound in pairs:
            seams, peaks, tempi = kinds[kind]
            seams.append(seam(sound, rate))
            peaks.append(jump_of_peak(sound))
            if one.bpm is not None:
                tempi.append(tempo_agrees(sound, rate, one.bpm))
    for kind, (seams, peaks, _) in kinds.items():
        print(seam_row(f"{name}: {kind}", seams, peaks))
    same = ", ".join(f"{kind} {sum(tempi)} of {len(tempi)}" for kind, (_, _, tempi) in kinds.items())
    print(f"\n{name}: tempo found again: {same}; speed {seconds / spent:.0f} x real time (one core)\n")


def in_music(music: Path, loops: Path, times: int, rng: np.random.Generator, folder: Path) -> None:
    first = among = total = 0
    around = [path for path in files_in(music) if sf.info(path).duration > 3 * AROUND_SEC]
    for path in files_in(loops):
        inner, _ = stereo(path, RATE)
        parts = []
        for _ in range(2):
            wav, _ = stereo(around[rng.integers(len(around))], RATE)
            at = rng.integers(0, wav.shape[1] - AROUND_SEC * RATE)
            parts.append(wav[:, at : at + AROUND_SEC * RATE])
        whole = np.concatenate([parts[0], np.tile(inner, times), parts[1]], axis=1)
        sf.write(folder / "whole.wav", whole.T, RATE, subtype="FLOAT")
        low, high = parts[0].shape[1], parts[0].shape[1] + times * inner.shape[1]
        try:
            found = find_loops(folder / "whole.wav", LoopSearch())
        except DataError:
            found = []
        right = []
        for one in found:
            multiple = max(1, round(one.samples / inner.shape[1]))
            exact = abs(one.samples - multiple * inner.shape[1]) < EXACT_SEC * RATE
            inside = one.cut.start > low - 0.05 * RATE and one.cut.end < high + 0.05 * RATE
            right.append(exact and inside)
        total += 1
        first += right[:1] == [True]
        among += any(right)
        if right[:1] != [True]:
            best = found[0] if found else None
            place = (
                "nothing" if best is None else f"{best.cut.start / RATE:.2f} s, {best.seconds:.3f} s, fit {best.fit}"
            )
            print(f"  ({path.name}, {inner.shape[1] / RATE:.3f} s from {low / RATE:g} s: {place}; right: {right})")
    print(f"in music, {times} times: best {first} of {total}, among eight {among}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--music", type=Path, required=True)
    parser.add_argument("--loops", type=Path, required=True)
    parser.add_argument("-n", type=int, default=8, dest="count")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rng = np.random.default_rng(args.seed)
    print("| loops | count | seam z | z < 2 | jump | slip | jump <= 1 % of peak |\n|---|---|---|---|---|---|---|")
    for name, folder in (("music", args.music), ("loops", args.loops)):
        found_and_random(name, folder, args.count, rng)
    with tempfile.TemporaryDirectory() as folder:
        for times in (2, 3):
            in_music(args.music, args.loops, times, rng, Path(folder))


if __name__ == "__main__":
    main()
