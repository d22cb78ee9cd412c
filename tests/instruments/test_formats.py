"""Files for samplers, read by others than their writers."""

import io
import shutil
import struct
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import soundfile as sf
import torch

from audio_gen.artefacts.folders import KitFolder
from audio_gen.audio.sampler_chunks import append_sampler_chunks
from audio_gen.errors import AudioFileError, DataError, OutputError
from audio_gen.instruments.kit import FORMATS, Kit
from audio_gen.instruments.kit_folder import load_kit
from audio_gen.instruments.sustain_loop import SustainLoop
from audio_gen.instruments.zones import Instrument, Zone, key_ranges
from audio_gen.midi.score import Note, Score, pitch_to_hz
from audio_gen.midi.write import write_score

RATE = 22050
ABOUT = {"kind": "kit", "command": "test", "version": "0", "bundle": "none"}


def tone(pitch: float, sec: float = 1.0, channels: int = 1) -> torch.Tensor:
    t = np.arange(round(sec * RATE)) / RATE
    x = 0.5 * np.sin(2 * np.pi * pitch_to_hz(pitch) * t) * np.minimum(t / 0.005, 1)
    return torch.from_numpy(x.astype(np.float32)).expand(channels, -1).clone()


def period_loop(pitch: float) -> SustainLoop:
    """A loop of whole periods of a tone, to within a sample."""
    period = RATE / pitch_to_hz(pitch)
    return SustainLoop(round(20 * period), round(140 * period), 1.0)


def pitched(channels: int = 1) -> Instrument:
    roots = [48, 60, 72]
    zones = [
        Zone(f"tone/tone-{root}-v{layer}", tone(root, channels=channels), RATE, root, keys, velocities=velocities,
             loop=period_loop(root) if root != 48 else None, class_name="tone", label=f"tone {root}")
        for root, keys in zip(roots, key_ranges(roots), strict=True)
        for layer, velocities in enumerate([(1, 63), (64, 127)])
    ]  # fmt: skip
    return Instrument("tone", tuple(zones), drums=False)


def drums() -> Instrument:
    zones = [
        Zone(f"hat/hat-{key}-rr{take}", tone(pitch + take, 0.3), RATE, key, (key, key), take=take, takes=2,
             class_name="hat", choke=1, pitched=False, label=f"hat {key}")
        for key, pitch in ((42, 90), (46, 80))
        for take in (0, 1)
    ]  # fmt: skip
    return Instrument("kit", tuple(zones), drums=True)


def saved(out: Path, *instruments: Instrument, formats: list[str] | None = None) -> Path:
    names = formats or [one for one in FORMATS if one != "hydrogen" or all(i.drums for i in instruments)]
    Kit("test kit", instruments, ABOUT, names, "16", out, "none").save(out)
    return out


def test_a_wav_holds_its_root_and_its_loop(tmp_path: Path) -> None:
    saved(tmp_path, pitched())
    content = (tmp_path / "tone/tone-60-v1.wav").read_bytes()
    at = content.index(b"smpl")
    values = struct.unpack_from("<9I", content, at + 8)
    loop = struct.unpack_from("<6I", content, at + 8 + 36)
    assert values[3] == 60 and values[7] == 1
    assert loop[2:4] == (period_loop(60).first, period_loop(60).stop - 1)
    assert struct.unpack_from("<Bbb4B", content, content.index(b"inst") + 8)[0] == 60
    assert struct.unpack_from("<I", content, 4)[0] == len(content) - 8
    assert sf.info(tmp_path / "tone/tone-60-v1.wav").frames == RATE  # readers skip the chunks


@pytest.mark.parametrize(("cents", "unity", "fraction"), [(25.0, 60, 0.25), (-25.0, 59, 0.75), (0.0, 60, 0.0)])
def test_a_fraction_of_a_semitone_counts_upwards(tmp_path: Path, cents: float, unity: int, fraction: float) -> None:
    sf.write(tmp_path / "a.wav", np.zeros(9), RATE, subtype="PCM_16")
    append_sampler_chunks(tmp_path / "a.wav", RATE, root=60, cents=cents)
    content = (tmp_path / "a.wav").read_bytes()
    found = struct.unpack_from("<9I", content, content.index(b"smpl") + 8)
    assert found[3] == unity and found[4] / 2**32 == pytest.approx(fraction, abs=1e-6)


def test_a_linter_finds_nothing_in_the_sfz(tmp_path: Path) -> None:
    pytest.importorskip("sfzlint")
    saved(tmp_path, pitched(), drums(), formats=["sfz"])
    for name in ("tone", "kit"):
        done = subprocess.run(
            [sys.executable, "-c", "from sfzlint.cli import sfzlint; sfzlint()", str(tmp_path / f"{name}.sfz")],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert done.stdout.strip() == "", done.stdout


def test_sfizz_plays_every_key_in_tune_and_holds_loops(tmp_path: Path) -> None:
    pysfizz = pytest.importorskip("pysfizz")
    saved(tmp_path, pitched(), drums(), formats=["sfz"])
    synth = pysfizz.Synth(RATE, 256)
    assert synth.load_sfz_file(tmp_path / "tone.sfz")
    for key in (50, 60, 70, 75):
        wav = synth.render_note(key, 100, 3.0, 4.0).mean(0)
        spectrum = np.abs(np.fft.rfft(wav[: 2 * RATE] * np.hanning(2 * RATE), 8 * RATE))
        found_hz = np.argmax(spectrum) * RATE / (8 * RATE)
        assert abs(1200 * np.log2(found_hz / pitch_to_hz(key))) < 10
        held = float(np.abs(wav[round(2.5 * RATE) : round(2.9 * RATE)]).max()) > 0.01
        assert held == (key > 54)  # the lowest zone has no loop
    assert synth.load_sfz_file(tmp_path / "kit.sfz") and synth.playable_keys == [42, 46]


def test_fluidsynth_plays_the_soundfont(tmp_path: Path) -> None:
    if shutil.which("fluidsynth") is None:
        pytest.skip("fluidsynth is not installed")
    saved(tmp_path, pitched(2), drums(), formats=["sf2"])
    notes = [Note(0.0, 60, 2.0, 100), Note(3.0, 70, 2.0, 100), Note(6.0, 42, 0.1, 100, 9)]
    write_score(tmp_path / "a.mid", Score(tuple(notes)))
    command = ["fluidsynth", "-ni", "-R", "0", "-C", "0", "-r", str(RATE), "-F", str(tmp_path / "a.wav")]
    done = subprocess.run(
        [*command, str(tmp_path / "test kit.sf2"), str(tmp_path / "a.mid")], capture_output=True, text=True, check=True
    )  # fmt: skip
    assert "error" not in done.stderr.lower()
    wav = sf.read(tmp_path / "a.wav")[0].mean(1)
    for start, key in ((0, 60), (3, 70)):
        part = wav[round((start + 0.1) * RATE) : round((start + 1.9) * RATE)]
        spectrum = np.abs(np.fft.rfft(part * np.hanning(len(part)), 8 * RATE))
        assert abs(1200 * np.log2(np.argmax(spectrum) / 8 / pitch_to_hz(key))) < 10
        assert np.abs(part[-200:]).max() > 0.3 * np.abs(part).max()  # its loop holds it
    assert np.abs(wav[round(6.0 * RATE) : round(6.2 * RATE)]).max() > 0.01


def test_the_soundfont_is_a_riff_with_all_that_the_format_asks_for(tmp_path: Path) -> None:
    saved(tmp_path, pitched(), drums(), formats=["sf2"])
    content = (tmp_path / "test kit.sf2").read_bytes()
    assert content[:4] == b"RIFF" and content[8:12] == b"sfbk"
    chunks = dict(_chunks(content[12:]))
    info, sound, tables = (dict(_chunks(chunks[key][4:])) for key in ("LIST0", "LIST1", "LIST2"))
    assert info["ifil0"] == struct.pack("<HH", 2, 1)
    headers = [struct.unpack("<20sIIIIIBbHH", tables["shdr0"][i : i + 46]) for i in range(0, len(tables["shdr0"]), 46)]
    assert headers[-1][0].startswith(b"EOS") and len(headers) == 6 + 2 + 1  # of takes only the first
    samples = np.frombuffer(sound["smpl0"], "<i2")
    for _, start, end, first, stop, rate, _, _, _, kind in headers[:-1]:
        assert rate == RATE and kind == 1 and 0 <= start < end <= len(samples) - 46
        assert not samples[end : end + 46].any()
        assert first == stop == start or start < first < stop <= end
    # Every table ends with its terminal record, and counts go up.
    presets = [struct.unpack("<20sHHHIII", tables["phdr0"][i : i + 38]) for i in range(0, len(tables["phdr0"]), 38)]
    assert [(bank, program) for _, program, bank, *_ in presets[:-1]] == [(0, 0), (0, 1), (128, 0)]
    for name, size in (("pbag0", 4), ("ibag0", 4), ("pgen0", 4), ("igen0", 4), ("inst0", 22)):
        assert len(tables[name]) % size == 0 and len(tables[name]) >= 2 * size
    bags = np.frombuffer(tables["ibag0"], "<u2").reshape(-1, 2)[:, 0]
    assert (np.diff(bags.astype(int)) >= 0).all() and bags[-1] == len(tables["igen0"]) // 4 - 1


def _chunks(content: bytes) -> list[tuple[str, bytes]]:
    """Chunks of a RIFF list, with their number among those of the name."""
    found: list[tuple[str, bytes]] = []
    at = 0
    while at + 8 <= len(content):
        name, size = content[at : at + 4].decode(), struct.unpack_from("<I", content, at + 4)[0]
        count = sum(one.startswith(name) for one, _ in found)
        found.append((f"{name}{count}", content[at + 8 : at + 8 + size]))
        at += 8 + size + size % 2
    return found


def test_the_decentsampler_preset_has_known_elements_only(tmp_path: Path) -> None:
    saved(tmp_path, pitched(), drums(), formats=["decentsampler"])
    known = {
        "DecentSampler": {"minVersion"}, "ui": {"width", "height"}, "tab": {"name"}, "effects": set(),
        "labeled-knob": {"x", "y", "label", "type", "minValue", "maxValue", "value"},
        "binding": {"type", "level", "position", "parameter"},
        "groups": {"attack", "decay", "sustain", "release", "ampVelTrack"},
        "group": {"name", "tags", "silencedByTags", "silencingMode"},
        "sample": {"path", "rootNote", "loNote", "hiNote", "loVel", "hiVel", "tuning", "pitchKeyTrack", "seqMode",
                   "seqLength", "seqPosition", "loopEnabled", "loopStart", "loopEnd"},
        "effect": {"type", "frequency", "resonance"},
    }  # fmt: skip
    for name in ("tone", "kit"):
        root = ElementTree.parse(tmp_path / f"{name}.dspreset").getroot()
        for element in root.iter():
            assert set(element.attrib) <= known[element.tag]
        assert all((tmp_path / sample.attrib["path"]).is_file() for sample in root.iter("sample"))
    assert len(list(ElementTree.parse(tmp_path / "kit.dspreset").iter("sample"))) == 4


def test_the_multisample_holds_its_sounds(tmp_path: Path) -> None:
    saved(tmp_path, pitched(), formats=["multisample"])
    with zipfile.ZipFile(tmp_path / "tone.multisample") as archive:
        root = ElementTree.fromstring(archive.read("multisample.xml"))
        samples = list(root.iter("sample"))
        assert len(samples) == 6 and {one.attrib["file"] for one in samples} <= set(archive.namelist())
        assert sf.read(io.BytesIO(archive.read(samples[0].attrib["file"])))[1] == RATE
    for sample in samples:
        key, loop = sample.find("key"), sample.find("loop")
        assert key is not None and loop is not None
        assert int(key.attrib["low"]) <= int(key.attrib["root"]) <= int(key.attrib["high"])
        assert loop.attrib["mode"] == ("off" if key.attrib["root"] == "48" else "loop")


def test_the_hydrogen_kit_has_a_layer_for_each_sound(tmp_path: Path) -> None:
    saved(tmp_path, drums(), formats=["hydrogen"])
    with tarfile.open(tmp_path / "kit.h2drumkit") as archive:
        names = archive.getnames()
        file = archive.extractfile("kit/drumkit.xml")
        assert file is not None
        root = ElementTree.fromstring(file.read())
    space = {"h": "http://www.hydrogen-music.org/drumkit"}
    files = [one.text for one in root.findall(".//h:filename", space)]
    assert len(files) == 4 and {f"kit/{one}" for one in files} <= set(names)
    assert [one.text for one in root.findall(".//h:midiOutNote", space)] == ["42", "46"]


def test_a_kit_is_read_as_it_was_written(tmp_path: Path) -> None:
    saved(tmp_path, pitched(2), drums(), formats=["sfz"])
    for found, made in zip(load_kit(tmp_path), (pitched(2), drums()), strict=True):
        assert (found.name, found.drums, len(found.zones)) == (made.name, made.drums, len(made.zones))
        for one, other in zip(found.zones, made.zones, strict=True):
            assert (one.root, one.keys, one.velocities, one.take, one.takes) == (
                other.root, other.keys, other.velocities, other.take, other.takes
            )  # fmt: skip
            assert one.loop == other.loop and one.choke == other.choke
            assert float((one.wav - other.wav[: len(one.wav)]).abs().max()) < 1e-3


def test_a_damaged_kit_is_told_in_one_line(tmp_path: Path) -> None:
    saved(tmp_path, drums(), formats=["sfz"])
    about = KitFolder(tmp_path).about
    good = about.read_text()
    for bad in (
        "{",
        "[]",
        good.replace('"keys": [\n            42,\n            42', '"keys": [\n            43,\n            42'),
        good.replace('"root": 42', '"root": 420'),
        good.replace("hat/hat-42-rr0", "../hat-42-rr0"),
    ):
        about.write_text(bad)
        with pytest.raises(DataError, match=about.name):
            load_kit(tmp_path)
    about.write_text(good)
    (tmp_path / "hat/hat-42-rr0.wav").unlink()
    with pytest.raises(AudioFileError, match="hat-42-rr0"):
        load_kit(tmp_path)


def test_a_kit_that_replaces_another_leaves_nothing_of_it(tmp_path: Path) -> None:
    saved(tmp_path, pitched(), formats=["sfz", "sf2"])
    Kit("test kit", [drums()], ABOUT, ["sfz"], "16", tmp_path, "none").save(tmp_path, force=True)
    assert {path.suffix for path in tmp_path.iterdir() if path.is_file()} == {".sfz", ".json", ".md"}
    assert not list(tmp_path.glob("tone/*.wav")) and not (tmp_path / "tone.sfz").exists()


def test_control_characters_do_not_break_xml(tmp_path: Path) -> None:
    odd = replace(drums(), zones=tuple(replace(zone, class_name="a\x01<b>", label="a\x01&") for zone in drums().zones))
    saved(tmp_path, odd, formats=["multisample", "hydrogen", "decentsampler", "sfz"])
    with zipfile.ZipFile(tmp_path / "kit.multisample") as archive:
        assert ElementTree.fromstring(archive.read("multisample.xml")).find("group") is not None
    with tarfile.open(tmp_path / "kit.h2drumkit") as archive:
        file = archive.extractfile("kit/drumkit.xml")
        assert file is not None and ElementTree.fromstring(file.read()) is not None


def test_a_kit_does_not_replace_another(tmp_path: Path) -> None:
    saved(tmp_path, drums(), formats=["sfz"])
    with pytest.raises(OutputError, match="already"):
        saved(tmp_path, drums(), formats=["sfz"])
    text = (tmp_path / "README.md").read_text()
    assert "kit.sfz" in text and "hat 42" in text and "Rights" in text
