"""How `sample` names, sorts, cuts, levels and compares its clips."""

import json
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch

from audio_gen.data.cache import build_cache
from audio_gen.evaluation.session import Session
from audio_gen.generation import clip_file
from audio_gen.generation.clip_file import write_clip
from audio_gen.generation.finish import Finish
from audio_gen.generation.latents import Latents
from audio_gen.generation.operations.sample import clip_stems, note_name
from audio_gen.generation.originals import Match, novelty_line
from audio_gen.generation.outputs import claimed
from audio_gen.generation.pipeline import Pipeline
from audio_gen.generation.vocabulary import Vocabulary
from tests import sounds
from tests.cli.conftest import Run, clip_of
from tests.generation.models import CLASSES, FRAMES, SPEC, write_bundle
from tests.given import given

FAST = ["--vocoder", "griffinlim:2", "--device", "cpu"]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("model") / "bundle")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("plain") / "bundle", classes=False, pitch=False)


def fails(run: Run, *args: str | Path) -> str:
    """The one line that a wrong command prints."""
    out, error = run(*args, status=2)
    assert out == "" and error.startswith("error: ") and len(error.splitlines()) == 1
    return error


def names(folder: str) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in Path(folder).rglob("*.wav"))


@pytest.mark.parametrize(
    ("pitch", "name"), [(60, "C4"), (69, "A4"), (61, "C#4"), (59, "B3"), (0, "C-1"), (127, "G9"), (59.6, "C4")]
)
def test_notes(pitch: float, name: str) -> None:
    assert note_name(pitch) == name


def test_a_killed_command_goes_on_and_other_files_stay(run: Run, bundle: Path, monkeypatch) -> None:
    ask = ("sample", bundle, "-n", "4", "--every-seed", "--batch", "1", "--out", "a", *FAST)
    run(*ask[:-6], "--out", "whole", *FAST)

    class Killed(BaseException):
        pass

    written = []

    def dies(path: Path, *args: object) -> object:
        if len(written) == 2:
            os.truncate(path, 100) if path.exists() else path.write_bytes(b"RIFF")  # a WAV without its JSON
            raise Killed
        written.append(path)
        return write_clip(path, *args)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(clip_file, "write_clip", dies)
        with pytest.raises(Killed):
            run(*ask)
    assert len(names("a")) == 3
    assert "holds" in fails(run, *ask[:-6], "--temperature", "0.5", "--out", "a", *FAST)  # another command
    assert "holds" not in run(*ask)[1]
    for name in names("whole"):
        assert Path("a", name).read_bytes() == Path("whole", name).read_bytes()
    assert not list(Path("a").glob(".*"))
    assert "holds" in fails(run, *ask)  # it is finished, so nothing is replaced any more


def test_two_commands_at_once_do_not_mix(run: Run, bundle: Path) -> None:
    ask = ("sample", bundle, "-n", "2", "--every-seed", "--out", "a", *FAST)
    run(*ask[:-6], "--out", "b", *FAST)
    with claimed(Path("a"), [*names("b"), "other.wav"], command="sample x", bundle="", force=False):
        assert "another command is writing" in fails(run, *ask)
        assert "another command is writing" in fails(run, *ask, "--force")
        run("sample", bundle, "-n", "1", "--every-seed", "--seed", "7", "--out", "a", *FAST)
    run(*ask)


def test_options_that_exclude_each_other(run: Run, bundle: Path) -> None:
    assert "give one of them" in fails(run, "sample", bundle, "-n", "2", "--per-class", "1", "--out", "a", *FAST)


def test_names_say_what_clips_are() -> None:
    class Model:
        vocabulary = Vocabulary("run", ("Hi-Hat", "a/b: c?", "a/b: c!", "...", "hi-hat", "é" * 200), None)

    pitches = torch.tensor([60.0, float("nan"), 61.0, *[float("nan")] * 4])
    points = Latents(torch.zeros(7, 1, 2), given(torch.tensor([0, 1, -1, 3, 2, 4, 5]), pitches))
    # No two classes have one name, not even where case does not count.
    expected = ["Hi-Hat-C4-0003", "a_b_ c_-0004", "seed-C#4-12345", "class-0006", "a_b_ c_-2-0004", "hi-hat-2-0003"]
    expected.append("é" * 90 + "-0001")
    seeds = [3, 4, 12345, 6, 4, 3, 1]
    assert clip_stems(Model, points, seeds) == expected  # type: ignore[arg-type]
    kinds = ["Hi-Hat", "a_b_ c_", "", "class", "a_b_ c_-2", "hi-hat-2", "é" * 90]
    folders = [f"{kind}/{stem}" if kind else stem for kind, stem in zip(kinds, expected, strict=True)]
    assert clip_stems(Model, points, seeds, folders=True) == folders  # type: ignore[arg-type]


def test_without_classes_a_name_is_the_seed(run: Run, plain: Path) -> None:
    run("sample", plain, "-n", "2", "--seed", "7", "--every-seed", "--out", "a", *FAST)
    assert names("a") == ["seed-0007.wav", "seed-0008.wav"]


def test_so_many_of_each_class_in_folders(run: Run, bundle: Path) -> None:
    run("sample", bundle, "--per-class", "2", "--pitch", "60", "--out", "a", *FAST)
    made = [Path(name) for name in names("a")]
    assert Counter(path.parent.name for path in made) == dict.fromkeys(CLASSES, 2)
    for path in made:
        about = json.loads(Path("a", path).with_suffix(".json").read_text())
        assert about["class"] == path.parent.name
        assert path.name == f"{about['class']}-C4-{about['seed']:04d}.wav"
    assert "--force" in fails(run, "sample", bundle, "--per-class", "1", "--pitch", "60", "--out", "a", *FAST)
    run("sample", bundle, "--per-class", "1", "--class", "Drums", "--out", "b", *FAST)
    assert [Path(name).parent.name for name in names("b")] == ["drum"]


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["--tail", "500"], "--tail 500: must be between 20 and 120 dB"),
        (["--rate", "10"], "--rate 10: must be between 1000 and"),
        (["--bits", "12"], "--bits 12: unknown; use 16, 24, float"),
        (["--normalize", "loud"], "--normalize loud: unknown; use none, peak, lufs"),
        (["--normalize", "peek"], "use peak"),
        (["--length", "short"], "--length short: unknown"),
        (["--per-class", "2"], "--per-class 2: "),
        (["--per-class", "0"], "--per-class"),
    ],
)
def test_wrong_options_are_one_line_and_leave_nothing(run: Run, plain: Path, args: list[str], told: str) -> None:
    error = fails(run, "sample", plain, "--out", "a", *args, *FAST)
    assert told in error and not Path("a").exists()
    if args[0] == "--per-class" and args[1] == "2":
        assert "was trained without classes; use -n" in error


@pytest.mark.parametrize("command", ["interpolate", "vary"])
def test_other_commands_take_the_same_options(run: Run, bundle: Path, command: str) -> None:
    run("sample", bundle, "-n", "1", "--out", "s", *FAST)
    clip = clip_of("s", 0)
    args = {
        "interpolate": [bundle, "--from", "seed:0", "--to", "seed:1", "--steps", "2"],
        "vary": [clip, "-n", "1"],
    }[command]
    assert "--bits 12" in fails(run, command, *args, "--bits", "12", "--out", "x", *FAST)
    assert not Path("x").exists()
    run(command, *args, "--bits", "float", "--rate", "11025", "--length", "model", "--out", "y", *FAST)
    info = sf.info(next(Path("y").glob("*.wav")))
    assert (info.subtype, info.samplerate, info.frames) == ("FLOAT", 11025, FRAMES * SPEC.hop_length // 2)


def test_levels_ends_and_depth_by_default(run: Run, bundle: Path) -> None:
    out, _ = run("sample", bundle, "-n", "3", "--out", "a", *FAST)
    assert "s long" in out
    for path in Path("a").glob("*.wav"):
        wav, about = sf.read(path)[0], json.loads(path.with_suffix(".json").read_text())
        assert sf.info(path).subtype == "PCM_24" and wav[0] == wav[-1] == 0
        assert np.abs(wav).max() == pytest.approx(10 ** (-1 / 20), abs=1e-5)
        assert (about["normalize"], about["bits"], about["tail_db"]) == ("peak", "24", 60)
        assert isinstance(about["cut"], bool) and isinstance(about["gain_db"], float)


def test_a_lower_rate_says_what_it_takes(run: Run, bundle: Path) -> None:
    args = ["sample", bundle, "-n", "1", "--rate", "8000"]
    note = "--rate 8000: resampled from 22050 Hz, nothing above 4000 Hz is left"
    _, error = run(*args, "--out", "a", *FAST)
    assert error.splitlines() == [note] and sf.info(clip_of("a", 0)).samplerate == 8000
    out, _ = run(*args, "--out", "b", "--json", *FAST)
    assert json.loads(out)["notes"] == [note]
    _, error = run("sample", bundle, "-n", "1", "--rate", "48000", "--out", "c", *FAST)
    assert error == "" and sf.info(clip_of("c", 0)).samplerate == 48000


def test_clips_are_compared_with_training_sounds_where_these_are_there(run: Run, bundle: Path) -> None:
    Path("run").mkdir()
    write_bundle(Path("run/bundle"))
    out, _ = run("sample", "run", "-n", "2", "--out", "a", *FAST)
    assert "new" not in out and "original" not in json.loads(clip_of("a", 0).with_suffix(".json").read_text())
    build_cache(sounds.write_notes(Path("in"), 4), Path("run/cache"), sample_rate=SPEC.sample_rate)
    out, _ = run("sample", "run", "-n", "2", "--out", "b", "--json", *FAST)
    for file in json.loads(out)["files"]:
        original = json.loads(Path(file["path"]).with_suffix(".json").read_text())["original"]
        assert original == file["original"] and original["verdict"] in ("new", "close", "copy")
        assert original["file"].startswith("note-0") and original["distance_db"] > 0
    out, _ = run("sample", "run", "-n", "2", "--out", "c", *FAST)
    assert "all 2 are new" in out or "of 2 are copies of a training sound" in out


def test_words_on_novelty() -> None:
    new, close = Match("new", "a.wav", 9.0), Match("close", "b.wav", 4.0)
    copy = Match("copy", "kick.wav", 1.0)
    assert novelty_line([new, new], ["x", "y"]) == "all 2 are new: none is close to a training sound"
    near = "are copies of a training sound"
    assert novelty_line([new, close], ["x", "y"], 0.1) == f"0 of 2 {near}, 1 are close to one, 1 are new"
    told = f"1 of 3 {near} (x of kick.wav), 1 are close to one, 1 are new"
    fix = "add sounds, or train for fewer steps"
    assert novelty_line([copy, new, close], ["x", "y", "z"]) == f"{told}; {fix}"
    assert fix not in novelty_line([copy, new, close], ["x", "y", "z"], 0.4)  # real sounds are as often as near
    assert novelty_line([new], ["x"]) == "the clip is new: it is not close to a training sound"
    assert novelty_line([copy, new, close], ["x", "y", "z"], 0.25) == (
        f"{told}; of unseen real sounds, 25 % are as close to one; {fix}"
    )
    assert novelty_line([copy] * 5, list("vwxyz")) == (
        f"5 of 5 {near} (v of kick.wav, w of kick.wav, x of kick.wav and 2 more), 0 are close to one, 0 are new; {fix}"
    )


@pytest.mark.parametrize("normalize", ["none", "peak", "lufs"])
def test_clips_are_judged_as_loud_as_the_model_made_them(
    normalize: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Session, "describe", lambda self, name, clips, left_out: clips)
    quiet = 0.05 * torch.from_numpy(sounds.pluck())[None]
    about = {"sample_rate": sounds.RATE, "class": "bell", "pitch": 57}
    how = Finish(normalize=normalize)  # type: ignore[arg-type]
    write_clip(tmp_path / "a" / "x.wav", quiet, about, how)
    write_clip(tmp_path / "a" / "deep" / "y.wav", 2 * quiet, about, how)
    sounds.write(tmp_path / "a" / "plain.wav", sounds.pluck(300))
    sounds.write(tmp_path / "a" / "odd.wav", sounds.pluck(400))
    (tmp_path / "a" / "odd.json").write_text('{"gain_db": "much", "class": 3}')
    clips = {clip.group: clip for clip in Session(None, None).generated(tmp_path / "a")}  # type: ignore[arg-type]
    peaks = {name: float(clip.load()[0].abs().max()) for name, clip in clips.items()}
    real = float(quiet.abs().max())
    assert peaks["x.wav"] == pytest.approx(real, rel=1e-3) and peaks["deep/y.wav"] == pytest.approx(2 * real, rel=1e-3)
    assert peaks["plain.wav"] == pytest.approx(np.abs(sounds.pluck(300)).max(), rel=1e-3)
    assert peaks["odd.wav"] == pytest.approx(np.abs(sounds.pluck(400)).max(), rel=1e-3)
    assert (clips["x.wav"].class_name, clips["x.wav"].pitch) == ("bell", 57) and clips["odd.wav"].class_name is None


def test_evaluation_makes_plain_seeds_as_loud_as_the_model_does(bundle: Path, tmp_path: Path) -> None:
    pipeline = Pipeline.load(bundle, vocoder="griffinlim:2", device="cpu")
    Session(None, None, pipeline).sample(tmp_path, 4, 3)  # type: ignore[arg-type]
    assert names(str(tmp_path)) == [f"seed-{i:04d}.wav" for i in range(3, 7)]
    made = pipeline.sample(4, seed=3)
    for i, path in enumerate(sorted(tmp_path.glob("*.wav"))):
        about = json.loads(path.with_suffix(".json").read_text())
        assert (about["seed"], about["normalize"], about["bits"]) == (3 + i, "none", "float")
        peak = min(float(made[i].abs().max()), 0.999)
        assert np.abs(sf.read(path)[0]).max() == pytest.approx(peak, rel=0.02)
