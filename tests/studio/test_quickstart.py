"""What a quickstart refuses, in words of its own options."""

from pathlib import Path

import pytest

from audio_gen.errors import ConfigError
from audio_gen.studio.quickstart import QuickstartRequest, quickstart
from audio_gen.training.tasks.run import train_run
from tests.sounds import write_notes

TINY = (
    "mel={sample_rate: 16000, n_fft: 512, hop_length: 256, n_mels: 40}", "data.segment_sec=0.5", "net.channels=[8,16]",
    "train.batch_size=2", "train.previews=0",
)  # fmt: skip


@pytest.mark.parametrize("vocoder", [None, "griffinlim:2"])
def test_another_folder_names_out(tmp_path: Path, vocoder: str | None) -> None:
    write_notes(tmp_path / "a", 4)
    write_notes(tmp_path / "b", 5)
    train_run(tmp_path / "a", tmp_path / "out" / "run", model="vae", overrides=TINY, steps=1, device="cpu")
    request = QuickstartRequest(
        folder=tmp_path / "b", out=tmp_path / "out", model="vae", overrides=TINY, vocoder=vocoder, device="cpu"
    )
    with pytest.raises(ConfigError, match=r"was started on .*a; give that folder, or another --out$"):
        quickstart(request)


def test_sounds_in_the_place_of_the_run_name_out(tmp_path: Path) -> None:
    write_notes(tmp_path / "out" / "run", 4)
    request = QuickstartRequest(folder=tmp_path / "out" / "run", out=tmp_path / "out", force=True, device="cpu")
    with pytest.raises(ConfigError, match=r"^--out .*contains the sounds") as caught:
        quickstart(request)
    assert "--run" not in str(caught.value)
