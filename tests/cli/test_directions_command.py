"""`directions` and `sample --move`, as a user runs them."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import soundfile as sf

from audio_gen.artefacts.folders import BundleFolder
from audio_gen.generation import direction_search
from audio_gen.generation.directions import read_directions
from tests.cli.conftest import WHOLE, Run, clip_of
from tests.generation.models import write_bundle, write_gan_bundle

FAST = ["--vocoder", "griffinlim:2", "--device", "cpu"]


def fails(run: Run, *args: str | Path) -> str:
    """The one line that a wrong command prints."""
    out, error = run(*args, status=2)
    assert out == "" and error.startswith("error: ") and len(error.splitlines()) == 1
    return error


@pytest.fixture(scope="module", autouse=True)
def few_trials() -> Iterator[None]:
    """Few held-out clips: effects are rough, and commands fast."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(direction_search, "MEASURED", 4)
        yield


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("model") / "bundle")


@pytest.fixture(scope="module")
def made(plain: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with its directions."""
    from audio_gen.cli import app

    folder = tmp_path_factory.mktemp("made") / "bundle"
    shutil.copytree(plain, folder)
    assert app.run(["directions", str(folder), "-n", "64", "--device", "cpu"]) == 0
    return folder


def test_json_tells_all_and_the_file_is_read_again(run: Run, plain: Path) -> None:
    out, _ = run("directions", plain, "-n", "64", "--seed", "3", "--out", "d/x.safetensors", "--json")
    told = json.loads(out)
    names = ["brightness", "attack", "noisiness", "length", "loudness", *(f"pca{i}" for i in range(1, 6))]
    assert [d["name"] for d in told["directions"]] == names
    assert (told["n"], told["seed"], told["file"]) == (64, 3, str(Path("d/x.safetensors")))
    assert all(set(d["effects"]) == set(names[:5]) for d in told["directions"])
    assert told["spreads"]["loudness"]["unit"] == "dB" and told["spreads"]["loudness"]["sd"] > 0
    assert told["spreads"]["loudness"]["step"] == 3.0
    assert read_directions(Path("d/x.safetensors")).digest == told["bundle"]
    assert not BundleFolder(plain).directions.exists()


def test_text_has_a_line_for_each_and_what_to_try(run: Run, plain: Path) -> None:
    out, _ = run("directions", plain, "-n", "64", "--out", "x.safetensors")
    lines = out.splitlines()
    assert len(lines) == 12 and "of the variance" in lines[5]
    assert all("+1: " in line for line in lines[:5])
    assert lines[0].startswith("brightness +1: spectral centroid +0.25 octaves; ")
    assert "--directions x.safetensors --move" in lines[-1]


def test_a_move_changes_the_sound_and_is_in_the_sidecar(run: Run, made: Path) -> None:
    run("sample", made, "-n", "1", "--out", "a", *WHOLE, *FAST)
    run("sample", made, "-n", "1", "--out", "b", "--move", "pca1=+1.5", "--move", "pca2=-2", *WHOLE, *FAST)
    before, after = (json.loads(clip_of(name, 0).with_suffix(".json").read_text()) for name in "ab")
    assert after["moves"] == {"pca1": 1.5, "pca2": -2.0} and "moves" not in before
    assert after["bundle"] == before["bundle"]
    directions = read_directions(BundleFolder(made).directions)
    step = 1.5 * directions.principal[0] - 2 * directions.principal[1]
    assert [b - a for a, b in zip(before["z"], after["z"], strict=True)] == pytest.approx(step.tolist(), abs=1e-5)
    sounds = [sf.read(clip_of(name, 0), dtype="int16")[0] for name in "ab"]
    assert len(sounds[0]) == len(sounds[1]) and (sounds[0] != sounds[1]).any()


def test_a_moved_clip_is_varied_from_where_it_is(run: Run, made: Path) -> None:
    run("sample", made, "-n", "1", "--out", "b", "--move", "pca1=2", *FAST)
    clip = clip_of("b", 0)
    run("vary", clip, "--amount", "0", "-n", "1", "--out", "v", *FAST)
    assert Path(f"v/{clip.stem}-vary-00.wav").read_bytes() == clip.read_bytes()


def test_what_a_move_did_is_told_and_in_the_sidecar(run: Run, made: Path) -> None:
    moves = ["--move", "loudness=-1", "--move", "brightness=0.5"]
    out, _ = run("sample", made, "-n", "3", "--out", "b", *moves, *FAST)
    assert "loudness: asked for -3.0 dB, reached -" in out and "brightness: asked for +0.12 octaves" in out
    assert "the others moved by (median): attack " in out
    moved = json.loads(clip_of("b", 0).with_suffix(".json").read_text())["moved"]
    loudness = moved["loudness"]
    assert loudness["unit"] == "dB" and loudness["to"] - loudness["from"] == pytest.approx(
        -3.0, abs=1.0
    )  # of a tiny model
    assert loudness["steps"] == pytest.approx((loudness["to"] - loudness["from"]) / 3, abs=0.01)
    assert moved["brightness"]["to"] > moved["brightness"]["from"] > 0 and moved["brightness"]["unit"] == "Hz"
    told = json.loads(run("sample", made, "-n", "3", "--out", "c", "--json", *moves, *FAST)[0])
    assert told["files"][0]["moved"] == moved


def test_a_moved_clip_does_not_depend_on_the_others(run: Run, made: Path) -> None:
    move = ["--move", "loudness=1", "--every-seed", *FAST]
    run("sample", made, "-n", "3", "--out", "many", "--batch", "2", "--grid", *move)
    run("sample", made, "-n", "1", "--seed", "2", "--out", "one", *move)
    assert clip_of("many", 2).read_bytes() == clip_of("one", 2).read_bytes()


def test_the_same_for_gans(run: Run) -> None:
    write_gan_bundle(Path("gan"))
    run("directions", "gan", "-n", "64")
    run("sample", "gan", "-n", "1", "--out", "a", "--move", "pca1=1", *FAST)
    assert json.loads(clip_of("a", 0).with_suffix(".json").read_text())["moves"] == {"pca1": 1.0}


def test_a_direction_that_does_nothing_is_told(run: Run, made: Path) -> None:
    facts = read_directions(BundleFolder(made).directions).facts
    for fact in facts:
        _, error = run("sample", made, "-n", "1", "--out", f"out-{fact.name}", "--move", f"{fact.name}=1", *FAST)
        assert ("has almost no effect" in error) == (not fact.works)


@pytest.mark.parametrize(
    ("move", "told"),
    [
        (["brigtness=1"], "did you mean 'brightness'? there are brightness, attack"),
        (["brightness=loud"], "try brightness=+1.5"),
        (["brightness=9"], "a number from -5 to 5"),
        (["pca1=1", "pca1=2"], "pca1 is moved twice"),
    ],
)
def test_wrong_moves_are_one_line_and_leave_nothing(run: Run, made: Path, move: list[str], told: str) -> None:
    options = [part for text in move for part in ("--move", text)]
    assert told in fails(run, "sample", made, "--out", "a", *options, *FAST)
    assert not Path("a").exists()


def test_missing_directions_name_the_command(run: Run, plain: Path) -> None:
    error = fails(run, "sample", plain, "--out", "a", "--move", "brightness=1", *FAST)
    assert f"`audio-gen directions {plain}`" in error


def test_directions_are_not_replaced_unasked(run: Run, made: Path, plain: Path) -> None:
    before = BundleFolder(made).directions.read_bytes()
    assert "-n 64, --seed 0); add --force" in fails(run, "directions", made, "-n", "64")
    assert BundleFolder(made).directions.read_bytes() == before
    Path("note.txt").write_text("mine")
    assert "contains no directions" in fails(run, "directions", plain, "-n", "64", "--out", "note.txt")
    assert Path("note.txt").read_text() == "mine"
    run("directions", plain, "-n", "64", "--out", "note.txt", "--force")
    assert read_directions(Path("note.txt")).source == {"n": 64, "seed": 0}


def test_those_of_a_bundle_that_is_gone_are_refused_then_replaced(run: Run, made: Path) -> None:
    write_bundle(Path("later"), seed=1)
    shutil.copy(BundleFolder(made).directions, "later")
    error = fails(run, "sample", "later", "--out", "a", "--move", "brightness=1", *FAST)
    assert "`audio-gen directions later` again" in error
    _, note = run("directions", "later", "-n", "64")
    assert "were replaced" in note
    run("sample", "later", "-n", "1", "--out", "a", "--move", "pca1=1", *FAST)


@pytest.mark.parametrize(
    ("args", "told"),
    [(["-n", "8"], "-n"), (["--out", "."], "is a folder"), (["--device", "tpu"], "device 'tpu'")],
)
def test_directions_tells_what_is_wrong(run: Run, plain: Path, args: list[str], told: str) -> None:
    assert told in fails(run, "directions", plain, *args)
    assert "nowhere" in fails(run, "directions", "nowhere")
