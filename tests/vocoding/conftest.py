"""A bundle of a model without a vocoder."""

from pathlib import Path

import pytest

from tests.generation.models import write_bundle


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("model") / "bundle")
