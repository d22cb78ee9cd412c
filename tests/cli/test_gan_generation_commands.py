"""sample, encode, reconstruct, interpolate and vary with GANs, as a user runs them."""

import json
import shutil
from pathlib import Path

import pytest

from tests import sounds
from tests.cli.conftest import WHOLE, Run, clip_of
from tests.generation.models import FRAMES, GAN_LAYERS, LATENT_DIM, SPEC, write_bundle, write_gan_bundle

FAST = ["--vocoder", "griffinlim:2", "--device", "cpu"]


@pytest.fixture(scope="module")
def gan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gan_bundle(tmp_path_factory.mktemp("gan") / "bundle")


def fails(run: Run, *args: str | Path) -> str:
    """The one line that a wrong command prints."""
    out, error = run(*args, status=2)
    assert out == "" and error.startswith("error: ") and len(error.splitlines()) == 1
    return error


def about(path: str | Path) -> dict:
    return json.loads(Path(path).with_suffix(".json").read_text())


def wav(path: str | Path) -> bytes:
    return Path(path).read_bytes()


def test_sample(run: Run, gan: Path) -> None:
    bundle = gan
    run("sample", bundle, "-n", "3", "--every-seed", "--out", "a", *FAST)
    run("sample", bundle, "-n", "1", "--seed", "2", "--batch", "1", "--out", "b", *FAST)
    assert wav(clip_of("a", 2)) == wav(clip_of("b", 2)) != wav(clip_of("a", 1))
    assert about(clip_of("a", 2))["model"] == "gan" and len(about(clip_of("a", 2))["z"]) == LATENT_DIM
    assert "MIDI 48 to 72" in fails(run, "sample", bundle, "--pitch", "90", "--out", "c", *FAST)
    assert "it knows" in fails(run, "sample", bundle, "--class", "tuba", "--out", "c", *FAST)


def test_truncation_is_temperature(run: Run, gan: Path) -> None:
    args = ["sample", gan, "-n", "2", "--class", "bell", "--pitch", "60", "--every-seed", *FAST]
    run(*args, "--truncation", "0.5", "--out", "a")
    run(*args, "--temperature", "0.5", "--out", "b")
    name = "bell-C4-0001.wav"
    assert wav(f"a/{name}") == wav(f"b/{name}") and about(f"a/{name}")["temperature"] == 0.5
    run(*args, "--truncation", "0", "--out", "c")
    assert wav("c/bell-C4-0000.wav") == wav(f"c/{name}") != wav("a/bell-C4-0000.wav")


def test_grid(run: Run, gan: Path) -> None:
    out, _ = run("sample", gan, "-n", "2", "--grid", "--out", "a", *FAST)
    assert wav("a/grid.png").startswith(b"\x89PNG") and "grid.png" in out
    assert "--force" in fails(run, "sample", gan, "-n", "1", "--seed", "9", "--grid", "--out", "a", *FAST)
    out, _ = run("sample", gan, "-n", "1", "--grid", "--out", "b", "--json", *FAST)
    assert json.loads(out)["pictures"] == [str(Path("b/grid.png"))]


def test_encode_and_go_on_from_it(run: Run, gan: Path) -> None:
    sounds.write(Path("drum-050-100.wav"), sounds.pluck(146.8, 1.0))
    out, notes = run("encode", gan, "drum-050-100.wav", "--out", "e", "--steps", "30", "--json", *FAST)
    (row,) = json.loads(out)["files"]
    assert row["out"] == str(Path("e/drum-050-100.encoded.wav")) and row["mel_l1"] < row["mel_l1_start"]
    assert (row["class"], row["pitch"]) == ("drum", 50.0)
    assert "only its first 0.28 s" in notes and "steps of search" in notes
    made = about("e/drum-050-100.encoded.wav")
    assert (len(made["z"]), len(made["z"][0]), made["kind"]) == (GAN_LAYERS, LATENT_DIM, "encoded")
    assert made["mel_l1"] == row["mel_l1"] and made["source"] == "drum-050-100.wav"
    run("vary", "e/drum-050-100.encoded.wav", "--amount", "0", "-n", "1", "--out", "v", *WHOLE, *FAST)
    assert wav("v/drum-050-100.encoded-vary-00.wav") == wav("e/drum-050-100.encoded.wav")
    _, notes = run("interpolate", gan, "--from", "e/drum-050-100.encoded.wav", "--to", "seed:1", "--steps", "2",
                   "--out", "i", *WHOLE, *FAST)  # fmt: skip
    assert wav("i/step-00.wav") == wav("e/drum-050-100.encoded.wav") and "search" not in notes
    ends = ["--from", "e/drum-050-100.encoded.wav", "--to", "e/drum-050-100.encoded.wav"]
    assert "MIDI 48 to 72" in fails(run, "interpolate", gan, *ends, "--pitch", "90", "--out", "x", *FAST)
    run("sample", gan, "-n", "1", "--seed", "1", "--out", "s", *WHOLE, *FAST)
    assert wav("i/step-01.wav") == wav(clip_of("s", 1))


def test_encode_and_reconstruct_tell_the_same(run: Run, gan: Path, tmp_path: Path) -> None:
    sound = sounds.write(Path("a.wav"), sounds.sine(sec=0.2))
    for bundle in (gan, write_bundle(tmp_path / "vae")):
        out, notes = run("encode", bundle, sound, "--out", "e", "--force", *FAST)
        again, _ = run("reconstruct", bundle, sound, "--out", "r", "--force", *FAST)
        assert out == again and "log-mel L1" in out
        assert ("steps of search" in notes) == ("vae" not in str(bundle))
        assert wav("e/a.encoded.wav") == wav("r/a.recon.wav")


def test_interpolate_between_files(run: Run, gan: Path) -> None:
    sounds.write(Path("a.wav"), sounds.pluck(200.0, 0.3))
    sounds.write(Path("b.wav"), sounds.noise(0.3))
    Path("b.json").write_text('{"velocity": 3}')  # a user's own
    args = ["interpolate", gan, "--from", "a.wav", "--to", "b.wav", "--steps", "2"]
    _, notes = run(*args, "--out", "i", *WHOLE, *FAST)
    assert notes.count("steps of search") == 2 and "b.json: contains no latent" in notes
    run("reconstruct", gan, "a.wav", "b.wav", "--keep-residual", "--out", "r", *FAST)
    assert wav("i/step-00.wav") == wav("r/a.recon.wav") and wav("i/step-01.wav") == wav("r/b.recon.wav")


def test_layers(run: Run, gan: Path, tmp_path: Path) -> None:
    ends = ["--from", "seed:1", "--to", "seed:2", "--steps", "2"]
    run("interpolate", gan, *ends, "--layers", "fine", "--out", "i", *FAST)
    run("interpolate", gan, *ends, "--out", "whole", *FAST)
    first, last = about("i/step-00.wav"), about("i/step-01.wav")
    assert first["z"][:2] == last["z"][:2] and first["z"][2] != last["z"][2]
    assert (first["class"], first["pitch"]) == (last["class"], last["pitch"])
    assert wav("i/step-00.wav") == wav("whole/step-00.wav")
    assert wav("i/step-01.wav") not in (wav("whole/step-01.wav"), wav("i/step-00.wav"))
    assert "within 0-2 " in fails(run, "interpolate", gan, *ends, "--layers", "1-3", "--out", "x", *FAST)
    vae = write_bundle(tmp_path / "vae")
    assert "remove --layers" in fails(run, "interpolate", vae, *ends, "--layers", "0", "--out", "x", *FAST)
    assert not Path("x").exists()


def test_attack_is_kept(run: Run, gan: Path) -> None:
    ends = ["--from", "seed:1", "--to", "seed:2", "--steps", "2"]
    run("interpolate", gan, *ends, "--out", "whole", *FAST)
    run("interpolate", gan, *ends, "--attack", "50ms", "--morph", "200ms", "--out", "i", *FAST)
    assert wav("i/step-00.wav") == wav("whole/step-00.wav") and wav("i/step-01.wav") != wav("whole/step-01.wav")
    assert about("i/step-01.wav")["attack_sec"] == about("i/morph.wav")["attack_sec"] == 0.05
    assert "attack_sec" not in about("whole/step-01.wav")
    assert "(soon) must be" in fails(run, "interpolate", gan, *ends, "--attack", "soon", "--out", "x", *FAST)


def test_a_latent_of_another_shape_is_told(run: Run, gan: Path, tmp_path: Path) -> None:
    vae = write_bundle(tmp_path / "vae")
    for bundle, z, told in [(gan, [[0.0] * 8] * 2, "2 x 8 numbers, the model has 8 or 3 x 8"),
                            (gan, [0.0] * 7, "7 numbers, the model has 8 or 3 x 8"),
                            (vae, [[0.0] * 8] * 3, "3 x 8 numbers, the model has 8;")]:  # fmt: skip
        shutil.rmtree("s", ignore_errors=True)
        run("sample", bundle, "-n", "1", "--out", "s", *FAST)
        clip = clip_of("s", 0)
        clip.with_suffix(".json").write_text(json.dumps({**about(clip), "z": z}))
        assert told in fails(run, "vary", clip, "--out", "v", *FAST)
        ends = ["--from", clip, "--to", "seed:1"]
        assert told in fails(run, "interpolate", bundle, *ends, "--out", "v", *FAST)


def test_clips_of_a_gan_have_its_length(run: Run, gan: Path) -> None:
    import soundfile

    run("sample", gan, "-n", "1", "--length", "model", "--out", "s", *FAST)
    assert soundfile.info(clip_of("s", 0)).frames == FRAMES * SPEC.hop_length
    assert "--steps" in fails(run, "encode", gan, clip_of("s", 0), "--steps", "-1", "--out", "e", *FAST)
    assert "none.wav" in fails(run, "encode", gan, "none.wav", "--out", "e", *FAST)


def test_no_variety_is_told(run: Run, gan: Path) -> None:
    args = ["sample", gan, "-n", "3", "--truncation", "0", "--class", "drum", "--pitch", "60"]
    _, told = run(*args, "--out", "a", *FAST)
    note = "of 3 requested, the model has 1 sound; --truncation 0.7 gives variety"
    assert told.splitlines() == [note]
    assert [path.name for path in Path("a").glob("*.wav")] == ["drum-C4-0000.wav"]
    out, _ = run(*args, "--out", "j", "--json", *FAST)
    assert json.loads(out)["notes"] == [note] and len(json.loads(out)["files"]) == 1
    _, told = run(*args, "--every-seed", "--out", "c", *FAST)
    assert told == "" and len(list(Path("c").glob("*.wav"))) == 3
    _, told = run("sample", gan, "-n", "3", "--out", "b", *FAST)
    assert told == "" and len(list(Path("b").glob("*.wav"))) == 3
