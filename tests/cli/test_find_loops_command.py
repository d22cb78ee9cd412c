"""`find-loops` as a command: files, sidecars, what is skipped and what is refused."""

import json
import re
import struct
from pathlib import Path

import numpy as np
import soundfile as sf

from audio_gen.artefacts.sidecar import has_sidecar, read_sidecar
from audio_gen.audio.io import read_wav
from audio_gen.data.index import inspect_folder
from tests import sounds
from tests.cli.conftest import Run
from tests.generation.test_find_loops import bar, other


def test_loops_are_files_with_a_place_and_a_tempo(run: Run) -> None:
    x = np.concatenate([other(3, 1), np.tile(bar(), 4)])
    sf.write("track.wav", np.stack([x, x[::-1]], 1), sounds.RATE, subtype="FLOAT")
    out, _ = run("find-loops", "track.wav", "-n", "3", "--out", "loops", "--bars", "1")
    wavs = sorted(Path("loops").glob("*.wav"))
    assert wavs and len(out.splitlines()) == len(wavs) <= 3
    for i, wav in enumerate(wavs, 1):
        assert re.fullmatch(rf"track-loop-{i:02d}-1bar-120bpm\.wav", wav.name)
        about = json.loads(wav.with_suffix(".json").read_text())
        header = sf.info(wav)
        assert (header.subtype, header.channels, header.samplerate) == ("PCM_24", 2, sounds.RATE)
        assert header.frames == about["end"] - about["start"] and about["kind"] == "loop"
        assert about["beats"] == 4 and about["source"] == "track.wav"
        assert read_sidecar(wav) is None and has_sidecar(wav)


def test_a_sampler_finds_the_loop_and_readers_the_sound(run: Run) -> None:
    sounds.write(Path("track.wav"), np.tile(bar(), 4))
    run("find-loops", "track.wav", "-n", "1", "--out", "loops")
    (wav,) = Path("loops").glob("*.wav")
    data = wav.read_bytes()
    assert struct.unpack("<I", data[4:8])[0] == len(data) - 8
    at = data.index(b"smpl")
    fields = struct.unpack("<15I", data[at + 8 : at + 68])
    samples = sf.info(wav).frames
    assert fields[7] == 1 and fields[11:13] == (0, samples - 1) and len(data) == at + 68
    assert read_wav(wav)[0].shape[-1] == samples
    assert inspect_folder(Path("loops"), generated=True).left_out == []
    assert len(inspect_folder(Path("loops")).left_out) == 1  # not learned by accident


def test_a_folder_goes_on_where_a_named_file_ends(run: Run) -> None:
    sounds.write(Path("in/good.wav"), np.tile(bar(), 4))
    sounds.write(Path("in/short.wav"), bar(beats=1))
    sf.write("in/silent.wav", np.zeros(3 * 48000), 48000)
    Path("in/broken.wav").write_bytes(b"RIFF\x10\0\0\0WAVEjunk")
    out, error = run("find-loops", "in", "--out", "loops", "--json")
    rows = json.loads(out)
    assert {Path(row["source"]).name for row in rows["files"]} == {"good.wav"}
    assert {"short.wav", "silent.wav"} <= {Path(row["file"]).name for row in rows["skipped"]}
    assert "is silent" in error
    for name in ("short", "silent", "broken"):
        _, error = run("find-loops", f"in/{name}.wav", "--out", "one", status=2)
        assert error.startswith(f"error: in/{name}.wav: ") and len(error.splitlines()) == 1
    assert not Path("one").exists()
    _, error = run("find-loops", "in/missing.wav", "--out", "one", status=2)
    assert "in/missing.wav" in error and len(error.splitlines()) == 1


def test_results_are_kept_unless_forced(run: Run) -> None:
    sounds.write(Path("track.wav"), np.tile(bar(), 4))
    run("find-loops", "track.wav", "-n", "2", "--out", "loops")
    before = {path.name: path.read_bytes() for path in Path("loops").iterdir()}
    assert "--force" in run("find-loops", "track.wav", "-n", "2", "--out", "loops", status=2)[1]
    run("find-loops", "track.wav", "-n", "2", "--out", "loops", "--force")
    after = {path.name: path.read_bytes() for path in Path("loops").iterdir() if path.suffix == ".wav"}
    assert after == {name: data for name, data in before.items() if name.endswith(".wav")}


def test_a_folder_of_nothing_is_one_line(run: Run) -> None:
    sounds.write(Path("in/short.wav"), bar(beats=1))
    _, error = run("find-loops", "in", "--out", "loops", status=2)
    assert error.splitlines()[-1].startswith("error: no loops found") and not Path("loops").exists()
