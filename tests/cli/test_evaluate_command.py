"""evaluate, as a user runs it: two folders, a run, a reference file, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest

from audio_gen.data.cache import build_cache
from tests.cli.conftest import Run
from tests.generation.models import FRAMES, SPEC, write_bundle, write_gan_bundle
from tests.sounds import noise, pluck, write

FAST = ["--vocoder", "griffinlim:2", "--device", "cpu", "--pitch", "none"]
CLIP_SEC = FRAMES * SPEC.hop_length / SPEC.sample_rate


def write_plucks(folder: Path, count: int, seed: int = 0) -> Path:
    random = np.random.default_rng(seed)
    for i, midi in enumerate(random.uniform(50, 70, count)):
        sound = pluck(440 * 2 ** ((midi - 69) / 12), 0.3) + random.uniform(0, 0.03) * noise(0.3, seed=1000 * seed + i)
        name = f"{'bell' if midi < 60 else 'flute'}-{round(midi):03d}-{i:03d}.wav"
        write(folder / name, sound)
    return folder


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("sounds")
    write_plucks(place / "real", 24)
    write_plucks(place / "made", 14, seed=1)
    return place


def fails(run: Run, *args: str | Path) -> str:
    out, error = run("evaluate", *args, status=2)
    assert out == "" and len(error.strip().splitlines()) == 1 and error.startswith("error: ")
    return error


def test_two_folders_give_figures_and_a_report(run: Run, sounds: Path, tmp_path: Path) -> None:
    write(tmp_path / "made/still.wav", np.zeros(4000))
    for wav in (sounds / "made").glob("*.wav"):
        (tmp_path / "made" / wav.name).write_bytes(wav.read_bytes())
    out, _ = run("evaluate", sounds / "real", "made", "--out", "judged", "--json")
    result = json.loads(out)
    assert result["embedding"] == "yamnet" and result["n"]["real"] == 24 and result["n"]["generated"] == 14
    assert result["left_out"]["generated"][0][0] == "still.wav" and result["n"]["left_out_generated"] == 1
    assert result["kad"]["ci"][0] <= result["kad"]["value"] <= result["kad"]["ci"][1] and result["kad"]["floor"] > 0
    assert result["white_noise"]["kad"] > 10 * abs(result["kad"]["value"]) and result["copy_synthesis"] is None
    assert result["pitch"]["generated"]["accuracy"] > 0.8 and result["classes"]["real_accuracy"] is not None
    assert {finding["name"] for finding in result["verdict"] if finding["alarm"]} == set()
    assert json.loads(Path("judged/evaluation.json").read_text()) == result
    assert "data:audio/wav" in Path("judged/report.html").read_text()
    assert "holds" in fails(run, sounds / "real", "made", "--out", "judged")


def test_a_run_is_sampled_and_judged_with_its_training_clips(run: Run, sounds: Path) -> None:
    write_bundle(Path("run/bundle"))
    build_cache(sounds / "real", Path("run/cache"), sample_rate=SPEC.sample_rate)
    out, _ = run("evaluate", sounds / "real", "run", "-n", "12", "--out", "judged", *FAST, "--json")
    result = json.loads(out)
    assert result["n"]["generated"] == 12 and len(list(Path("judged/samples").glob("*.wav"))) == 12
    assert result["memorised"]["of"] == "training clips"
    assert result["copy_synthesis"]["n"] == 12 and result["reconstruction"]["kad"] is not None
    assert "Embedding generated" not in out
    fewer, _ = run("evaluate", sounds / "real", "run", "-n", "10", "--out", "judged", "--force", *FAST, "--json")
    assert json.loads(fewer)["n"]["generated"] == 10 and len(list(Path("judged/samples").glob("*.wav"))) == 10
    again, _ = run("evaluate", sounds / "real", "--run", "run", "-n", "12", *FAST, "--json")
    assert json.loads(again)["kad"] == result["kad"]


def test_a_gan_is_judged_with_what_it_finds_of_kept_out_sounds(run: Run, sounds: Path) -> None:
    write_gan_bundle(Path("run/bundle"))
    out, _ = run("evaluate", sounds / "real", "run", "-n", "12", *FAST, "--json")
    result = json.loads(out)
    assert result["n"]["generated"] == 12 and result["reconstruction"]["kad"] is not None


def test_a_reference_stands_for_its_folder(run: Run, sounds: Path) -> None:
    run("evaluate", sounds / "real", "--save-reference", "real.safetensors")
    text, _ = run("evaluate", "real.safetensors", sounds / "made", "--pitch", "none")
    assert "generated" in text and "white noise" in text and "KAD" in text
    assert "exists already" in fails(run, sounds / "real", "--save-reference", "real.safetensors")
    write_bundle(Path("run/bundle"))
    run("evaluate", sounds / "real", "--run", "run", "-n", "2", "--save-reference", "mel.safetensors", *FAST)
    assert "hop_length" in fails(run, "mel.safetensors", "--run", _other_mel(Path("other")), *FAST)


def _other_mel(folder: Path) -> Path:
    write_bundle(folder / "bundle")
    about = folder / "bundle/config.json"
    config = json.loads(about.read_text())
    config["mel"]["hop_length"] = 128
    about.write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["real"], "two sides"),
        (["nowhere", "made"], "no such file or folder"),
        (["real", "made", "--embedding", "yamnett"], "yamnet"),
        (["real", "made", "--pitch", "ears"], "use pyin, crepe or none"),
        (["real", "--save-reference", "a.npz"], "must end in .safetensors"),
        (["real/a.wav", "made"], "is a file"),
        (["empty", "made"], "no audio files"),
    ],
)
def test_what_cannot_work_is_told_in_one_line(run: Run, args: list[str], told: str) -> None:
    write(Path("real/a.wav"), pluck())
    write(Path("made/b.wav"), pluck())
    Path("empty").mkdir()
    assert told in fails(run, *args)


def test_a_handful_of_clips_says_what_still_holds(run: Run, sounds: Path) -> None:
    write(Path("made/b.wav"), pluck())
    text, _ = run("evaluate", sounds / "real", "made", "--pitch", "none")
    assert "only 1 clips" in text and "too few" in text


def test_three_clips_have_a_distance_and_no_interval(run: Run, sounds: Path) -> None:
    write_plucks(Path("made"), 3, seed=2)
    text, _ = run("evaluate", sounds / "real", "made", "--pitch", "none", "--json")
    result = json.loads(text)
    assert result["kad"]["value"] is not None and result["kad"]["ci"] is None


def write_wide(folder: Path, count: int, seed: int, width: float) -> None:
    random = np.random.default_rng(seed)
    for i, f0_hz in enumerate(random.uniform(200, 600, count)):
        mid, side = pluck(f0_hz, 0.3), width * noise(0.3, seed=1000 * seed + i)
        write(folder / f"{i}.wav", np.stack([mid + side, mid - side], axis=1))


def test_stereo_folders_are_compared_in_stereo(run: Run) -> None:
    write_wide(Path("real"), 24, 0, 0.1)
    write_wide(Path("made"), 12, 1, 0.1)
    args = ["evaluate", "real", "made", "--vocoder", "griffinlim:2", "--pitch", "none"]
    result = json.loads(run(*args, "--json", "--out", "judged")[0])
    assert result["stereo"]["width"]["real"]["wide"] == 1 and set(result["stereo"]) == {
        "width",
        "left",
        "right",
        "side",
    }
    assert result["stereo"]["side"]["copy_synthesis"] is not None
    assert result["signal"]["width_db"]["generated"]["median"] > -26
    page = Path("judged/report.html").read_text()
    assert "<h2>Stereo</h2>" in page
    lines = run(*args)[0].splitlines()
    assert [line.split()[0] for line in lines if line.startswith(("left ", "right ", "side "))] == [
        "left",
        "right",
        "side",
    ]
