"""The README of a kit: what is in it, how to open it, and whose sounds it comes from."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from audio_gen.artefacts.folders import KitFolder
from audio_gen.generation.operations.sample import note_name
from audio_gen.instruments.zones import Instrument, Zone

ABOUT = KitFolder(Path()).about.name
OPEN = {
    ".sfz": "any SFZ player (sforzando, sfizz, TX16Wx, Renoise ..)",
    ".dspreset": "DecentSampler (free): File, Load Preset",
    ".sf2": "any SoundFont player (FluidSynth, Logic, FL Studio, hardware)",
    ".multisample": "Bitwig Studio and PreSonus Studio One: drag it onto a track",
    ".h2drumkit": "Hydrogen: Drumkits, Import Library",
}


def kit_readme(
    name: str, instruments: Sequence[Instrument], about: Mapping[str, Any], files: Sequence[str]
) -> str:  # fmt: skip
    """The text of a kit's README.md.

    Args:
        name: Of the kit.
        instruments: Its instruments.
        about: The head of its `kit.json`.
        files: Those that samplers open.
    """
    lines = [f"# {name}", "", "A sampler kit that audio_gen generated. Open one of these:", ""]
    lines += [f"- `{file}`: {next(text for end, text in OPEN.items() if file.endswith(end))}" for file in files]
    lines += [
        "", "The WAVs also work alone: each holds its root key and its loop in the chunks that samplers read. Keep "
        "them in their folders, since the files above refer to them.", "",
    ]  # fmt: skip
    for instrument in instruments:
        lines += [f"## {instrument.name}", "", *(_drums(instrument) if instrument.drums else _notes(instrument)), ""]
    lines += [
        "## Rights", "",
        "A generative model made these sounds; none is a recording. The rights of the sounds that the model learned "
        "from may apply: a generated sound can be close to one of them. If you share this kit, name its licence.", "",
        f"Made with `{about['command']}` (audio_gen {about['version']}, bundle {about['bundle']}). `{ABOUT}` has every "
        "zone.",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _drums(instrument: Instrument) -> list[str]:
    first: dict[int, Zone] = {}
    for zone in instrument.zones:
        first.setdefault(zone.root, zone)
    rows = [f"| {key} ({note_name(key)}) | {zone.label} |" for key, zone in sorted(first.items())]
    return [*_layers(instrument.zones), "", "| key | sound |", "|---|---|", *rows]


def _notes(instrument: Instrument) -> list[str]:
    roots = sorted({zone.root for zone in instrument.zones})
    low, high = min(zone.keys[0] for zone in instrument.zones), max(zone.keys[1] for zone in instrument.zones)
    looped = sum(zone.loop is not None for zone in instrument.zones)
    return [
        f"{len(roots)} zones from {note_name(roots[0])} to {note_name(roots[-1])}, playable from {note_name(low)} to "
        f"{note_name(high)} (C4 is key 60).",
        *_layers(instrument.zones),
        f"{looped} of {len(instrument.zones)} sounds have a loop, and can be held.",
    ]


def _layers(zones: Sequence[Zone]) -> list[str]:
    layers = len({zone.velocities for zone in zones})
    takes = max(zone.takes for zone in zones)
    return [f"{layers} velocity layer{'s' * (layers > 1)}, {takes} take{'s' * (takes > 1)} in turn for each."]
