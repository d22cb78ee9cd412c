"""Make samples/ from the Debian package sonic-pi-samples (version 3.2.2~repack-8): every file here is CC0.

    python recipes/make_samples.py --source /usr/share/sonic-pi/samples --out samples

Only samples that the package's copyright file lists one by one, with author and source, are taken. Nothing is cropped
or normalised. The same package gives the same bytes.
"""

import argparse
import hashlib
import re
from pathlib import Path

import numpy as np
import soundfile
import soxr

SAMPLE_RATE = 44100
COPYRIGHT = Path("/usr/share/doc/sonic-pi-samples/copyright")
# Two channels whose difference is quieter than this against their sum say the same thing: they become one.
MONO_BELOW_DB = -12.0

CLASSES = {
    "kick": "bd_808 bd_boom bd_gas bd_haus bd_klub bd_pure bd_sone bd_tek bd_zome drum_bass_hard drum_bass_soft "
    "drum_heavy_kick",
    "snare": "drum_snare_hard drum_snare_soft elec_hi_snare elec_lo_snare elec_mid_snare elec_snare sn_dolf sn_dub "
    "sn_zome",
    "hat": "drum_cymbal_closed drum_cymbal_open drum_cymbal_pedal drum_cymbal_soft elec_cymbal",
    "tom": "drum_tom_hi_hard drum_tom_hi_soft drum_tom_lo_hard drum_tom_lo_soft drum_tom_mid_hard drum_tom_mid_soft",
    "bass": "bass_dnb_f bass_drop_c bass_hard_c bass_hit_c bass_voxy_hit_c bass_woodsy_c",
    "synth": "elec_beep elec_bell elec_blup elec_bong elec_chime elec_twang",
    "tabla": "tabla_ghe2 tabla_na tabla_na_o tabla_tas1 tabla_te2 tabla_tun1",
    "percussion": "drum_cowbell elec_triangle elec_wood perc_snap perc_till",
    "ambient": "ambi_choir ambi_glass_rub ambi_piano ambi_soft_buzz ambi_swoosh",
    "loop": "loop_amen loop_breakbeat loop_industrial loop_amen_full",
}


def convert(source: Path, target: Path) -> tuple[float, int]:
    """Write one sample as 16-bit WAV and return its seconds and channels."""
    wav, rate = soundfile.read(source, always_2d=True)
    if rate != SAMPLE_RATE:
        wav = soxr.resample(wav, rate, SAMPLE_RATE, quality="VHQ")
    if wav.shape[1] == 2 and side_db(wav) < MONO_BELOW_DB:
        wav = wav.mean(axis=1, keepdims=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    # Rounded here: what a library does with a float between two steps is its own affair.
    pcm = np.clip(np.rint(wav * 32768.0), -32768, 32767).astype(np.int16)
    soundfile.write(target, pcm, SAMPLE_RATE, subtype="PCM_16")
    return len(pcm) / SAMPLE_RATE, pcm.shape[1]


def side_db(wav: np.ndarray) -> float:
    """Return how loud the difference of two channels is against their sum."""
    middle, side = wav.sum(axis=1), wav[:, 0] - wav[:, 1]
    return float(10 * np.log10((np.square(side).mean() + 1e-12) / (np.square(middle).mean() + 1e-12)))


def read_credits(copyright_file: Path) -> dict[str, tuple[str, str]]:
    """Return (year and author, page) for each sample that the package's copyright file lists as CC0."""
    credits = {}
    for block in copyright_file.read_text(encoding="utf-8").split("\n\n"):
        names = re.findall(r"etc/samples/(\S+)\.flac", block)
        author = re.search(r"^Copyright:\s*(.+)$", block, re.MULTILINE)
        page = re.search(r"https?://\S+", block)
        if names and author and page and re.search(r"^License:\s*CC0\s*$", block, re.MULTILINE):
            # The only address given of an author need not be repeated here.
            by = re.sub(r"\s*<[^>]*>", "", author[1])
            credits.update({name: (by, page[0]) for name in names})
    return credits


HEAD = """# Where these sounds come from

{count} one-shots and loops for trying things out, from the Debian package `sonic-pi-samples`, version 3.2.2~repack-8
(upstream: Sonic Pi, <https://github.com/samaaron/sonic-pi>, `etc/samples`).

Licence: [CC0 1.0](https://creativecommons.org/publicdomain/zero/1.0/), stated for each file, with its author and page,
in the package's copyright file. The package's README says that all of them come from <https://freesound.org>, were
placed in the public domain with CC0, and that many are "slightly modified and trimmed for use with Sonic Pi". The
authors and pages below are those of the copyright file.

Changed here: FLAC to WAV, 44.1 kHz, 16 bits; two nearly equal channels became one. Nothing was cropped or made louder.
To make them again: `python recipes/make_samples.py --source /usr/share/sonic-pi/samples --out samples`

| file | source file | seconds | channels | year, author | page |
|---|---|---|---|---|---|
"""


def main() -> None:
    """Convert every chosen sample and write SOURCES.md beside them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, required=True, help="folder of the package's FLAC files")
    parser.add_argument("--copyright", type=Path, default=COPYRIGHT, help="the package's copyright file")
    parser.add_argument("--out", type=Path, required=True, help="folder for the WAVs and SOURCES.md")
    args = parser.parse_args()
    credits = read_credits(args.copyright)
    rows, digest, size = [], hashlib.sha256(), 0
    for kind, names in CLASSES.items():
        for name in sorted(names.split()):
            target = args.out / kind / f"{name}.wav"
            seconds, channels = convert(args.source / f"{name}.flac", target)
            author, page = credits[name]
            rows.append(f"| {kind}/{name}.wav | {name}.flac | {seconds:.3f} | {channels} | {author} | <{page}> |\n")
            digest.update(target.read_bytes())
            size += target.stat().st_size
    (args.out / "SOURCES.md").write_text(HEAD.format(count=len(rows)) + "".join(rows), encoding="utf-8")
    print(f"{len(rows)} files, {size / 1e6:.2f} MB, sha256 of all {digest.hexdigest()[:16]}")


if __name__ == "__main__":
    main()
