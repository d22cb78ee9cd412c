"""Are the loops of a sequence model exact, seamless and in tempo? One Markdown row for each tempo.

    python recipes/loops_sequence/loops.py RUN [--bpm 90 120 174] [-n 11] [--bars 2] [--vocoder small:2]
        [--keep FOLDER]

Each loop is written by the operation of `audio-gen loop`, and measured as read from its file: whether it has round(bars
x 4 x 60 / bpm x rate) samples; the step of its log-mel across the join as a z-score among its inner steps, and the
share below 2; the share whose step from the last sample to the first is at most 1 % of the peak, and of those that
click (see `audio_gen.audio.seam`). Then it is played twice, and librosa finds its tempo: within 1 % of the asked one,
or of half or double of it. The row "cut" has the same figures of cuts from new sounds, which do not loop.
"""

import argparse
import tempfile
from pathlib import Path

import librosa
import numpy as np

from audio_gen.audio.io import info, read_wav
from audio_gen.audio.seam import Seam, seam
from audio_gen.generation.operations.loop import LoopRequest, loop
from audio_gen.generation.pipeline import Pipeline
from audio_gen.generation.sequence import generate_long

OCTAVES, TOLERANCE, LEAST_Z, OF_PEAK = (0.5, 1.0, 2.0), 0.01, 2.0, 0.01
HOP = 256


def in_tempo(wav: np.ndarray, rate: int, bpm: float) -> bool:
    """Whether librosa finds the tempo of a loop (T,) that is played twice, or its half or double."""
    envelope = librosa.onset.onset_strength(y=np.tile(wav, 2), sr=rate, hop_length=HOP)
    _, beats = librosa.beat.beat_track(onset_envelope=envelope, sr=rate, hop_length=HOP, start_bpm=bpm, units="time")
    if len(beats) < 4:
        return False
    found = 60 / np.polyfit(np.arange(len(beats)), beats, 1)[0]
    return any(abs(found / (bpm * octave) - 1) <= TOLERANCE for octave in OCTAVES)


def row(title: str, seams: list[Seam], exact: str, tempo: str) -> None:
    """Print the figures of some loops."""
    z = np.array([one.step_z for one in seams])
    jumps = np.array([one.peak_jump for one in seams])
    print(
        f"| {title} | {len(seams)} | {exact} | {np.median(z):.2f}, {np.quantile(z, 0.95):.2f} | "
        f"{np.mean(z < LEAST_Z):.0%} | {np.mean(jumps <= OF_PEAK):.0%} | {np.mean([s.clicks for s in seams]):.0%} | "
        f"{tempo} |",
        flush=True,
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--bpm", type=float, nargs="+", default=[90.0, 120.0, 174.0])
    parser.add_argument("-n", type=int, default=11)
    parser.add_argument("--bars", type=int, default=2)
    parser.add_argument("--vocoder", default="small:2")
    parser.add_argument("--keep", type=Path, help="Keep the loops here.")
    args = parser.parse_args()
    pipeline = Pipeline.load(args.run, vocoder=args.vocoder, device="cpu")
    print("| loops | n | length exact | seam z: median, 95 % | z < 2 | jump <= 1 % of peak | clicks | in tempo |")
    print("|---|---|---|---|---|---|---|---|")
    rate = pipeline.spec.sample_rate
    for bpm in args.bpm:
        samples = round(args.bars * 4 * 60 / bpm * rate)
        request = LoopRequest(bars=args.bars, bpm=bpm, count=args.n, command="loops.py")
        with tempfile.TemporaryDirectory() as temporary:
            saved = loop(pipeline, request).save(args.keep or Path(temporary))
            exact = sum(info(one.path).frames == samples for one in saved)
            wavs = [read_wav(one.path, channels=None)[0].numpy() for one in saved]
        tempo = np.mean([in_tempo(wav.mean(0), rate, bpm) for wav in wavs])
        row(f"{bpm:g} bpm", [seam(wav, rate) for wav in wavs], f"{exact} of {len(wavs)}", f"{tempo:.0%}")
    cut_sec = args.bars * 4 * 60 / 120
    cuts = [generate_long(pipeline, cut_sec, seed).numpy() for seed in range(args.n)]
    tempo = np.mean([in_tempo(wav.mean(0), rate, 120) for wav in cuts])
    row("cut", [seam(wav, rate) for wav in cuts], "", f"{tempo:.0%}")


if __name__ == "__main__":
    main()
