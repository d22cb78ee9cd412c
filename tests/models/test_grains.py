"""Transfer by grains, and what transforms read of a sound."""

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from audio_gen.audio.mel import MelSpec
from audio_gen.models.contract import Kept
from audio_gen.models.transforms.grains import Grains
from audio_gen.models.transforms.matching import Matching
from audio_gen.models.transforms.sound import Ranges, SoundFrames, loudness_db, matched, quantiles, shifted_pitch
from tests.models.test_salience import tone

SPEC = MelSpec.preset("22khz_80band_256x")
RATE = SPEC.sample_rate


def melody(*notes: float, harmonics: int = 8) -> Tensor:
    """Notes of half a second (1, T) that decay."""
    fall = torch.exp(-3 * torch.arange(RATE // 2) / RATE)
    return torch.cat([tone(note, RATE, 0.5, harmonics)[:, : RATE // 2] * fall for note in notes], dim=1)


def hits(count: int = 6, seed: int = 0) -> Tensor:
    """Decaying noise, four times a second (1, T)."""
    noise = torch.randn(count, RATE // 4, generator=torch.Generator().manual_seed(seed))
    return 0.3 * (noise * torch.exp(-30 * torch.arange(RATE // 4) / RATE)).flatten()[None]


def frames_of(wav: Tensor) -> SoundFrames:
    return SoundFrames.of_wav(wav, SPEC)


@pytest.fixture(scope="module")
def grains() -> Grains:
    return Grains([melody(55, 57, 59, 60, 62, 64, 65, 67, harmonics=3), melody(60, 64, 67, harmonics=3)], SPEC)


def test_loudness_is_the_level_of_the_sound() -> None:
    noise = torch.randn(1, RATE, generator=torch.Generator().manual_seed(0))
    levels = [float(loudness_db(frames_of(gain * noise).mel(10, 50), SPEC).mean()) for gain in (0.1, 0.01)]
    assert levels[0] - levels[1] == pytest.approx(20, abs=0.5)


def test_controls_of_parts_equal_those_of_the_whole() -> None:
    sound = frames_of(melody(60, 64, 67))
    whole = sound.controls(0, sound.frames)
    cuts = [*range(0, sound.frames, 29), sound.frames]
    parts = [sound.controls(a, b) for a, b in pairwise(cuts)]
    for name, value in whole._asdict().items():
        joined = torch.cat([getattr(part, name) for part in parts], dim=-1)
        torch.testing.assert_close(joined, value, atol=2e-3, rtol=1e-3)


def test_melodies_have_pitches_and_hits_have_none() -> None:
    assert Ranges.of([frames_of(melody(60, 64, 67))]).is_pitched
    assert not Ranges.of([frames_of(hits())]).is_pitched
    assert Ranges.of([frames_of(melody(60, 60, 60))]).middle == pytest.approx(60, abs=0.5)


def test_values_are_matched_by_quantiles() -> None:
    have, want = quantiles(torch.linspace(0, 1, 1000)), quantiles(torch.linspace(-60, -20, 1000))
    torch.testing.assert_close(matched(torch.tensor([0.0, 0.5, 1.0]), have, want), torch.tensor([-60.0, -40.0, -20.0]))


def test_pitches_move_by_semitones() -> None:
    salience = torch.zeros(253, 1)
    salience[100] = 1
    assert int(shifted_pitch(salience, -12).argmax()) == 64
    assert int(shifted_pitch(salience, 12).argmax()) == 136
    assert float(shifted_pitch(salience, 60).sum()) == 0


@pytest.mark.parametrize(
    ("notes", "octaves"), [((60, 62, 64), 0), ((64, 65, 62), 0), ((84, 86, 88), -2), ((48, 50, 52), 1)]
)
def test_octaves_bring_pitches_to_those_of_the_target(notes: tuple[int, ...], octaves: int) -> None:
    source, target = (Ranges.of([frames_of(melody(*some))]) for some in (notes, (60, 62, 64, 65)))
    found = Matching(source, target, Kept())
    assert found.octaves == octaves
    assert any("octave" in note for note in found.notes) == bool(octaves)
    assert Matching(source, target, Kept(octaves=0)).octaves == 0


def test_what_has_no_pitch_is_told() -> None:
    source, target = Ranges.of([frames_of(melody(60, 64))]), Ranges.of([frames_of(hits())])
    assert "the target has no steady pitches" in Matching(source, target, Kept()).notes[0]
    assert "it has no steady pitches" in Matching(target, source, Kept()).notes[0]
    assert Matching(target, target, Kept()).notes == ()


def test_grains_play_the_pitches_of_the_sound(grains: Grains) -> None:
    wav = melody(65, 57, 62)
    sound = frames_of(wav)
    rendition = grains.begin(sound, 0, Kept())
    mel = rendition.mel(0, sound.frames)
    assert mel.shape == (SPEC.n_mels, sound.frames)
    places = [round(t * SPEC.frame_rate) for t in (0.25, 0.75, 1.25)]
    for note, at in zip((65, 57, 62), places, strict=True):
        same = frames_of(melody(note, note, harmonics=3)).mel(20, 21)[:, 0]
        other = frames_of(melody(note + 5, note + 5, harmonics=3)).mel(20, 21)[:, 0]
        mine = mel[:, at]
        assert float((mine - same).abs().mean()) < float((mine - other).abs().mean())


def test_a_sound_of_the_target_is_played_by_itself(grains: Grains) -> None:
    wav = melody(55, 57, 59, 60, 62, 64, 65, 67, harmonics=3)
    sound = frames_of(wav)
    path = grains.begin(sound, 0, Kept()).path
    follows = (path[1:] - path[:-1] == 2).mean()
    assert follows > 0.8


def test_a_rendition_in_parts_equals_the_whole(grains: Grains) -> None:
    sound = frames_of(melody(60, 64, 67))
    rendition = grains.begin(sound, 0, Kept())
    whole = rendition.mel(0, sound.frames)
    parts = [rendition.mel(at, min(at + 31, sound.frames)) for at in range(0, sound.frames, 31)]
    assert torch.equal(torch.cat(parts, dim=1), whole)


def test_progress_of_a_rendition_is_one_in_all(grains: Grains) -> None:
    done: list[float] = []
    grains.begin(frames_of(melody(60, 64, 67)), 0, Kept(), done.append)
    assert sum(done) == pytest.approx(1)


def test_hits_stay_where_they_are() -> None:
    grains = Grains([hits(12, seed=1)], SPEC)
    assert grains.features.shape.shape[1] == grains.mel.shape[1]
    sound = frames_of(torch.cat([torch.zeros(1, RATE // 8), hits(4)], dim=1))
    mel = grains.begin(sound, 0, Kept()).mel(0, sound.frames)
    wanted, have = (loudness_db(one, SPEC) for one in (sound.mel(0, sound.frames), mel))
    both = torch.corrcoef(torch.stack([wanted.clamp(min=-60), have.clamp(min=-60)]))[0, 1]
    assert float(both) > 0.8
