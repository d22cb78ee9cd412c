"""Commands of stereo models: two channels by default, one on demand, and one line where it cannot be."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from tests import sounds
from tests.cli.conftest import WHOLE, Run
from tests.generation.models import SPEC, write_bundle, write_gan_bundle

FAST = ["--vocoder", "griffinlim:2", "--device", "cpu"]


@pytest.fixture(scope="module")
def stereo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gan_bundle(tmp_path_factory.mktemp("stereo") / "bundle", stereo=True)


@pytest.fixture(scope="module")
def mono(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("mono") / "bundle")


def read(folder: str) -> dict[str, np.ndarray]:
    found = {path.name: sf.read(path, always_2d=True)[0] for path in sorted(Path(folder).rglob("*.wav"))}
    assert found
    return found


def write_file(name: str = "hit.wav") -> Path:
    hit = sounds.pluck(220.0, 0.3)
    return sounds.write(Path(name), np.stack([hit, 0.3 * hit], axis=1))


def test_sample_writes_stereo_or_its_mean(run: Run, stereo: Path) -> None:
    run("sample", stereo, "-n", "3", "--every-seed", "--grid", "--out", "two", *WHOLE, *FAST)
    run("sample", stereo, "-n", "3", "--every-seed", "--channels", "1", "--out", "one", *WHOLE, *FAST)
    two, one = read("two"), read("one")
    assert list(two) == list(one) and Path("two/grid.png").is_file()
    for name, wav in two.items():
        assert wav.shape[1] == 2 and one[name].shape[1] == 1
        about, mean = (json.loads(Path(folder, name).with_suffix(".json").read_text()) for folder in ("two", "one"))
        assert about["channels"] == 2 and "channels" not in mean
        scale = 10 ** ((mean["gain_db"] - about["gain_db"]) / 20)
        ends = slice(50, -round(0.03 * SPEC.sample_rate) - 1)
        np.testing.assert_allclose(one[name][ends, 0], scale * wav.mean(1)[ends], atol=1e-4)


def test_a_mono_bundle_has_no_second_channel(run: Run, mono: Path) -> None:
    file = write_file()
    commands = [
        ["sample", mono, "-n", "1"], ["interpolate", mono, "--from", "seed:0", "--to", "seed:1"],
        ["vary", file, "--run", mono], ["reconstruct", mono, file],
    ]  # fmt: skip
    for words in commands:
        _, error = run(*words, "--channels", "2", "--out", "x", *FAST, status=2)
        assert error.splitlines()[-1].endswith("train it on stereo sounds with --set data.channels=2")
    assert not Path("x").exists()


def test_edits_of_a_stereo_file_are_stereo(run: Run, stereo: Path) -> None:
    file = write_file()
    run("vary", file, "--run", stereo, "-n", "1", "--amount", "0", "--out", "same", *FAST)
    run("vary", file, "--run", stereo, "-n", "1", "--amount", "0.3", "--keep-attack", "10ms", "--out", "v", *FAST)
    run("reconstruct", stereo, file, "--keep-residual", "--copy-synthesis", "--out", "r", *FAST)
    run(
        "interpolate", stereo, "--from", file, "--to", "seed:1", "--steps", "2", "--morph", "500ms", "--out", "i", *FAST
    )
    for folder in ("same", "v", "r", "i"):
        assert all(wav.shape[1] == 2 for wav in read(folder).values())
    rebuilt, copied = (read("r")[f"hit.{kind}.wav"] for kind in ("recon", "copy"))
    np.testing.assert_array_equal(rebuilt, copied)
    (same,) = read("same").values()
    energy = np.square(same).sum(0)
    assert 10 * np.log10(energy[0] / energy[1]) == pytest.approx(-20 * np.log10(0.3), abs=1.0)


def test_a_mono_model_reads_stereo_files_as_before(run: Run, mono: Path) -> None:
    file = write_file()
    run("encode", mono, file, "--out", "e", *FAST)
    assert all(wav.shape[1] == 1 for wav in read("e").values())
