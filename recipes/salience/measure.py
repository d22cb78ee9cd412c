"""How well pitches of unknown instruments are found: measure.py SOUNDS [WEIGHTS.safetensors].

On the files of render.py whose instruments are held out. A pitch that is found counts as right within a third of a
semitone of a true one that sounds in that frame (F1 of frames). Beside it: librosa's harmonic salience of a constant-Q
transform. "one voice" is the share of frames of single notes whose strongest pitch is within 50 cents.
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from audio_gen.artefacts.tensors import read_tensors, restored
from audio_gen.audio.log_frequency import BINS_PER_SEMITONE, LOWEST_NOTE, LogFrequencySpectrum, hop_of
from audio_gen.models.salience import PITCHES, SalienceNetwork, peaks, relative, shipped_network

RATE = 22050
WIDTH = 0.25  # of a label, in semitones
THRESHOLDS = (0.3, 0.4, 0.5, 0.6)


def examples(folder: Path, side: str) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Name, level (300, L) in dB and label (253, L) of each file of a side."""
    for path in sorted(folder.glob(f"{side}-*.npz")):
        found = np.load(path)
        wav = torch.from_numpy(found["x"].astype(np.float32) / 32768)[None]
        spectrum = LogFrequencySpectrum(lambda start, count, wav=wav: wav[:, start : start + count], wav.shape[1], RATE)
        yield path.stem, spectrum(0, spectrum.frames), label_of(found, spectrum.frames)


def label_of(found: dict, frames: int) -> Tensor:
    """Which pitches sound in each frame (253, L), with the width of a quarter of a semitone."""
    rate = RATE / hop_of(RATE)
    pitches = LOWEST_NOTE + np.arange(PITCHES)[:, None] / BINS_PER_SEMITONE
    bend = np.interp((np.arange(frames) + 0.5) / rate, found["times"], found["bend"])
    label = np.zeros((PITCHES, frames), np.float32)
    for start, end, pitch in found["notes"][:, :3]:
        first, last = (min(frames, max(0, int(np.ceil(at * rate - 0.5)))) for at in (start, end))
        near = np.exp(-0.5 * ((pitches - pitch - bend[first:last]) / WIDTH) ** 2)
        label[:, first:last] = np.maximum(label[:, first:last], near)
    return torch.from_numpy(label)


def beside(marks: Tensor) -> Tensor:
    return F.max_pool1d(marks.float().T[None], 3, 1, 1)[0].T > 0


def counts(found: Tensor, label: Tensor) -> np.ndarray:
    """True, false and missing pitches of all frames."""
    true = peaks(label, 0.55)
    return np.array(
        [int((found & beside(true)).sum()), int((found & ~beside(true)).sum()), int((true & ~beside(found)).sum())]
    )


def f1(total: np.ndarray) -> str:
    right, wrong, missing = total.tolist()
    precision, recall = right / max(1, right + wrong), right / max(1, right + missing)
    return f"F1 {2 * right / (2 * right + wrong + missing):.3f} (precision {precision:.2f}, recall {recall:.2f})"


def harmonic(wav: np.ndarray, frames: int) -> Tensor:
    """Librosa's harmonic salience (253, L) of a constant-Q transform, relative to the loudest."""
    import librosa

    hz = librosa.midi_to_hz(LOWEST_NOTE)
    cqt = np.abs(librosa.cqt(wav, sr=RATE, hop_length=hop_of(RATE), fmin=hz, n_bins=288, bins_per_octave=36))
    bins = librosa.cqt_frequencies(288, fmin=hz, bins_per_octave=36)
    found = librosa.salience(
        cqt, freqs=bins, harmonics=[1, 2, 3, 4, 5], weights=[1, 0.5, 0.33, 0.25, 0.2], fill_value=0
    )
    found = torch.from_numpy(found[:PITCHES, :frames].astype(np.float32))
    return F.pad(found / found.max().clamp(min=1e-9), (0, frames - found.shape[1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sounds", type=Path)
    parser.add_argument("weights", type=Path, nargs="?", help="default: the shipped ones")
    given = parser.parse_args()
    torch.set_num_threads(1)
    network = shipped_network()
    if given.weights is not None:
        network = SalienceNetwork()
        network.load_state_dict(restored(read_tensors(given.weights)[1]))
        network.eval()
    totals = {threshold: np.zeros(3) for threshold in THRESHOLDS}
    classical = {threshold: np.zeros(3) for threshold in (0.05, 0.1, 0.2)}
    one, seconds, took = np.zeros(2), 0.0, 0.0
    for name, level, label in examples(given.sounds, "held"):
        began = time.perf_counter()
        with torch.no_grad():
            found = network(relative(level[None]))[0].sigmoid()
        took, seconds = took + time.perf_counter() - began, seconds + level.shape[1] * hop_of(RATE) / RATE
        for threshold, total in totals.items():
            total += counts(peaks(found, threshold), label)
        wav = np.load(given.sounds / f"{name}.npz")["x"].astype(np.float32) / 32768
        other = harmonic(wav, label.shape[1])
        for threshold, total in classical.items():
            total += counts(peaks(other, threshold), label)
        single = peaks(label, 0.55).sum(0) == 1
        if bool(single.any()):
            strongest = F.one_hot(found.argmax(0), PITCHES).T.bool() & single
            one += [int((strongest & beside(peaks(label, 0.55))).sum()), int(single.sum())]
    for threshold, total in totals.items():
        print(f"network from {threshold}: {f1(total)}")
    for threshold, total in classical.items():
        print(f"constant-Q and librosa.salience from {threshold}: {f1(total)}")
    print(f"one voice: {one[0] / one[1]:.1%} of frames within 50 cents; {seconds / took:.0f} x real time on one core")


if __name__ == "__main__":
    main()
