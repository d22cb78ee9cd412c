"""Long samples of models of sequences."""

from importlib import import_module

from torch import Tensor

from audio_gen.generation.pipeline import Pipeline


def makes_sequences(pipeline: Pipeline) -> bool:
    """Whether a model generates sounds of any length."""
    codec = pipeline.parts.get("codec")
    return codec is not None and pipeline.codec.frames is None and "prior" in pipeline.parts


def generate_long(pipeline: Pipeline, seconds: float, seed: int) -> Tensor:
    """Generate one sound with a model of sequences: wav (C, T)."""
    found: Tensor = import_module("audio_gen.generation.sequence").generate_long(pipeline, seconds, seed)
    return found
