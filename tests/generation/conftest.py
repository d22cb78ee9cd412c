"""One bundle and one pipeline for all tests of generation."""

from pathlib import Path

import pytest
import torch

from audio_gen.generation.pipeline import Pipeline
from tests.generation.models import write_bundle, write_gan_bundle, write_sequence_bundle

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("model") / "bundle")


@pytest.fixture(scope="session")
def pipeline(bundle: Path) -> Pipeline:
    return Pipeline.load(bundle, vocoder="griffinlim:2", device="cpu")


@pytest.fixture(scope="session")
def gan(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """A GAN of log-mels, with three layers."""
    return Pipeline.load(write_gan_bundle(tmp_path_factory.mktemp("gan")), vocoder="griffinlim:2", device="cpu")


@pytest.fixture(scope="session")
def stereo(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """A stereo VAE."""
    folder = write_bundle(tmp_path_factory.mktemp("stereo") / "bundle", stereo=True)
    return Pipeline.load(folder, vocoder="griffinlim:2", device="cpu")


@pytest.fixture(scope="session")
def stereo_gan(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """A stereo GAN with a decay axis."""
    folder = write_gan_bundle(tmp_path_factory.mktemp("stereo-gan") / "bundle", stereo=True, decay=True)
    return Pipeline.load(folder, vocoder="griffinlim:2", device="cpu")


@pytest.fixture(scope="session")
def struck(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """A model with velocities."""
    folder = write_bundle(tmp_path_factory.mktemp("struck") / "bundle", velocity=True)
    return Pipeline.load(folder, vocoder="griffinlim:2", device="cpu")


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """A model without classes and pitch."""
    folder = write_bundle(tmp_path_factory.mktemp("plain") / "bundle", classes=False, pitch=False)
    return Pipeline.load(folder, vocoder="griffinlim:2", device="cpu")


@pytest.fixture(scope="session")
def sequence(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """A model of sequences with classes."""
    folder = write_sequence_bundle(tmp_path_factory.mktemp("sequence") / "bundle")
    return Pipeline.load(folder, vocoder="griffinlim:2", device="cpu")


@pytest.fixture(scope="session")
def stereo_sequence(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """A stereo model of sequences without classes."""
    folder = write_sequence_bundle(tmp_path_factory.mktemp("sequence") / "bundle", classes=False, stereo=True)
    return Pipeline.load(folder, vocoder="griffinlim:2", device="cpu")
