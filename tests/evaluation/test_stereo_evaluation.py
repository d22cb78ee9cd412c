"""Evaluations of stereo sets: width, left, right and side; mono sets have none of it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from audio_gen.data.cache import build_cache
from audio_gen.data.store import Cache
from audio_gen.evaluation.clip_features import PARTS, ClipFeatures, describe_clips
from audio_gen.evaluation.clips import SoundClip, cache_clips, find_clips, has_stereo
from audio_gen.evaluation.compare import Sets, compare, halve
from audio_gen.evaluation.reference_set import load_reference, save_reference
from audio_gen.evaluation.report.sections import stereo_table_of, table_of, write_page
from audio_gen.evaluation.session import Session
from audio_gen.evaluation.signal import describe_stereo
from audio_gen.evaluation.verdict import judge
from audio_gen.generation.originals import originals_of, run_cache
from audio_gen.generation.pipeline import Pipeline
from tests.evaluation.test_compare import RATE, Bands
from tests.sounds import noise, pluck, sine, write
from tests.training.test_stereo_runs import folder_of, train

Width = Callable[[np.random.Generator], float]


def stereo(title: str, both: np.ndarray) -> SoundClip:
    wav = torch.from_numpy(both.astype(np.float32))
    return SoundClip(title, title, lambda: (wav.mean(0), RATE), load_stereo=lambda: (wav, RATE))


def plucks(count: int, seed: int, width: Width, hiss_hz: float = 0.0) -> list[SoundClip]:
    """Plucks whose side is noise, `width` times as loud as the pluck, or a sine."""
    random, clips = np.random.default_rng(seed), []
    for i in range(count):
        mid = pluck(random.uniform(150, 2500), 0.3, RATE) + 0.01 * noise(0.3, RATE, seed=1000 * seed + i)
        side = sine(hiss_hz, 0.3, RATE) if hiss_hz else noise(0.3, RATE, seed=5000 * seed + i)
        side *= width(random) * np.sqrt((mid**2).mean() / (side**2).mean())
        clips.append(stereo(f"{seed}-{i}", np.stack([mid + side, mid - side])))
    return clips


def wide(random: np.random.Generator) -> float:
    return random.uniform(0.3, 0.9)


def none(random: np.random.Generator) -> float:
    return 0.0


def described(name: str, clips: list[SoundClip], parts: bool = True) -> ClipFeatures:
    return describe_clips(name, clips, Bands(), parts=parts, views=True)


def evaluated(real: ClipFeatures, made: ClipFeatures, copies: ClipFeatures | None = None) -> dict:
    halves, held_out = halve(real, [None] * len(real))
    result = compare(Sets(real, made, halves, held_out, copies=copies))
    return {**result, "verdict": [finding.to_json() for finding in judge(result)]}


def width_finding(result: dict) -> dict | None:
    return next((finding for finding in result["verdict"] if finding["name"] == "width"), None)


@pytest.fixture(scope="module")
def real() -> ClipFeatures:
    return described("real", plucks(80, 1, wide))


def test_width_and_correlation_have_known_values() -> None:
    tone, other = torch.sin(torch.arange(16000) * 0.1), torch.sin(torch.arange(16000) * 0.17)
    known = {
        "mono": (torch.stack([tone, tone]), -60.0, 1.0),
        "antiphase": (torch.stack([tone, -tone]), 60.0, -1.0),
        "independent": (torch.stack([tone, other]), 0.0, 0.0),
        "6 dB to the left": (torch.stack([2 * tone, tone]), -9.54, 1.0),
    }
    for name, (wav, width, correlation) in known.items():
        found = describe_stereo(wav)
        assert found["width_db"] == pytest.approx(width, abs=0.1), name
        assert found["correlation"] == pytest.approx(correlation, abs=0.01), name
    one_sided = describe_stereo(torch.stack([tone, 0 * tone]))
    assert one_sided["width_db"] == pytest.approx(0) and np.isnan(one_sided["correlation"])
    assert describe_stereo(None) == {"width_db": -60.0, "correlation": 1.0}


def test_parts_are_left_right_and_side_and_silence_has_no_vector() -> None:
    a, b = sine(300, 0.3, RATE), sine(2000, 0.3, RATE)
    found = described("real", [stereo("apart", np.stack([a, b])), stereo("mono", np.stack([a, a]))])
    assert found.parts is not None
    expected = Bands()([torch.from_numpy(x.astype(np.float32)) for x in (a, b, (a - b) / 2)])
    for name, vector in zip(PARTS, expected, strict=True):
        assert torch.allclose(found.parts[name][0], vector, atol=1e-3), name
    assert torch.equal(found.parts["left"][1], found.vectors[1]) and bool(found.parts["side"][1].isnan().all())
    picked = found.pick([1])
    assert picked.parts is not None and torch.equal(picked.parts["right"], found.parts["right"][1:])


def test_samples_like_the_real_ones_are_near_in_every_part(real: ClipFeatures) -> None:
    result = evaluated(
        real, described("generated", plucks(60, 2, wide)), described("copy-synthesis", plucks(40, 4, wide))
    )
    for part in PARTS:
        row = result["stereo"][part]
        assert row["kad"] < 2 * row["floor"] and row["n"] == {"real": 80, "generated": 60}
        assert row["real_vs_real"] is not None and row["copy_synthesis"] is not None and row["reconstruction"] is None
    assert width_finding(result) is None
    assert set(result["signal"]) >= {"width_db", "correlation"} and result["stereo"]["width"]["real"]["wide"] == 1


def test_a_side_of_another_sound_is_far_though_the_mono_mix_is_near(real: ClipFeatures) -> None:
    result = evaluated(real, described("generated", plucks(60, 2, wide, hiss_hz=3000)))
    assert result["kad"]["value"] < 2 * result["kad"]["floor"]
    assert result["stereo"]["side"]["kad"] > 10 * result["stereo"]["side"]["floor"]


@pytest.mark.parametrize(("width", "word"), [(0.1, "narrower"), (2.5, "wider")])
def test_narrower_and_wider_samples_are_told(real: ClipFeatures, width: float, word: str) -> None:
    finding = width_finding(evaluated(real, described("generated", plucks(60, 2, lambda _: width))))
    assert finding is not None and word in finding["text"] and not finding["alarm"]


def test_mono_samples_of_stereo_sounds_are_an_alarm(real: ClipFeatures) -> None:
    finding = width_finding(evaluated(real, described("generated", plucks(60, 2, none))))
    assert finding is not None and finding["alarm"] and "mono" in finding["text"]
    few = evaluated(real, described("generated", plucks(10, 2, none)))
    assert "mono" not in (width_finding(few) or {"text": ""})["text"]


def test_the_rule_is_silent_between_halves_of_mixed_sets() -> None:
    random = np.random.default_rng(0)
    told = 0
    for seed in range(40):
        clips = described("real", plucks(40, seed, lambda r: float(r.choice([0.0, 0.02, 0.3, 1.0]))))
        rows = random.permutation(len(clips)).tolist()
        told += width_finding(evaluated(clips.pick(rows[:20]), clips.pick(rows[20:]))) is not None
    assert told <= 1


def mono_clips(clips: list[SoundClip]) -> list[SoundClip]:
    return [replace(clip, load_stereo=None) for clip in clips]


def test_mono_sets_have_no_stereo_figures(real: ClipFeatures) -> None:
    mono = described("real", mono_clips(plucks(40, 1, wide)))
    made = described("generated", mono_clips(plucks(20, 2, wide)))
    result = evaluated(mono, made)
    assert "stereo" not in result and "width_db" not in result["signal"] and mono.parts is None
    assert not any("stereo" in note for note in result["warnings"])
    assert stereo_table_of(result) == []
    both = described("real", plucks(40, 1, none), parts=True)  # files of two equal channels
    assert "stereo" not in evaluated(both, described("generated", plucks(20, 2, none)))


def test_a_stereo_and_a_mono_set_are_compared_by_their_mono_mix(real: ClipFeatures) -> None:
    mono = described("generated", mono_clips(plucks(20, 2, wide)), parts=False)
    result = evaluated(real, mono)
    assert "stereo" not in result
    assert any("real clips are stereo and the samples are mono" in note for note in result["warnings"])
    swapped = evaluated(replace(mono, name="real"), replace(real, name="generated"))
    assert any("samples are stereo and the real clips are mono" in note for note in swapped["warnings"])
    plain = evaluated(described("real", mono_clips(plucks(80, 1, wide)), parts=False), mono)
    for key in ("kad", "fad", "nearness", "diversity", "real_vs_real"):
        assert result[key] == plain[key], key


def test_the_table_and_the_page_have_a_row_of_each_part(real: ClipFeatures, tmp_path: Path) -> None:
    made = plucks(20, 2, wide)
    generated = described("generated", made)
    halves, held_out = halve(real, [None] * len(real))
    sets = Sets(real, generated, halves, held_out)
    result = {**compare(sets), "verdict": []}
    head, *rows = stereo_table_of(result)
    assert [row[0] for row in rows] == list(PARTS) and len(head) == len(rows[0])
    assert len(table_of(result)) == 3
    clips = {"generated": {c.title: c for c in made}, "real": {c.title: c for c in plucks(80, 1, wide)}}
    write_page(tmp_path / "r.html", sets, result, clips)
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "<h2>Stereo</h2>" in page and "width, dB" in page


def test_a_copy_is_found_in_swapped_and_mono_versions(real: ClipFeatures) -> None:
    def changed(clip: SoundClip, change: Callable[[Tensor], Tensor]) -> SoundClip:
        assert clip.load_stereo is not None
        return stereo(f"copy of {clip.title}", change(clip.load_stereo()[0]).numpy())

    clips = plucks(80, 1, wide)
    swapped = [changed(clip, lambda wav: wav.flip(0)) for clip in clips[:6]]
    centred = [changed(clip, lambda wav: wav.mean(0).expand(2, -1)) for clip in clips[6:12]]
    result = evaluated(real, described("generated", [*swapped, *centred]))
    assert [one["verdict"] for one in result["memorised"]["samples"]] == ["copy"] * 12
    assert [one["file"] for one in result["memorised"]["samples"]] == [clip.title for clip in clips[:12]]


def test_a_reference_keeps_the_parts(real: ClipFeatures, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_reference(path, real, clip_sec=None, mel=None)
    loaded = load_reference(path, Bands())  # type: ignore[arg-type]
    assert loaded.parts is not None and real.parts is not None
    for part in PARTS:
        assert torch.allclose(loaded.parts[part], real.parts[part], atol=0.02, equal_nan=True)
    result = evaluated(loaded, described("generated", plucks(20, 2, wide)))
    assert result["stereo"]["side"]["kad"] is not None
    mono = described("real", mono_clips(plucks(10, 1, wide)))
    save_reference(path, mono, clip_sec=None, mel=None)
    assert load_reference(path, Bands()).parts is None  # type: ignore[arg-type]


def test_files_and_caches_give_both_channels(tmp_path: Path) -> None:
    left, right = pluck(300, 0.4), 0.5 * noise(0.4)
    write(tmp_path / "s" / "both.wav", np.stack([left, right], axis=1), subtype="FLOAT")
    write(tmp_path / "s" / "one.wav", left, subtype="FLOAT")
    clips = {clip.title: clip for clip in find_clips(tmp_path / "s", generated=True).clips}
    assert clips["one.wav"].load_stereo is None and clips["both.wav"].load_stereo is not None
    wav, _ = clips["both.wav"].load_stereo()
    assert np.allclose(wav.numpy(), np.stack([left, right]), atol=1e-6)
    assert torch.allclose(wav.mean(0), clips["both.wav"].load()[0], atol=1e-6)
    assert has_stereo(tmp_path / "s")
    (tmp_path / "s" / "both.wav").unlink()
    assert not has_stereo(tmp_path / "s")


def test_a_mono_cache_has_mono_clips(tmp_path: Path) -> None:
    write(tmp_path / "s" / "a.wav", pluck(300, 0.4))
    build_cache(tmp_path / "s", tmp_path / "cache", sample_rate=22050)
    cache = Cache.open(tmp_path / "cache")
    assert [part.load_stereo for clip in cache.clips for part in cache_clips(cache, clip)] == [None]
    assert not has_stereo(tmp_path / "cache")


def test_equal_channels_of_a_file_are_two_channels_without_width(tmp_path: Path) -> None:
    tone = pluck(300, 0.4)
    write(tmp_path / "a.wav", np.stack([tone, tone], axis=1))
    (clip,) = find_clips(tmp_path, generated=True).clips
    assert clip.load_stereo is not None
    wav, _ = clip.load_stereo()
    assert wav.shape == (2, len(tone)) and torch.equal(wav[0], wav[1]) and torch.equal(wav[0], clip.load()[0])


@pytest.fixture(scope="module")
def stereo_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("run")
    return train(folder_of(place / "sounds", stereo=24), place / "run")


def test_a_stereo_run_renders_its_scale_in_stereo(stereo_run: Path) -> None:
    pipeline = Pipeline.load(stereo_run, vocoder="griffinlim:2", device="cpu")
    job = Session(Bands(), Bands(), pipeline, pipeline.vocoder, run_cache(stereo_run))  # type: ignore[arg-type]
    assert job.in_stereo
    real = job.real(stereo_run.parent / "sounds", "none")
    copies, rebuilt = job.copies(real, stereo=True), job.rebuilt(real, stereo=True)
    for one in (copies, rebuilt):
        assert one is not None and one.parts is not None and len(one) == 24
        assert bool(one.parts["side"].isfinite().all()) and (one.signal["width_db"] > -12).all()
    mono = job.copies(real)
    assert mono is not None and "width_db" not in mono.signal
    job.stereo = False
    assert job.real(stereo_run.parent / "sounds", "none").parts is None


def test_a_sample_is_a_copy_of_a_sound_with_other_sides(stereo_run: Path) -> None:
    pipeline = Pipeline.load(stereo_run, vocoder="griffinlim:2", device="cpu")
    originals = originals_of(pipeline)
    cache = run_cache(stereo_run)
    assert originals is not None and cache is not None and cache.channels == 2
    wavs = torch.stack([torch.from_numpy(cache.read_channels(clip, 0, 8000)) for clip in cache.split("train")[:4]])
    for changed in (wavs, wavs.flip(1), wavs.mean(1, keepdim=True).expand(-1, 2, -1)):
        assert [match.verdict for match in originals(changed)] == ["copy"] * 4


def test_a_preview_of_a_stereo_run_shows_its_stereo(stereo_run: Path) -> None:
    (picture,) = (stereo_run / "previews").rglob("*.png")
    shown = np.asarray(Image.open(picture).convert("RGB")).astype(int)
    assert ((shown[..., 1] > 150) & (shown[..., 0] < 170) & (shown[..., 2] < 120)).sum() > 200  # the green of width
