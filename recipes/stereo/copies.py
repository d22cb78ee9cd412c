"""How well does copy-synthesis keep the stereo picture of sounds? Level differences, coherence, and KAD by channel.

    python recipes/stereo/copies.py FOLDER .. [--bands 16 ..] [--vocoder small:2] [--each 10] [--seconds 2] [--most 160]

Of each folder, the stereo files with real width are taken. A file of at least twice SECONDS gives EACH clips; of more
than MOST clips, every n-th is taken. Errors are measured in 16 bands, evenly spaced in ERB, and in cells of 190 ms:
another grid than the model's, and another scale. Cells within 50 dB of the loudest one count. The errors are means over
clips of the mean absolute error of their cells: the level difference in dB (35 at most), and the coherence, which is
between -1 and 1. "mono" is the same copy-synthesis of the mid on both channels. KAD is against the originals, by the
embedding, for left, right, mid and side, with its standard error and the number of clips; a clip whose side is silent
is left out of that of the side. It is the estimate for pairs, without the kernel of a clip with its own copy, so that
it is 0 for perfect copies; the first row has that of random halves of the originals. `--vocoder original` takes the mid
itself in place of a vocoder.

Source: Gretton 2012 eq. 4 (estimate for pairs).
"""

import argparse
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from sounds import RATE, SIDES, Sound, Vectors, floors, on_both, read_sounds, row, vectors_by_side
from torch import Tensor

from audio_gen.audio.channels import WIDTH_DB, mono, width_db
from audio_gen.audio.mel import DEFAULT_PRESET, MelFrontEnd, MelSpec
from audio_gen.audio.stereo import STEREO_BANDS, sides, spread_of, unpacked
from audio_gen.audio.stft import STFT
from audio_gen.evaluation.distances import KAD_SCALE, median_distance
from audio_gen.evaluation.embeddings import load_embedding
from audio_gen.vocoding.load import load_vocoder
from audio_gen.vocoding.long import copy_synthesis

BANDS, TOP_HZ = 16, 16_000.0
N_FFT, HOP, FRAMES = 2048, 512, 16  # a cell of 16 frames and one window: 190 ms and its edges
RANGE_DB, MOST_DB, SILENCE = 50.0, 35.0, 7e-6
ORIGINAL, LEAST = "original", 4

Copy = Callable[[Tensor], Tensor]


def cells(wav: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Level difference in dB, coherence, and energy (K, N) of both channels (2, T)."""
    spectrum = STFT(N_FFT, HOP)(wav[:, None])  # (2, F, L)
    left, right = spectrum
    powers = torch.stack([left.abs().square(), right.abs().square(), (left * right.conj()).real])
    powers = F.pad(powers, (0, max(0, FRAMES - powers.shape[-1])))
    pooled = F.avg_pool1d(bands() @ powers, FRAMES, FRAMES // 2, ceil_mode=True)  # (3, K, N)
    on_left, on_right, both = pooled + SILENCE * bands().sum(1)[:, None]
    difference = (10 * torch.log10(on_left / on_right)).clamp(-MOST_DB, MOST_DB)
    return difference, (both / (on_left * on_right).sqrt()).clamp(-1, 1), on_left + on_right


@cache
def bands() -> Tensor:
    """Triangles (K, F), evenly spaced in ERB, that add up to 1 in every bin. Source: Glasberg and Moore 1990."""
    hz = torch.linspace(0, RATE / 2, N_FFT // 2 + 1)
    erb = torch.log10(1 + 0.00437 * hz) / np.log10(1 + 0.00437 * TOP_HZ)
    position = (erb * BANDS - 0.5).clamp(0, BANDS - 1)
    return (1 - (position - torch.arange(BANDS)[:, None]).abs()).clamp(min=0)


def errors(original: Tensor, copy: Tensor) -> tuple[float, float]:
    """Of the level difference in dB, and of the coherence."""
    difference, coherence, energy = cells(original)
    other, alike, _ = cells(copy)
    heard = energy > energy.max() * 10 ** (-RANGE_DB / 10)
    return float((difference - other)[heard].abs().mean()), float((coherence - alike)[heard].abs().mean())


def paired_kad(reference: Vectors, copies: Vectors) -> str:
    """A cell: KAD of clips and their copies, its standard error by the jackknife, and the number of pairs."""
    rows = [i for i, clip in enumerate(reference.clips) if clip in copies.clips]
    others = [copies.clips.index(reference.clips[i]) for i in rows]
    count = len(rows)
    if count < LEAST:
        return f"- ({count})"
    x, y = reference.values[rows].double(), copies.values[others].double()
    bandwidth = median_distance(reference.values)
    inside, outside, between = (
        torch.exp(-torch.cdist(*pair).square() / (2 * bandwidth**2)) for pair in ((x, x), (y, y), (x, y))
    )
    terms = KAD_SCALE * (inside + outside - between - between.T)
    sums = terms.fill_diagonal_(0).sum(1)
    value = float(sums.sum()) / (count * (count - 1))
    without = (sums.sum() - 2 * sums) / ((count - 1) * (count - 2))
    error = float(((count - 1) / count * (without - without.mean()).square().sum()).sqrt())
    return f"{value:.2f} ± {error:.2f} ({count})"


def from_mid(spec: MelSpec) -> Copy:
    """Spreads the mid itself, so that only the stereo rows lose something."""
    front, stft = MelFrontEnd(spec), STFT(spec.n_fft, spec.hop_length)

    def copy(wav: Tensor) -> Tensor:
        samples = wav.shape[1]
        wav = F.pad(wav, (0, -samples % spec.hop_length))
        spread = spread_of(unpacked(front(wav[None])[:, spec.n_mels :]))
        mid, side = sides(mono(wav)[None, None], spread, spec, stft)
        return torch.cat([mid + side, mid - side], dim=1)[0, :, :samples]

    return copy


def copier(vocoder: str, spec: MelSpec) -> Copy:
    """Copy-synthesis wav (2, T) -> (2, T); a mono spec gives the mid on both channels."""
    if vocoder == ORIGINAL:
        return from_mid(spec) if spec.stereo_bands else lambda wav: on_both(mono(wav)[None])
    loaded = load_vocoder(vocoder, spec)
    if spec.stereo_bands:
        return lambda wav: copy_synthesis(loaded, wav)
    return lambda wav: on_both(copy_synthesis(loaded, mono(wav)[None]))


def table(name: str, originals: Sequence[Sound], copiers: dict[str, Copy], embedding: str) -> None:
    """Print a row for each way of copying."""
    embed = load_embedding(embedding)
    reference = vectors_by_side(originals, embed)
    print(row(["sounds", "copy", "level difference, dB", "coherence", *(f"KAD {side}" for side in SIDES), "s"]))
    print(row(["---"] * (5 + len(SIDES))))
    print(row([name, "original, halves", "0", "0", *floors(reference), ""]), flush=True)
    for label, copy in copiers.items():
        begun = time.perf_counter()
        with torch.inference_mode():
            made = [Sound(sound.file, copy(sound.wav)) for sound in originals]
        taken = time.perf_counter() - begun
        found = np.mean([errors(a.wav, b.wav) for a, b in zip(originals, made, strict=True)], axis=0)
        vectors = vectors_by_side(made, embed)
        figures = [paired_kad(reference[side], vectors[side]) for side in SIDES]
        print(row([name, label, f"{found[0]:.2f}", f"{found[1]:.3f}", *figures, f"{taken:.0f}"]), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--bands", type=int, nargs="+", default=[STEREO_BANDS])
    parser.add_argument("--vocoder", default="small:2")
    parser.add_argument("--each", type=int, default=10, help="clips of a long file")
    parser.add_argument("--seconds", type=float, default=2.0, help="of a clip at most")
    parser.add_argument("--most", type=int, default=160, help="clips of a folder")
    parser.add_argument("--embedding", default="yamnet")
    args = parser.parse_args()
    spec = MelSpec.preset(DEFAULT_PRESET)
    copiers = {f"stereo, {count} bands": copier(args.vocoder, spec.with_stereo(count)) for count in args.bands}
    copiers["mono"] = copier(args.vocoder, spec)
    for folder in args.folders:
        sounds = read_sounds(folder, args.seconds, args.each)
        wide = [sound for sound in sounds if width_db(sound.wav) > WIDTH_DB]
        kept = len(wide)
        wide = wide[:: max(1, -(-kept // args.most))]
        files = len({sound.file for sound in wide})
        name = f"{folder.name}: {len(wide)} clips of {files} files, {args.vocoder}"
        print(f"\n{folder}: {len(sounds) - kept} of {len(sounds)} stereo clips have no real width\n")
        table(name, wide, copiers, args.embedding)


if __name__ == "__main__":
    main()
