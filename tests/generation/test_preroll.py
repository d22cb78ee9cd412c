"""Models whose clips lie behind a pre-roll of silence, and those from before there was one."""

import json
import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from audio_gen.artefacts.bundle import load_bundle
from audio_gen.audio.onset import lead_samples, onset
from audio_gen.errors import CheckpointError
from audio_gen.generation.inputs import encode_file
from audio_gen.generation.pipeline import Pipeline
from audio_gen.training.tasks.start import check_preroll
from audio_gen.vocoding.silence import LEAD_SEC, silent_frames, subtract_floor
from tests import sounds
from tests.generation.models import FRAMES, SPEC, write_bundle

RATE = SPEC.sample_rate
PREROLL = SPEC.samples(silent_frames(SPEC))
LEAD = lead_samples(RATE)
TEN_MS = round(0.01 * RATE)


def with_preroll(folder: Path, preroll: int) -> Path:
    """The same model as `write_bundle`, trained behind a pre-roll."""
    config = json.loads((write_bundle(folder) / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "preroll": preroll}))
    return folder


@pytest.fixture(scope="module")
def aligned(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    folder = with_preroll(tmp_path_factory.mktemp("aligned") / "bundle", PREROLL)
    return Pipeline.load(folder, vocoder="griffinlim:2", device="cpu")


def hit(before: int = 0, samples: int = 3000) -> Tensor:
    """Silence, then full level that decays, (1, T)."""
    time = torch.arange(samples)
    return torch.cat([torch.zeros(before), 0.5 * torch.where(time % 2 == 1, -1.0, 1.0) * torch.exp(-time / 500)])[None]


def test_an_old_bundle_is_what_it_was(pipeline: Pipeline, tmp_path: Path) -> None:
    assert pipeline.preroll == 0 and pipeline.onset is None and pipeline.samples == FRAMES * SPEC.hop_length
    mel = pipeline.decode(pipeline.latents([3, 4]))
    made = pipeline.vocode(mel)
    assert torch.equal(made, pipeline.vocoder(subtract_floor(mel, pipeline.codec.mel_floor)))
    assert made.shape[-1] == pipeline.samples
    shifted = hit(TEN_MS)
    assert pipeline.begin(shifted) == 0 and not torch.equal(pipeline.mel(hit()), pipeline.mel(shifted))
    zero = Pipeline.load(with_preroll(tmp_path / "bundle", 0), vocoder="griffinlim:2", device="cpu")
    assert torch.equal(zero.vocode(mel), made) and torch.equal(zero.mel(shifted), pipeline.mel(shifted))


def test_a_preroll_is_no_part_of_a_clip(aligned: Pipeline, pipeline: Pipeline) -> None:
    assert (aligned.preroll, aligned.onset) == (PREROLL, PREROLL + LEAD)
    assert aligned.samples == FRAMES * SPEC.hop_length - PREROLL
    assert aligned.duration_sec == pytest.approx(aligned.samples / RATE)
    assert torch.equal(aligned.decode(aligned.latents([3])), pipeline.decode(pipeline.latents([3])))


def test_clips_begin_with_their_onset(aligned: Pipeline) -> None:
    wav = aligned.sample(3)
    assert wav.shape == (3, 1, aligned.samples)
    silent = LEAD - math.ceil(LEAD_SEC * RATE)
    assert silent > 5 and not wav[..., :silent].any() and (wav[..., LEAD : LEAD + TEN_MS].abs().amax(-1) > 0).all()
    real = aligned.vocode(aligned.mel(hit(TEN_MS))[None])[0, 0]
    assert abs(onset(real.numpy(), RATE) - LEAD) <= LEAD_SEC * RATE


@pytest.mark.parametrize("before", [0, 5, LEAD, TEN_MS, 1000])
def test_the_mel_of_a_sound_is_the_same_wherever_it_begins(aligned: Pipeline, before: int) -> None:
    assert aligned.begin(hit(before)) == before - LEAD
    mel = aligned.mel(hit(before))
    assert mel.shape == (SPEC.n_mels, FRAMES)
    if before >= LEAD:  # without silence before it, its own first samples are faded in
        assert torch.equal(mel, aligned.mel(hit(TEN_MS)))
    else:
        assert float((mel - aligned.mel(hit(TEN_MS))).abs().mean()) < 0.3
    floor = aligned.codec.mel_floor
    assert bool((mel[:, : (PREROLL - SPEC.pad) // SPEC.hop_length] == floor).all())


def test_noise_before_an_onset_is_left_out(aligned: Pipeline) -> None:
    wav = hit(1000)
    clean = aligned.mel(wav)
    wav[:, : 1000 - LEAD] = 0.002 * torch.where(torch.arange(1000 - LEAD) % 2 == 1, -1.0, 1.0)
    assert aligned.begin(wav) == 1000 - LEAD and torch.equal(aligned.mel(wav), clean)


def test_the_mel_does_not_write_into_its_sound(aligned: Pipeline) -> None:
    wav = hit(1000) + 0.001
    before = wav.clone()
    aligned.mel(wav)
    assert torch.equal(wav, before)


@pytest.mark.parametrize("before", [0, 441, 44100])  # the last is read from shortly before its sound
def test_files_are_encoded_from_their_onset(aligned: Pipeline, tmp_path: Path, before: int) -> None:
    path = sounds.write(tmp_path / "a.wav", hit(before)[0].numpy(), subtype="FLOAT")
    encoded = encode_file(aligned, path)
    assert (encoded.begin, encoded.length) == (before - LEAD, before + 3000)
    assert encoded.frames == -(-(3000 + LEAD + PREROLL) // SPEC.hop_length)
    assert torch.equal(encoded.mel, aligned.mel(hit(min(before, 4410))))
    # As `reconstruct` writes it: at the file's own time.
    copy = F.pad(aligned.vocode(encoded.mel[None])[0], (encoded.begin, 0))[0]
    assert abs(onset(copy.numpy(), RATE) - before) <= LEAD_SEC * RATE


def test_training_goes_on_only_from_clips_that_begin_at_one_place(aligned: Pipeline, bundle: Path) -> None:
    new, old = load_bundle(aligned.path), load_bundle(bundle)
    check_preroll(new, PREROLL, aligned.path)
    check_preroll(old, 0, bundle)
    with pytest.raises(CheckpointError, match=rf"begin {PREROLL} samples .* 0; add --set data\.onset=align"):
        check_preroll(new, 0, aligned.path)
    with pytest.raises(CheckpointError, match=r"add --set data\.onset=keep"):
        check_preroll(old, PREROLL, bundle)
