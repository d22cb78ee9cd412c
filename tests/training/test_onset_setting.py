"""`data.onset`: clips behind a pre-roll of silence, or as they are; and what of the two goes with what."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from audio_gen.artefacts.bundle import load_bundle
from audio_gen.audio.mel import MelSpec
from audio_gen.audio.onset import lead_samples, onset
from audio_gen.data.dataset import ClipDataset
from audio_gen.errors import CheckpointError, ConfigError
from audio_gen.training.tasks.run import TASKS, resolve_config, train_run
from audio_gen.training.tasks.source import open_source
from audio_gen.vocoding.silence import silent_frames
from tests.sounds import pluck, write

CONFIGS = Path(__file__).parents[2] / "configs"
QUICK = ["train.previews=0", "train.validations=0", "train.steps=1", "augment=0"]
SPEC = MelSpec(16000, 512, 256, 40)
PREROLL = SPEC.samples(silent_frames(SPEC))


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sounds")
    for i in range(6):
        write(folder / f"{i}.wav", np.concatenate([np.zeros(100 * i, np.float32), pluck(200 + 9 * i, 0.3)]))
    return folder


def train(source: Path, run: Path, model: str, *overrides: str, **how: Any) -> Path:
    file = CONFIGS / model / "tiny.yaml"
    return train_run(source, run, model=model, config_file=file, overrides=[*QUICK, *overrides], device="cpu", **how)


@pytest.fixture(scope="module")
def runs(sounds: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A VAE of either kind."""
    place = tmp_path_factory.mktemp("runs")
    return {how: train(sounds, place / how, "vae", f"data.onset={how}") for how in ("align", "keep")}


def test_bundles_say_where_clips_begin(runs: dict[str, Path]) -> None:
    assert load_bundle(runs["align"]).config["preroll"] == PREROLL
    assert load_bundle(runs["keep"]).config["preroll"] == 0


def task_of(source: Path, run: Path, *overrides: str) -> Any:
    settings = resolve_config(run, "vae", CONFIGS / "vae" / "tiny.yaml", [*QUICK, *overrides], {})
    cache = open_source(source, run, settings, SPEC, lambda event: None)
    return TASKS["vae"][1](settings, SPEC, cache), cache


def test_training_clips_begin_at_one_sample(sounds: Path, tmp_path: Path) -> None:
    task, cache = task_of(sounds, tmp_path / "run")
    assert (task.preroll, task.mels.onset) == (PREROLL, PREROLL + lead_samples(16000))
    samples = task.segments[0]
    data = ClipDataset(cache, split="train", segment_samples=samples, seed=0, crop="start", preroll=task.preroll)
    begins = {onset(wav[0].numpy(), 16000) for wav in data.batch(0, 12).wav}
    assert max(begins) - task.mels.onset <= 8 and min(begins) >= task.mels.onset  # 8 of the fade-in, if any


def test_segments_as_short_as_the_preroll_have_none(sounds: Path, tmp_path: Path) -> None:
    task, _ = task_of(sounds, tmp_path / "run", f"data.segment_sec={silent_frames(SPEC) * 256 / 16000}")
    assert (task.preroll, task.mels.onset) == (0, None)


@pytest.mark.parametrize(("theirs", "mine"), [("align", "keep"), ("keep", "align")])
def test_the_two_kinds_do_not_go_together(
    runs: dict[str, Path], sounds: Path, tmp_path: Path, theirs: str, mine: str
) -> None:
    with pytest.raises(CheckpointError, match=rf"--init .*; add --set data\.onset={theirs}$"):
        train(sounds, tmp_path / "vae", "vae", f"data.onset={mine}", init=runs[theirs])


def test_a_run_of_before_goes_on_as_it_began(runs: dict[str, Path], tmp_path: Path) -> None:
    stored = yaml.safe_load((runs["keep"] / "config.yaml").read_text())
    del stored["data"]["onset"]
    run = tmp_path / "old"
    run.mkdir()
    (run / "config.yaml").write_text(yaml.safe_dump(stored))
    assert resolve_config(run, "vae", None, [], {}).data.onset == "keep"
    with pytest.raises(ConfigError, match=r"data\.onset was keep, is align"):
        resolve_config(run, "vae", None, ["data.onset=align"], {})
