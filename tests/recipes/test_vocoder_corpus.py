"""The corpus of recipes/vocoder_universal: MIDI, splits, formulas and errors; none of its packages is needed."""

import importlib
import struct
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import soundfile

from audio_gen.errors import ConfigError, DataError, OutputError

FOLDER = Path(__file__).parents[2] / "recipes" / "vocoder_universal"
SPLITS = ("train", "val", "test")
Load = Callable[[str], ModuleType]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Load:
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module


def generator(*seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def drawn(script: Load, split: str, count: int) -> list[Any]:
    """Pieces of all four sorts, drawn as the sources draw them."""
    font, sources, rng = script("soundfont"), script("sources"), generator(3, SPLITS.index(split))
    names = sources.pool(font.INSTRUMENTS, sources.INSTRUMENTS, split)
    kits = sources.pool(font.KITS, sources.KITS, split)
    made = [font.draw_phrase(rng, names, kits) for _ in range(count)]
    made += [font.draw_note(rng, names) for _ in range(count)]
    return made + [draw(rng, kits) for draw in (font.draw_hit, font.draw_beat) for _ in range(count)]


def read_track(data: bytes) -> list[tuple[int, bytes]]:
    """(ms, message) of a format-0 file, by the standard's rules and not by ours."""
    assert data[:14] == b"MThd" + struct.pack(">IHHH", 6, 0, 1, 1000) and data[14:18] == b"MTrk"
    assert int.from_bytes(data[18:22], "big") == len(data) - 22
    at, now, events = 22, 0, []
    while at < len(data):
        delta = 0
        while True:
            byte, at = data[at], at + 1
            delta = delta << 7 | byte & 127
            if byte < 128:
                break
        now += delta
        size = 3 + data[at + 2] if data[at] == 0xFF else {0x80: 3, 0x90: 3, 0xB0: 3, 0xC0: 2}[data[at] & 0xF0]
        events.append((now, data[at : at + size]))
        at += size
    return events


@pytest.mark.parametrize(
    ("number", "coded"), [(0, "00"), (0x7F, "7f"), (0x80, "8100"), (0x2000, "c000"), (0xFFFFFFF, "ffffff7f")]
)
def test_varlen_codes_the_standards_examples(script: Load, number: int, coded: str) -> None:
    assert script("soundfont").varlen(number).hex() == coded


def test_midi_files_hold_each_note_once_and_end(script: Load) -> None:
    pieces = drawn(script, "train", 8)
    data, starts = script("soundfont").midi_file(pieces)
    events = read_track(data)
    strokes = [(ms, message) for ms, message in events if message[0] & 0xF0 == 0x90]
    wanted = [
        (start + note.start_ms, bytes([0x90 | note.channel, note.key, note.velocity]))
        for piece, start in zip(pieces, starts, strict=True)
        for note in piece.notes
    ]
    assert sorted(strokes) == sorted(wanted) and len(wanted) > 100
    assert events[-1][1] == b"\xff\x2f\x00"
    assert events[-1][0] >= starts[-1] + 1000 * pieces[-1].seconds
    assert all(byte < 128 for _, message in events if message[0] != 0xFF for byte in message[1:])


def test_each_piece_has_its_own_time_and_its_programs(script: Load) -> None:
    pieces = drawn(script, "train", 8)
    data, starts = script("soundfont").midi_file(pieces)
    programs = [(ms, message) for ms, message in read_track(data) if message[0] & 0xF0 == 0xC0]
    for piece, start, following in zip(pieces, starts, [*starts[1:], 10**9], strict=True):
        assert start + 1000 * piece.seconds < following
        assert {(m[0] & 15, m[1]) for ms, m in programs if ms == start - 50} == set(piece.programs)
        assert all(note.velocity > 0 and note.length_ms > 0 for note in piece.notes)
        assert all(0 <= note.start_ms < 1000 * piece.seconds for note in piece.notes)


def test_nothing_of_one_split_is_drawn_for_another(script: Load) -> None:
    pieces = {split: drawn(script, split, 40) for split in SPLITS}
    groups = {split: {name for piece in pieces[split] for name in piece.groups} for split in SPLITS}
    assert groups["test"] == {"xylophone", "cello", "oboe", "tr808"}  # and, recorded, the kit rumpf
    assert groups["val"] == {"flute", "banjo", "electronic"}
    assert len(groups["train"]) > 50 and not groups["train"] & (groups["test"] | groups["val"])
    programs = {split: {p for piece in pieces[split] for p in piece.programs if p[0] != 9} for split in SPLITS}
    assert not {p for _, p in programs["train"]} & {p for _, p in programs["val"] | programs["test"]}


def test_three_instruments_two_kits_and_a_voice_are_kept_out(script: Load) -> None:
    font, sources, speech = script("soundfont"), script("sources"), script("speech")
    assert [len(kept["test"]) for kept in (sources.INSTRUMENTS, sources.KITS, sources.VOICES)] == [3, 2, 1]
    everything = ((font.INSTRUMENTS, sources.INSTRUMENTS), ({**font.KITS, **sources.RECORDED_KITS}, sources.KITS))
    for names, kept in (*everything, (speech.VOICES, sources.VOICES)):
        parts = [sources.pool(names, kept, split) for split in SPLITS]
        assert sorted(name for part in parts for name in part) == sorted(names)


def test_every_tenth_of_165_files_is_17(script: Load) -> None:
    names = [f"{n:03d}.flac" for n in range(165)]
    parts = {split: script("sources").tenths(names[::-1], split) for split in SPLITS}
    assert parts["test"] == names[::10] and len(parts["test"]) == 17
    assert sorted(name for part in parts.values() for name in part) == names


def test_a_leak_is_found_in_mixtures_too(script: Load) -> None:
    check = script("build_corpus").check_leaks
    rows = [{"group": "cello", "split": "test"}, {"group": "harp+sweep", "split": "train"}]
    check([*rows, {"group": "sweep", "split": "test"}])  # a formula has no identity
    with pytest.raises(DataError, match="cello in more than one split"):
        check([*rows, {"group": "cello+harp", "split": "train"}])


def test_voices_kept_out_say_other_sentences(script: Load) -> None:
    speech, said = script("speech"), {}
    for kept_out in (False, True):
        utterances = [speech.draw_utterance(generator(n), "m1", kept_out=kept_out) for n in range(300)]
        said[kept_out] = {s for u in utterances for s in speech.SENTENCES[u.language] if s in u.text}
    assert said[True] == {sentences[-1] for sentences in speech.SENTENCES.values()}
    assert said[False] and not said[False] & said[True]
    assert len({s for sentences in speech.SENTENCES.values() for s in sentences}) == 5 * len(speech.SENTENCES)


def test_every_formula_is_in_range_and_the_seed_decides_it(script: Load) -> None:
    synthetic = script("synthetic")
    for kind in synthetic.KINDS:
        for seed, length in [(0, 12000), (1, 4001), (2, 999)]:
            wav = synthetic.make(kind, generator(seed), length)
            assert wav.shape == (length,) and wav.dtype == np.float32 and np.isfinite(wav).all(), kind
            assert np.abs(wav).max() == pytest.approx(1, abs=1e-5), kind
            assert wav[0] == wav[-1] == 0, kind
            assert np.array_equal(wav, synthetic.make(kind, generator(seed), length)), kind
            assert not np.array_equal(wav, synthetic.make(kind, generator(seed + 9), length)), kind


@pytest.mark.parametrize(("kind", "slope"), [("white", 0), ("pink", -10), ("brown", -20)])
def test_noises_fall_by_their_slope(script: Load, kind: str, slope: float) -> None:
    power = np.abs(np.fft.rfft(script("synthetic").make(kind, generator(0), 4 * 44100))) ** 2
    hz = np.fft.rfftfreq(4 * 44100, 1 / 44100)
    bands = [10 * np.log10(power[(hz > low) & (hz < 1.2 * low)].mean()) for low in (200, 2000)]
    assert bands[1] - bands[0] == pytest.approx(slope, abs=1.5)


@pytest.mark.parametrize("kind", ["harmonic", "fm", "tones"])
def test_tones_end_below_20_khz(script: Load, kind: str) -> None:
    hz = np.fft.rfftfreq(16384, 1 / 44100)
    for seed in range(6):
        wav = script("synthetic").KINDS[kind](generator(seed), 16384) * np.hanning(16384)
        power = np.abs(np.fft.rfft(wav)) ** 2
        assert power[hz > 20500].sum() < 1e-4 * power.sum(), seed


def test_drawing_again_from_a_seed_gives_the_same(script: Load) -> None:
    assert drawn(script, "train", 5) == drawn(script, "train", 5)
    assert drawn(script, "train", 5) != drawn(script, "test", 5)


def test_mixtures_hold_clips_of_their_split_at_their_gain(script: Load, tmp_path: Path) -> None:
    rows = []
    for number, group in enumerate(["a", "b+c", "d"]):
        wav = 0.5 * generator(number).standard_normal(44100 * (1 + 4 * number)).clip(-1, 1)
        soundfile.write(tmp_path / f"{number}.flac", wav, 44100)
        rows.append({"file": f"{number}.flac", "group": group, "licence": "MIT" if number else "CC0-1.0"})
    made, again = (script("sources").mixtures(rows, tmp_path, generator(5)) for _ in range(2))
    for _ in range(8):
        clip = next(made)
        assert set(clip.groups) <= {"a", "b", "c", "d"} and clip.licence in ("MIT", "CC0-1.0 + MIT")
        assert 3 * 44100 <= len(clip.wav) <= 7 * 44100
        assert 10 ** (-40 / 20) * 0.99 <= np.abs(clip.wav).max() < 1
        assert np.array_equal(clip.wav, next(again).wav)


def tiny_bank(samples: list[int]) -> bytes:
    """A bank without sound: one preset for each sample number, each with one zone of keys 60 to 72."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return name + struct.pack("<I", len(data)) + data

    count = len(samples)
    tables = {
        b"phdr": [struct.pack("<20sHHHIII", b"p", n, 0, n, 0, 0, 0) for n in range(count + 1)],
        b"pbag": [struct.pack("<HH", n, 0) for n in range(count + 1)],
        b"pgen": [struct.pack("<HH", 41, n) for n in range(count)],
        b"inst": [struct.pack("<20sH", b"i", n) for n in range(count + 1)],
        b"ibag": [struct.pack("<HH", 2 * n, 0) for n in range(count + 1)],
        b"igen": [struct.pack("<HHHH", 43, 60 | 72 << 8, 53, sample) for sample in samples],
    }
    body = b"".join(chunk(name, b"".join(records)) for name, records in tables.items())
    sound = chunk(b"LIST", b"sdta" + chunk(b"smpl", bytes(64)))
    return b"RIFF" + bytes(4) + b"sfbk" + sound + chunk(b"LIST", b"pdta" + body)


def test_presets_that_share_a_recording_are_seen(script: Load, tmp_path: Path) -> None:
    (tmp_path / "tiny.sf2").write_bytes(tiny_bank([7, 8, 7]))
    presets = script("soundfont").read_presets(tmp_path / "tiny.sf2")
    assert [presets[0, program][60] for program in range(3)] == [{7}, {8}, {7}]
    assert presets[0, 1][59] == set() and presets[0, 1][72] == {8} and presets[0, 1][73] == set()


def test_a_bank_that_shares_recordings_between_splits_is_refused(
    script: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    font, build = script("soundfont"), script("build_corpus")
    monkeypatch.setattr(font, "KITS", {})
    monkeypatch.setattr(font, "INSTRUMENTS", {"grand_piano": 0, "flute": 1, "cello": 2})
    (tmp_path / "tiny.sf2").write_bytes(tiny_bank([7, 8, 9]))
    build.check_bank(tmp_path / "tiny.sf2")
    (tmp_path / "tiny.sf2").write_bytes(tiny_bank([7, 8, 7]))
    with pytest.raises(DataError, match="shares 1 recordings between splits"):
        build.check_bank(tmp_path / "tiny.sf2")


def test_a_missing_package_is_named_in_one_line(
    script: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    font, sources, build = script("soundfont"), script("sources"), script("build_corpus")
    monkeypatch.setattr(sources, "SONIC_PI", tmp_path / "none")
    monkeypatch.setattr(sources, "HYDROGEN", tmp_path / "none")
    monkeypatch.setattr(font.shutil, "which", lambda name: None)
    packages = {
        "sonicpi": "sonic-pi-samples",
        "strums": "hydrogen-drumkits-effects",
        "drums": "hydrogen-drumkits",
        "notes": "fluidsynth",
        "speech": "espeak-ng",
    }
    for source, package in packages.items():
        assert build.main(["--out", str(tmp_path / "out"), "--only", source]) == 2
        told = capsys.readouterr().err
        assert told.count("\n") == 1 and told.endswith(f"apt-get install {package}\n")
    monkeypatch.setattr(font.shutil, "which", lambda name: name)
    monkeypatch.setattr(font, "BANKS", (str(tmp_path / "none.sf2"),))
    with pytest.raises(DataError, match="apt-get install fluid-soundfont-gm"):
        font.find_bank()
    assert list(tmp_path.iterdir()) == []


def test_only_a_corpus_is_replaced_and_only_with_force(script: Load, tmp_path: Path) -> None:
    check = script("build_corpus").check_out
    check(tmp_path / "new", False)
    (tmp_path / "train").mkdir()
    with pytest.raises(OutputError, match="not empty"):
        check(tmp_path, False)
    with pytest.raises(OutputError, match=r"no metadata\.csv"):
        check(tmp_path, True)
    (tmp_path / "metadata.csv").touch()
    check(tmp_path, True)
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(OutputError, match=r"thesis\.txt"):
        check(tmp_path, True)
    with pytest.raises(OutputError, match="is a file"):
        check(tmp_path / "thesis.txt", True)


def test_formulas_are_built_the_same_twice(script: Load, tmp_path: Path) -> None:
    build = script("build_corpus")
    for name in ("a", "b"):
        assert build.main(["--out", str(tmp_path / name), "--minutes", "0.2", "--only", "synthetic", "mixtures"]) == 0
    files = {path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file()}
    assert all((tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes() for file in files)
    assert {file.parts[0] for file in files} == {*SPLITS, "metadata.csv", "sources.md"}
    assert {path.name for path in tmp_path.iterdir()} == {"a", "b"}
    table = (tmp_path / "a" / "sources.md").read_text()
    assert "| synthetic |" in table and "| all |" in table


@pytest.mark.parametrize(
    ("given", "told"),
    [("--minutes 0", "above 0"), ("--minutes nan", "above 0"), ("--only x", "x is no source"), ("--seed -1", "0 or")],
)
def test_bad_options_are_told(script: Load, given: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        script("build_corpus").arguments(["--out", "o", *given.split()])
