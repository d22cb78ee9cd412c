"""Each number and list of each model's settings at its extremes: a step of training works, or one line says why not."""

import os
import signal
import types
import typing
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import pytest
import torch
from pydantic import BaseModel

from audio_gen.config import LENGTHS
from audio_gen.errors import AudioGenError, ConfigError, TrainingError
from audio_gen.training.tasks import mels, vae
from audio_gen.training.tasks import run as run_module
from audio_gen.training.tasks.run import TASKS, resolve_config, train_run
from tests.sounds import write_notes, write_second

resource = pytest.importorskip("resource", reason="has no limit of memory")

STATM = Path("/proc/self/statm")  # where a process's own memory can be read
ROOT = Path(__file__).parents[2]
NUMBERS: dict[type, list[Any]] = {
    int: [-1, 0, 1, 3, 10**6, 10**9, 10**30],
    float: [-1.0, 0.0, 1e-300, 1e-3, 7.3, 1e30],
}
LISTS: list[Any] = [[], [0], [1], [8], [4, 8], [8, 12, 8], [8] * 12, [10**9]]
SECONDS, BYTES = 60, 6 << 30  # for one attempt
# Such a run is right and long: it is not begun.
LONG = {f"train.{name}" for name in LENGTHS}
ON = {
    "gan": ["augment=0.5"], "vae": [], "sequence": [], "transfer": [], "cycle": [],
    "vocoder": ["loss.adversarial=1", "judges.period_channels=2", "judges.bands=5", "loss.multi_stft=1"],
}  # fmt: skip
Case = tuple[str, str, Any]


def kinds_of(annotation: Any) -> set[type]:
    """int, float and tuple, where an annotation allows them."""
    origin = typing.get_origin(annotation)
    if origin is Annotated:
        return kinds_of(typing.get_args(annotation)[0])
    if origin in (typing.Union, types.UnionType):
        return set().union(*map(kinds_of, typing.get_args(annotation)))
    return {origin or annotation} & {int, float, tuple}


def values_of(kind: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every setting that takes numbers or lists, with each value to try."""
    for name, field in kind.model_fields.items():
        inner, path = field.annotation, prefix + name
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from values_of(inner, f"{path}.")
            continue
        for one in kinds_of(inner):
            for value in LISTS if one is tuple else NUMBERS[one]:
                if path not in LONG or (isinstance(value, int | float) and value <= 3):
                    yield path, value


# What all models share is tried with one of them, but for the length of a clip.
CASES = [
    (model, path, value)
    for model in TASKS
    for path, value in values_of(TASKS[model][0])
    if model == "vae" or not path.startswith(("train.", "data.")) or path == "data.segment_sec"
]


@contextmanager
def limited() -> Iterator[None]:
    """Let neither time nor memory run out."""

    def late(*_: object) -> None:
        raise TimeoutError(f"still going after {SECONDS} s")

    old, limits = signal.signal(signal.SIGALRM, late), resource.getrlimit(resource.RLIMIT_AS)
    if STATM.is_file():
        used = int(STATM.read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (used + BYTES, limits[1]))
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, old)
        resource.setrlimit(resource.RLIMIT_AS, limits)


def fault_of(notes: Path, run: Path, case: Case) -> str | None:
    """What is wrong with how one value is treated; None where nothing is."""
    model, path, value = case
    settings = ["train.steps=2", "train.batch_size=2", "train.previews=0", *ON[model], f"{path}={value}"]
    tiny = ROOT / "configs" / model / "tiny.yaml"
    try:
        with limited():
            second = write_second(model, notes)
            train_run(notes, run, model=model, config_file=tiny, overrides=settings, device="cpu", to=second)
    except TrainingError as e:  # a loss so heavy that no update is finite
        return None if "NaN or infinite" in str(e) else f"{model} {path}={value}: {e}"
    except AudioGenError as e:
        text = str(e)
        named = path in text or path.rpartition(".")[2] in text
        return None if named and text.isprintable() else f"{model} {path}={value}: {text}"
    except Exception as e:
        return f"{model} {path}={value}: {type(e).__name__}: {str(e)[:200]}"
    return None


@pytest.fixture(scope="module")
def notes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return write_notes(tmp_path_factory.mktemp("notes"), count=4)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what takes long and does not depend on settings."""
    monkeypatch.setattr(run_module, "evaluator_for", lambda *args: None)
    monkeypatch.setattr(mels, "MIN_BASIS_CLIPS", 8)
    monkeypatch.setattr(vae, "DENSITY_CLIPS", 8)
    monkeypatch.setattr(vae, "QUICK_DENSITY_CLIPS", 8)


def test_every_model_has_its_settings() -> None:
    assert set(ON) == set(TASKS)


@pytest.mark.hostile
@pytest.mark.parametrize("case", CASES, ids=str)
def test_extreme_values(notes: Path, tmp_path: Path, quick: None, case: Case) -> None:
    assert fault_of(notes, tmp_path / "run", case) is None


@pytest.mark.parametrize(
    ("model", "path", "value", "told"),
    [
        ("vae", "net.channels", [4, 8], r"net\.channels\.0 \(4\): input should be a multiple of 8"),
        ("vae", "net.channels", [], "net.channels .*at least 1 item"),
        ("gan", "net.channels", [], "net.channels .*at least 1 item"),
        ("gan", "net.latent_dim", 10**9, r"net\.latent_dim \(1000000000\): .*less than or equal to 16384"),
        ("gan", "data.segment_sec", 1e-3, r"data\.segment_sec \(0\.001\) has only 1 frames"),
        ("vocoder", "data.segment_sec", 1e-3, r"data\.segment_sec \(0\.001\): .*give at least 0\.15"),
        ("vocoder", "val_sec", 1e-3, r"^val_sec \(0\.001\): .*give at least 0\.15"),
        ("vae", "loss.kl", -1, r"loss\.kl \(-1\)"),
        ("vae", "train.lr", 1e30, r"train\.lr \(1e\+30\)"),
    ],
)
def test_what_cannot_work_is_refused_before_any_work(
    tmp_path: Path, model: str, path: str, value: Any, told: str
) -> None:
    tiny = ROOT / "configs" / model / "tiny.yaml"
    with pytest.raises(ConfigError, match=told):
        train_run(tmp_path, tmp_path / "run", model=model, config_file=tiny, overrides=[f"{path}={value}"])
    assert not (tmp_path / "run").exists()


def test_the_length_that_is_named_works(tmp_path: Path) -> None:
    tiny = ROOT / "configs" / "vocoder" / "tiny.yaml"
    assert resolve_config(tmp_path, "vocoder", tiny, ["data.segment_sec=0.15", "val_sec=0.15"], {})


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 9 bytes")]
)
def test_memory_that_runs_out_names_the_settings_that_need_it(
    notes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*args: object) -> None:
        raise error

    monkeypatch.setitem(TASKS, "vae", (TASKS["vae"][0], fail))
    tiny = ROOT / "configs" / "vae" / "tiny.yaml"
    with pytest.raises(ConfigError, match=r"^out of memory; lower one of train\.batch_size \(4\), .*net\.latent_dim"):
        train_run(notes, tmp_path / "run", model="vae", config_file=tiny, device="cpu")
