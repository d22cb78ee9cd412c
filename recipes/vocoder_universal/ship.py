#!/usr/bin/env python3
"""Put a trained vocoder into the package: its weights in half precision, its config, and a card.

python ship.py RUN --name small --figures FIGURES.md
"""

import argparse
import sys
from pathlib import Path

from audio_gen.artefacts.bundle import SHIPPED, load_bundle, save_bundle
from audio_gen.artefacts.folders import BundleFolder
from audio_gen.audio.mel import MelSpec
from audio_gen.errors import AudioGenError
from audio_gen.files import write_atomic

CARD = """---
license: mit
library_name: audio_gen
tags: [audio, vocoder]
---
# {name}

Turns natural-log mels of {mel} into sound. A start is computed from the mel; a network corrects it above 2.6 kHz.
Griffin-Lim iterations then fit the wave to the mel, first below 2.6 kHz, then over all frequencies.

| | |
|---|---|
| parameters | {parameters:,}, in half precision ({size:.1f} MB) |
| trained on | the corpus of `recipes/vocoder_universal`; its DATA.md lists sources, licences and held-out files |
| steps | {steps:,} of {batch} crops of {crop:.2f} s |
| SHA-256, first twelve digits | {digest} |
| licence | MIT |

{figures}
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--name", required=True)
    parser.add_argument("--figures", type=Path, help="Markdown for the end of the card")
    args = parser.parse_args()
    try:
        ship(args.run, args.name, args.figures.read_text(encoding="utf-8").strip() if args.figures else "")
    except (AudioGenError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def ship(run: Path, name: str, figures: str) -> None:
    bundle, folder = load_bundle(run), SHIPPED / name
    spec = MelSpec.from_dict(bundle.config["mel"])
    names = ("format", "vocoder", "model", "args", "mel", "training")  # model and args: of format 1
    config = {key: bundle.config[key] for key in names if key in bundle.config}
    folder.mkdir(parents=True, exist_ok=True)
    digest = save_bundle(folder, config, {key: value.half() for key, value in bundle.tensors.items()})
    card = CARD.format(
        name=name, digest=digest, figures=figures, steps=config["training"]["steps"], batch=16, crop=0.75,
        mel=f"{spec.sample_rate / 1000:g} kHz, {spec.n_mels} bands, a hop of {spec.hop_length} samples",
        parameters=sum(value.numel() for value in bundle.tensors.values()),
        size=BundleFolder(folder).weights.stat().st_size / 1e6,
    )  # fmt: skip
    write_atomic(folder / "README.md", lambda path: path.write_text(card, encoding="utf-8"))
    print(f"{folder}: {digest}")


if __name__ == "__main__":
    sys.exit(main())
