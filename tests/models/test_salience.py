"""Pitch salience: known pitches of synthetic tones, and parts that equal the whole."""

import pytest
import torch
from torch import Tensor

from audio_gen.audio.log_frequency import BINS_PER_SEMITONE, LOWEST_NOTE, LogFrequencySpectrum
from audio_gen.models.salience import PITCHES, PitchSalience, SalienceNetwork, peaks, salience_of, shipped_network


def tone(note: float, sample_rate: int, duration_sec: float = 1.5, harmonics: int = 8) -> Tensor:
    """A tone (1, T) with harmonics that fall by 6 dB an octave."""
    time = torch.arange(round(duration_sec * sample_rate)) / sample_rate
    hz = 440 * 2 ** ((note - 69) / 12)
    parts = [torch.sin(2 * torch.pi * hz * k * time) / k for k in range(1, harmonics + 1) if hz * k < sample_rate / 2]
    return 0.2 * torch.stack(parts).sum(0)[None]


@pytest.mark.parametrize("sample_rate", [22050, 44100, 48000])
@pytest.mark.parametrize("note", [36, 57, 69.5, 84])
def test_a_tone_lights_its_pitch(sample_rate: int, note: float) -> None:
    salience = salience_of(tone(note, sample_rate), sample_rate)
    middle = salience[:, 15:45].mean(1)
    found = LOWEST_NOTE + int(middle.argmax()) / BINS_PER_SEMITONE
    assert found == pytest.approx(note, abs=0.4)
    assert float(middle.max()) > 0.5


def test_a_chord_lights_all_of_its_notes() -> None:
    wav = torch.stack([tone(note, 44100) for note in (55, 59, 62)]).sum(0) / 2
    middle = salience_of(wav, 44100)[:, 15:45].mean(1, keepdim=True)
    notes = (peaks(middle, 0.4)[:, 0].nonzero()[:, 0] / BINS_PER_SEMITONE + LOWEST_NOTE).round().int().tolist()
    assert {55, 59, 62} <= set(notes)
    assert len(notes) <= 4  # an octave may be added


def test_noise_and_silence_have_no_pitch() -> None:
    noise = 0.1 * torch.randn(1, 44100, generator=torch.Generator().manual_seed(0))
    assert float(salience_of(noise, 44100).amax(0).mean()) < 0.3
    assert float(salience_of(torch.zeros(1, 44100), 44100).max()) < 0.2


def test_parts_equal_the_whole() -> None:
    wav = torch.cat([tone(60, 44100), tone(67, 44100)], dim=1)
    found = PitchSalience(lambda start, count: wav[:, start : start + count], wav.shape[1], 44100)
    whole = found(0, found.frames)
    parts = torch.cat([found(at, min(at + 37, found.frames)) for at in range(0, found.frames, 37)], dim=1)
    assert whole.shape == (PITCHES, found.frames)
    torch.testing.assert_close(parts, whole, atol=1e-5, rtol=0)


def test_a_frame_is_centred_on_its_samples() -> None:
    wav = torch.zeros(1, 44100)
    found = LogFrequencySpectrum(lambda start, count: wav[:, start : start + count], 44100, 44100)
    wav[0, 20 * found.hop_length + found.hop_length // 2] = 1.0
    levels = found(0, found.frames)
    assert int(levels[200].argmax()) == 20


def test_a_sine_lights_its_bin_at_its_level() -> None:
    wav = torch.sin(2 * torch.pi * 440 * torch.arange(44100) / 44100)[None]
    found = LogFrequencySpectrum(lambda start, count: wav[:, start : start + count], 44100, 44100)
    levels = found(20, 21)[:, 0]
    assert int(levels.argmax()) == (69 - LOWEST_NOTE) * BINS_PER_SEMITONE
    assert float(levels.max()) == pytest.approx(0, abs=0.1)


def test_the_shipped_network_is_small_and_complete() -> None:
    assert sum(p.numel() for p in shipped_network().parameters()) < 50_000
    assert shipped_network().state_dict().keys() == SalienceNetwork().state_dict().keys()
