"""Settings: each one is read, explained once, and the table in configs/README.md is what the command prints."""

import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from audio_gen import config
from audio_gen.audio.mel import DEFAULT_PRESET, MelSpec
from audio_gen.cli.quickstart import quickstart_command
from audio_gen.cli.train import train_command
from audio_gen.config import DEFAULT_MODEL, Settings
from audio_gen.errors import ConfigError
from audio_gen.training.tasks.run import TASKS, resolve_config, train_run
from audio_gen.training.tasks.settings import RunConfig, model_for
from audio_gen.training.tasks.vae_settings import VAEConfig
from tests import sounds

ROOT = Path(__file__).parents[1]
README = ROOT / "configs" / "README.md"
BEGIN, END = "<!-- settings -->", "<!-- /settings -->"
Reads = set[tuple[type, str]]
# Switches without which some settings are not needed.
ON = {
    "gan": ["augment=auto"],
    "vae": ["adversarial.start=0"],
    "vocoder": ["loss.adversarial=1", "train.validations=1"],
    "sequence": [],
    "transfer": [],
    "cycle": [],
}
# They are trained on any part of a sound.
NEEDLESS = {
    "vocoder": {"data.onset"}, "sequence": {"data.onset"}, "transfer": {"data.onset"}, "cycle": {"data.onset"},
}  # fmt: skip


def sections_of(kind: type[BaseModel], prefix: str = "") -> list[tuple[str, type, str]]:
    """Dotted name, class and own name of every setting."""
    found: list[tuple[str, type, str]] = []
    for name, field in kind.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            found += sections_of(inner, f"{prefix}{name}.")
        else:
            found.append((prefix + name, kind, name))
    return found


def unread(kind: type[BaseModel], reads: Reads) -> list[str]:
    """The settings of a config class that nobody has read."""
    return [path for path, owner, name in sections_of(kind) if (owner, name) not in reads]


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Reads:
    """What the package reads of settings from now on; checking and saving them is not reading."""
    found: Reads = set()

    def get(self: Settings, name: str) -> Any:
        if name in type(self).model_fields:
            caller = sys._getframe(1).f_globals["__name__"]
            if caller.startswith("audio_gen.") and caller != config.__name__:
                found.add((type(self), name))
        return object.__getattribute__(self, name)

    monkeypatch.setattr(Settings, "__getattribute__", get, raising=False)
    return found


@pytest.fixture(scope="module")
def notes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("notes")
    sounds.write_notes(folder, 8)
    return folder


def train(notes: Path, run: Path, model: str, *overrides: str) -> None:
    tiny = ROOT / "configs" / model / "tiny.yaml"
    second = sounds.write_second(model, notes)
    train_run(notes, run, model=model, config_file=tiny, overrides=[*ON[model], *overrides], device="cpu", to=second)


@pytest.mark.parametrize("model", TASKS)
def test_every_setting_is_read_by_a_run(notes: Path, tmp_path: Path, reads: Reads, model: str) -> None:
    train(notes, tmp_path / "run", model)
    assert set(unread(TASKS[model][0], reads)) == NEEDLESS.get(model, set())


def test_a_setting_that_nobody_reads_is_found(
    notes: Path, tmp_path: Path, reads: Reads, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Spare(VAEConfig):
        spare: int = 1

    monkeypatch.setitem(TASKS, "vae", (Spare, TASKS["vae"][1]))
    train(notes, tmp_path / "run", "vae", "spare=2")
    assert unread(Spare, {(Spare if owner is VAEConfig else owner, name) for owner, name in reads}) == ["spare"]


@pytest.mark.parametrize("model", TASKS)
def test_every_setting_is_explained(model: str) -> None:
    told = config.list_settings(TASKS[model][0])
    assert len(told) > 40
    assert [one.name for one in told if not one.text] == []
    assert [one.default for one in told if one.name == "mel"] == [DEFAULT_PRESET]


def test_the_guide_holds_the_table_that_the_command_prints(run_cli: Callable[..., Any]) -> None:
    printed = run_cli("settings").stdout.strip()
    inside = README.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0].strip()
    assert inside == printed, "write it anew: python -m tests.test_settings"


def test_one_model_has_one_column_of_defaults(run_cli: Callable[..., Any]) -> None:
    head, _, first, *_ = run_cli("settings", "vae").stdout.splitlines()
    assert [cell.strip() for cell in head.split("|")] == ["", "setting", "vae", "what it does", ""]
    assert first.split("|")[2].strip() == f"`{DEFAULT_PRESET}`"


def test_an_unknown_model_is_named(run_cli: Callable[..., Any]) -> None:
    done = run_cli("settings", "wavenet")
    assert done.returncode == 2 and "wavenet: unknown; known are gan, vae, vocoder, sequence" in done.stderr


def test_train_and_quickstart_have_the_same_default_model(tmp_path: Path) -> None:
    assert inspect.signature(train_command).parameters["model"].default is None
    assert inspect.signature(quickstart_command).parameters["model"].default == DEFAULT_MODEL
    assert model_for(tmp_path) == DEFAULT_MODEL and DEFAULT_MODEL in TASKS


def test_a_run_and_a_settings_file_name_their_model(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("model: vocoder")
    assert model_for(tmp_path / "run", tmp_path / "c.yaml") == "vocoder"
    (tmp_path / "c.yaml").write_text("train: {steps: 1}")
    assert model_for(tmp_path / "run", tmp_path / "c.yaml") == DEFAULT_MODEL
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text("model: vae")  # begun when that was the default
    assert model_for(tmp_path / "run", tmp_path / "c.yaml") == "vae"
    with pytest.raises(ConfigError, match=r"none\.yaml"):
        model_for(tmp_path / "new", tmp_path / "none.yaml")


@pytest.mark.parametrize("file", sorted((ROOT / "configs").rglob("*.yaml")), ids=str)
def test_settings_files_name_the_model_that_they_are_for(file: Path) -> None:
    assert model_for(ROOT, file) == file.parent.name


MEL = {"sample_rate": 16000, "n_fft": 512, "hop_length": 256, "n_mels": 40}


@pytest.mark.parametrize("given", [MEL, {**MEL, "f_min": 0, "f_max": 8000.0}, MelSpec(**MEL)])
def test_a_mel_may_be_given_in_several_ways(given: Any) -> None:
    settings = config.build(VAEConfig, {"mel": given})
    assert settings.mel == MelSpec(**MEL)  # type: ignore[arg-type]
    assert settings.model_dump(mode="json")["mel"] == {**MEL, "f_min": 0.0, "f_max": 8000.0}


def test_a_preset_is_kept_by_its_name() -> None:
    spec = MelSpec.preset("22khz_80band_256x")
    for given in ("22khz_80band_256x", spec.to_dict()):
        settings = config.build(VAEConfig, {"mel": given})
        assert settings.mel == spec and settings.model_dump(mode="json")["mel"] == "22khz_80band_256x"


@pytest.mark.parametrize(
    ("wrong", "told"),
    [("44khz", r"mel: no mel preset is called '44khz'"), ({"n_mels": 3}, r"mel: mel settings lack sample_rate"),
     (3, "mel: 3 is not a mel"), ({**MEL, "hop_length": 0}, "mel: hop_length")],
)  # fmt: skip
def test_a_wrong_mel_is_one_of_all_errors(wrong: Any, told: str) -> None:
    with pytest.raises(ConfigError, match=told) as caught:
        config.build(VAEConfig, {"mel": wrong, "train": {"lr": -1}})
    assert "train.lr (-1)" in str(caught.value)


@pytest.mark.parametrize("kept", [MEL, "44khz_128band_512x"])
def test_a_run_goes_on_with_the_mel_as_an_earlier_version_kept_it(tmp_path: Path, kept: Any) -> None:
    settings = config.build(VAEConfig, {"mel": kept, "train": {"steps": 9}})
    values = settings.model_dump(mode="json") | {"mel": kept}
    (tmp_path / "config.yaml").write_text(config.yaml.safe_dump(values))
    again: RunConfig = resolve_config(tmp_path, "vae", None, [], {"train": {"steps": 12}})
    assert again.mel == settings.mel and again.train.steps == 12
    with pytest.raises(ConfigError, match="mel was"):
        resolve_config(tmp_path, "vae", None, ["mel=22khz_80band_256x"], {})


if __name__ == "__main__":
    text = README.read_text(encoding="utf-8")
    table = config.settings_table({name: kind for name, (kind, _) in TASKS.items()})
    head, _, rest = text.partition(BEGIN)
    README.write_text(f"{head}{BEGIN}\n{table}\n{END}{rest.partition(END)[2]}", encoding="utf-8")
