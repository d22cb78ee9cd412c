"""Commands of sequence models: files, notes, and one line for what cannot be."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from tests.cli.conftest import Run
from tests.generation.models import write_bundle, write_sequence_bundle
from tests.sounds import noise, write

RATE = 22050
VOCODER = ["--vocoder", "griffinlim:2"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sequence_bundle(tmp_path_factory.mktemp("sequence") / "bundle")


@pytest.fixture(scope="module")
def codec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose prior is not trained yet."""
    return write_sequence_bundle(tmp_path_factory.mktemp("codec") / "bundle", prior=None)


def test_sample(run: Run, model: Path) -> None:
    out, _ = run("sample", model, "--duration", 1.5, "-n", 2, "--class", "drum", "--out", "a", *VOCODER)
    assert "2 clips in a: drum-0000.wav, drum-0001.wav; 1.50 s long" in out
    assert sf.info("a/drum-0001.wav").frames == round(1.5 * RATE)
    again, _ = run("sample", model, "--duration", 1.5, "-n", 2, "--class", "drum", "--out", "b", "--json", *VOCODER)
    assert [one["class"] for one in json.loads(again)["files"]] == ["drum", "drum"]
    assert Path("a/drum-0001.wav").read_bytes() == Path("b/drum-0001.wav").read_bytes()


def test_the_default_is_ten_seconds_and_options_of_clips_without_effect_pass(run: Run, model: Path) -> None:
    run("sample", model, "-n", 1, "--every-seed", "--length", "model", "--batch", 2, "--out", "a", *VOCODER)
    assert [sf.info(path).duration for path in Path("a").glob("*.wav")] == [10.0]


def test_continue_and_loop(run: Run, model: Path) -> None:
    write(Path("in.wav"), noise(1.0, RATE))
    out, _ = run("continue", model, "in.wav", "--duration", 1, "-n", 2, "--out", "c", *VOCODER)
    assert "1 s added" in out and "in-continued-0000.wav to in-continued-0001.wav" in out
    assert sf.info("c/in-continued-0001.wav").frames == 2 * RATE
    told, _ = run("continue", model, "in.wav", "--duration", 1, "--out", "j", "--json", *VOCODER)
    assert json.loads(told)["files"] == [{"path": "j/in-continued-0000.wav", "join_sec": 1.0}]
    out, _ = run("loop", model, "--bars", 1, "--bpm", 174, "-n", 2, "--out", "l", *VOCODER)
    assert "2 loops of 1.379 s in l: loop-1bars-174bpm-0000.wav to loop-1bars-174bpm-0001.wav" in out
    assert sf.info("l/loop-1bars-174bpm-0001.wav").frames == round(4 * 60 / 174 * RATE)


def test_sounds_of_a_sequence_model_are_encoded_again(run: Run, model: Path, tmp_path: Path) -> None:
    run("sample", model, "--duration", 1, "-n", 1, "--class", "bell", "--out", "a", *VOCODER)
    clips = write_bundle(tmp_path / "vae")
    run("reconstruct", clips, "a/bell-0000.wav", "--out", "back", *VOCODER)
    run("vary", "a/bell-0000.wav", "--run", clips, "-n", 1, "--out", "varied", *VOCODER)
    assert np.abs(sf.read("back/bell-0000.recon.wav")[0]).max() > 0


def test_reconstruct_keeps_the_length(run: Run, model: Path) -> None:
    write(Path("in.wav"), noise(1.0123, RATE))
    out, _ = run("reconstruct", model, "in.wav", "--copy-synthesis", "--out", "r", *VOCODER)
    assert "log-mel L1" in out
    sounds = {kind: sf.read(f"r/in.{kind}.wav")[0] for kind in ("recon", "copy")}
    assert {len(sound) for sound in sounds.values()} == {round(1.0123 * RATE)}
    source = sf.read("in.wav")[0]
    levels = {kind: float(np.std(sound)) / float(np.std(source)) for kind, sound in sounds.items()}
    assert 0.7 < levels["copy"] < 1.4  # the real mel; the model itself is random
    assert json.loads(Path("r/in.recon.json").read_text())["mel_l1"] > 0


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["sample", "MODEL", "--duration", "0"], "--duration 0: must be at least 0.1 s; try 30"),
        (["sample", "MODEL", "--duration", "864000"], "is above an hour"),
        (["sample", "MODEL", "--grid"], "--grid: is of models of clips"),
        (["sample", "CODEC"], "only its codec has been trained so far"),
        (["continue", "CODEC", "in.wav"], "only its codec has been trained so far"),
        (["continue", "MODEL", "in.wav", "--duration", "nan"], "--duration nan: must be"),
        (["continue", "MODEL", "missing.wav"], "missing.wav: cannot be opened"),
        (["continue", "MODEL", "in.wav", "--channels", "2"], "is mono"),
        (["loop", "MODEL", "--bpm", "1000"], "--bpm 1000: must be between 20 and 400"),
        (["loop", "CODEC"], "only its codec has been trained so far"),
        (["encode", "MODEL", "in.wav"], "use reconstruct, or continue"),
        (["vary", "in.wav", "--run", "MODEL", "--keep-attack", "15ms"], "--keep-attack: is of models of clips"),
        (["vary", "in.wav", "--run", "CODEC"], "only its codec has been trained so far"),
        (
            ["interpolate", "MODEL", "--from", "in.wav", "--to", "seed:1", "--layers", "2-4"],
            "--layers: is of models of",
        ),
    ],
)
def test_errors_are_one_line(run: Run, model: Path, codec: Path, args: list[str], told: str) -> None:
    write(Path("in.wav"), noise(1.0, RATE))
    names = {"MODEL": model, "CODEC": codec}
    _, err = run(*(names.get(arg, arg) for arg in args), "--out", "x", *VOCODER, status=2)
    assert told in err and len(err.splitlines()) == 1


def test_a_sequence_model_has_no_directions(run: Run, model: Path) -> None:
    _, err = run("directions", model, "--out", "x", status=2)
    assert "directions: is of models of clips" in err and len(err.splitlines()) == 1
