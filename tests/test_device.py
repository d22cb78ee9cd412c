"""Devices by name."""

import pytest
import torch

from audio_gen.device import emulates_bf16, resolve_device
from audio_gen.errors import ConfigError


def test_auto_is_what_is_there() -> None:
    assert resolve_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert resolve_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["gpu", "", "meta", "cuda:99", "cuda:x"])
def test_what_is_not_there_is_told(name: str) -> None:
    with pytest.raises(ConfigError, match=repr(name)):
        resolve_device(name)


@pytest.mark.parametrize(("there", "emulates"), [("avx512_bf16", False), ("bf16", False), ("avx2", True)])
def test_a_cpu_without_instructions_for_bf16_is_known(
    monkeypatch: pytest.MonkeyPatch, there: str, emulates: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"architecture": "x", there: True}, raising=False)
    assert emulates_bf16(torch.device("cpu")) is emulates
    assert not emulates_bf16(torch.device("cuda"))
