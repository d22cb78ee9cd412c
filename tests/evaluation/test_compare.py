"""Whole evaluations on small sets whose outcome is known, with an embedding that is easy to follow."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from audio_gen.audio.mel import MelSpec
from audio_gen.errors import DataError, MelMismatchError
from audio_gen.evaluation.clip_features import SILENT, ClipFeatures, describe_clips
from audio_gen.evaluation.clips import SoundClip, find_clips
from audio_gen.evaluation.compare import Sets, compare, halve, noise_clips
from audio_gen.evaluation.reference_set import load_reference, save_reference
from audio_gen.evaluation.report.sections import write_page
from audio_gen.evaluation.verdict import judge
from audio_gen.findings import OF_SAMPLES
from audio_gen.training.diagnosis import diagnose
from tests.sounds import noise, pluck, sine, write

RATE = 16000


class Bands:
    """Log energies of a few bands: enough to tell these sounds apart."""

    name, digest, sample_rate, dimensions = "bands", "0123456789ab", RATE, 8

    def __call__(self, wavs: list[Tensor]) -> Tensor:
        spectra = [torch.fft.rfft(wav, 8192).abs().square() for wav in wavs]
        return torch.stack([torch.log(s[1:].reshape(8, -1).mean(1) + 1e-3) for s in spectra])


def clip(x: np.ndarray, title: str, class_name: str | None = None) -> SoundClip:
    return SoundClip(title, title, lambda: (torch.from_numpy(x.astype(np.float32)), RATE), class_name, None, title)


def plucks(count: int, seed: int, name: str = "pluck") -> list[SoundClip]:
    random = np.random.default_rng(seed)
    tones = random.uniform(150, 2500, count)
    hiss = random.uniform(1e-4, 3e-2, count)
    return [
        clip(
            pluck(f0, 0.3, RATE) + h * noise(0.3, RATE, seed=seed * 1000 + i),
            f"{name}-{seed}-{i}",
            "low" if f0 < 800 else "high",
        )
        for i, (f0, h) in enumerate(zip(tones, hiss, strict=True))
    ]


def described(name: str, clips: list[SoundClip]) -> ClipFeatures:
    return describe_clips(name, clips, Bands())


def evaluated(real: ClipFeatures, made: ClipFeatures, **more: ClipFeatures | None) -> dict:
    halves, held_out = halve(real, [None] * len(real))
    noisy = described("white noise", noise_clips(20, 0.3, RATE))
    result = compare(Sets(real, made, halves, held_out, noise=noisy, **more))
    return {**result, "names": {f.name for f in judge(result) if f.alarm}}


@pytest.fixture(scope="module")
def real() -> ClipFeatures:
    return described("real", plucks(120, 1))


def test_new_sounds_of_the_same_kind_raise_no_alarm(real: ClipFeatures) -> None:
    result = evaluated(real, described("generated", plucks(60, 2)), copies=described("copy-synthesis", plucks(60, 3)))
    assert result["names"] == set()
    assert result["kad"]["value"] < 2 * result["kad"]["floor"]
    assert result["white_noise"]["kad"] > 20 * result["kad"]["floor"]
    assert result["nearness"]["share"] < 0.1 and result["coverage"] > 0.7
    assert result["classes"]["real_accuracy"] > 0.8
    figures = (
        "kad fad precision recall density coverage memorised nearness diversity pitch classes signal copy_synthesis"
    )
    assert {"embedding", "n", "warnings", *figures.split()} <= result.keys()


def test_classes_are_told_with_what_there_is_to_compare(real: ClipFeatures) -> None:
    result = evaluated(real, described("generated", plucks(60, 2)), copies=described("copy-synthesis", plucks(60, 3)))
    told = next(finding.text for finding in judge(result) if finding.name == "classes")
    assert "unseen real sounds: " in told and "copy-synthesis: " in told
    result["classes"] |= {"real_accuracy": None, "copy_accuracy": None}
    assert next(finding.text for finding in judge(result) if finding.name == "classes").endswith("requested class.")


def test_copies_are_memorisation(real: ClipFeatures) -> None:
    copies = [clip(0.999 * c.load()[0].numpy(), f"copy-{i}") for i, c in enumerate(plucks(120, 1)[:60])]
    result = evaluated(real, described("generated", copies))
    assert result["nearness"]["share"] > 0.9 and "memorisation" in result["names"]
    assert result["nearness"]["closest"][0]["training"].startswith("pluck-1-")


def test_one_sound_again_and_again_is_mode_collapse(real: ClipFeatures) -> None:
    same = [clip(pluck(440, 0.3, RATE), f"same-{i}") for i in range(40)]
    result = evaluated(real, described("generated", same))
    assert "mode_collapse" in result["names"]
    assert result["diversity"]["duplicates"] == 39


def test_a_run_and_an_evaluation_say_the_same_of_the_same_figures(real: ClipFeatures) -> None:
    sounds = [[clip(noise(0.3, RATE, seed=100 * k + i), f"{i}") for i in range(40)] for k in range(2)]
    hiss = [describe_clips("real", some, Bands(), views=True) for some in sounds]
    copied = [describe_clips(name, plucks(40, 1), Bands(), views=True) for name in ("real", "generated")]
    for result, name in ((evaluated(*hiss), "noise_data"), (evaluated(*copied), "memorisation")):
        result["memorised"]["real_share"] = 0.02  # plucks are as near to each other as copies
        rows = [
            {
                "eval/n": 40.0, "eval/diversity": result["diversity"]["ratio"], "eval/coverage": result["coverage"],
                "eval/coverage_real": result["real_vs_real"]["coverage"],
                "eval/memorised": result["memorised"]["share"],
                "eval/memorised_real": result["memorised"]["real_share"],
                "eval/flatness_real": result["signal"]["flatness"]["real"]["median"],
            }
        ]  # fmt: skip
        theirs, ours = ({f.name: f.text for f in some if f.alarm} for some in (judge(result), diagnose(rows)))
        assert name in ours and ours.keys() == theirs.keys() & OF_SAMPLES
        assert {text.split(", such as")[0].split(" (")[0].split(";")[0] for text in ours.values()} <= {
            text.split(", such as")[0].split(" (")[0].split(";")[0] for text in theirs.values()
        }


def test_a_vocoder_that_does_not_fit_is_named(real: ClipFeatures) -> None:
    wrong = [clip(noise(0.3, RATE, seed=i), f"wrong-{i}") for i in range(60)]
    result = evaluated(real, described("generated", plucks(60, 2)), copies=described("copy-synthesis", wrong))
    assert "vocoder_mismatch" in result["names"]


def test_noise_as_data_is_named() -> None:
    sets = [
        described(n, [clip(noise(0.3, RATE, seed=100 * k + i), f"{n}{i}") for i in range(40)])
        for k, n in enumerate(("real", "generated"))
    ]
    assert "noise_data" in evaluated(*sets)["names"]


def test_few_clips_still_give_what_they_can(real: ClipFeatures) -> None:
    result = evaluated(real, described("generated", plucks(1, 2)))
    assert result["kad"]["value"] is None and result["nearness"]["closest"] and result["signal"]["centroid_hz"]
    assert any("only 1 clips" in warning for warning in result["warnings"])
    assert judge(result)


def test_silent_and_broken_clips_are_counted_and_listed() -> None:
    bad = [
        clip(np.zeros(4000), "still"),
        clip(np.full(4000, np.nan), "broken"),
        clip(2e-4 * sine(sample_rate=RATE), "faint"),
        clip(sine(sample_rate=RATE), "good"),
    ]
    found = describe_clips("generated", bad, Bands())
    assert found.titles == ["good"] and dict(found.left_out) == {
        "still": SILENT,
        "faint": SILENT,
        "broken": "holds NaN or infinite samples",
    }
    with pytest.raises(DataError, match="generated: holds no clip"):
        compare(Sets(found, described("generated", bad[:2]), ([0], [0])))


def test_halves_share_no_file_and_prefer_what_was_kept_out(real: ClipFeatures) -> None:
    grouped = describe_clips("real", [clip(sine(f, sample_rate=RATE), f"{f}") for f in range(200, 240)], Bands())
    object.__setattr__(grouped, "groups", [str(i // 4) for i in range(40)])
    (first, second), held_out = halve(grouped, [None] * 40)
    assert not {grouped.groups[i] for i in first} & {grouped.groups[i] for i in second}
    assert sorted(first + second) == list(range(40)) and not held_out
    (first, second), held_out = halve(real, [i >= 30 for i in range(120)])
    assert held_out and second == list(range(30))


def test_a_reference_file_stands_for_its_folder(real: ClipFeatures, tmp_path: Path) -> None:
    made = described("generated", plucks(60, 2))
    spec = MelSpec.preset("22khz_80band_256x")
    save_reference(tmp_path / "real.safetensors", real, clip_sec=0.3, mel=spec)
    again = load_reference(tmp_path / "real.safetensors", Bands())
    assert again.titles == real.titles and again.classes == real.classes
    assert evaluated(again, made)["kad"]["value"] == pytest.approx(evaluated(real, made)["kad"]["value"], abs=0.05)
    assert (tmp_path / "real.safetensors").stat().st_size < 100_000
    other = Bands()
    other.name = "others"  # type: ignore[misc]
    with pytest.raises(DataError, match="embedding bands"):
        load_reference(tmp_path / "real.safetensors", other)
    with pytest.raises(MelMismatchError):
        load_reference(tmp_path / "real.safetensors", Bands(), mel=MelSpec.preset("44khz_128band_512x"))
    with pytest.raises(MelMismatchError, match=r"0\.3 s"):
        load_reference(tmp_path / "real.safetensors", Bands(), mel=spec, clip_sec=2.0)


def test_a_file_that_is_no_reference_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "real.safetensors"
    path.write_bytes(b"no tensors")
    with pytest.raises(DataError, match="damaged or not a reference"):
        load_reference(path, Bands())
    with pytest.raises(DataError, match="must end in"):
        save_reference(tmp_path / "real.npz", described("real", plucks(2, 1)), clip_sec=None, mel=None)


def test_what_there_is_to_say_of_a_folder_comes_with_its_clips(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", sine(sec=0.5, sample_rate=8000), 8000)
    write(tmp_path / "run" / "previews" / "b.wav", sine(500, sec=0.5, sample_rate=8000), 8000)
    (tmp_path / "run" / "run.json").write_text('{"source": "..", "sounds": "1"}')
    (tmp_path / "labels.csv").write_text("file,class\na.wav,bell\ngone.wav,kick\n")
    found = find_clips(tmp_path)
    assert [(clip.title, clip.class_name) for clip in found.clips] == [("a.wav", "bell")]
    assert len(found.notes) == 2 and "run/: a training run" in found.notes[0] and "gone.wav" in found.notes[1]
    assert find_clips(tmp_path, generated=True).notes == found.notes[:1]


def test_long_files_become_clips_of_one_group(tmp_path: Path) -> None:
    write(tmp_path / "long.wav", sine(sec=25, sample_rate=8000), 8000)
    write(tmp_path / "bell-060-100.wav", sine(sec=0.5, sample_rate=8000), 8000)
    broken = sine(sec=0.5, sample_rate=8000)
    broken[5] = np.nan
    write(tmp_path / "nan.wav", broken, 8000, subtype="FLOAT")
    found = find_clips(tmp_path)
    assert [c.title for c in found.clips] == ["bell-060-100.wav", "long.wav at 0 s", "long.wav at 12 s"]
    assert {c.group for c in found.clips} == {"bell-060-100.wav", "long.wav"} and found.clips[0].pitch == 60
    assert [title for title, _ in found.left_out] == ["nan.wav"]
    assert sum(len(c.load()[0]) for c in found.clips[1:]) == 25 * 8000
    assert len(find_clips(tmp_path, clip_sec=0.25).clips[1].load()[0]) == 2000


def test_the_page_holds_verdict_figures_and_players(real: ClipFeatures, tmp_path: Path) -> None:
    made, clips = plucks(30, 2), plucks(120, 1)
    sets = Sets(
        real,
        described("generated", made),
        halve(real, [None] * 120)[0],
        noise=described("white noise", noise_clips(10, 0.3, RATE)),
    )
    result = compare(sets)
    result["verdict"] = [finding.to_json() for finding in judge(result)]
    write_page(
        tmp_path / "report.html",
        sets,
        result,
        {"real": {c.title: c for c in clips}, "generated": {c.title: c for c in made}},
    )
    page = (tmp_path / "report.html").read_text()
    assert "KAD" in page and "white noise" in page and page.count("<svg") >= 5 and "data:audio/wav" in page


def test_the_measures_are_one_import_away() -> None:
    import audio_gen.evaluation as evaluation

    assert all(callable(getattr(evaluation, name)) for name in evaluation.__all__)
    x = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
    assert evaluation.kad(x[:30], x[30:]) < 5 and evaluation.fad(x, x) == pytest.approx(0, abs=1e-9)
    with pytest.raises(AttributeError):
        _ = evaluation.nothing


def test_so_few_sounds_cannot_say_how_near_samples_are(real: ClipFeatures) -> None:
    made = described("generated", plucks(30, 2))
    few, many = (evaluated(some, made) for some in (real.pick(range(40)), real))
    texts = [next(f.text for f in judge(result) if f.name == "distance") for result in (few, many)]
    assert texts[0].startswith("40 sounds are too few to measure") and "95 % of repetitions between" in texts[0]
    assert "too few" not in texts[1]


def test_copies_are_named_with_their_file_and_reach_the_report(tmp_path: Path) -> None:
    known = plucks(20, 1)
    sets = [
        describe_clips(name, clips, Bands(), views=True) for name, clips in (("real", known), ("generated", known[:6]))
    ]
    halves, held_out = halve(sets[0], [None] * 20)
    result = compare(Sets(*sets, halves, held_out))
    assert result["memorised"]["count"] == 6 and result["memorised"]["real_share"] is not None
    assert all(one["file"] == one["generated"] for one in result["memorised"]["samples"])
    found = next(finding for finding in judge(result) if finding.name == "memorisation")
    assert found.text.startswith("6 of 6 samples are copies of a training sound (such as pluck-1-")
    result["verdict"] = []
    write_page(tmp_path / "report.html", Sets(*sets, halves, held_out), result, {})
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<td>copy</td><td>pluck-1-" in page and "Duplicates: " in page


def test_a_reference_of_an_earlier_version_is_refused(real: ClipFeatures, tmp_path: Path) -> None:
    path = tmp_path / "real.safetensors"
    save_reference(path, real, clip_sec=None, mel=None)
    path.write_bytes(path.read_bytes().replace(b"audio_gen reference 2", b"audio_gen reference 1"))
    with pytest.raises(DataError, match="earlier version"):
        load_reference(path, Bands())
