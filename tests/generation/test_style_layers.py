"""Style mixing: some layers move, the others stay."""

import pytest
import torch

from audio_gen.errors import ConfigError
from audio_gen.generation.interpolate import between, decode_between
from audio_gen.generation.layers import mix_layers, parse_layers
from audio_gen.generation.pipeline import Pipeline
from tests.generation.models import GAN_LAYERS


@pytest.mark.parametrize(
    ("text", "count", "layers"),
    [("2-4", 5, range(2, 5)), (" 3 ", 5, range(3, 4)), ("0-0", 2, range(1)), ("coarse", 5, range(3)),
     ("Fine", 5, range(3, 5)), ("coarse", 4, range(2)), ("fine", 4, range(2, 4))],
)  # fmt: skip
def test_layers_as_users_write_them(text: str, count: int, layers: range) -> None:
    assert parse_layers(text, count) == layers


@pytest.mark.parametrize("text", ["", "5", "2-5", "4-2", "-1", "1-", "all", "1,2", "99999999999"])
def test_wrong_layers_name_the_range(text: str) -> None:
    with pytest.raises(ConfigError, match=rf"--layers {text}: .* within 0-4 \(0 is the coarsest\); try 0-2$"):
        parse_layers(text, 5)


def test_a_model_of_one_layer_has_none_to_choose() -> None:
    with pytest.raises(ConfigError, match=r"--layers fine: .* remove --layers"):
        parse_layers("fine", 1)


def test_only_the_layers_named_move(gan: Pipeline) -> None:
    start, end = gan.latents([1], class_name="bell", pitch=50), gan.latents([2], class_name="flute", pitch=70)
    mixed = mix_layers(start, end, range(1, 2), gan.codec.latent)
    points = between(start, mixed, torch.linspace(0, 1, 5))
    for layer in (0, 2):
        assert torch.equal(points.z[:, layer], start.z[:, 0].expand(5, -1))
    assert torch.equal(points.z[-1, 1], end.z[0, 0]) and torch.equal(points.z[0, 1], start.z[0, 0])
    assert points.conditions.class_id.tolist() == [0] * 5 and points.conditions.pitch.tolist() == [50.0] * 5
    mel = decode_between(gan, start, mixed, torch.tensor([0.0, 1.0]))
    assert torch.equal(mel[:1], gan.decode(start)) and torch.equal(mel[1:], gan.decode(mixed))
    assert not torch.allclose(mel[0], mel[1])


def test_all_layers_are_the_other_clip(gan: Pipeline) -> None:
    start, end = gan.latents([1], class_name="bell", pitch=50), gan.latents([2], class_name="bell", pitch=50)
    assert torch.equal(gan.decode(mix_layers(start, end, range(GAN_LAYERS), gan.codec.latent)), gan.decode(end))
