"""Pictures: a band is drawn at its frequency, and no title can break one."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

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


STEREO = MelSpec(sample_rate=22050, n_fft=512, hop_length=256, n_mels=40).with_stereo(8)


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def image_of(left: float, right: float) -> torch.Tensor:
    """The image of noise at two levels."""
    noise = torch.randn(22050, generator=torch.Generator().manual_seed(0))
    return MelFrontEnd(STEREO)(torch.stack([left * noise, right * noise])[None])[0]


def test_stereo_has_blue_for_left_orange_for_right_and_black_for_the_centre() -> None:
    def coloured(left: float, right: float) -> tuple[int, int]:
        shown = pixels(spectrogram_png([("a", image_of(left, right))], spec=STEREO))
        red, _, blue = (shown[..., i] for i in range(3))
        # the mel's colours have less blue than red where they are bright, and no pure blue
        return int((blue > 2 * red + 40).sum()), int(((red > 150) & (blue < 60)).sum())

    centre, left, right = coloured(1, 1), coloured(1, 0.2), coloured(0.2, 1)
    assert left[0] > centre[0] + 500 and right[0] < centre[0] + 100
    assert right[1] > centre[1] + 500 and left[1] < centre[1] + 100


def test_width_is_green_and_silence_is_not() -> None:
    def green(wav: torch.Tensor) -> int:
        shown = pixels(spectrogram_png([("a", MelFrontEnd(STEREO)(wav[None])[0])], spec=STEREO))
        return int(((shown[..., 1] > 150) & (shown[..., 0] < 170) & (shown[..., 2] < 120)).sum())

    generator = torch.Generator().manual_seed(0)
    wide, mono = torch.randn(2, 22050, generator=generator), torch.randn(1, 22050, generator=generator).expand(2, -1)
    faint = wide.clone()
    faint[:, 8000:] *= 1e-5  # 100 dB below
    assert green(mono) < 50 and green(wide) > 2000
    assert 0.2 < green(faint) / green(wide) < 0.6


def test_a_mono_mel_is_drawn_as_before() -> None:
    mel = torch.randn(40, 30)
    assert spectrogram_png([("a", mel)], spec=STEREO) == spectrogram_png([("a", mel)], spec=STEREO.mono)
