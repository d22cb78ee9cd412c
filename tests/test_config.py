from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audio_gen import config
from audio_gen.errors import ConfigError
from audio_gen.training.tasks.vae_settings import VAEConfig

ROOT = Path(__file__).parents[1]


def build(**values: object) -> VAEConfig:
    return config.build(VAEConfig, config.merge({"train": {"steps": 10}}, values))


def test_an_unknown_key_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"unknown setting train\.batchsize; did you mean train\.batch_size\?"):
        build(train={"batchsize": 4})


def test_all_errors_come_at_once_in_one_line() -> None:
    with pytest.raises(ConfigError) as caught:
        build(train={"lr": -1, "batch_size": "many"}, net={"latentdim": 3})
    text = str(caught.value)
    assert all(part in text for part in ("train.lr (-1)", "train.batch_size ('many')", "net.latent_dim?"))
    assert "\n" not in text


def test_overrides_are_typed() -> None:
    values = config.parse_overrides(["train.lr=1e-4", "net.channels=[8, 16]", "data.labels=none"])
    assert values == {"train": {"lr": 1e-4}, "net": {"channels": [8, 16]}, "data": {"labels": "none"}}


@pytest.mark.parametrize(
    "text",
    ["train.lr", "=3", "train.lr=[1", "a..b=1", ".a=1", "train.until=2026-02-30", "train.lr=1e400", "train.lr=nan",
     f"train.steps={'9' * 400}", "train.lr=!!python/name:os.system", "train={lr: 1, lr: 2}"],
)  # fmt: skip
def test_a_malformed_override_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--set"):
        config.parse_overrides([text])


@pytest.mark.parametrize("texts", [["train=5", "train.lr=1"], ["train.lr=1", "train=5"], ["mel=x", "mel.n_mels=3"]])
def test_overrides_of_one_another_are_refused(texts: list[str]) -> None:
    with pytest.raises(ConfigError, match="another --set"):
        config.parse_overrides(texts)


@pytest.mark.parametrize("value", [5, None, "x", [1]])
def test_a_section_is_no_value(value: object) -> None:
    with pytest.raises(ConfigError, match=r"c\.yaml: train \(.* is a section"):
        config.check_sections(VAEConfig, {"train": value}, "c.yaml")


@pytest.mark.parametrize(
    ("content", "told"),
    [("a: 1\na: 2", "'a' twice"), ("a:\n\tb: 1", "a tab"), ("a: !!python/tuple [1]", "a tag"),
     ("a: 1".encode("utf-16"), "UTF-8"), ("a: .inf", "infinite"), (f"a: {'7' * 400}", "digits"), ("1: 2", "section")],
)  # fmt: skip
def test_what_a_file_must_not_hold_is_named(tmp_path: Path, content: str | bytes, told: str) -> None:
    (tmp_path / "c.yaml").write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(ConfigError, match=told):
        config.read_yaml(tmp_path / "c.yaml")


def test_many_errors_and_long_values_are_one_short_line() -> None:
    with pytest.raises(ConfigError) as caught:
        build(train={f"key{i}\x1b": "v" * 10**5 for i in range(300)} | {"lr": "\x1b[2J" * 10**5})
    line = str(caught.value)
    assert len(line) < 2500 and line.isprintable() and "more" in line


@pytest.mark.parametrize("length", [{"steps": 9}, {"minutes": 2}, {"images": 99}, {"until": "2026-01-01 07:00"}])
def test_the_later_length_takes_the_place_of_any_other(length: dict) -> None:
    for before in ({"steps": 3}, {"minutes": 1}, {"images": 5}, {"until": "2030-01-01"}):
        assert config.merge({"train": before}, {"train": length}) == {"train": length}
    (name,) = length
    assert getattr(build(train=length).train, name) is not None


def test_a_time_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"train\.until"):
        build(train={"until": "tomorrow"})


def test_the_later_word_on_length_wins() -> None:
    assert build(train={"minutes": 2}).train.steps is None
    with pytest.raises(ConfigError, match="give one of steps, minutes, images, until"):
        build(train={"minutes": 2, "steps": 3})


@given(st.dictionaries(st.text(min_size=1), st.integers()), st.dictionaries(st.text(min_size=1), st.integers()))
def test_merge_is_an_update_that_changes_neither(base: dict, over: dict) -> None:
    before = dict(base)
    assert config.merge(base, over) == {**base, **over}
    assert base == before


@pytest.mark.parametrize("content", ["a: [1", "- 1", "\x00"])
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(content)
    with pytest.raises(ConfigError, match=r"c\.yaml"):
        config.read_yaml(path)


def test_saved_settings_read_back_equal(tmp_path: Path) -> None:
    made = build(train={"lr": 3e-4}, mel={"sample_rate": 16000, "n_fft": 512, "hop_length": 256, "n_mels": 40})
    config.save(made, tmp_path / "c.yaml")
    assert config.build(VAEConfig, config.read_yaml(tmp_path / "c.yaml")) == made
