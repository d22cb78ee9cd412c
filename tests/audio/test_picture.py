"""Pictures: a band is drawn at its frequency, and no title can break one."""

from pathlib import Path

import pytest
import torch

from audio_gen.audio.mel import MelFrontEnd, MelSpec
from audio_gen.audio.picture import _bands, spectrogram_png

SPEC = MelSpec(sample_rate=22050, n_fft=512, hop_length=256, n_mels=40)
PNG = b"\x89PNG\r\n"


@pytest.mark.parametrize("spec", [None, SPEC])
def test_a_png_comes_back_and_is_written(tmp_path: Path, spec: MelSpec | None) -> None:
    columns = [("a $ title_with^math\n" * 9, torch.randn(40, 30)), ("silence", torch.full((40, 5000), -11.5))]
    data = spectrogram_png(columns, tmp_path / "x" / "a.png", spec=spec, per_row=1)
    assert data.startswith(PNG) and (tmp_path / "x" / "a.png").read_bytes() == data
    assert spectrogram_png(columns[:1], spec=spec).startswith(PNG)


@pytest.mark.filterwarnings("error")
def test_a_title_with_escapes_draws_what_can_be_read() -> None:
    assert spectrogram_png([("kick\x1b[31m\u202e", torch.randn(40, 30))]).startswith(PNG)


@pytest.mark.parametrize("frequency_hz", [300.0, 1000.0, 5000.0])
def test_ticks_are_where_a_sine_is(frequency_hz: float) -> None:
    wav = torch.sin(2 * torch.pi * frequency_hz * torch.arange(22050) / 22050)[None, None]
    loudest = int(MelFrontEnd(SPEC)(wav)[0].mean(1).argmax())
    assert _bands([frequency_hz], 40, SPEC)[0] == pytest.approx(loudest, abs=0.75)
