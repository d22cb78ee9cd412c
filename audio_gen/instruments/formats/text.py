"""SFZ and DecentSampler: text beside the WAVs."""

import re
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

from audio_gen.files import write_text
from audio_gen.instruments.zones import Instrument, Zone

DECENT_RELEASE = 5.0  # s, of drums, which ring on
CHOKE_FADE_SEC = 0.02


def write_sfz(instrument: Instrument, path: Path, wav_of: Callable[[Zone], str], about: str) -> None:
    """Write an SFZ.

    Args:
        instrument: The instrument.
        path: The file.
        wav_of: The path of a zone's WAV, relative to the file.
        about: A line on where it comes from.

    Source: sfzformat.com, opcodes of SFZ 1 and of ARIA.
    """
    lines = [f"// {_plain(instrument.name)}", f"// {_plain(about)}", ""]
    lines += ["<control>", "hint_ram_based=1", "", "<global>"]  # kits are small: players need not stream them
    lines += ["loop_mode=one_shot"] if instrument.drums else [f"ampeg_release={instrument.release_sec:g}"]
    for zone in instrument.zones:
        (low, high), (soft, loud) = zone.keys, zone.velocities
        words = [f"sample={wav_of(zone)}", f"lokey={low} hikey={high} pitch_keycenter={zone.root}"]
        words += [f"lovel={soft} hivel={loud}"]
        words += [f"seq_length={zone.takes} seq_position={zone.take + 1}"] if zone.takes > 1 else []
        words += [f"tune={-round(zone.cents)}"] if round(zone.cents) else []
        words += [] if zone.pitched else ["pitch_keytrack=0"]
        if zone.loop is not None:
            words += [f"loop_mode=loop_sustain loop_start={zone.loop.first} loop_end={zone.loop.stop - 1}"]
        elif zone.pitched:
            words += ["loop_mode=no_loop"]
        if zone.choke:
            words += [f"group={zone.choke} off_by={zone.choke} off_mode=time off_time={CHOKE_FADE_SEC:g}"]
        lines += ["", f"// {_plain(zone.label)}", "<region>", *words]
    write_text(path, "\n".join(lines) + "\n")


def write_decentsampler(instrument: Instrument, path: Path, wav_of: Callable[[Zone], str], about: str) -> None:
    """Write a DecentSampler preset with knobs for attack, release and brightness; see `write_sfz`.

    Source: the DecentSampler developer guide, its elements and attributes.
    """
    root = ElementTree.Element("DecentSampler", minVersion="1.0.0")
    root.append(ElementTree.Comment(f" {_plain(about).replace('--', '-')} "))
    _panel(ElementTree.SubElement(root, "ui", width="812", height="375"), instrument)
    release = DECENT_RELEASE if instrument.drums else instrument.release_sec
    groups = ElementTree.SubElement(
        root, "groups", attack="0.0", decay="0.0", sustain="1.0", release=f"{release:g}", ampVelTrack="1.0"
    )
    for choke in sorted({zone.choke for zone in instrument.zones}):
        group = ElementTree.SubElement(groups, "group", name=f"choke {choke}" if choke else "sounds")
        if choke:
            group.set("tags", f"choke{choke}")
            group.set("silencedByTags", f"choke{choke}")
            group.set("silencingMode", "fast")
        for zone in instrument.zones:
            if zone.choke == choke:
                _sample(group, zone, wav_of(zone))
    effects = ElementTree.SubElement(root, "effects")
    ElementTree.SubElement(effects, "effect", type="lowpass", frequency="22000", resonance="0.7")
    ElementTree.indent(root)
    body = ElementTree.tostring(root, encoding="unicode")
    write_text(path, f'<?xml version="1.0" encoding="UTF-8"?>\n{body}\n')


def _sample(group: ElementTree.Element, zone: Zone, wav: str) -> None:
    (low, high), (soft, loud) = zone.keys, zone.velocities
    sample = ElementTree.SubElement(
        group, "sample", path=wav, rootNote=f"{zone.root}", loNote=f"{low}", hiNote=f"{high}", loVel=f"{soft}",
        hiVel=f"{loud}", tuning=f"{-zone.cents / 100:.4f}", pitchKeyTrack="1" if zone.pitched else "0",
    )  # fmt: skip
    if zone.takes > 1:
        sample.set("seqMode", "round_robin")
        sample.set("seqLength", f"{zone.takes}")
        sample.set("seqPosition", f"{zone.take + 1}")
    if zone.loop is not None:
        sample.set("loopEnabled", "true")
        sample.set("loopStart", f"{zone.loop.first}")
        sample.set("loopEnd", f"{zone.loop.stop - 1}")


def _panel(ui: ElementTree.Element, instrument: Instrument) -> None:
    """Knobs of the player's window."""
    tab = ElementTree.SubElement(ui, "tab", name="main")
    release = DECENT_RELEASE if instrument.drums else instrument.release_sec
    knobs = (
        ("Attack", "amp", "ENV_ATTACK", 0.0, 4.0, 0.0),
        ("Release", "amp", "ENV_RELEASE", 0.0, 10.0, release),
        ("Brightness", "effect", "FX_FILTER_FREQUENCY", 60.0, 22000.0, 22000.0),
    )
    for i, (label, kind, parameter, low, high, value) in enumerate(knobs):
        knob = ElementTree.SubElement(
            tab, "labeled-knob", x=f"{200 + 130 * i}", y="120", label=label, type="float", minValue=f"{low:g}",
            maxValue=f"{high:g}", value=f"{value:g}",
        )  # fmt: skip
        ElementTree.SubElement(knob, "binding", type=kind, level="instrument", parameter=parameter, position="0")


def _plain(text: str) -> str:
    """Text for a comment: one line of printable characters."""
    return re.sub(r"\s+", " ", "".join(c if c.isprintable() else " " for c in text))
