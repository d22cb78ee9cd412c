"""Devices by name."""

import pytest
import torch

from audio_gen.device import resolve_device
from audio_gen.errors import ConfigError


def test_auto_is_what_is_there() -> None:
    assert resolve_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert resolve_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["gpu", "", "meta", "cuda:99", "cuda:x"])
def test_what_is_not_there_is_told(name: str) -> None:
    with pytest.raises(ConfigError, match=repr(name)):
        resolve_device(name)
