"""Draw the keys of a kit: waveform and loop of each zone's loudest sound, and its spectrogram.

python recipes/kits/picture.py KIT out.png [--instrument NAME]
"""

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from audio_gen.generation.operations.sample import note_name
from audio_gen.instruments.kit_folder import load_kit

COLUMNS = 8


def main() -> None:
    """Draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kit", type=Path, help="a folder that `audio-gen kit` wrote")
    parser.add_argument("out", type=Path, help="the picture")
    parser.add_argument("--instrument", help="its name (default: the first one)")
    args = parser.parse_args()
    instruments = load_kit(args.kit)
    instrument = next((one for one in instruments if one.name == args.instrument), instruments[0])
    zones = [zone for zone in instrument.zones if zone.take == 0 and zone.velocities[1] == 127][:COLUMNS]
    figure, axes = plt.subplots(2, len(zones), figsize=(1.7 * len(zones), 3.4), squeeze=False)
    for zone, (wave, spectrum) in zip(zones, axes.T, strict=True):
        x = zone.wav.mean(0).numpy()
        t = np.arange(len(x)) / zone.sample_rate
        wave.plot(t, x, linewidth=0.3)
        if zone.loop is not None:
            wave.axvspan(t[zone.loop.first], t[zone.loop.stop - 1], alpha=0.25, color="tab:orange")
        wave.set_title(note_name(zone.root) if zone.pitched else zone.label.split(" ")[0], fontsize=8)
        wave.set_ylim(-1, 1)
        spectrum.specgram(x + 1e-7, NFFT=512, Fs=zone.sample_rate, noverlap=384, vmin=-130, vmax=-30)
        for axis in (wave, spectrum):
            axis.tick_params(labelsize=5)
            if axis not in (axes[0][0], axes[1][0]):
                axis.set_yticks([])
    figure.suptitle(f"{instrument.name}: waveforms with their loops, and spectrograms", fontsize=9)
    figure.tight_layout()
    figure.savefig(args.out, dpi=80)


if __name__ == "__main__":
    main()
