"""Sounds of any length: blocks, levels and ends of files, and what a seed gives."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
import torch
from torch import Tensor

from audio_gen.artefacts.sidecar import has_sidecar, read_sidecar
from audio_gen.audio.io import read_wav
from audio_gen.audio.long_mel import of_wav
from audio_gen.data.generated import generated_by
from audio_gen.errors import AudioGenError, CheckpointError, ConfigError, OutputError
from audio_gen.generation.finish import Finish
from audio_gen.generation.long_clip import LongClip
from audio_gen.generation.operations.continuation import ContinueRequest, continue_sounds
from audio_gen.generation.operations.interpolate import InterpolateRequest, interpolate
from audio_gen.generation.operations.sample import SampleRequest, sample
from audio_gen.generation.operations.vary import VaryRequest, vary
from audio_gen.generation.pipeline import Pipeline
from audio_gen.generation.sequence import encode_sound, encode_to_end, sound_blocks
from tests.generation.models import write_sequence_bundle

RATE = 22050
NOISE = 0.3 * torch.randn(2, 3 * RATE + 17, generator=torch.Generator().manual_seed(0))


def clip(size: int, wav: Tensor = NOISE, **more: Any) -> LongClip:
    def blocks() -> Iterator[Tensor]:
        return iter(wav.split(size, dim=1))

    return LongClip("a", blocks, wav.shape[1], RATE, {}, **more)


@pytest.mark.parametrize("finish", [Finish(), Finish(bits="16", rate=16000), Finish(normalize="lufs", channels=1)])
def test_files_do_not_depend_on_blocks(tmp_path: Path, finish: Finish) -> None:
    files = []
    for size in (NOISE.shape[1], 1000, 317):
        clip(size, finish=finish).save(tmp_path / f"{size}.wav")
        files.append((tmp_path / f"{size}.wav").read_bytes())
    assert files[0] == files[1] == files[2]


@pytest.mark.parametrize("bits", ["16", "24", "float"])
def test_ends_are_silent_and_the_peak_is_as_asked(tmp_path: Path, bits: str) -> None:
    saved = clip(5000, finish=Finish(bits=bits)).save(tmp_path / "a.wav")
    wav, rate = sf.read(tmp_path / "a.wav")
    assert rate == RATE and wav.shape == (NOISE.shape[1], 2)
    assert not wav[0].any() and not wav[-1].any()
    assert 20 * math.log10(np.abs(wav).max()) == pytest.approx(-1, abs=0.01)
    assert saved.duration_sec == pytest.approx(3, abs=0.001) and not saved.cut
    assert json.loads((tmp_path / "a.json").read_text())["gain_db"] == pytest.approx(saved.provenance["gain_db"])


def test_none_leaves_the_level_except_where_it_would_clip(tmp_path: Path) -> None:
    quiet, loud = 0.5 * NOISE / NOISE.abs().max(), 2 * NOISE / NOISE.abs().max()
    how = Finish(normalize="none", bits="float")
    clip(999, quiet, finish=how, fade_out=False).save(tmp_path / "quiet.wav")
    assert np.array_equal(sf.read(tmp_path / "quiet.wav", dtype="float32")[0].T, quiet.numpy())
    assert clip(999, loud, finish=how, fade_out=False).save(tmp_path / "b.wav").provenance["gain_db"] < -6


def test_progress_sums_to_one_and_a_file_is_not_overwritten(tmp_path: Path) -> None:
    shares: list[float] = []
    clip(700).save(tmp_path / "a.wav", advance=shares.append)
    assert len(shares) > 10 and sum(shares) == pytest.approx(1) and min(shares) >= 0
    with pytest.raises(OutputError, match="exists already"):
        clip(700).save(tmp_path / "a.wav")


def test_silence_and_nan(tmp_path: Path) -> None:
    clip(700, torch.zeros(1, 5000)).save(tmp_path / "silent.wav")
    assert not sf.read(tmp_path / "silent.wav")[0].any()
    with pytest.raises(CheckpointError, match="NaN"):
        clip(700, torch.full((1, 5000), math.nan)).save(tmp_path / "nan.wav")
    assert not (tmp_path / "nan.wav").exists()


def test_loudness_is_not_measured_for_ever(tmp_path: Path) -> None:
    long = LongClip("a", lambda: iter(()), 601 * RATE, RATE, {}, Finish(normalize="lufs"))
    with pytest.raises(ConfigError, match=r"up to 10 minutes.*use peak"):
        long.save(tmp_path / "a.wav")


def sampled(pipeline: Pipeline, **options: Any) -> list[Any]:
    return list(sample(pipeline, SampleRequest(**options)))


@pytest.mark.parametrize("name", ["sequence", "stereo_sequence"])
def test_a_longer_sound_begins_as_a_shorter_one(name: str, request: pytest.FixtureRequest) -> None:
    pipeline: Pipeline = request.getfixturevalue(name)
    (short,), (long,) = (sampled(pipeline, count=1, seed=5, duration_sec=length) for length in (2.0, 4.0))
    assert short.wav.shape == (pipeline.spec.channels, 2 * RATE) and long.wav.shape[1] == 4 * RATE
    sure = RATE  # before the vocoder sees the end
    difference = (short.wav - long.wav[:, : 2 * RATE])[:, :sure].abs().max()
    assert float(difference) < 1e-4 * float(short.wav.abs().max())


def test_a_seed_gives_the_same_sound_alone_and_among_others(sequence: Pipeline, tmp_path: Path) -> None:
    sample(sequence, SampleRequest(count=3, duration_sec=1.5, command="x")).save(tmp_path / "all")
    sample(sequence, SampleRequest(count=1, seed=2, duration_sec=1.5, command="x")).save(tmp_path / "one")
    (alone,) = (tmp_path / "one").glob("*-0002.wav")
    assert (tmp_path / "all" / alone.name).read_bytes() == alone.read_bytes()
    assert len(list((tmp_path / "all").glob("*.wav"))) == 3


def test_the_sidecar_of_a_sequence(sequence: Pipeline, tmp_path: Path) -> None:
    (saved,) = sample(sequence, SampleRequest(count=1, class_name="drum", duration_sec=1.0)).save(tmp_path)
    about = json.loads(saved.path.with_suffix(".json").read_text())
    expected = {"kind": "sequence", "seed": 0, "duration_sec": 1.0, "class": "drum", "temperature": 1.0}
    assert expected.items() <= about.items() and "z" not in about and saved.path.name == "drum-0000.wav"
    found = read_sidecar(saved.path)
    assert found is not None and found.z is None and found.digest == sequence.digest
    assert found.bundle_path == sequence.path.resolve() and found.class_name == "drum"
    assert has_sidecar(saved.path) and generated_by(saved.path) is not None


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"duration_sec": 0.0}, "--duration 0: must be at least 0.1 s"),
        ({"duration_sec": -3.0}, "--duration -3: must be"),
        ({"duration_sec": math.nan}, "--duration nan: must be"),
        ({"duration_sec": 2e5}, r"--duration 200000: is above an hour; each file gets 13.2 GB.*about .*add --force"),
        ({"normalize": "lufs", "duration_sec": 700.0}, "use peak"),
        ({"moves": {"brightness": 1.0}}, "--move: is of models of clips"),
        ({"grid": True}, "--grid: is of models of clips"),
        ({"tail_db": 50.0}, "--tail: is of models of clips"),
        ({"pitch": 60.0}, "trained without pitches"),
        ({"class_name": "piano"}, "unknown to"),
        ({"temperature": -1.0}, "temperature"),
        ({"seed": 2**63}, "seeds"),
    ],
)
def test_what_a_sequence_model_cannot_do(sequence: Pipeline, options: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        sample(sequence, SampleRequest(**options))


def test_models_of_clips_have_no_duration(pipeline: Pipeline) -> None:
    with pytest.raises(CheckpointError, match=r"is a model of clips of .* s; give a run of --model sequence"):
        sample(pipeline, SampleRequest(duration_sec=3.0))


def test_sounds_of_each_class(sequence: Pipeline) -> None:
    names = sample(sequence, SampleRequest(per_class=2, duration_sec=1.0)).names
    assert names == [f"{name}/{name}-{seed:04d}" for name in ("bell", "drum", "flute") for seed in (0, 1)]


@pytest.fixture
def tone(tmp_path: Path) -> Path:
    """A sound of 2 s and 100 samples that gets louder."""
    time = torch.arange(2 * RATE + 100) / RATE
    sf.write(tmp_path / "tone.wav", (0.1 * time * torch.sin(2 * math.pi * 440 * time)).numpy(), RATE)
    return tmp_path / "tone.wav"


def test_variations_of_a_sound_of_any_length(sequence: Pipeline, tone: Path, tmp_path: Path) -> None:
    def varied(amount: float, count: int = 2, seed: int = 0) -> list[Tensor]:
        request = VaryRequest(clip=tone, amount=amount, count=count, seed=seed, normalize="none")
        saved = vary(sequence, request).save(tmp_path / f"{amount}-{seed}")
        assert [one.path.name for one in saved] == [f"tone-vary-{i:02d}.wav" for i in range(count)]
        about = json.loads(saved[0].path.with_suffix(".json").read_text())
        assert {"kind": "sequence", "amount": amount, "seed": seed}.items() <= about.items()
        return [torch.from_numpy(sf.read(one.path)[0]) for one in saved]

    copy = torch.cat(
        list(
            sound_blocks(sequence, iter([encode_sound(sequence, read_wav(tone, sample_rate=RATE)[0])]), 2 * RATE + 100)
        ),
        dim=1,
    )
    same, near, far = varied(0.0), varied(0.3), varied(1.0)
    assert all(len(wav) == 2 * RATE + 100 for wav in (*same, *near, *far))
    assert torch.equal(same[0], same[1]) and not torch.equal(near[0], near[1])

    def distance(wav: Tensor) -> float:
        images = [of_wav(one.float().reshape(1, -1), sequence.spec)(0, 80) for one in (wav, copy)]
        return float((images[0] - images[1]).abs().mean())

    assert distance(same[0]) < 0.1 < distance(near[0]) < distance(far[0])
    assert torch.equal(varied(0.3, 1, 1)[0], near[1])  # a seed is one variation


def test_sounds_between_two(sequence: Pipeline, tone: Path, tmp_path: Path) -> None:
    request = InterpolateRequest(start=str(tone), end="seed:3", steps=3, morph="4s", normalize="none")
    saved = interpolate(sequence, request).save(tmp_path / "out")
    assert [one.path.name for one in saved] == ["step-00.wav", "step-01.wav", "step-02.wav", "morph.wav"]
    assert [round(one.duration_sec * RATE) for one in saved] == [2 * RATE + 100] * 3 + [4 * RATE]
    about = json.loads((tmp_path / "out" / "morph.json").read_text())
    assert {"from": str(tone), "to": "seed:3", "morph_sec": 4.0, "position": 0.5}.items() <= about.items()
    alone = sample(sequence, SampleRequest(seed=3, count=1, duration_sec=2.0, normalize="none")).save(tmp_path / "seed")
    wavs = [torch.from_numpy(sf.read(path)[0]).float() for path in (alone[0].path, saved[2].path, saved[0].path)]
    images = [of_wav(wav[None], sequence.spec)(0, 160) for wav in wavs]
    assert float((images[0] - images[1]).abs().mean()) < 0.2 < float((images[0] - images[2]).abs().mean())


def test_between_equal_ends_is_the_same(sequence: Pipeline, tone: Path, tmp_path: Path) -> None:
    request = InterpolateRequest(start=str(tone), end=str(tone), steps=3, normalize="none", bits="float")
    wavs = [sf.read(one.path)[0] for one in interpolate(sequence, request).save(tmp_path / "out")]
    assert np.abs(wavs[1] - wavs[0]).max() < 0.02 * np.abs(wavs[0]).max()


def test_a_morph_continues_a_shorter_file(sequence: Pipeline, tmp_path: Path) -> None:
    """Its last latents are those of a sound that goes on, not of one that falls silent."""
    wav = torch.from_numpy(0.3 * np.random.default_rng(0).standard_normal((1, 2 * RATE + 100))).float()
    whole, cut = encode_sound(sequence, wav), encode_to_end(sequence, wav[:, : RATE + 100])
    assert len(cut) == (RATE + 100) // sequence.latent_samples
    silence = torch.zeros(1, RATE)
    silent = encode_sound(sequence, torch.cat([wav[:, : RATE + 100], silence], dim=1))[: len(cut)]
    assert float((cut - whole[: len(cut)]).abs().max()) < 0.5 * float((silent - whole[: len(cut)]).abs().max())


def test_a_generated_sound_keeps_its_class(sequence: Pipeline, tmp_path: Path) -> None:
    (made,) = sample(sequence, SampleRequest(count=1, class_name="drum", duration_sec=1.0)).save(tmp_path)
    plain = made.path.rename(tmp_path / "plain.wav")
    made.path.with_suffix(".json").rename(tmp_path / "plain.json")
    (varied,) = vary(sequence, VaryRequest(clip=plain, count=1)).save(tmp_path / "varied")
    request = InterpolateRequest(start=str(plain), end=str(plain), steps=2)
    between = interpolate(sequence, request).save(tmp_path / "between")
    continued = continue_sounds(sequence, ContinueRequest(files=[plain], duration_sec=0.5)).save(tmp_path / "more")
    assert all(one.provenance["class"] == "drum" for one in (varied, *between, *continued))


def test_variations_tell_what_they_change(sequence: Pipeline, tmp_path: Path) -> None:
    sf.write(tmp_path / "loud.wav", np.random.default_rng(0).choice([-1.0, 1.0], RATE), RATE)
    clips = vary(sequence, VaryRequest(clip=tmp_path / "loud.wav", amount=0.0, count=2))
    assert any("all 2 are the same clip" in note for note in clips.notes)
    saved = clips.save(tmp_path / "out")
    expected = 2 if saved[0].provenance["gain_db"] < 0 else 0
    assert len(clips.summary(saved)) == expected and all("turned down" in line for line in clips.summary(saved))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"morph": "0.01s"}, "--morph 0.01s: must be at least 0.1 s"),
        ({"end": "late.wav", "start": "brief.wav"}, r"the first 1.00 s of late.wav: is silent"),
        ({"layers": "coarse"}, "--layers: is of models of clips"),
        ({"keep_attack": "15ms"}, "--keep-attack: is of models of clips"),
        ({"morph": "4s", "morph_kind": "roll"}, "--morph-kind roll: is of models of clips"),
        ({"class_name": "piano"}, "unknown to"),
        ({"end": "seed:x"}, "seed:x: must have a whole number"),
        ({"end": "silence.wav"}, "silence.wav: is silent"),
        ({"end": "missing.wav"}, "missing.wav"),
    ],
)
def test_ways_that_cannot_be(
    sequence: Pipeline, tone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], told: str
) -> None:
    sf.write(tmp_path / "silence.wav", np.zeros(RATE), RATE)
    sf.write(tmp_path / "late.wav", np.r_[np.zeros(2 * RATE), 0.3 * np.ones(RATE)], RATE)
    sf.write(tmp_path / "brief.wav", 0.3 * np.sin(np.arange(RATE)), RATE)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AudioGenError, match=told):
        interpolate(sequence, InterpolateRequest(**{"start": str(tone), "end": "seed:3", **options}))


def test_a_model_that_draws_in_order_has_nothing_between(tone: Path, tmp_path: Path) -> None:
    pipeline = Pipeline.load(write_sequence_bundle(tmp_path / "bundle", prior="lstm"), vocoder="griffinlim:2")
    with pytest.raises(ConfigError, match=r"vary: .*bundle draws one latent after the other.*prior.kind=flow"):
        vary(pipeline, VaryRequest(clip=tone))
