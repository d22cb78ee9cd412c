"""sample, interpolate, reconstruct, vocode, vary and quickstart, as a user runs them."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from audio_gen.audio.onset import onset
from audio_gen.errors import ConfigError
from audio_gen.generation.finish import CUT_FADE_SEC
from audio_gen.generation.operations.encode import EncodeRequest
from audio_gen.generation.operations.sample import note_name
from audio_gen.generation.outputs import output_stems
from audio_gen.vocoding.silence import silent_frames
from tests import sounds
from tests.cli.conftest import WHOLE, Run, clip_of
from tests.generation.models import FRAMES, LATENT_DIM, SPEC, write_bundle

FAST = ["--vocoder", "griffinlim:2", "--device", "cpu"]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("model") / "bundle")


def fails(run: Run, *args: str | Path) -> str:
    """The one line that a wrong command prints."""
    out, error = run(*args, status=2)
    assert out == "" and error.startswith("error: ") and len(error.splitlines()) == 1
    return error


def samples_of(path: Path) -> np.ndarray:
    return sf.read(path, dtype="int16")[0]


def test_sample_gives_the_same_bytes_in_any_batch(run: Run, bundle: Path) -> None:
    plain = ["--every-seed", *WHOLE, *FAST]
    run("sample", bundle, "-n", "5", "--seed", "2", "--out", "a", *plain)
    run("sample", bundle, "-n", "5", "--seed", "2", "--out", "b", "--batch", "1", *plain)
    told = [json.loads(path.read_text()) for path in Path("a").glob("*.json")]
    assert sorted(about["seed"] for about in told) == list(range(2, 7))
    stems = [f"{about['class']}-{note_name(about['pitch'])}-{about['seed']:04d}" for about in told]
    names = sorted(path.name for path in Path("a").iterdir())
    assert names == sorted(f"{stem}.{kind}" for stem in stems for kind in ("wav", "json"))
    for path in Path("a").glob("*.wav"):
        assert path.read_bytes() == (Path("b") / path.name).read_bytes()
    run("sample", bundle, "-n", "1", "--seed", "4", "--out", "c", *WHOLE, *FAST)
    assert clip_of("c", 4).read_bytes() == clip_of("a", 4).read_bytes()
    assert len(samples_of(clip_of("c", 4))) == FRAMES * SPEC.hop_length


@pytest.mark.parametrize("command", ["sample", "interpolate", "encode", "reconstruct", "directions", "status"])
def test_a_run_that_is_not_there(run: Run, tmp_path: Path, command: str) -> None:
    sf.write("a.wav", np.full(4410, 0.1, np.float32), 44100)
    rest = {"sample": [], "interpolate": ["--from", "a.wav", "--to", "a.wav"], "directions": [], "status": []}
    out = [] if command in ("status", "directions") else ["--out", "o"]
    error = fails(run, command, "nope", *rest.get(command, ["a.wav"]), *out)
    assert error.startswith("error: nope: ") and ("does not exist" in error or "there is no such folder" in error)
    assert not Path("o").exists()


def test_sidecar_of_a_sample(run: Run, bundle: Path) -> None:
    out, _ = run("sample", bundle, "-n", "1", "--class", "bell", "--pitch", "60", "--out", "a", "--json", *FAST)
    about = json.loads(Path("a/bell-C4-0000.json").read_text())
    keys = {"seed", "z", "class", "pitch", "temperature", "bundle", "bundle_path", "model", "vocoder", "sample_rate"}
    assert keys | {"version", "command"} <= set(about) and len(about["z"]) == LATENT_DIM
    assert (about["seed"], about["class"], about["pitch"], about["sample_rate"]) == (0, "bell", 60.0, 22050)
    assert (
        about["command"].startswith("audio-gen sample ")
        and Path("a", about["bundle_path"]).resolve() == bundle.resolve()
    )
    assert not Path(about["bundle_path"]).is_absolute()
    told = json.loads(out)
    assert told["files"] == [{"path": str(Path("a/bell-C4-0000.wav")), "seed": 0, "class": "bell", "pitch": 60.0}]
    assert told["bundle"] == about["bundle"]


def test_results_are_not_replaced_unasked(run: Run, bundle: Path) -> None:
    two = ["sample", bundle, "-n", "2", "--every-seed", "--out", "a", *FAST]
    run("sample", bundle, "-n", "1", "--out", "a", *FAST)
    assert "--force" in fails(run, *two)
    assert not list(Path("a").glob("*-0001.wav"))
    run(*two, "--force")
    assert clip_of("a", 1).exists()


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["-n", "0"], "-n"),
        (["-n", "1", "--temperature", "-1"], "temperature (-1) must be between 0 and 100"),
        (["-n", "1", "--temperature", "nan"], "temperature (nan)"),
        (["-n", "1", "--class", "bel"], "it knows bell"),
        (["-n", "1", "--pitch", "20"], "MIDI 48 to 72"),
        (["-n", "1", "--vocoder", "small"], "the model and the vocoder small differ in their mel"),
        (["-n", "1", "--device", "tpu"], "device 'tpu'"),
    ],
)
def test_sample_tells_what_is_wrong_and_leaves_nothing(run: Run, bundle: Path, args: list[str], told: str) -> None:
    assert told in fails(run, "sample", bundle, "--out", "a", *args)
    assert not Path("a").exists()


def test_a_missing_run_is_one_line(run: Run) -> None:
    assert "nowhere" in fails(run, "sample", "nowhere", "-n", "1", "--out", "a")


def test_interpolate_between_seeds_ends_at_the_samples(run: Run, bundle: Path) -> None:
    run("sample", bundle, "-n", "2", "--seed", "3", "--every-seed", "--out", "s", *WHOLE, *FAST)
    out, _ = run("interpolate", bundle, "--from", "seed:3", "--to", "seed:4", "--steps", "3", "--out", "i",
                 "--morph", "700ms", "--morph-kind", "glide", "--json", *WHOLE, *FAST)  # fmt: skip
    assert [Path(p).name for p in json.loads(out)["files"]] == [*(f"step-0{i}.wav" for i in range(3)), "morph.wav"]
    assert Path("i/step-00.wav").read_bytes() == clip_of("s", 3).read_bytes()
    assert Path("i/step-02.wav").read_bytes() == clip_of("s", 4).read_bytes()
    assert len(samples_of(Path("i/morph.wav"))) / 22050 == pytest.approx(0.7, abs=0.02)
    about = json.loads(Path("i/step-01.json").read_text())
    assert (about["from"], about["to"], about["edited"]) == ("seed:3", "seed:4", True)
    whole = json.loads(Path("i/step-02.json").read_text())
    assert 0 < about["position"] < 1 == whole["position"] and "edited" not in whole
    assert about["distance_db"] == pytest.approx(whole["distance_db"] / 2, abs=0.01) and about["distance_db"] > 0.5


def test_interpolate_between_files_ends_at_the_files(run: Run, bundle: Path) -> None:
    a = sounds.write(Path("drum-050-100.wav"), sounds.pluck(146.8, 0.3))
    b = sounds.write(Path("flute-070-100.wav"), sounds.sine(466.2, 0.2))
    out, notes = run("reconstruct", bundle, a, b, "--out", "r", "--copy-synthesis", *FAST)
    run("reconstruct", bundle, a, b, "--keep-residual", "--out", "k", *FAST)
    for path in Path("k").glob("*.wav"):
        assert path.read_bytes() == Path("r", path.name.replace("recon", "copy")).read_bytes()
    assert "log-mel L1" in out and "mean of 2" in out and "silence is added" in notes
    assert len(list(Path("r").glob("*.copy.wav"))) == 2
    run("interpolate", bundle, "--from", a, "--to", b, "--steps", "4", "--out", "i", *WHOLE, *FAST)
    assert Path("i/step-00.wav").read_bytes() == Path("r/drum-050-100.copy.wav").read_bytes()
    step, made = samples_of(Path("i/step-03.wav")), samples_of(Path("r/flute-070-100.copy.wav"))
    assert len(made) == round(0.2 * 22050) < len(step)  # as long as the file, and faded out there
    same = len(made) - round(CUT_FADE_SEC * 22050)
    assert (made[:same] == step[:same]).all() and made[:same].any()
    run("interpolate", bundle, "--from", a, "--to", "seed:1", "--steps", "2", "--pitch", "60", "--out", "h", *FAST)
    assert [json.loads(Path(f"h/step-0{i}.json").read_text())["pitch"] for i in range(2)] == [60.0, 60.0]


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["--from", "seed:x", "--to", "seed:1"], "try seed:3"),
        (["--from", "none.wav", "--to", "seed:1"], "none.wav"),
        (["--from", ".", "--to", "seed:1"], ".: is a folder; give a sound file"),
        (["--from", "seed:1", "--to", "/"], "/: is a folder; give a sound file"),
        (["--from", "", "--to", "seed:1"], "--from: is empty; give a sound file"),
        (["--from", "seed:1", "--to", " "], "--to: is empty; give a sound file"),
        (["--from", "seed:0", "--to", "seed:1", "--steps", "1"], "--steps 1: must be at least 2"),
        (["--from", "seed:0", "--to", "seed:1", "--steps", "0"], "--steps 0"),
        (["--from", "seed:0", "--to", "seed:1", "--morph", "soon"], "duration (soon)"),
        (["--from", "seed:0", "--to", "seed:1", "--morph", "1s", "--hits", "x"], "--hits x: must be a note value"),
        (["--from", "seed:0"], "--to: is missing; give --from and --to, or --corner four times"),
        (["--corner", "seed:1", "--corner", "seed:2", "--corner", "seed:3"], "--corner: 3 given"),
        (["--from", "seed:0", "--to", "silent.wav"], "silent.wav: is silent; give a file with sound"),
    ],
)
def test_interpolate_tells_what_is_wrong(run: Run, bundle: Path, args: list[str], told: str) -> None:
    sounds.write(Path("silent.wav"), np.zeros(9000))
    assert told in fails(run, "interpolate", bundle, "--out", "a", *args, *FAST)
    assert not Path("a").exists()


def test_interpolate_rolls_and_fills_a_grid(run: Run, bundle: Path) -> None:
    ends = ["--from", "seed:3", "--to", "seed:4"]
    roll = ["--morph", "1s", "--morph-kind", "roll", "--bpm", "60", "--hits", "1/16"]
    out, notes = run("interpolate", bundle, *ends, "--steps", "0", *roll, "--out", "i", *FAST)
    assert "morph.wav" in out and "a roll of 4 hits, 4 a second" in notes
    about = json.loads(Path("i/morph.json").read_text())
    assert (about["morph_kind"], about["hits"], about["interval_sec"]) == ("roll", 4, 0.25)
    corners = [part for seed in (1, 2, 3, 4) for part in ("--corner", f"seed:{seed}")]
    out, _ = run("interpolate", bundle, *corners, "--steps", "2", "--out", "g", *FAST)
    assert out.startswith("between seed:1, seed:2, seed:3, seed:4 in g: grid-00-00.wav to grid-01-01.wav")
    assert len(list(Path("g").glob("grid-*.wav"))) == 4


@pytest.mark.parametrize("files", [[""], ["a.wav", " "]])
def test_an_empty_path_is_not_the_current_folder(run: Run, bundle: Path, files: list[str]) -> None:
    sounds.write(Path("a.wav"), sounds.sine())
    for command in (["encode", bundle], ["reconstruct", bundle], ["vocode"]):
        assert "a path is empty; give a file or folder" in fails(run, *command, *files, "--out", "a")
    assert not Path("a").exists()
    with pytest.raises(ConfigError, match="a path is empty"):
        EncodeRequest(files=files)  # type: ignore[arg-type]


@pytest.mark.parametrize("before", [0, 441, 22050])
def test_reconstructions_are_as_late_and_as_long_as_their_files(run: Run, bundle: Path, before: int) -> None:
    aligned = Path(shutil.copytree(bundle, "aligned"))
    config = json.loads((aligned / "config.json").read_text())
    (aligned / "config.json").write_text(json.dumps({**config, "preroll": SPEC.samples(silent_frames(SPEC))}))
    samples = np.arange(3000)
    hit = np.where(samples % 2, -0.5, 0.5) * np.exp(-samples / 500)
    sounds.write(Path("hit.wav"), np.concatenate([np.zeros(before), hit]))
    run("reconstruct", aligned, "hit.wav", "--copy-synthesis", "--out", "r", *FAST)
    for kind in ("recon", "copy"):
        made = samples_of(Path(f"r/hit.{kind}.wav")) / 2**15
        assert len(made) == before + 3000 and abs(onset(made, 22050) - before) <= 0.0005 * 22050
        assert json.loads(Path(f"r/hit.{kind}.json").read_text())["normalize"] == "none"
    assert json.loads(Path("r/hit.copy.json").read_text())["gain_db"] == 0


def test_reconstruct_json_and_equal_names(run: Run, bundle: Path) -> None:
    files = [sounds.write(Path(f"{folder}/x-060-100.wav"), sounds.sine()) for folder in ("a", "b")]
    out, _ = run("reconstruct", bundle, *files, "--out", "r", "--json", *FAST)
    told = json.loads(out)
    assert [Path(row["out"]).name for row in told["files"]] == ["x-060-100.recon.wav", "x-060-100-2.recon.wav"]
    assert all(row["mel_l1"] > 0 for row in told["files"])
    Path("bad.wav").write_text("no sound")
    assert "bad.wav" in fails(run, "reconstruct", bundle, files[0], "bad.wav", "--out", "q", *FAST)
    assert not list(Path("q").glob("*.wav"))


def test_names_of_outputs() -> None:
    names = ["a.wav", "b/a.wav", "A.flac", "x" * 250 + ".wav", "ü" * 120 + ".wav", "a-2.wav"]
    stems = output_stems(map(Path, names))
    assert stems[:3] == ["a", "a-2", "A-3"] and stems[3] == "x" * 180 and stems[4] == "ü" * 90
    assert len({stem.casefold() for stem in stems}) == len(names)


def test_vocode_sounds_and_mels(run: Run) -> None:
    tone = sounds.write(Path("tone.wav"), sounds.sine(sec=0.3))
    np.save("mel.npy", np.full((1, 80, 10), -4.0, np.float32))
    run("vocode", tone, "mel.npy", "--mel", "22khz_80band_256x", "--out", "v", *FAST)
    made = samples_of(Path("v/tone.vocoded.wav")) / 32768
    assert float(np.sqrt((made[2000:4000] ** 2).mean())) == pytest.approx(0.5 / np.sqrt(2), rel=0.1)
    assert len(samples_of(Path("v/mel.vocoded.wav"))) == 2560


@pytest.mark.parametrize(
    ("array", "told"),
    [
        (np.zeros((40, 9), np.float32), "40x9, and the vocoder takes 80 bands"),
        (np.zeros((9, 80), np.float32), "transpose it"),
        (np.zeros((2, 80, 9), np.float32), "shape 2x80x9"),
        (np.zeros((80, 0), np.float32), "80x0"),
        (np.zeros((80, 9), np.int16), "floating-point"),
        (np.full((80, 9), np.nan, np.float32), "holds nan in band 0 of frame 0"),
        (np.full((80, 9), 40.0, np.float32), "like amplitudes"),
        (np.full((80, 9), -60.0, np.float32), "in dB"),
    ],
)
def test_vocode_refuses_other_arrays(run: Run, array: np.ndarray, told: str) -> None:
    np.save("mel.npy", array)
    assert told in fails(run, "vocode", "mel.npy", "--mel", "22khz_80band_256x", "--out", "v", *FAST)
    Path("junk.npy").write_bytes(b"junk")
    assert "numpy.save" in fails(run, "vocode", "junk.npy", "--out", "v", *FAST)
    assert "check that it exists" in fails(run, "vocode", "nowhere.npy", "--out", "v", *FAST)


def test_vary_from_a_sidecar(run: Run, bundle: Path) -> None:
    run("sample", bundle, "-n", "1", "--seed", "9", "--class", "bell", "--pitch", "60", "--out", "s", *FAST)
    clip = Path("s/bell-C4-0009.wav")
    assert "the same clip" in run("vary", clip, "--amount", "0", "-n", "2", "--out", "same", *FAST)[1]
    assert Path("same/bell-C4-0009-vary-01.wav").read_bytes() == clip.read_bytes()
    run("vary", clip, "--amount", "0.5", "-n", "2", "--out", "other", *FAST)
    first, second = (Path(f"other/bell-C4-0009-vary-0{i}.wav").read_bytes() for i in range(2))
    assert first != second and first != clip.read_bytes()
    run("vary", "other/bell-C4-0009-vary-00.wav", "-n", "1", "--out", "again", *FAST)
    assert json.loads(Path("again/bell-C4-0009-vary-00-vary-00.json").read_text())["amount"] == 0.3


def test_vary_tells_what_is_missing(run: Run, bundle: Path, tmp_path: Path) -> None:
    sounds.write(Path("x-060-100.wav"), sounds.sine())
    assert "--run" in fails(run, "vary", "x-060-100.wav", "--out", "v", *FAST)
    run("vary", "x-060-100.wav", "--run", bundle, "-n", "1", "--out", "v", *FAST)
    Path("x-060-100.json").write_text("{")
    assert "damaged" in fails(run, "vary", "x-060-100.wav", "--run", bundle, "--out", "w", *FAST)
    copy = Path(shutil.copytree(bundle, "copy"))
    run("sample", copy, "-n", "1", "--out", "s", *FAST)
    shutil.rmtree(copy)
    clip = clip_of("s", 0)
    assert "no longer at" in fails(run, "vary", clip, "--out", "w", *FAST)
    run("vary", clip, "--run", bundle, "-n", "1", "--out", "w", *FAST)
    another = write_bundle(tmp_path / "another", seed=1)
    _, told = run("vary", clip, "--run", another, "-n", "1", "--out", "u", *FAST)
    assert "its sound is encoded instead" in told
    assert "amount (2)" in fails(run, "vary", clip, "--run", bundle, "--amount", "2", "--out", "t", *FAST)
    assert "at most 100 ms" in fails(run, "vary", clip, "--run", bundle, "--keep-attack", "1s", "--out", "t", *FAST)


def test_vary_gives_a_file_back_at_its_level(run: Run, bundle: Path) -> None:
    x = 0.2 * sounds.pluck(261.63, 0.15)
    path = sounds.write(Path("drum-060-100.wav"), x)
    run("reconstruct", bundle, path, "--copy-synthesis", "--out", "r", *FAST)
    run("vary", path, "--run", bundle, "--amount", "0", "-n", "1", "--length", "model", "--out", "v", *FAST)
    made, copy = samples_of(Path("v/drum-060-100-vary-00.wav")), samples_of(Path("r/drum-060-100.copy.wav"))
    same = len(copy) - round(CUT_FADE_SEC * 22050)
    assert (made[:same] == copy[:same]).all() and made[:same].any()
    about = json.loads(Path("v/drum-060-100-vary-00.json").read_text())
    assert (about["normalize"], about["position"], about["distance_db"], about["edited"]) == ("none", 0, 0, True)
    again = ["vary", "v/drum-060-100-vary-00.wav", "-n", "1", "--amount", "0"]
    run(*again, "--keep-attack", "10ms", "--normalize", "peak", "--out", "w", *FAST)
    about = json.loads(Path("w/drum-060-100-vary-00-vary-00.json").read_text())
    assert (about["normalize"], about["kept_attack_sec"]) == ("peak", 0.01)


def test_an_error_is_one_line_of_a_process_too(run_cli: Callable, bundle: Path) -> None:
    result = run_cli("sample", bundle, "-n", "1", "--class", "tuba", "--out", "a")
    assert result.returncode == 2 and result.stdout == "" and "Traceback" not in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_quickstart_refuses_before_it_trains(run: Run) -> None:
    assert "above 0" in fails(run, "quickstart", "--minutes", "0", "--out", "q")
    assert "did you mean 'small'" in fails(run, "quickstart", "--vocoder", "smal", "--out", "q")
    assert "nowhere" in fails(run, "quickstart", "nowhere", "--out", "q")
    assert "gan or vae" in fails(run, "quickstart", "--model", "vocoder", "--out", "q")
    Path("mine").mkdir()
    Path("mine/thesis.txt").write_text("x")
    assert "thesis.txt" in fails(run, "quickstart", "--out", "mine")


@pytest.mark.parametrize("model", ["gan", pytest.param("vae", marks=pytest.mark.long)])
def test_quickstart_makes_clips_and_a_report(run: Run, tmp_path: Path, model: str) -> None:
    for name in ("high", "low"):
        sounds.write_notes(tmp_path / "notes" / name, count=6, sec=0.3)
    small = ["mel=22khz_80band_256x", "net.channels=[8, 8]", "data.segment_sec=0.4", "train.batch_size=4"]
    args = [
        "notes",
        "--minutes",
        "0.01",
        "--out",
        "q",
        "--model",
        model,
        *FAST,
        *(part for s in small for part in ("--set", s)),
    ]
    out, _ = run("quickstart", *args, "--json")
    told = json.loads(out)
    assert told["samples"] == 16 and told["mel_l1"] > 0
    assert len(list(Path("q/samples").glob("*.wav"))) == 16
    classes = [json.loads(path.read_text())["class"] for path in sorted(Path("q/samples").glob("*.json"))]
    assert classes == ["high"] * 8 + ["low"] * 8  # by name
    page = Path("q/report.html").read_text(encoding="utf-8")
    heard = re.findall(r"<figcaption>(high|low)-\d{4}", page)
    assert heard == ["high", "low"] * 8
    files = [f"notes/{name}" for name in told["held_out"]]
    searched = json.loads(run("reconstruct", "q/run", *files, "--out", "r", "--json", *FAST)[0])
    assert told["mel_l1"] <= 1.01 * searched["mel_l1"]  # the report's latents are searched too
    assert page.count("<audio") >= 16 + 2 * 5 and ">steps</text>" in page and "griffinlim" in page
    assert f"A {model.upper()} trained on" in page and f"--model {model} --minutes 60" in page
    run("quickstart", *args)  # finished: only the clips are made again
