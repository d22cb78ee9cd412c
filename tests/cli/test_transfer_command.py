"""`transfer` and `evaluate --transfer`: files, notes, and one line for what cannot be."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch

from audio_gen.audio.io import read_wav
from audio_gen.errors import ConfigError
from audio_gen.generation.class_transfer import ClassTransform, class_pipeline
from audio_gen.generation.pipeline import Pipeline
from audio_gen.generation.transfer import grain_pipeline, joined
from audio_gen.models.codecs.long import encode_blocks
from audio_gen.models.contract import Conditions, Kept
from audio_gen.models.transforms.sound import SoundFrames
from audio_gen.training.tasks.run import train_run
from tests.cli.conftest import Run
from tests.generation.models import write_bundle, write_sequence_bundle
from tests.sounds import noise, pluck, write
from tests.training.test_transfer_task import TINY

RATE = 22050
FAST = ["--vocoder", "griffinlim:2"]


def melody(*notes: float, sample_rate: int = RATE) -> np.ndarray:
    return np.concatenate([pluck(440 * 2 ** ((note - 69) / 12), 0.5, sample_rate) for note in notes])


def brassy(*notes: float) -> np.ndarray:
    return 0.5 * np.tanh(4 * melody(*notes))


@pytest.fixture
def sounds(tmp_path: Path) -> tuple[Path, Path]:
    """A folder of sources and one of a target."""
    for i in range(2):
        write(tmp_path / "mine" / f"{i}.wav", melody(60 + i, 64, 67, 72, 65))
        write(tmp_path / "theirs" / f"{i}.wav", brassy(60, 62, 64, 65 + i, 67))
    return tmp_path / "mine", tmp_path / "theirs"


def test_results_are_as_long_and_as_loud_as_their_sources(run: Run, sounds: tuple[Path, Path]) -> None:
    out, _ = run("transfer", sounds[0], "--to", sounds[1], "--out", "new", "--vocoder", "griffinlim:16")
    assert "2 sounds by grains in new: 0-theirs.wav to 1-theirs.wav" in out
    for i in range(2):
        source, _ = sf.read(sounds[0] / f"{i}.wav")
        result, rate = sf.read(f"new/{i}-theirs.wav")
        assert (len(result), rate) == (len(source), RATE)
        levels = [20 * np.log10(np.sqrt((x**2).mean())) for x in (source, result)]
        assert abs(levels[0] - levels[1]) < 3
    about = json.loads(Path("new/0-theirs.json").read_text())
    assert (about["kind"], about["method"], about["target"]) == ("transferred", "grains", "theirs")


@pytest.mark.parametrize("rate", [8000, 44100, 48000])
def test_any_rate_keeps_its_length_to_the_sample(run: Run, sounds: tuple[Path, Path], rate: int) -> None:
    path = write(Path("one.wav"), melody(60, 64, 67, sample_rate=rate)[:-7], rate)
    run("transfer", path, "--to", sounds[1], "--out", "new", *FAST)
    assert (sf.info("new/one-theirs.wav").frames, sf.info("new/one-theirs.wav").samplerate) == (
        sf.info(path).frames, rate,
    )  # fmt: skip


def test_stereo_stays_stereo(run: Run, sounds: tuple[Path, Path]) -> None:
    left = melody(60, 64, 67)
    path = write(Path("wide.wav"), np.stack([left, 0.1 * left], axis=1))
    run("transfer", path, "--to", sounds[1], "--out", "new", *FAST)
    result, _ = sf.read("new/wide-theirs.wav")
    assert result.shape == (len(left), 2)
    levels = np.sqrt((result**2).mean(0))
    assert levels[0] > 3 * levels[1]


def test_silence_stays_silent_and_hits_begin_when_they_begin(run: Run, sounds: tuple[Path, Path]) -> None:
    rest = np.zeros(RATE)
    path = write(Path("rests.wav"), np.concatenate([rest, melody(60, 64), rest, melody(67)]))
    run("transfer", path, "--to", sounds[1], "--out", "new", *FAST)
    result, _ = sf.read("new/rests-theirs.wav")
    levels = [np.sqrt((result[round(a * RATE) : round(b * RATE)] ** 2).mean()) for a, b in ((0.2, 0.9), (2.2, 2.9))]
    assert max(levels) < 1e-3
    first = np.argmax(np.abs(result) > 0.02) / RATE
    assert 0.965 < first < 1.03


def test_channels_that_cancel_give_a_mono_result_at_their_level(run: Run, sounds: tuple[Path, Path]) -> None:
    left = brassy(60, 64, 67)
    path = write(Path("wide.wav"), np.stack([left, -left], axis=1))
    out, _ = run("transfer", path, "--to", sounds[1], "--out", "new", *FAST)
    assert "left and right cancel each other" in out
    result, _ = sf.read("new/wide-theirs.wav")
    assert result.ndim == 1
    assert abs(20 * np.log10(np.sqrt((result**2).mean()) / np.sqrt((left**2).mean()))) < 4


def test_samples_that_are_no_numbers_are_told(run: Run, sounds: tuple[Path, Path]) -> None:
    x = melody(60, 64, 67)
    x[100:110] = np.nan
    path = write(Path("nan.wav"), x, subtype="FLOAT")
    out, _ = run("transfer", path, "--to", sounds[1], "--out", "new", *FAST)
    assert "10 samples are not finite numbers" in out


def test_a_mix_of_0_is_the_sound_itself_and_an_amount_of_0_its_copy(run: Run, sounds: tuple[Path, Path]) -> None:
    source, _ = sf.read(sounds[0] / "0.wav")
    run("transfer", sounds[0] / "0.wav", "--to", sounds[1], "--mix", 0, "--out", "dry", *FAST)
    dry, _ = sf.read("dry/0-theirs.wav")
    assert np.abs(dry - source).max() < 0.01  # resampled twice
    run("transfer", sounds[0] / "0.wav", "--to", sounds[1], "--from", 0, "--to-amount", 1, "--out", "morph", *FAST)
    assert json.loads(Path("morph/0-theirs.json").read_text())["amount"] == [0.0, 1.0]


def test_the_same_command_gives_the_same_sound(run: Run, sounds: tuple[Path, Path]) -> None:
    for name in ("a", "b"):
        run("transfer", sounds[0] / "0.wav", "--to", sounds[1], "--out", name, *FAST)
    assert Path("a/0-theirs.wav").read_bytes() == Path("b/0-theirs.wav").read_bytes()


def test_moved_octaves_are_told(run: Run, sounds: tuple[Path, Path]) -> None:
    path = write(Path("high.wav"), melody(84, 86, 88, 91))
    out, _ = run("transfer", path, "--to", sounds[1], "--out", "new", *FAST)
    assert "high-theirs.wav: moved 2 octaves down, to the pitches of the target" in out
    out, _ = run("transfer", path, "--to", sounds[1], "--octaves", 0, "--out", "as-it-is", *FAST)
    assert "outside the target's range" in out


def test_a_run_of_transfer(run: Run, sounds: tuple[Path, Path], tmp_path: Path) -> None:
    model = train_run(sounds[1], tmp_path / "plucks", model="transfer", config_file=TINY, device="cpu")
    out, _ = run("transfer", model, sounds[0], "--out", "new", "--json", *FAST)
    found = json.loads(out)
    assert found["method"] == "controls"
    assert [Path(one["path"]).name for one in found["files"]] == ["0-plucks.wav", "1-plucks.wav"]
    for i in range(4):
        write(Path("kept") / f"{i}.wav", brassy(60, 62 + i, 64, 65, 67))
        write(Path("more") / f"{i}.wav", melody(60 + i, 64, 67, 72, 65))
    run("transfer", model, "more", "--out", "newer", *FAST)
    measured, _ = run("evaluate", "--transfer", "more", "newer", "kept", "--json")
    assert json.loads(measured)["way"]["share"] is not None
    _, err = run("transfer", model, sounds[0], "--to", "flute", "--out", "other", *FAST, status=2)
    assert "--to 'flute': unknown to" in err and "it knows plucks" in err
    _, err = run("sample", model, "--out", "clips", *FAST, status=2)
    assert "with transfer; it cannot sample" in err


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (["mine"], "--to: missing; give a folder of sounds"),
        (["mine", "--to", "nowhere"], "nowhere"),
        (["mine", "--to", "model"], "--to model: is a run, not a folder of sounds; write transfer model FILE"),
        (["--to", "theirs"], "Missing argument"),
        (["silent.wav", "--to", "theirs"], "silent.wav: is silent"),
        (["mine", "--to", "silence"], "--to silence: has no sound that can be used"),
        (["mine", "--to", "click"], "has 0.05 s of sound; give at least"),
        (["mine", "--to", "theirs", "--keep", "pitch,tempo"], "'tempo' cannot be kept; give some of pitch, loudness"),
        (["mine", "--to", "theirs", "--mix", "2"], "mix"),
        (["mine", "--to", "theirs", "--method", "magic"], "'magic' is unknown; known are grains, model, class"),
        (["mine", "--to", "bell", "--method", "class"], "--method class: needs a run"),
        (["model", "mine", "--method", "class"], "--to: missing; model has the classes 'bell', 'drum', 'flute'"),
        (["model", "mine", "--to", "harp"], "harp"),
        (["model", "mine", "--to", "bell", "--class", "harp"], "harp"),
        (["mine", "--to", "theirs", "--class", "bell"], "--class bell: is for --method class; leave it out"),
        (["mine", "--to", "nowhere"], "--to nowhere: no such folder or file; give a folder of sounds"),
        (["plain", "mine", "--to", "bell"], "--method class: plain has no classes; train on a folder with a subfolder"),
        (["lstm", "mine", "--to", "bell"], "transfer --method class: lstm draws one latent after the other"),
        (["mine", "--to", "theirs", "--method", "model"], "--method model: needs a run"),
        (["mine", "--to", "theirs", "--octaves", "9"], "octaves"),
    ],
)
def test_bad_input_is_one_line(run: Run, sounds: tuple[Path, Path], line: list[str], message: str) -> None:
    write(Path("silent.wav"), np.zeros(RATE))
    write(Path("silence/a.wav"), np.zeros(RATE))
    write(Path("click/a.wav"), noise(0.05))
    write_bundle(Path("model"))
    write_bundle(Path("plain"), classes=False)
    write_sequence_bundle(Path("lstm"), prior="lstm")
    _, err = run("transfer", *line, "--out", "new", *FAST, status=2)
    assert message in err
    assert len(err.strip().splitlines()[-1:]) == 1 and "Traceback" not in err
    assert not list(Path().glob("new/*.wav"))


def test_results_are_measured_against_source_and_target(run: Run, sounds: tuple[Path, Path]) -> None:
    for i in range(4):
        write(Path("sources") / f"{i}.wav", melody(60 + i, 64, 67, 72, 65, 60, 62, 64))
        write(Path("kept") / f"{i}.wav", brassy(60, 62 + i, 64, 65, 67, 72, 60, 64))
    write(sounds[1] / "long.wav", brassy(60, 62, 64, 65, 67, 69, 71, 72))
    run("transfer", "sources", "--to", sounds[1], "--out", "new", *FAST)
    out, _ = run("evaluate", "--transfer", "sources", "new", "kept", "--json")
    found = json.loads(out)
    assert found["pitch"]["share"] > 0.8
    assert found["loudness_db"] < 6
    assert found["memorised"]["of"].endswith("theirs")
    same, _ = run("evaluate", "--transfer", "sources", "sources", "kept")
    assert "way travelled: 0%" in same
    assert "onsets within 50 ms (F1): 1.00" in same
    assert "level: 0.00 dB apart" in same
    _, err = run("evaluate", "--transfer", "kept/0.wav", "new", "kept", status=2)
    assert "which is not among the sources" in err


def test_evaluate_without_any_side_says_what_is_missing(run: Run) -> None:
    _, err = run("evaluate", status=2)
    assert "REAL is missing" in err


def test_python_gives_the_sound_of_the_command(run: Run, sounds: tuple[Path, Path]) -> None:
    run("transfer", sounds[0] / "0.wav", "--to", sounds[1], "--out", "new", "--bits", "float", "--rate", 44100, *FAST)
    result, _ = sf.read("new/0-theirs.wav")
    pipeline = grain_pipeline(sounds[1], vocoder="griffinlim:2", device="cpu")
    wav, _ = read_wav(sounds[0] / "0.wav", sample_rate=44100)
    again = pipeline.transfer(wav)
    assert again.shape == wav.shape
    assert np.corrcoef(again[0].numpy()[: len(result)], result)[0, 1] > 0.99
    with pytest.raises(ConfigError, match="it knows theirs"):
        pipeline.transfer(wav, "flute")


def test_a_folder_is_transferred_without_its_broken_files(run: Run, sounds: tuple[Path, Path]) -> None:
    write(sounds[0] / "quiet.wav", np.zeros(RATE))
    (sounds[0] / "text.wav").write_text("no sound")
    out, err = run("transfer", sounds[0], "--to", sounds[1], "--out", "new", *FAST)
    assert "2 sounds by grains" in out
    assert "note: left out:" in err and "quiet.wav: is silent" in err
    _, err = run("transfer", sounds[0] / "text.wav", "--to", sounds[1], "--out", "other", *FAST, status=2)
    assert "text.wav" in err


@pytest.mark.parametrize("stereo", [False, True])
def test_a_sequence_models_classes_are_targets(run: Run, sounds: tuple[Path, Path], stereo: bool) -> None:
    model = write_sequence_bundle(Path("model"), stereo=stereo)
    out, _ = run("transfer", model, sounds[0], "--to", "flute", "--class", "bell", "--out", "new", *FAST)
    assert "2 sounds by class in new: 0-flute.wav to 1-flute.wav" in out
    assert "0-flute.wav: as a sound of bell" in out
    assert sf.info("new/0-flute.wav").frames == sf.info(sounds[0] / "0.wav").frames
    out, _ = run("transfer", model, sounds[0], "--to", "flute", "--out", "unknown", *FAST)
    assert "its class is not known, which makes more of it change; give it with --class" in out
    _, err = run("transfer", model, sounds[0], "--to", "flute", "--octaves", 1, "--out", "x", *FAST, status=2)
    assert "--octaves 1: class does not read pitches" in err


def test_a_class_to_itself_is_what_the_codec_makes_of_the_sound(sounds: tuple[Path, Path], tmp_path: Path) -> None:
    pipeline = Pipeline.load(write_sequence_bundle(tmp_path / "model"), vocoder="griffinlim:2", device="cpu")
    found = class_pipeline(pipeline, "griffinlim:2")
    wav, _ = read_wav(sounds[0] / "0.wav", sample_rate=pipeline.spec.sample_rate)
    sound = SoundFrames.of_wav(wav, found.spec)
    transform = ClassTransform(pipeline, Conditions.one({"class": 1}))
    mels = [transform.begin(sound, target, Kept()).mel(0, sound.frames) for target in (1, 2)]
    z = torch.cat(list(encode_blocks(pipeline.sequence_codec, sound.image(pipeline.spec), sound.frames)))
    own = pipeline.sequence_codec.decode_part(z[None], 0, len(z))[0, :, : sound.frames]
    assert (mels[0] - own).abs().mean() < 0.3 * (mels[1] - own).abs().mean()


def test_a_clip_models_classes_are_targets(run: Run, sounds: tuple[Path, Path]) -> None:
    model = write_bundle(Path("model"))
    out, _ = run("transfer", model, sounds[0] / "0.wav", "--to", "flute", "--class", "bell", "--out", "new", *FAST)
    assert "0-flute.wav: as a sound of bell" in out
    about = json.loads(Path("new/0-flute.json").read_text())
    assert (about["method"], about["target"]) == ("class", "flute")


def test_a_folder_of_training_sounds_is_named_by_the_one_above(run: Run, sounds: tuple[Path, Path]) -> None:
    (sounds[1].parent / "brass").mkdir()
    sounds[1].rename(sounds[1].parent / "brass" / "train")
    out, _ = run("transfer", sounds[0] / "0.wav", "--to", "brass/train", "--out", "new", *FAST)
    assert "new: 0-brass.wav" in out


def test_sounds_of_audio_gen_among_the_target_are_told(run: Run, sounds: tuple[Path, Path]) -> None:
    run("transfer", sounds[0], "--to", sounds[1], "--out", "new", *FAST)
    _, err = run("transfer", sounds[0] / "0.wav", "--to", "new", "--out", "newer", *FAST)
    assert "2 of the 2 sounds of new were generated by audio_gen" in err


def test_opposite_channels_are_heard(sounds: tuple[Path, Path]) -> None:
    pipeline = grain_pipeline(sounds[1], vocoder="griffinlim:2", device="cpu")
    wav, _ = read_wav(sounds[0] / "0.wav", sample_rate=44100)
    out = pipeline.transfer(torch.cat([wav, -wav]))
    assert float(out.abs().max()) > 0.1


def test_a_result_ends_in_silence_where_its_sound_does(run: Run, sounds: tuple[Path, Path]) -> None:
    whole = melody(60, 64, 67)
    write(Path("ends.wav"), np.concatenate([whole * np.linspace(1, 0, len(whole)) ** 4, np.zeros(600)]))
    write(Path("cut.wav"), np.tile(pluck(220, 0.1), 8)[:-700])
    for name in ("ends", "cut"):
        run("transfer", f"{name}.wav", "--to", sounds[1], "--out", "new", *FAST)
    found = [sf.read(f"new/{name}-theirs.wav")[0] for name in ("ends", "cut")]
    assert np.abs(found[0][-200:]).max() < 0.001
    assert np.abs(found[1][-200:]).max() > 0.01
    assert abs(found[0][0]) < 0.001  # a pluck begins at 0


def test_peaks_that_would_clip_are_limited_and_the_rest_keeps_its_level(run: Run, sounds: tuple[Path, Path]) -> None:
    loud = np.clip(8 * brassy(60, 62, 64, 65, 67), -0.98, 0.98)
    write(Path("loud.wav"), loud)
    out, _ = run("transfer", "loud.wav", "--to", sounds[0], "--out", "new", "--vocoder", "griffinlim:8")
    assert "loud-mine.wav: peaks that would clip are up to" in out
    x = sf.read("new/loud-mine.wav")[0]
    assert 0.9 < np.abs(x).max() <= 1
    levels = [20 * np.log10(np.sqrt((y**2).mean())) for y in (loud, x)]
    assert abs(levels[0] - levels[1]) < 4
    about = json.loads(Path("new/loud-mine.json").read_text())
    assert about["limited_db"] > 0.5 and about["gain_db"] == 0


def test_short_sounds_of_a_target_are_read_in_rows() -> None:
    rate = 1000
    sounds = [torch.full((1, count), float(i + 1)) for i, count in enumerate((50, 2000, 80, 70))]
    found = joined(sounds, rate)
    assert [one.shape[1] for one in found] == [2000, 50 + 80 + 70 + 3 * 400]
    row = found[1][0]
    assert [float(row[at]) for at in (0, 49, 50, 449, 450, 930)] == [1, 1, 0, 0, 3, 4]
    many = joined([torch.ones(1, 600)] * 25, rate)
    assert [one.shape[1] for one in many] == [10_000, 10_000, 5000]
