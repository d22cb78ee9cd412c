"""kit, play, beat, accompany and preprocess --midi, as a user runs them."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from audio_gen.midi.score import Note, Score
from audio_gen.midi.write import write_score
from tests import sounds
from tests.cli.conftest import Run
from tests.data.test_midi_notes import pair
from tests.generation.models import write_bundle, write_gan_bundle, write_sequence_bundle
from tests.instruments.test_accompaniment import track

FAST = ["--vocoder", "griffinlim:2", "--device", "cpu"]
SMALL = ["--layers", "1", "--round-robin", "1"]


@pytest.fixture(scope="module")
def pitched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gan_bundle(tmp_path_factory.mktemp("pitched") / "bundle")


@pytest.fixture(scope="module")
def drums(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gan_bundle(tmp_path_factory.mktemp("drums") / "bundle", pitch=False)


@pytest.fixture
def song(tmp_path: Path) -> Path:
    notes = [Note(0.25 * i, 50 + i, 0.3, 90, i % 2, 40) for i in range(8)]
    notes += [Note(0.25 * i, 36 + 2 * (i % 2), 0.1, 100, 9) for i in range(8)]
    notes.append(Note(2.5, 60, 3.0, 90, 0, 40))
    write_score(tmp_path / "song.mid", Score(tuple(sorted(notes)), track_names={0: "Lead"}))
    return tmp_path / "song.mid"


def fails(run: Run, *args: str | Path) -> str:
    out, error = run(*args, status=2)
    lines = [line for line in error.splitlines() if line.startswith("error: ")]
    assert out == "" and len(lines) == 1 and "Traceback" not in error
    return lines[0]


def test_a_drum_kit(run: Run, drums: Path) -> None:
    out, _ = run("kit", drums, "--per-class", "2", "--format", "all", *SMALL, "--out", "k", "--json", *FAST)
    files = [Path(path) for path in json.loads(out)["files"]]
    assert {path.suffix for path in files} == {".sfz", ".dspreset", ".sf2", ".multisample", ".h2drumkit"}
    assert all(path.stat().st_size for path in files)
    wavs = sorted(Path("k").rglob("*.wav"))
    assert len(wavs) == 6 and {path.parent.name for path in wavs} == {"bell", "drum", "flute"}
    assert sf.info(wavs[0]).subtype == "PCM_24"
    about = json.loads(Path("k/kit.json").read_text())
    assert len({zone["root"] for zone in about["instruments"][0]["zones"]}) == 6
    assert "128 keys" in fails(run, "kit", drums, "--per-class", "50", "--out", "k2", *FAST)
    assert "without pitches" in fails(run, "kit", drums, "--pitch", "36:84:3", "--out", "k2", *FAST)
    assert "mpc" in fails(run, "kit", drums, "--format", "mpc", "--out", "k2", *FAST)


def test_the_same_command_gives_the_same_kit_and_does_not_replace_it(run: Run, drums: Path) -> None:
    args = ["kit", drums, "--per-class", "1", "--format", "all", *SMALL, *FAST, "--out"]
    run(*args, "a")
    run(*args, "b")
    for path in sorted(Path("a").rglob("*")):
        if path.suffix in (".wav", ".sf2", ".h2drumkit"):
            assert path.read_bytes() == (Path("b") / path.relative_to("a")).read_bytes()
    assert "already" in fails(run, *args, "a")
    run(*args, "a", "--force")


def test_a_pitched_kit(run: Run, pitched: Path) -> None:
    out, _ = run("kit", pitched, "--class", "flute", "--pitch", "48:60:6", "--layers", "2", "--round-robin", "2",
                 "--format", "sfz,sf2", "--out", "k", *FAST)  # fmt: skip
    assert "flute-0000" in out and Path("k/flute-0000.sfz").is_file() and len(list(Path("k").glob("*.sf2"))) == 1
    zones = json.loads(Path("k/kit.json").read_text())["instruments"][0]["zones"]
    assert len(zones) % 4 == 0 and {zone["root"] for zone in zones} <= {48, 54, 60}
    assert "MIDI 48 to 72" in fails(run, "kit", pitched, "--pitch", "20:90:3", "--out", "x", *FAST)
    assert "lowest:highest:step" in fails(run, "kit", pitched, "--pitch", "low", "--out", "x", *FAST)
    assert "drums" in fails(run, "kit", pitched, "--format", "hydrogen", "--out", "x", *FAST)
    assert "it knows" in fails(run, "kit", pitched, "--class", "tuba", "--out", "x", *FAST)


def test_models_that_make_no_notes_are_refused(run: Run, tmp_path: Path, song: Path) -> None:
    sequence = write_sequence_bundle(tmp_path / "sequence")
    assert "sequences" in fails(run, "kit", sequence, "--out", "k", *FAST)
    assert "sequences" in fails(run, "play", sequence, song, "--out", "a.wav", *FAST)
    assert "neither a run nor a kit" in fails(run, "play", tmp_path / "nothing", song, "--out", "a.wav")


@pytest.mark.parametrize("how", [{"velocity": True}, {"stereo": True}, {"classes": False}])
def test_models_of_other_kinds(run: Run, tmp_path: Path, song: Path, how: dict[str, bool]) -> None:
    model = write_bundle(tmp_path / "model", **how)
    run("kit", model, "--pitch", "50:62:12", "--layers", "2", "--round-robin", "1", "--format", "sfz,sf2", "--out", "k",
        *FAST)  # fmt: skip
    run("play", "k", song, "--out", "a.wav")
    run("play", model, song, "--out", "b.wav", *FAST)
    for name in ("a.wav", "b.wav"):
        x, _ = sf.read(name)
        assert x.ndim == 2 and np.isfinite(x).all() and 0.1 < np.abs(x).max() <= 10 ** (-1 / 20) + 1e-4


def test_play(run: Run, pitched: Path, drums: Path, song: Path) -> None:
    out, _ = run("play", pitched, drums, song, "--out", "song.wav", "--stems", "--json", *FAST)
    about = json.loads(out)
    assert about["notes"] == 17 and len(about["stems"]) == 3
    x, rate = sf.read("song.wav")
    assert rate == 22050 and len(x) / rate == pytest.approx(about["duration_sec"]) and about["duration_sec"] >= 2.6
    stems = sum(sf.read(path)[0][: 2 * rate] for path in about["stems"])
    gain = np.sum(stems * x[: 2 * rate]) / np.sum(stems**2)
    assert np.abs(x[: 2 * rate] - gain * stems).max() < 0.4  # but for the limiter
    side = json.loads(Path("song.json").read_text())
    assert side["kind"] == "played" and len(side["parts"]) == 3
    assert "already" in fails(run, "play", pitched, drums, song, "--out", "song.wav", *FAST)
    run("play", pitched, drums, song, "--out", "again.wav", *FAST)
    assert Path("again.wav").read_bytes() == Path("song.wav").read_bytes()


def test_the_map_is_shown_edited_and_followed(run: Run, pitched: Path, drums: Path, song: Path) -> None:
    out, _ = run("play", pitched, drums, song, "--out", "song.wav", "--show-map", *FAST)
    assert "channel: 10" in out and not Path("song.wav").exists()
    Path("map.yaml").write_text(out.replace("channel: 2", "channel: 2\n  mute: true"))
    out, _ = run("play", pitched, drums, song, "--map", "map.yaml", "--out", "song.wav", "--json", *FAST)
    assert len(json.loads(out)["parts"]) == 2
    for bad, told in (
        ("parts: [{chanel: 1}]", "channel"),
        ("[", "map.yaml"),
        ("parts: [{channel: 1, source: 7}]", "source"),
    ):
        Path("map.yaml").write_text(bad)
        assert told in fails(run, "play", pitched, drums, song, "--map", "map.yaml", "--out", "b.wav", *FAST)


def test_what_cannot_be_played_is_told(run: Run, pitched: Path, drums: Path, song: Path, tmp_path: Path) -> None:
    _, error = run("play", pitched, song, "--out", "melody.wav", *FAST)
    assert "left out: drums; add a run that was trained on drums" in error
    _, error = run("play", drums, song, "--out", "drums.wav", *FAST)
    assert "left out: Violin; add a run that was trained with pitches" in error
    write_score(tmp_path / "drums.mid", Score((Note(0, 36, 0.1, 100, 9),)))
    write_score(tmp_path / "melody.mid", Score((Note(0, 60, 0.1, 100),)))
    assert "only drums" in fails(run, "play", pitched, tmp_path / "drums.mid", "--out", "a.wav", *FAST)
    assert "trained without pitches" in fails(run, "play", drums, tmp_path / "melody.mid", "--out", "a.wav", *FAST)
    write_score(tmp_path / "high.mid", Score((Note(0, 110, 0.1, 100),)))
    assert "48 to 72" in fails(
        run, "play", pitched, tmp_path / "high.mid", "--outside", "refuse", "--out", "a.wav", *FAST
    )
    _, error = run("play", pitched, tmp_path / "high.mid", "--out", "high.wav", *FAST)
    assert "other octaves" in error
    assert "no such track" in fails(run, "play", pitched, song, "--track", "Oboe", "--out", "a.wav", *FAST)
    assert "end in .wav" in fails(run, "play", pitched, song, "--out", "a.mp3", *FAST)
    assert "MIDI file last" in fails(run, "play", song, "--out", "a.wav")
    sounds.write(tmp_path / "a.wav", sounds.sine())
    assert "not a readable MIDI file" in fails(run, "play", pitched, tmp_path / "a.wav", "--out", "b.wav", *FAST)


def test_beat(run: Run, drums: Path, pitched: Path) -> None:
    run("kit", drums, "--per-class", "1", *SMALL, "--out", "k", *FAST)
    for source in (drums, Path("k")):
        name = f"beats-{source.name}"
        more = FAST if source == drums else []
        run("beat", source, "--bpm", "123.7", "--bars", "2", "-n", "2", "--stems", "--out", name, *more)
        wavs = sorted(Path(name).glob("*.wav"))
        assert len(wavs) == 2 and len(list(Path(name).glob("*.mid"))) == 2
        for path in wavs:
            assert sf.info(path).frames == round(2 * 4 * 60 / 123.7 * 22050) and b"smpl" in path.read_bytes()
            stems = [sf.read(one)[0] for one in sorted(Path(name, path.stem).glob("*.wav"))]
            assert np.abs(sum(stems) - sf.read(path)[0]).max() < 1e-4
    assert "plays pitches" in fails(run, "beat", pitched, "--out", "b", *FAST)
    assert "is unknown" in fails(run, "beat", drums, "--style", "polka", "--out", "b", *FAST)
    assert "between 20 and 400" in fails(run, "beat", drums, "--bpm", "9", "--out", "b", *FAST)
    assert "no drums" in fails(run, "beat", drums, "--style", "learned:beats-k", "--out", "b", *FAST)


def test_accompany(run: Run, drums: Path, pitched: Path, tmp_path: Path) -> None:
    sounds.write(tmp_path / "track.wav", track(bars=8), 22050)
    out, _ = run("accompany", "track.wav", "--with", drums, "--bass", pitched, "--out", "mix", "--json", *FAST)
    about = json.loads(out)
    assert about["bpm"] == pytest.approx(100, rel=0.01) and about["key"] == "C"
    assert {path.name for path in Path("mix").iterdir()} == {
        "mix.wav", "mix.json", "drums.wav", "bass.wav", "accompaniment.mid"
    }  # fmt: skip
    lengths = {sf.info(path).frames for path in Path("mix").glob("*.wav")}
    assert lengths == {sf.info("track.wav").frames}
    assert np.abs(sf.read("mix/mix.wav")[0]).max() <= 10 ** (-1 / 20) + 1e-4
    sounds.write(tmp_path / "noise.wav", sounds.noise(8.0), 22050)
    assert "no steady beat" in fails(run, "accompany", "noise.wav", "--with", drums, "--out", "b", *FAST)
    sounds.write(tmp_path / "short.wav", sounds.noise(1.0), 22050)
    assert "4 s are needed" in fails(run, "accompany", "short.wav", "--with", drums, "--out", "b", *FAST)
    assert "not drums" in fails(run, "accompany", "track.wav", "--with", pitched, "--out", "b", *FAST)
    assert "plays no pitches" in fails(
        run, "accompany", "track.wav", "--with", drums, "--bass", drums, "--out", "b", *FAST
    )


def test_inputs_are_not_replaced(run: Run, drums: Path, pitched: Path, song: Path, tmp_path: Path) -> None:
    (tmp_path / "song.wav").write_bytes(song.read_bytes())
    assert "one of the inputs" in fails(run, "play", pitched, "song.wav", "--out", "song.wav", "--force", *FAST)
    (tmp_path / "m").mkdir()
    sounds.write(tmp_path / "m/mix.wav", track(bars=8), 22050)
    assert "replaced" in fails(run, "accompany", "m/mix.wav", "--with", drums, "--out", "m", "--force", *FAST)
    assert (tmp_path / "song.wav").read_bytes() == song.read_bytes()


def test_a_track_without_chords_has_no_bass(run: Run, drums: Path, pitched: Path, tmp_path: Path) -> None:
    t = np.arange(22050 * 12) / 22050
    clicks = np.random.default_rng(0).normal(0, 0.3, len(t)) * np.exp(-40 * (t % 0.5))
    sounds.write(tmp_path / "clicks.wav", clicks.astype(np.float32), 22050)
    run("accompany", "clicks.wav", "--with", drums, "--bass", pitched, "--out", "a", *FAST)
    assert Path("a/mix.wav").is_file()


def test_sizes_that_end_nowhere_are_refused(run: Run, drums: Path, pitched: Path, song: Path) -> None:
    assert "at most 128" in fails(run, "kit", pitched, "--per-class", "100000000", "--out", "k", *FAST)
    assert "10 minutes" in fails(run, "beat", drums, "--bpm", "20", "--bars", "256", "--out", "b", *FAST)
    assert "learned:FOLDER" in fails(run, "beat", drums, "--style", "learned:", "--out", "b", *FAST)
    assert "seed" in fails(run, "beat", drums, "--seed", str(2**70), "--out", "b", *FAST)
    assert "no such track" in fails(run, "play", pitched, song, "--track", "9" * 5000, "--out", "a.wav", *FAST)
    assert "printable" in fails(run, "kit", drums, "--name", "x" * 300, "--out", "k", *FAST)
    out, _ = run("kit", drums, "--class", "bell", "--class", "bell", "--per-class", "2", *SMALL, "--out", "k", *FAST)
    assert "2 sounds on 2 keys" in out


def test_maps_are_checked_against_the_score_and_the_sources(run: Run, pitched: Path, drums: Path, song: Path) -> None:
    for text, told in (("{channel: 7, mute: true}", "channel 7"), ("{channel: 1, class: tuba}", "tuba"),
                       ("{channel: 10, class: bell}", "leave it out")):  # fmt: skip
        Path("map.yaml").write_text(f"parts: [{text}]")
        assert told in fails(run, "play", pitched, drums, song, "--map", "map.yaml", "--out", "a.wav", *FAST)
    Path("map.yaml").write_text(
        "parts: [{channel: 1, pan: -1, seed: 0}, {channel: 2, mute: true}, {channel: 10, mute: true}]"
    )
    run("play", pitched, drums, song, "--map", "map.yaml", "--out", "left.wav", *FAST)
    x, _ = sf.read("left.wav")
    assert np.abs(x[:, 0]).max() > 0.1 and np.abs(x[:, 1]).max() < 1e-3
    out, _ = run("play", pitched, drums, song, "--show-map", *FAST)
    assert out.startswith("parts:")


def test_preprocess_of_recordings_with_midi(run: Run, tmp_path: Path) -> None:
    pair(tmp_path / "in")
    out, _ = run("preprocess", "in", "--midi", "--out", "cache", "--mel", "22khz_80band_256x", "--json")
    assert json.loads(out)
    assert (tmp_path / "cache-notes/metadata.csv").is_file()
    (tmp_path / "empty").mkdir()
    assert "pairs" in fails(run, "preprocess", "empty", "--midi", "--out", "cache2")
    assert not list(tmp_path.glob(".*part"))
