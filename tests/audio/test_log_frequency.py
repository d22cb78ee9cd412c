"""The spectrum on a logarithmic axis: librosa's filters, without librosa."""

import librosa
import numpy as np
import pytest
import torch

from audio_gen.audio.log_frequency import (
    BINS_PER_SEMITONE,
    GAMMA,
    LOWEST_NOTE,
    LogFrequencySpectrum,
    _filters,
    window_of,
)


@pytest.mark.parametrize("rate", [22050, 44100])
def test_filters_are_librosas(rate: int) -> None:
    mine, window = _filters(rate).numpy(), window_of(rate)
    notes = LOWEST_NOTE + np.arange(len(mine)) / BINS_PER_SEMITONE
    theirs, _ = librosa.filters.wavelet(
        freqs=440 * 2 ** ((notes - 69) / 12), sr=rate, gamma=GAMMA, pad_fft=False, norm=1
    )
    spectra = np.abs(np.fft.fft(theirs, n=window, axis=1))[:, : mine.shape[1]] * 2 / window
    # librosa takes the widths of the first and the last filter from one neighbour, which is the same here.
    assert np.abs(np.abs(mine) - spectra).max() < 1e-3 * spectra.max()


def test_a_sine_of_full_scale_is_0_db_at_its_place() -> None:
    rate, note = 22050, 69
    time = torch.arange(2 * rate) / rate
    wav = torch.sin(2 * torch.pi * 440 * time)[None]
    spectrum = LogFrequencySpectrum(lambda start, count: wav[:, start : start + count], wav.shape[1], rate)
    middle = spectrum(0, spectrum.frames)[:, spectrum.frames // 2]
    assert int(middle.argmax()) == BINS_PER_SEMITONE * (note - LOWEST_NOTE)
    assert float(middle.max()) == pytest.approx(0, abs=0.1)
