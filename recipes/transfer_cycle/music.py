"""Two kinds of music of Debian packages, for a cycle GAN: music.py OUT.

OUT/orchestral has minutes of The Battle for Wesnoth (package wesnoth-1.16-music), OUT/band those of OpenTTD's tunes
(package openttd-openmsx), which fluidsynth plays with the sound font FluidR3 (fluidsynth, fluid-soundfont-gm). Every
fourth track is kept: OUT/*/kept. Both are GPL, so nothing that learns from them may be published.
"""

import argparse
import subprocess
import tempfile
from pathlib import Path

import soundfile as sf

FONT, RATE = "/usr/share/sounds/sf2/FluidR3_GM.sf2", 44100
ORCHESTRAL, BAND = (
    Path("/usr/share/games/wesnoth/1.16/data/core/music"),
    Path("/usr/share/games/openttd/baseset/openmsx"),
)
BEGIN_SEC, LENGTH_SEC, LEAST_SEC = 10, 60, 30
TRACKS = 24


def save(out: Path, number: int, path: Path) -> bool:
    """A minute of a track; False if it is shorter than half of one."""
    rate = sf.info(path).samplerate
    x, rate = sf.read(path, start=BEGIN_SEC * rate, frames=LENGTH_SEC * rate)
    if len(x) < LEAST_SEC * rate:
        return False
    side = out / ("kept" if number % 4 == 3 else "train")
    side.mkdir(parents=True, exist_ok=True)
    sf.write(side / f"{number:02d}.wav", x.mean(1) if x.ndim > 1 else x, rate, subtype="PCM_16")
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    for name, files in (("orchestral", sorted(ORCHESTRAL.glob("*.ogg"))), ("band", sorted(BAND.glob("*.mid")))):
        number = 0
        for file in files:
            with tempfile.TemporaryDirectory() as folder:
                path = file
                if file.suffix == ".mid":
                    path = Path(folder) / "a.wav"
                    how = ["-ni", "-g", "0.5", "-r", str(RATE), "-F", str(path)]
                    subprocess.run(["fluidsynth", *how, FONT, str(file)], capture_output=True, check=True)
                number += save(out / name, number, path)
            if number == TRACKS:
                break
    print(f"{len(list(out.rglob('*.wav')))} files in {out}")


if __name__ == "__main__":
    main()
