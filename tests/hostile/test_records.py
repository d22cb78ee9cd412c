"""Each field of each record that we read, wrong in turn: it works as before, or is refused in one line."""

from pathlib import Path

import pytest
import torch

from tests.hostile.kinds import KINDS
from tests.hostile.records import faults

QUICK = ["deleted", "null", "text", "digits"]  # of the values, those that found most


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.hostile
@pytest.mark.parametrize("name", KINDS)
def test_every_field_wrong_in_turn(name: str, tmp_path: Path) -> None:
    assert faults(KINDS[name](tmp_path / name)) == []


@pytest.mark.parametrize(
    "name", ["training", "progress", "sidecar", "directions", "reference", "run_record", "kit", "part_map", "styles"]
)
def test_some_values_in_each_field(name: str, tmp_path: Path) -> None:
    assert faults(KINDS[name](tmp_path / name), QUICK) == []
