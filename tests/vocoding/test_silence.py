"""Silence before an onset and beyond both ends, through refinement and vocoders."""

import math
from typing import get_args

import pytest
import torch
from torch import Tensor

from audio_gen.audio.mel import MelFrontEnd, MelSpec
from audio_gen.vocoding import griffinlim
from audio_gen.vocoding.bands import low_decimation, low_part, nnls_amplitude
from audio_gen.vocoding.griffinlim import Backend, GriffinLimVocoder, iterated, refine, stages_of, wave
from audio_gen.vocoding.long import copy_synthesis
from audio_gen.vocoding.phases import initial_phasors
from audio_gen.vocoding.silence import FIRST_WEIGHT, LEAD_SEC, RISE_SEC, Opening, silent_frames

SPEC = MelSpec.preset("44khz_128band_512x")
SMALL = MelSpec(16000, 512, 128, 40)
CPU = torch.device("cpu")
FIVE_MS = round(0.005 * SPEC.sample_rate)


def click(onset: int, spec: MelSpec = SPEC, frames: int = 40) -> Tensor:
    """Silence, then noise that decays in 3 ms, (1, 1, T)."""
    samples = spec.samples(frames)
    decay = torch.exp(-torch.arange(samples - onset) / (0.003 * spec.sample_rate))
    noise = torch.randn(samples - onset, generator=torch.Generator().manual_seed(0))
    return torch.cat([torch.zeros(onset), 0.3 * noise * decay])[None, None]


def refined(wav: Tensor, opening: Opening | None) -> Tensor:
    mel = MelFrontEnd(SPEC)(wav)
    amplitude = nnls_amplitude(mel, SPEC)
    start = amplitude * initial_phasors(amplitude, SPEC)
    return refine(start, mel, SPEC, stages_of(2, SPEC), opening=opening, backend="numba")


def begins_off_db(made: Tensor, real: Tensor, onset: int) -> float:
    """By how much the energy of the first 5 ms is off."""
    energies = [float(wav[0, 0, onset : onset + FIVE_MS].square().sum()) for wav in (made, real)]
    return abs(10 * math.log10(energies[0] / energies[1]))


@pytest.mark.parametrize("onset", [SPEC.samples(15), SPEC.samples(15) + 137, SPEC.samples(16) - 5])
def test_nothing_sounds_before_an_onset(onset: int) -> None:
    wav = click(onset)
    made, free = refined(wav, Opening(onset, SPEC.sample_rate)), refined(wav, None)
    silent = onset - math.ceil(LEAD_SEC * SPEC.sample_rate)
    assert not made[..., :silent].any() and free[..., :silent].abs().max() > 0.001
    assert begins_off_db(made, wav, onset) < min(3.0, begins_off_db(free, wav, onset))


def test_the_gate_opens_around_the_onset() -> None:
    gate = Opening(1000, 10_000).gate(2000)
    begin = 1000 - round(LEAD_SEC * 10_000)
    end = begin + round(RISE_SEC * 10_000)
    assert not gate[: begin + 1].any() and (gate[end:] == 1).all() and float(gate[1000]) == pytest.approx(0.5)
    assert (Opening(-500, 10_000).gate(100) == 1).all() and not Opening(500, 10_000).gate(100).any()


def test_an_opening_seen_from_elsewhere() -> None:
    opening = Opening(1000, 44100)
    assert opening.later(1200) == Opening(-200, 44100) and opening.decimated(8) == Opening(125, 5512.5)


def test_the_first_frame_with_sound_counts_more() -> None:
    stft = low_part(SPEC, 1, CPU).stft
    opening, frames = Opening(SPEC.samples(20), SPEC.sample_rate), 40
    first = opening.first_frame(stft)
    begin, end = SPEC.samples(first) - stft.pad, SPEC.samples(first) - stft.pad + stft.n_fft
    assert begin < opening.onset < end <= opening.onset + stft.hop_length + 32  # the earliest window that reaches it
    factors, weighed = opening.gain(stft, frames)
    assert weighed == first
    plain = opening.gate(len(factors)) / stft.coverage(frames)[0, 0]
    inside = slice(int(opening.onset) + 100, end - 10)
    alone = stft.coverage_of(first, frames)[inside]
    torch.testing.assert_close(
        factors[inside] * (stft.coverage(frames)[0, 0, inside] + (FIRST_WEIGHT - 1) * alone), torch.ones(len(alone))
    )
    torch.testing.assert_close(factors[end:], plain[end:])
    outside = Opening(-5000, SPEC.sample_rate).gain(stft, frames)
    assert outside[1] is None
    torch.testing.assert_close(outside[0], stft.coverage(frames)[0, 0].reciprocal())


@pytest.mark.parametrize("spec", [SPEC, SMALL])
@pytest.mark.parametrize(("frames", "at"), [(5, 2.3), (70, 0.0), (70, 20.6), (1100, 20.6), (1100, 700.2)])
def test_both_back_ends_give_the_same(spec: MelSpec, frames: int, at: float) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, frames, spec.n_bins, dtype=torch.complex64)
    target = torch.rand(2, frames, spec.n_mels) * (torch.rand(2, frames, spec.n_mels) > 0.1)
    opening = Opening(at * spec.hop_length, spec.sample_rate)
    for decimation in (1, low_decimation(spec)):
        part = low_part(spec, decimation, CPU)
        assert part and griffinlim._compiled(part, x, "numba")
        expected, made = (iterated(part, x, target, 3, 0.99, opening, backend) for backend in get_args(Backend))
        assert float((made - expected).norm() / expected.norm()) < 1e-4
    whole = low_part(spec, 1, CPU)
    assert whole
    inverses = [wave(whole, x, opening, backend) for backend in get_args(Backend)]
    torch.testing.assert_close(*inverses, atol=1e-6, rtol=0)


@pytest.mark.parametrize("at", [20.6, 352.1, 600.5])
def test_parts_on_several_cores_are_the_whole(at: float) -> None:
    x, target = torch.randn(1, 700, SPEC.n_bins, dtype=torch.complex64), torch.rand(1, 700, SPEC.n_mels)
    opening, before, made = Opening(at * SPEC.hop_length, SPEC.sample_rate), torch.get_num_threads(), {}
    for cores in (1, 4):
        torch.set_num_threads(cores)
        try:
            made[cores] = [iterated(low_part(SPEC, d, CPU), x, target, 8, 0.99, opening, "numba") for d in (1, 8)]
            made[cores].append(wave(low_part(SPEC, 1, CPU), x, opening, "numba"))
        finally:
            torch.set_num_threads(before)
    for whole, parts in zip(made[1], made[4], strict=True):
        assert float((whole - parts).norm() / whole.norm()) < 1e-5


@pytest.mark.parametrize("spec", [SPEC, MelSpec.preset("22khz_80band_256x"), SMALL])
def test_enough_silence_to_keep_reflections_off(spec: MelSpec) -> None:
    assert spec.samples(silent_frames(spec)) >= low_part(spec, 1, CPU).stft.pad > spec.samples(silent_frames(spec) - 1)


def decaying_tone() -> Tensor:
    """A sound that starts at its peak, (1, 1, T)."""
    time = torch.arange(SPEC.samples(40)) / SPEC.sample_rate
    return (0.5 * torch.cos(2 * torch.pi * 440 * time) * torch.exp(-5 * time))[None, None]


@pytest.mark.parametrize("wav", [click(0), decaying_tone()])
def test_a_sound_at_full_level_from_the_start_has_no_mirrored_attack(wav: Tensor) -> None:
    def first(made: Tensor) -> float:
        return float(made[0, 0, 0].abs() / made.abs().max())

    mel, vocoder = MelFrontEnd(SPEC)(wav), GriffinLimVocoder(SPEC)
    assert first(refined(wav, None)) > 0.4  # where ends are reflected
    assert vocoder(mel).shape == wav.shape
    assert first(vocoder(mel)) < 0.05 and first(vocoder(mel, 0)) < 0.05
    made = copy_synthesis(vocoder, wav[0])[None]
    assert made.shape == wav.shape and first(made) < 0.05
    assert begins_off_db(made, wav, 0) < 1


def test_copy_synthesis_keeps_time_and_length() -> None:
    wav = click(3000, frames=21)[0, :, :-77]
    made = copy_synthesis(GriffinLimVocoder(SPEC), wav)
    assert made.shape == wav.shape
    assert not made[:, : 3000 - math.ceil(LEAD_SEC * SPEC.sample_rate)].any()
    assert begins_off_db(made[None], wav[None], 3000) < 3
