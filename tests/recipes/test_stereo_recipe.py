"""The stereo recipe: its errors and distances have known values."""

import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from audio_gen.audio.mel import DEFAULT_PRESET, MelSpec
from tests.sounds import noise, pluck, write

FOLDER = Path(__file__).parents[2] / "recipes" / "stereo"
RATE = 44_100


@pytest.fixture(scope="module")
def recipe() -> Iterator[dict[str, ModuleType]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        import sys

        for name in ("sounds", "copies"):
            patch.delitem(sys.modules, name, raising=False)
        yield {name: importlib.import_module(name) for name in ("sounds", "copies")}
        for name in ("sounds", "copies"):
            sys.modules.pop(name, None)


def pair(left: np.ndarray, right: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.stack([left, right]).astype(np.float32))


def test_errors_are_zero_of_a_copy_and_known_of_changes(recipe: dict[str, ModuleType]) -> None:
    errors = recipe["copies"].errors
    hiss = noise(1.0, RATE)
    wav = pair(hiss, hiss)
    assert errors(wav, wav) == (0.0, 0.0)
    level, coherence = errors(wav, pair(2 * hiss, hiss))
    assert level == pytest.approx(6.02, abs=0.05) and coherence == pytest.approx(0, abs=1e-3)
    level, coherence = errors(wav, pair(hiss, -hiss))
    assert level == pytest.approx(0, abs=0.05) and coherence == pytest.approx(2, abs=0.01)
    level, coherence = errors(wav, pair(hiss, noise(1.0, RATE, seed=1)))
    assert level < 1.5 and coherence == pytest.approx(1, abs=0.1)


def test_the_bands_add_up_to_one(recipe: dict[str, ModuleType]) -> None:
    assert torch.allclose(recipe["copies"].bands().sum(0), torch.ones(1025), atol=1e-5)


def test_the_paired_distance_is_zero_of_equal_sets_and_grows(recipe: dict[str, ModuleType]) -> None:
    vectors, paired = recipe["sounds"].Vectors, recipe["copies"].paired_kad
    x = torch.randn(40, 6, generator=torch.Generator().manual_seed(0))
    same = vectors(x, list(range(40)), [""] * 40)
    assert paired(same, same) == "0.00 ± 0.00 (40)" or paired(same, same) == "-0.00 ± 0.00 (40)"
    values = [float(paired(same, vectors(x + shift, list(range(40)), [""] * 40)).split()[0]) for shift in (0.1, 0.5, 2)]
    assert 0 <= values[0] < values[1] < values[2]
    half = vectors(x[::2] + 2, list(range(0, 40, 2)), [""] * 20)
    assert paired(same, half).endswith("(20)")


def test_the_mid_with_its_rows_is_nearer_than_mono(recipe: dict[str, ModuleType]) -> None:
    copies, spec = recipe["copies"], MelSpec.preset(DEFAULT_PRESET)
    side = noise(1.0, RATE, amplitude=0.1)
    mid = noise(1.0, RATE, seed=1)
    wav = pair(mid + side, mid - side)
    stereo, mono = (copies.copier("original", one)(wav) for one in (spec.with_stereo(24), spec))
    assert stereo.shape == mono.shape == wav.shape
    assert copies.errors(wav, stereo)[1] < 0.3 * copies.errors(wav, mono)[1]


def test_sounds_begin_at_the_onset_and_silent_sides_are_left_out(recipe: dict[str, ModuleType], tmp_path: Path) -> None:
    sounds = recipe["sounds"]
    quiet = np.zeros(RATE // 2)
    tone = np.concatenate([quiet, pluck(300, 0.5, RATE), quiet])
    write(tmp_path / "mono.wav", tone, RATE)
    write(tmp_path / "centre.wav", np.stack([tone, tone], 1), RATE)
    write(tmp_path / "left.wav", np.stack([tone, 0 * tone], 1), RATE)
    found = sounds.read_sounds(tmp_path, 2.0)
    assert [Path(one.file).name for one in found] == ["centre.wav", "left.wav"]
    assert all(one.wav.shape[1] <= 0.51 * RATE for one in found)

    class Nothing:
        sample_rate, dimensions = 16_000, 1

        def __call__(self, wavs: list[torch.Tensor]) -> torch.Tensor:
            return torch.zeros(len(wavs), 1)

    by_side = sounds.vectors_by_side(found, Nothing())
    assert {side: one.clips for side, one in by_side.items()} == {
        "left": [0, 1], "right": [0], "mid": [0, 1], "side": [1],
    }  # fmt: skip
