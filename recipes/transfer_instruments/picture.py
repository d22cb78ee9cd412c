"""Draw the log-mels of files below each other: picture.py OUT.png TITLE=FILE [TITLE=FILE ..]."""

import argparse
from pathlib import Path

import torch

from audio_gen.audio.channels import mono
from audio_gen.audio.io import read_wav
from audio_gen.audio.mel import DEFAULT_PRESET, MelFrontEnd, MelSpec
from audio_gen.audio.picture import spectrogram_png

FLOOR = -9.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("files", nargs="+", metavar="TITLE=FILE")
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--per-row", type=int, default=3)
    given = parser.parse_args()
    spec = MelSpec.preset(DEFAULT_PRESET)
    columns = []
    for text in given.files:
        title, _, file = text.partition("=")
        wav, _ = read_wav(Path(file), sample_rate=spec.sample_rate)
        with torch.no_grad():
            mel = MelFrontEnd(spec)(mono(wav[:, : round(given.seconds * spec.sample_rate)])[None, None])[0]
        columns.append((title, mel.clamp(min=FLOOR)))
    spectrogram_png(columns, given.out, spec=spec, per_row=given.per_row)


if __name__ == "__main__":
    main()
