"""Collect stereo sounds, split into train and test by file: one-shots of drum kits, and music in clips of 2 seconds.

    apt-get install hydrogen-drumkits wesnoth-1.16-music
    python recipes/stereo/collect.py --kits /usr/share/hydrogen/data/drumkits --out sounds/drums
    python recipes/stereo/collect.py --music MUSIC/train MUSIC/test --out sounds/music

Of kits, every file with two channels and real width is taken, with its name's kit in front; every third by name is in
test. Music comes from two folders of whole tracks, so that no track is in both. Files become 24-bit FLAC at their rate.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile as sf

from audio_gen.audio.channels import WIDTH_DB, width_db
from audio_gen.generation.outputs import sound_files

CLIP_SEC, MOST_SEC, LEAST_PEAK = 2.0, 6.0, 0.02


def kits(folder: Path) -> Iterator[tuple[str, str, np.ndarray, int]]:
    """Side, name, samples (T, 2) and rate of the wide one-shots of kits."""
    count = 0
    for path in sorted(sound_files([folder])):
        if sf.info(path).channels != 2 or sf.info(path).duration > MOST_SEC:
            continue
        wav, rate = sf.read(path, dtype="float32")
        if width_db(wav.T) > WIDTH_DB:
            kit = path.relative_to(folder).parts[0]
            yield ("test" if count % 3 == 2 else "train"), f"{kit}-{path.stem}".replace(" ", "-"), wav, rate
            count += 1


def music(train: Path, test: Path) -> Iterator[tuple[str, str, np.ndarray, int]]:
    """The same of clips of tracks, without quiet ones."""
    for side, folder in (("train", train), ("test", test)):
        for path in sorted(sound_files([folder])):
            rate = sf.info(path).samplerate
            for i, wav in enumerate(sf.blocks(path, round(CLIP_SEC * rate), dtype="float32", always_2d=True)):
                if len(wav) == round(CLIP_SEC * rate) and wav.shape[1] == 2 and np.abs(wav).max() > LEAST_PEAK:
                    yield side, f"{path.stem}-{i:03d}", wav, rate


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kits", type=Path)
    parser.add_argument("--music", type=Path, nargs=2)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    found = {"train": 0, "test": 0}
    for side, name, wav, rate in kits(args.kits) if args.kits else music(*args.music):
        (args.out / side).mkdir(parents=True, exist_ok=True)
        sf.write(args.out / side / f"{name}.flac", wav, rate, "PCM_24")
        found[side] += 1
    print(f"{args.out}: {found['train']} clips to train on, {found['test']} in test")
