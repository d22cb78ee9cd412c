"""Are samples as wide as real sounds? Width, correlation, and KAD by channel, against kept-out stereo sounds.

    python recipes/stereo/samples.py SAMPLES REAL [--train FOLDER] [--seconds 2]

SAMPLES has clips of `audio-gen sample`, REAL stereo sounds that the model has not seen. Clips are compared from the
onset to the end of the sound, at the level of the model. Width is the energy of the side relative to that of the mid
in dB: median and quartiles. "real width": the share of clips above -26 dB. Correlation of left and right: the median.
KAD is against REAL, by the embedding, for left, right, mid and side, with its 95 % interval and the number of clips;
a clip whose side is silent is left out of that of the side. Rows: halves of REAL, training sounds, the samples, and
the samples' own mids on both channels.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from sounds import SIDES, Sound, correlation, floors, kads, on_both, read_sounds, row, vectors_by_side

from audio_gen.audio.channels import WIDTH_DB, mono, width_db
from audio_gen.evaluation.embeddings import load_embedding


def about(name: str, sounds: Sequence[Sound]) -> list[str]:
    """Name, count, width, share of real width, and correlation."""
    widths = [width_db(sound.wav) for sound in sounds]
    low, middle, high = np.quantile(widths, [0.25, 0.5, 0.75])
    alike = float(np.median([correlation(sound.wav) for sound in sounds]))
    share = np.mean(np.array(widths) > WIDTH_DB)
    return [name, str(len(sounds)), f"{middle:.1f} ({low:.1f} to {high:.1f})", f"{share:.0%}", f"{alike:.2f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("samples", type=Path)
    parser.add_argument("real", type=Path)
    parser.add_argument("--train", type=Path, help="the sounds that the model was trained on")
    parser.add_argument("--seconds", type=float, default=2.0, help="of a clip at most")
    parser.add_argument("--each", type=int, default=10, help="clips of a long real file")
    parser.add_argument("--embedding", default="yamnet")
    args = parser.parse_args()
    embed = load_embedding(args.embedding)
    real = read_sounds(args.real, args.seconds, args.each)
    samples = read_sounds(args.samples, args.seconds, as_modelled=True)
    sets = {"training sounds": read_sounds(args.train, args.seconds, args.each)} if args.train else {}
    sets |= {"samples": samples, "their mids": [Sound(one.file, on_both(mono(one.wav)[None])) for one in samples]}
    for name, sounds in {"REAL": real, **sets}.items():
        if not sounds:
            raise SystemExit(f"{name}: there are no stereo sounds; give a folder with some")
    reference = vectors_by_side(real, embed)
    head = ["sounds", "clips", "width, dB", "real width", "correlation", *(f"KAD {side}" for side in SIDES)]
    print(row(head))
    print(row(["---"] * len(head)))
    print(row([*about("real, halves", real), *floors(reference)]), flush=True)
    for name, sounds in sets.items():
        print(row([*about(name, sounds), *kads(reference, vectors_by_side(sounds, embed))]), flush=True)


if __name__ == "__main__":
    main()
