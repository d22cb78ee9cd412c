"""The benchmark of recipes/vocoder_universal: its measures on sounds whose answers are known, and both commands."""

import importlib
import json
import math
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from audio_gen.artefacts.bundle import save_bundle
from audio_gen.audio.distance import mrmel
from audio_gen.audio.mel import MelFrontEnd, MelSpec
from audio_gen.errors import ConfigError, DataError
from audio_gen.evaluation.distances import kad
from audio_gen.models.registry import Part, packed
from audio_gen.training.tasks.vocoder import VocoderNet
from audio_gen.vocoding.bands import nnls_amplitude
from audio_gen.vocoding.griffinlim import refine
from audio_gen.vocoding.network import VocoderNetwork
from audio_gen.vocoding.phases import initial_phasors
from tests.sounds import noise, pluck, sine, write, write_notes

FOLDER = Path(__file__).parents[2] / "recipes" / "vocoder_universal"
RATE = 44100
SPEC = MelSpec(sample_rate=22050, n_fft=512, hop_length=256, n_mels=40)
NETWORK: dict[str, Any] = {**SPEC.to_dict(), **VocoderNet(dim=8, blocks=1).model_dump()}
CPU = torch.device("cpu")
Load = Callable[[str], ModuleType]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Load:
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module


@pytest.fixture
def network(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    config, tensors = packed({"vocoder": Part("vocoder", NETWORK, VocoderNetwork(**NETWORK).state_dict())})
    save_bundle(tmp_path / "network", {**config, "mel": SPEC.to_dict()}, tensors)
    return tmp_path / "network"


def stroke(rise_ms: float, tone_hz: float = 2000.0, phase: float = 0.0, sec: float = 0.4) -> Tensor:
    """0.1 s of silence, then a tone that rises along a straight line and falls slowly."""
    t = torch.arange(round(sec * RATE)) / RATE - 0.1
    gain = (t / (rise_ms / 1e3)).clamp(0, 1) * torch.exp(-5 * t.clamp(min=0))
    return 0.9 * gain * torch.sin(2 * math.pi * tone_hz * t + phase)


def swaying(depth: float, rate_hz: float = 6.0, decay: float = 0.0, drift: float = 0.0, sec: float = 2.0) -> Tensor:
    """A tone whose amplitude is modulated by a sine, decays exponentially, and drifts at 0.5 Hz."""
    t = torch.arange(round(sec * RATE)) / RATE
    gain = (1 + depth * torch.sin(2 * math.pi * rate_hz * t)) * (1 + drift * torch.sin(math.pi * t))
    return 0.4 * gain * torch.exp(-decay * t) * torch.sin(2 * math.pi * 440 * t)


def sway_db(depth: float, rate_hz: float) -> float:
    """The amplitude in dB of a small modulation, as a Hann window of 40 ms lets it through."""
    cycles = 0.04 * rate_hz
    return 20 / math.log(10) * depth * float(np.sinc(cycles)) / (1 - cycles**2)


@pytest.mark.parametrize("rise_ms", [5.0, 10.0, 20.0])
def test_a_straight_rise_is_measured_from_10_to_90_percent(script: Load, rise_ms: float) -> None:
    for tone_hz in (300.0, 2000.0):
        one, other = script("vocoder_quality").attacks_ms(stroke(1.0, tone_hz), stroke(rise_ms, tone_hz), RATE)
        assert one < 2 and other == pytest.approx(0.8 * rise_ms, abs=0.5)


def test_a_click_has_the_attack_of_the_window(script: Load) -> None:
    click = torch.zeros(RATE // 5)
    click[RATE // 10] = 1
    assert script("vocoder_quality").attacks_ms(click, click, RATE) == pytest.approx((0.65, 0.65), abs=0.06)


def test_phase_and_level_are_no_other_attack(script: Load) -> None:
    for copy in (-stroke(3.0), 0.2 * stroke(3.0), stroke(3.0, phase=math.pi / 2)):
        one, other = script("vocoder_quality").attacks_ms(stroke(3.0), copy, RATE)
        assert one == pytest.approx(other, abs=0.1)


def test_attacks_are_of_the_first_stroke_and_of_the_same_one(script: Load) -> None:
    attacks = script("vocoder_quality").attacks_ms
    both = torch.cat([0.5 * stroke(2.0), stroke(20.0)])
    first = attacks(stroke(2.0), stroke(2.0), RATE)[0]
    assert attacks(both, both, RATE) == pytest.approx((first, first), abs=0.05)
    # A copy with something soft long before the stroke is still measured at the stroke.
    early = stroke(2.0)
    early[:2000] += 0.2 * torch.sin(torch.arange(2000.0))
    assert attacks(stroke(2.0), early, RATE)[1] == pytest.approx(first, abs=0.05)


def test_a_copy_that_is_early_has_a_longer_attack(script: Load) -> None:
    copy = stroke(1.0)
    start = RATE // 10
    copy[start - 400 : start] += 0.3 * torch.sin(torch.arange(400.0))  # 9 ms at a third of the peak
    one, other = script("vocoder_quality").attacks_ms(stroke(1.0), copy, RATE)
    assert other - one == pytest.approx(9, abs=1)


@pytest.mark.parametrize("rate_hz", [4.0, 6.0, 10.0])
@pytest.mark.parametrize("depth", [0.03, 0.1])
def test_a_known_modulation_is_found(script: Load, rate_hz: float, depth: float) -> None:
    found = script("vocoder_quality").added_modulation_db(swaying(0.0), swaying(depth, rate_hz), RATE)
    assert found == pytest.approx(sway_db(depth, rate_hz), rel=0.05)


def test_what_the_original_has_is_not_added(script: Load) -> None:
    added = script("vocoder_quality").added_modulation_db
    assert added(swaying(0.1), swaying(0.1), RATE) == 0
    assert added(swaying(0.1), swaying(0.0), RATE) == 0
    # Beside another modulation as well as alone.
    t = torch.arange(6 * RATE) / RATE
    copy = swaying(0.1, sec=6.0) * (1 + 0.1 * torch.sin(2 * math.pi * 9 * t))
    assert added(swaying(0.1, sec=6.0), copy, RATE) == pytest.approx(sway_db(0.1, 9), rel=0.05)


def test_decay_and_drift_are_no_modulation(script: Load) -> None:
    added = script("vocoder_quality").added_modulation_db
    assert added(swaying(0.0, decay=1.0), swaying(0.0, decay=1.0), RATE) == 0
    assert added(swaying(0.0), swaying(0.0, drift=0.2), RATE) < 0.15
    assert added(swaying(0.0, decay=1.0), swaying(0.05, decay=1.0), RATE) == pytest.approx(0.43, abs=0.05)


def test_swells_and_plucks_are_sustained(script: Load) -> None:
    sustained, ramp = script("vocoder_quality").sustained, np.arange(200) / 10
    assert sustained(ramp) == slice(139 + 5, 200 - 4)  # within 6 dB of the last, 19.9, from 139
    assert sustained(-2 * ramp) == slice(5, 101 - 4)  # 20 dB below the first after 100
    assert sustained(-2 * ramp[:40]) is None and sustained(ramp[:0]) is None


def test_short_sounds_are_not_sustained(script: Load) -> None:
    added = script("vocoder_quality").added_modulation_db
    assert added(stroke(1.0), stroke(1.0), RATE) is None
    assert added(stroke(1.0)[:100], stroke(1.0)[:100], RATE) is None
    assert added(swaying(0.0, decay=10.0), swaying(0.0, decay=10.0), RATE) is None  # 20 dB below in 0.23 s


def test_kad_of_exact_copies_is_nothing(script: Load) -> None:
    paired_kad = script("vocoder_quality").paired_kad
    vectors = torch.randn(12, 8, generator=torch.Generator().manual_seed(0))
    assert paired_kad(vectors, vectors.clone()) == pytest.approx({"kad": 0, "kad_error": 0, "kad_biased": 0}, abs=1e-9)
    assert kad(vectors, vectors.clone()) < -1  # the reason why there is another
    further, near = (paired_kad(vectors, vectors + step) for step in (1, 0.5))
    assert further["kad"] > near["kad"] > 1 and further["kad_biased"] > near["kad_biased"] > near["kad"]


def test_kad_of_two_pairs_by_hand(script: Load) -> None:
    originals, copies = torch.tensor([[0.0], [2.0]]), torch.tensor([[1.0], [4.0]])
    # The bandwidth is 2. Distances: originals 2, copies 3, what is not a pair 4 and 1, pairs 1 and 2.
    near, far, farther, across = (math.exp(-(d**2) / 8) for d in (1, 2, 3, 4))
    found = script("vocoder_quality").paired_kad(originals, copies)
    apart, pairs = far + farther - across - near, 2 - near - far
    assert found["kad"] == pytest.approx(100 * apart, abs=1e-6) and found["kad_error"] is None
    assert found["kad_biased"] == pytest.approx(100 * (2 * apart + 2 * pairs) / 4, abs=1e-6)


def test_kad_of_pairs_has_no_bias_and_the_error_that_it_says(script: Load) -> None:
    drawn = torch.randn(200, 2, 8, 4, generator=torch.Generator().manual_seed(1))
    found = [script("vocoder_quality").paired_kad(*pair) for pair in drawn]
    values, errors = (np.array([one[key] for one in found]) for key in ("kad", "kad_error"))
    assert abs(values.mean()) < 4 * values.std() / math.sqrt(len(values))
    assert 0.7 < np.sqrt(np.square(errors).mean()) / values.std() < 2


def test_figures_of_files_in_one(script: Load) -> None:
    rows = [
        {"mrmel": 0.2, "attack_ms": (1.0, 1.5), "modulation_db": None, "pesq": None},
        {"mrmel": 0.4, "attack_ms": (3.0, 1.0), "modulation_db": 0.7, "pesq": 3.0},
    ]
    found = script("vocoder_quality").summary(rows)
    assert (found["files"], found["mrmel"], found["pesq"]) == (2, pytest.approx(0.3), 3.0)
    assert (found["attacks"], found["attack_off_ms"], found["attack_within_1_ms"]) == (2, 1.25, 0.5)
    assert (found["sustained"], found["modulation_db"], found["modulation_within_half_db"]) == (1, 0.7, 0.0)
    assert script("vocoder_quality").summary([{"mrmel": 1.0}])["attack_off_ms"] is None


def test_pesq_is_asked_at_16_khz_and_may_hear_nothing(script: Load) -> None:
    class NothingSaid(Exception):
        pass

    def score(rate: int, original: np.ndarray, copy: np.ndarray, band: str) -> float:
        assert (rate, band, original.shape, copy.shape) == (16000, "wb", (8000,), (8000,))
        if not original.any():
            raise NothingSaid
        return 4.5

    package = SimpleNamespace(pesq=score, NoUtterancesError=NothingSaid, BufferTooShortError=NothingSaid)
    tone = torch.from_numpy(sine(sec=0.5))
    pesq_score = script("vocoder_quality").pesq_score
    assert pesq_score(package, tone, tone, 22050) == 4.5
    assert pesq_score(package, 0 * tone, tone, 22050) is None


def test_clips_are_levelled_before_they_are_cut(script: Load, tmp_path: Path) -> None:
    load_clip = script("vocoder_quality").load_clip
    late = np.concatenate([0.1 * sine(sec=0.5, amplitude=1.0), sine(sec=0.5, amplitude=0.5)])
    clip = load_clip(write(tmp_path / "a.wav", late), 22050, 0.5)
    assert clip.shape == (11025,) and float(clip.abs().max()) == pytest.approx(0.19, abs=1e-3)
    assert load_clip(write(tmp_path / "b.wav", np.zeros(100, np.float32)), 22050, 0.5) is None


@pytest.fixture
def fixed_amplitudes(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(FOLDER.parent / "vocoder_small"))
    return importlib.import_module("inversion_benchmark")


def test_plain_griffin_lim_comes_nearer_to_its_amplitudes(fixed_amplitudes: ModuleType) -> None:
    front_end, wav = MelFrontEnd(SPEC), torch.from_numpy(pluck())[None, None]
    amplitude = front_end.magnitude(wav)

    def error(iterations: int, momentum: float = 0.99) -> float:
        made = fixed_amplitudes.griffin_lim(amplitude, SPEC, iterations, momentum)
        return float((front_end.stft(made).abs() - amplitude).norm() / amplitude.norm())

    assert error(0) > error(4) > error(32) and error(32) < 0.3
    assert error(16) < error(16, momentum=0.0)


def test_refitting_the_amplitudes_brings_the_sound_nearer(fixed_amplitudes: ModuleType) -> None:
    wav = torch.from_numpy(pluck())[None, None]
    mel = MelFrontEnd(SPEC)(wav)
    amplitude = nnls_amplitude(mel, SPEC)
    start = amplitude * initial_phasors(amplitude, SPEC)
    fixed = fixed_amplitudes.griffin_lim(amplitude, SPEC, 16)
    refitted = refine(start, mel, SPEC, [(1, 16)], backend="numba")
    assert mrmel(wav[0, 0], refitted[0, 0], SPEC.sample_rate) < mrmel(wav[0, 0], fixed[0, 0], SPEC.sample_rate)


def test_the_reference_keeps_its_amplitudes(script: Load, fixed_amplitudes: ModuleType) -> None:
    args = SimpleNamespace(fgla=[3, 2], librosa=[], vocoder=["griffinlim:3"])
    table = script("benchmark").methods(args, SPEC, CPU)
    assert list(table) == ["FGLA 3", "FGLA 2", "griffinlim:3"]
    mel = MelFrontEnd(SPEC)(torch.from_numpy(pluck())[None, None])
    expected = fixed_amplitudes.griffin_lim(nnls_amplitude(mel, SPEC, 8), SPEC, 3)
    torch.testing.assert_close(table["FGLA 3"](mel), expected)
    assert not torch.equal(table["griffinlim:3"](mel), table["FGLA 3"](mel))


def test_a_corpus_has_sources_as_groups_and_loops_besides(script: Load, tmp_path: Path) -> None:
    names = ["notes,cello,test", "notes,oboe,val", "sonicpi,loop_a,test", "sonicpi,bd_b,test", "drums,loop_c,test"]
    rows = [f"{name.split(',')[2]}/{i}.flac,{name}" for i, name in enumerate(names)]
    (tmp_path / "metadata.csv").write_text("\n".join(["file,source,group,split", *rows]), encoding="utf-8")
    found = script("benchmark").corpus_groups(tmp_path, "test")
    assert {name: [p.name for p in paths] for name, paths in found.items()} == {
        "notes": ["0.flac"], "sonicpi": ["2.flac", "3.flac"], "loops": ["2.flac"], "drums": ["4.flac"],
    }  # fmt: skip
    with pytest.raises(DataError, match="no file of split 'tset'; use train, val or test"):
        script("benchmark").corpus_groups(tmp_path, "tset")
    with pytest.raises(DataError, match="holds no metadata"):
        script("benchmark").corpus_groups(tmp_path / "none", "test")


def test_files_are_thinned_evenly(script: Load) -> None:
    thinned, paths = script("benchmark").thinned, [Path(f"{i:02d}") for i in range(10)]
    assert thinned(paths[::-1], None) == thinned(paths, 99) == paths
    assert thinned(paths, 3) == [paths[0], paths[3], paths[6]]


class Loudness:
    """An embedding that takes no time."""

    name, digest, sample_rate, dimensions = "loudness", "0", 16000, 2

    def __call__(self, wavs: Sequence[Tensor]) -> Tensor:
        return torch.stack([torch.stack([wav.abs().mean(), wav.diff().abs().mean()]) for wav in wavs])


def test_the_quality_command(
    script: Load, tmp_path: Path, network: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    benchmark = script("benchmark")
    monkeypatch.setattr(benchmark, "load_embedding", lambda name, device: Loudness())
    write_notes(tmp_path / "notes", 3)
    write(tmp_path / "drums" / "hit.wav", noise(0.2) * np.exp(-np.linspace(0, 8, 4410)).astype(np.float32))
    write(tmp_path / "drums" / "silent.wav", np.zeros(1000, np.float32))
    command = ["quality", "--groups", f"notes={tmp_path / 'notes'}", f"drums={tmp_path / 'drums'}", "--fgla", "2"]
    command += ["--vocoder", "griffinlim:2", str(network), "--threads", "1", "--json", str(tmp_path / "q.json")]
    assert benchmark.main(command) == 0
    lines = capsys.readouterr().out.splitlines()
    head, *table = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.startswith("|")]
    assert head[6] == "of FGLA 2's" and all(len(row) == len(head) for row in table)
    assert [row[:2] for row in table[1:]] == [
        [group, name] for group in ("notes", "drums", "all") for name in ("FGLA 2", "griffinlim:2", str(network))
    ]
    assert (
        table[1][2] == "3" and " ± " in table[1][4] and table[1][6] == "1.00" and table[1][7] == "-"
    )  # no attacks of notes
    assert table[4][2] == "1" and table[4][4:7] == ["-", "-", "-"] and float(table[4][7]) >= 0
    assert any(line.startswith("left out:") and "silent.wav: silent" in line for line in lines)
    found = json.loads((tmp_path / "q.json").read_text())["groups"]["notes"]
    # An untrained network is griffinlim with its eight iterations.
    assert found[str(network)]["mrmel"] < found["griffinlim:2"]["mrmel"]
    assert [Path(row["file"]).name for row in found["FGLA 2"]["rows"]] == [f"note-0{i}.wav" for i in range(3)]


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (["quality", "--groups", "notes"], "must be NAME=DIR"),
        (["quality", "--groups", "notes=."], "holds no sound file"),
        (["quality", "--corpus", ".", "--vocoder", "griffinlim:2"], "holds no metadata.csv"),
        (["quality", "--corpus", ".", "--vocoder", "runs/none"], "there is no such path"),
        (["speed", "--vocoder", "griffinlim:2", "griffinlim:2"], "griffinlim:2 is given twice"),
        (["speed", "--rounds", "0"], r"--rounds \(0\) must be above 0"),
        (["speed", "--device", "gpu"], "device 'gpu' is unknown"),
    ],
)
def test_mistakes_are_told_in_one_line(
    script: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    command: list[str], told: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert script("benchmark").main(command) == 2
    error = capsys.readouterr().err
    assert re.search(told, error) and error.count("\n") == 1


def test_a_vocoder_that_has_diverged_is_told(script: Load) -> None:
    with pytest.raises(DataError, match="NaN"):
        script("vocoder_quality").copied(
            lambda mel: torch.full((1, 1, 256 * mel.shape[-1]), math.nan), MelFrontEnd(SPEC), torch.ones(600)
        )


def test_flops_are_counted(script: Load) -> None:
    speed = script("vocoder_speed")
    layer = nn.Conv1d(SPEC.n_mels, 10, 3, padding=1)
    work = speed.Timed("layer", SPEC.sample_rate, SPEC.hop_length, SPEC.n_mels, layer, layer)
    frames = round(speed.COUNTED_SEC * SPEC.frame_rate)
    wanted = 2 * 3 * SPEC.n_mels * 10 * frames / speed.COUNTED_SEC
    assert speed.flops_per_sec(work, CPU) == pytest.approx(wanted)
    assert work.parameters == 3 * SPEC.n_mels * 10 + 10


def test_everything_takes_its_turn(script: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    speed, done = script("vocoder_speed"), []
    monkeypatch.setattr(speed, "gemm_rate", lambda device, precision: 1.0)

    def seconds_of(work: Any, mel: Tensor, precision: str) -> float:
        if work.name == "fp32 only" and precision == "bf16":
            raise RuntimeError("no bf16 here\nand more")
        done.append(work.name)
        return {"slow": 0.5, "fp32 only": 1e-3}[work.name] * mel.shape[-1] / SPEC.frame_rate

    monkeypatch.setattr(speed, "seconds_of", seconds_of)
    sizes = (SPEC.sample_rate, SPEC.hop_length, SPEC.n_mels, lambda mel: mel)
    works = [speed.Timed("slow", *sizes), speed.Timed("fp32 only", *sizes, nn.Identity())]
    found = speed.speeds(works, [10.0, 60.0], 2, 4.0, CPU)
    assert found["failed"] == ["fp32 only in bf16: no bf16 here"]
    named = {(row["name"], row["precision"], row["duration_sec"]): row["median"] for row in found["rows"]}
    # At twice real time, 4 s of work are 8 s of sound.
    assert named == {
        ("slow", "fp32", 8.0): pytest.approx(2, rel=0.01), ("fp32 only", "fp32", 10.0): pytest.approx(1000, rel=0.01),
        ("fp32 only", "fp32", 60.0): pytest.approx(1000, rel=0.01),
    }  # fmt: skip
    assert done[4:] == ["slow", "fp32 only", "fp32 only", "fp32 only", "fp32 only", "slow"]


def test_the_speed_command(
    script: Load, tmp_path: Path, network: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    speed = script("vocoder_speed")

    def missing() -> nn.Module:
        raise ImportError("No module named 'nothing'")

    peers = {
        "bigvgan": (missing, 22050, 256, 40),
        "vocos": (lambda: nn.ConvTranspose1d(40, 1, 256, 256), 22050, 256, 40),
    }
    monkeypatch.setattr(speed, "PEERS", peers)
    command = ["speed", "--vocoder", str(network), "griffinlim:1", "--peers", "bigvgan", "vocos", "--seconds", "0.5"]
    command += ["--rounds", "2", "--threads", "1", "--memory-sec", "0", "--json", str(tmp_path / "s.json")]
    assert script("benchmark").main(command) == 0
    out = capsys.readouterr().out
    assert "bigvgan is skipped: No module named 'nothing'" in out and "GEMM in fp32" in out
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in out.splitlines() if line.startswith("|")]
    found = json.loads((tmp_path / "s.json").read_text())
    rates = {(row["name"], row["precision"]): row for row in found["rows"]}
    assert set(rates) == {(str(network), "fp32"), (str(network), "bf16"), ("griffinlim:1", "fp32"), ("vocos", "fp32"),
                          ("vocos", "bf16")}  # fmt: skip
    row = rates[str(network), "fp32"]
    assert 0 < row["low"] <= row["median"] <= row["high"] and len(row["rounds"]) == 2
    last = next(cells for cells in reversed(rows) if cells[0] == str(network))
    assert float(last[-1]) == pytest.approx(row["median"] / rates["vocos", "fp32"]["median"], abs=0.006)
    assert last[1] == f"{sum(p.numel() for p in VocoderNetwork(**NETWORK).parameters()) / 1e6:.2f}"
    assert next(cells for cells in reversed(rows) if cells[0] == "griffinlim:1")[1:4] == ["-", "-", "-"]
    assert found["models"]["vocos"]["peer"] and found["models"]["griffinlim:1"]["memory"] == {}


def test_memory_of_a_process(script: Load, network: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["memory", "--vocoder", str(network), "--seconds", "1", "--precision", "fp32", "--threads", "1"]
    assert script("benchmark").main(command) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["peak_mib"] >= found["before_mib"] > 50


@pytest.mark.parametrize("name", ["vocos", "vocos-44khz", "bigvgan", "hifigan"])
def test_a_peer_that_is_not_installed_cannot_be_made(script: Load, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for package in ("vocos", "bigvgan", "speechbrain"):
        monkeypatch.setitem(sys.modules, package, None)
        for module in [key for key in sys.modules if key.startswith(f"{package}.")]:
            monkeypatch.delitem(sys.modules, module)
    with pytest.raises(ImportError):
        script("vocoder_speed").peer(name, CPU)


def test_choices_are_checked_before_any_work(script: Load) -> None:
    with pytest.raises(ConfigError, match="given twice"):
        script("benchmark").arguments(["speed", "--peers", "vocos", "vocos"])
