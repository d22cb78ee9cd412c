from collections.abc import Callable
from typing import get_args

import pytest
import torch

from audio_gen.audio.distance import mrmel
from audio_gen.audio.mel import LOG_FLOOR, PRESETS, MelFrontEnd, MelSpec, mel_filters
from audio_gen.audio.stft import STFT
from audio_gen.vocoding import griffinlim, jit
from audio_gen.vocoding.bands import Bands, LowPart, low_decimation, low_part, nnls_amplitude
from audio_gen.vocoding.griffinlim import Backend, _Fitted, _Turned, iterated, refine, wave
from audio_gen.vocoding.phases import initial_phasors

SPEC = MelSpec.preset("44khz_128band_512x")
CPU = torch.device("cpu")
FRONT_END = MelFrontEnd(SPEC)


def tones(seconds: float = 0.7) -> torch.Tensor:
    time = torch.arange(SPEC.samples(SPEC.frames(round(seconds * SPEC.sample_rate)))) / SPEC.sample_rate
    return sum(0.2 * torch.sin(2 * torch.pi * f0_hz * time) * torch.exp(-2 * time) for f0_hz in (220, 311, 523))[
        None, None
    ]


def strokes() -> torch.Tensor:
    time, wav = torch.arange(SPEC.samples(60)) / SPEC.sample_rate, torch.zeros(SPEC.samples(60))
    for f0_hz, at_sec in ((60, 0.05), (80, 0.22), (100, 0.31), (120, 0.5)):
        since = (time - at_sec).clamp(min=0)
        sweep = 2 * torch.pi * f0_hz * since + 8 * (1 - torch.exp(-30 * since))
        wav += 0.4 * torch.sin(sweep) * torch.exp(-12 * since)
    return wav[None, None]


def start(mel: torch.Tensor) -> torch.Tensor:
    amplitude = nnls_amplitude(mel, SPEC)
    return amplitude * initial_phasors(amplitude, SPEC)


@pytest.mark.parametrize("decimation", [2, 8])
def test_low_bins_are_the_spectrum_of_the_decimated_wave(decimation: int):
    time = torch.arange(SPEC.samples(40))
    frequencies = torch.tensor([150.0, 700.0]) / SPEC.sample_rate
    waves = [
        torch.sin(2 * torch.pi * frequencies[:, None] * time[::step]).sum(0)[None, None] for step in (1, decimation)
    ]
    # Sample 0 of both is at time 0, so that their frames' middles differ by half a sample of either.
    whole, low = FRONT_END.stft(waves[0]), STFT(SPEC.n_fft // decimation, SPEC.hop_length // decimation)(waves[1])
    size = low.shape[1] - 8
    torch.testing.assert_close(whole[:, :size, 4:-4].abs(), decimation * low[:, :size, 4:-4].abs(), atol=0.5, rtol=1e-2)


def test_the_parts_of_a_preset():
    whole, low = low_part(SPEC, 1, CPU), low_part(SPEC, 8, CPU)
    assert whole and low
    assert (whole.size, whole.kept, whole.count) == (1025, 1025, 128)
    # No band of the low part reaches beyond it, and it decides on bins that no other band touches.
    filters = mel_filters(SPEC)
    assert low.size == 129 and float(filters[: low.count, 128:].abs().max()) == 0
    assert float(filters[low.count :, : low.kept].abs().max()) == 0 and low.kept > 110


@pytest.mark.parametrize(
    ("spec", "decimation"),
    [(MelSpec(16000, 500, 130, 20), 4), (MelSpec(16000, 300, 100, 20), 8), (MelSpec(16000, 512, 256, 8), 8)],
)
def test_what_does_not_divide_or_holds_too_little_is_left_out(spec: MelSpec, decimation: int):
    assert low_part(spec, decimation, CPU) is None
    mel = MelFrontEnd(spec)(0.1 * torch.randn(1, 1, 8000))
    x = torch.randn(1, spec.n_bins, mel.shape[-1], dtype=torch.complex64)
    assert torch.equal(
        refine(x, mel, spec, [(decimation, 3), (1, 2)], backend="numba"),
        refine(x, mel, spec, [(1, 2)], backend="numba"),
    )


def test_blocks_are_the_matrix():
    bands, filters = Bands(mel_filters(SPEC)), mel_filters(SPEC)
    amplitude, mel = torch.rand(2, 5, SPEC.n_bins), torch.rand(2, 5, SPEC.n_mels)
    torch.testing.assert_close(bands.mel(amplitude), amplitude @ filters.mT)
    torch.testing.assert_close(bands.spread(mel), mel @ filters)


@pytest.mark.parametrize("kept", [25, 33])
def test_the_gradients_of_refits(kept: int):
    spec = MelSpec(16000, 64, 16, 10)
    part = LowPart(spec, 1, CPU)
    part.bands, part.share, part.kept = Bands(mel_filters(spec).double()), part.share.double(), kept
    spectrum, ahead = (torch.randn(2, 3, 33, dtype=torch.complex128, requires_grad=True) for _ in range(2))
    target = torch.rand(2, 3, 10, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: _Fitted.apply(x, target, part), (spectrum,))
    assert torch.autograd.gradcheck(lambda x, y: _Turned.apply(x, y, target, part), (spectrum, ahead))


@pytest.mark.parametrize("backend", get_args(Backend))
def test_without_iterations_it_is_the_inverse(backend: Backend):
    wav = tones()
    spectrum, mel = FRONT_END.stft(wav), FRONT_END(wav)
    torch.testing.assert_close(refine(spectrum, mel, SPEC, [], backend=backend), wav, atol=1e-5, rtol=0)


@pytest.mark.parametrize("backend", get_args(Backend))
def test_the_sound_itself_stays_where_it_is(backend: Backend):
    wav = tones()
    made = refine(FRONT_END.stft(wav), FRONT_END(wav), SPEC, [(8, 4), (1, 2)], backend=backend)
    assert float((made - wav).norm() / wav.norm()) < 0.03


def test_low_iterations_bring_strokes_nearer():
    wav = strokes()
    mel = FRONT_END(wav)
    few, more = (
        refine(start(mel), mel, SPEC, stages, backend="numba")[0, 0] for stages in ([(1, 2)], [(8, 64), (1, 2)])
    )
    assert mrmel(wav[0, 0], more, SPEC.sample_rate) < 0.75 * mrmel(wav[0, 0], few, SPEC.sample_rate)


@pytest.mark.parametrize("backend", get_args(Backend))
def test_silence_stays_silent(backend: Backend):
    mel = torch.full((1, SPEC.n_mels, 20), LOG_FLOOR)
    made = refine(torch.zeros(1, SPEC.n_bins, 20, dtype=torch.complex64), mel, SPEC, [(8, 8), (1, 2)], backend=backend)
    assert made.isfinite().all() and float(made.abs().max()) == 0


SPECS = [*(MelSpec.preset(name) for name in PRESETS), MelSpec(16000, 512, 128, 120), MelSpec(16000, 512, 128, 40, 300)]


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("frames", [2, 5, 70, 1100])
def test_both_back_ends_give_the_same(spec: MelSpec, frames: int):
    torch.manual_seed(0)
    x = torch.randn(2, frames, spec.n_bins, dtype=torch.complex64)
    target = torch.rand(2, frames, spec.n_mels) * (torch.rand(2, frames, spec.n_mels) > 0.1)
    for decimation in (1, low_decimation(spec)):
        part = low_part(spec, decimation, CPU)
        assert part and griffinlim._compiled(part, x, "numba")
        for momentum in (0.0, 0.99):
            expected, made = (iterated(part, x, target, 3, momentum, None, backend) for backend in get_args(Backend))
            # A single bin may differ more, where what is turned is next to nothing and its phase left to rounding.
            assert float((made - expected).norm() / expected.norm()) < 1e-4
    whole = low_part(spec, 1, CPU)
    assert whole
    torch.testing.assert_close(wave(whole, x, None, "numba"), whole.stft.inverse(x.mT), atol=1e-6, rtol=0)


def test_a_clip_is_the_same_in_a_batch():
    x, target = torch.randn(3, 40, SPEC.n_bins, dtype=torch.complex64), torch.rand(3, 40, SPEC.n_mels)
    part = low_part(SPEC, 8, CPU)
    assert part
    together, alone = (
        iterated(part, x[some], target[some], 30, 0.99, None, "numba") for some in (slice(3), slice(1, 2))
    )
    assert torch.equal(together[1:2], alone)


@pytest.mark.parametrize("iterations", [1, 8, 19])
@pytest.mark.parametrize("momentum", [0.0, 0.99])
def test_parts_on_several_cores_are_the_whole(iterations: int, momentum: float):
    x, target = torch.randn(1, 700, SPEC.n_bins, dtype=torch.complex64), torch.rand(1, 700, SPEC.n_mels)
    before, made = torch.get_num_threads(), {}
    for cores in (1, 2, 4):
        torch.set_num_threads(cores)
        try:
            made[cores] = [
                iterated(low_part(SPEC, d, CPU), x, target, iterations, momentum, None, "numba") for d in (1, 8)
            ]
        finally:
            torch.set_num_threads(before)
    for cores in (2, 4):
        for whole, parts in zip(made[1], made[cores], strict=True):
            assert float((whole - parts).norm() / whole.norm()) < 1e-5


@pytest.mark.parametrize("backend", get_args(Backend))
def test_what_is_refined_is_not_written_into(backend: Backend):
    x, target = torch.randn(1, 40, SPEC.n_bins, dtype=torch.complex64), torch.rand(1, 40, SPEC.n_mels)
    before = x.clone()
    for decimation in (1, 8):
        part = low_part(SPEC, decimation, CPU)
        assert part
        iterated(part, x, target, 2, 0.99, None, backend)
        if decimation == 1:
            wave(part, x, None, backend)
    assert torch.equal(x, before)


def test_machine_code_needs_no_place_on_the_disk(monkeypatch: pytest.MonkeyPatch):
    def refusing(*, cache: bool = False, **_: object) -> Callable[[Callable[..., None]], Callable[..., None]]:
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return lambda function: function

    monkeypatch.setattr(jit.numba, "njit", refusing)
    assert jit.compiled(print) is print
