"""Bitwig's multisample and Hydrogen's drumkit: archives with the WAVs in them."""

import gzip
import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

from audio_gen.files import legal_name, write_atomic
from audio_gen.instruments.zones import Instrument, Zone
from audio_gen.midi.general_midi import DRUMS
from audio_gen.text import visible

EPOCH = (1980, 1, 1, 0, 0, 0)  # of files in archives, so that equal kits have equal bytes
HYDROGEN_SPACE = "http://www.hydrogen-music.org/drumkit"
HYDROGEN_RELEASE = 1000  # samples in which a stopped drum fades


def write_multisample(
    instrument: Instrument, path: Path, wav_at: Callable[[Zone], Path], about: str
) -> None:  # fmt: skip
    """Write a .multisample of Bitwig Studio, which PreSonus Sampler reads too: a zip with `multisample.xml`.

    Args:
        instrument: The instrument.
        path: The file.
        wav_at: Where the WAV of a zone is.
        about: A line on where it comes from.

    Source: the open specification of the format, github.com/bitwig/multisample.
    """
    root = ElementTree.Element("multisample", name=visible(instrument.name))
    for tag, text in (("generator", "audio_gen"), ("category", "Drums" if instrument.drums else "Keyboards"),
                      ("creator", "audio_gen"), ("description", about)):  # fmt: skip
        ElementTree.SubElement(root, tag).text = visible(text)
    ElementTree.SubElement(root, "keywords")
    classes = list(dict.fromkeys(zone.class_name or instrument.name for zone in instrument.zones))
    for name in classes:
        ElementTree.SubElement(root, "group", name=visible(name), color="d9d9d9")
    names = {zone.name: f"{zone.name.replace('/', '-')}.wav" for zone in instrument.zones}
    for zone in instrument.zones:
        _multisample(root, zone, names[zone.name], classes.index(zone.class_name or instrument.name))

    def write(temporary: Path) -> None:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr(zipfile.ZipInfo("multisample.xml", EPOCH), _text(root))
            for zone in instrument.zones:
                archive.writestr(zipfile.ZipInfo(names[zone.name], EPOCH), wav_at(zone).read_bytes())

    write_atomic(path, write)


def _multisample(root: ElementTree.Element, zone: Zone, file: str, group: int) -> None:
    sample = ElementTree.SubElement(root, "sample", {
        "file": file, "sample-start": "0.000", "sample-stop": f"{zone.samples:.3f}", "gain": "0.00",
        "group": f"{group}", "zone-logic": "round-robin" if zone.takes > 1 else "always-play",
    })  # fmt: skip
    ElementTree.SubElement(sample, "key", {
        "root": f"{zone.root}", "tune": f"{-zone.cents / 100:.2f}", "track": "1.0000" if zone.pitched else "0.0000",
        "low": f"{zone.keys[0]}", "high": f"{zone.keys[1]}", "low-fade": "0", "high-fade": "0",
    })  # fmt: skip
    ElementTree.SubElement(sample, "velocity", {
        "low": f"{zone.velocities[0]}", "high": f"{zone.velocities[1]}", "low-fade": "0", "high-fade": "0",
    })  # fmt: skip
    ElementTree.SubElement(sample, "select", {"low": "0", "high": "127", "low-fade": "0", "high-fade": "0"})
    loop = {"mode": "off", "start": "0.000", "stop": f"{zone.samples:.3f}", "fade": "0.0000"}
    if zone.loop is not None:
        loop |= {"mode": "loop", "start": f"{zone.loop.first:.3f}", "stop": f"{zone.loop.stop:.3f}"}
    ElementTree.SubElement(sample, "loop", loop)


def write_hydrogen(
    instrument: Instrument, path: Path, wav_at: Callable[[Zone], Path], about: str, licence: str
) -> None:
    """Write a .h2drumkit of Hydrogen: a compressed tar with `drumkit.xml`; arguments as for `write_multisample`.

    Takes of one layer are written as layers of the same velocities, of which Hydrogen picks one in turn.

    Source: Hydrogen's `drumkit.xsd`.
    """
    folder = legal_name(path.stem)
    root = ElementTree.Element("drumkit_info", xmlns=HYDROGEN_SPACE)
    _fill(root, {"name": instrument.name, "author": "audio_gen", "info": about, "license": licence, "image": "",
                 "imageLicense": ""})  # fmt: skip
    component = ElementTree.SubElement(ElementTree.SubElement(root, "componentList"), "drumkitComponent")
    _fill(component, {"id": "0", "name": "Main", "volume": "1"})
    drums = ElementTree.SubElement(root, "instrumentList")
    names = {zone.name: f"{zone.name.replace('/', '-')}.wav" for zone in instrument.zones}
    by_key: dict[int, list[Zone]] = {}
    for zone in instrument.zones:
        by_key.setdefault(zone.root, []).append(zone)
    for number, (key, zones) in enumerate(sorted(by_key.items(), key=lambda one: (one[0] not in DRUMS, one[0]))):
        _drum(ElementTree.SubElement(drums, "instrument"), number, key, zones, names)

    def write(temporary: Path) -> None:
        with (
            open(temporary, "wb") as raw,
            gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as packed,
            tarfile.open(fileobj=packed, mode="w") as archive,
        ):
            _add(archive, f"{folder}/drumkit.xml", _text(root))
            for zone in instrument.zones:
                _add(archive, f"{folder}/{names[zone.name]}", wav_at(zone).read_bytes())

    write_atomic(path, write)


def _drum(drum: ElementTree.Element, number: int, key: int, zones: list[Zone], names: dict[str, str]) -> None:
    takes = zones[0].takes
    _fill(drum, {
        "id": f"{number}", "name": zones[0].label, "volume": "1", "isMuted": "false", "isSoloed": "false", "pan": "0",
        "pitchOffset": "0", "randomPitchFactor": "0", "gain": "1", "applyVelocity": "true", "filterActive": "false",
        "filterCutoff": "1", "filterResonance": "0", "Attack": "0", "Decay": "0", "Sustain": "1",
        "Release": f"{HYDROGEN_RELEASE}", "muteGroup": f"{zones[0].choke or -1}", "midiOutChannel": "-1",
        "midiOutNote": f"{key}", "isStopNote": "false",
        "sampleSelectionAlgo": "ROUND_ROBIN" if takes > 1 else "VELOCITY", "isHihat": "-1", "lower_cc": "0",
        "higher_cc": "127",
    })  # fmt: skip
    component = ElementTree.SubElement(drum, "instrumentComponent")
    _fill(component, {"component_id": "0", "gain": "1"})
    for zone in zones:
        low, high = (zone.velocities[0] - 1) / 127, zone.velocities[1] / 127
        _fill(ElementTree.SubElement(component, "layer"), {
            "filename": names[zone.name], "min": f"{low:.6f}", "max": f"{high:.6f}", "gain": "1", "pitch": "0",
        })  # fmt: skip


def _fill(element: ElementTree.Element, values: dict[str, str]) -> None:
    for tag, text in values.items():
        ElementTree.SubElement(element, tag).text = visible(text)


def _text(root: ElementTree.Element) -> bytes:
    ElementTree.indent(root)
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="utf-8") + b"\n"


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    archive.addfile(entry, io.BytesIO(content))
