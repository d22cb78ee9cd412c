"""Shared by operations: file options, and rendering of points of the latent space."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, model_validator
from torch import Tensor

from audio_gen.errors import ConfigError
from audio_gen.files import named_path
from audio_gen.generation.clip import Clip
from audio_gen.generation.finish import Finish
from audio_gen.generation.latents import Latents
from audio_gen.generation.originals import Match
from audio_gen.generation.pipeline import Pipeline
from audio_gen.request import Request

AT_ONCE = 16  # clips
FILE_TAIL_DB = 90.0


def _named(files: Any) -> Any:
    return [named_path(one) if isinstance(one, str) else one for one in files] if isinstance(files, list) else files


SoundFiles = Annotated[list[Path], BeforeValidator(_named)]  # sound files, or folders of them


class FileRequest(Request):
    """Base of requests for clips, with the settings of files."""

    normalize: str | None = None
    """peak: the peak at -1 dBFS; lufs: -23 LUFS; none: as the model renders it. None is peak."""
    bits: str = "24"
    """16 (with dither), 24 or float."""
    rate: int | None = None
    """Sample rate in Hz; None is the model's."""
    tail_db: float | None = None
    """A file ends this far below its peak. None is 60."""
    length: str = "sound"
    """sound: from onset to end; model: the model's whole clip."""
    channels: int | None = None
    """1: the mono mix; 2: stereo, of a stereo model; None: those of the model."""

    @model_validator(mode="after")
    def _check_finish(self) -> Self:
        _ = self.finish
        return self

    @property
    def finish(self) -> Finish:
        """The options as settings of `Clip`."""
        how: dict[str, Any] = {name: getattr(self, name) for name in FileRequest.model_fields if name != "command"}
        return Finish(**{name: value for name, value in how.items() if value is not None})

    def finish_of_file(self, *, unchanged: bool) -> Finish:
        """The options for a version of a user's sound: by default it keeps its level, and unchanged its quiet tail."""
        how = self.finish
        if self.normalize is None:
            how = replace(how, normalize="none")
        return replace(how, tail_db=FILE_TAIL_DB) if unchanged and self.tail_db is None else how


def check_channels(pipeline: Pipeline, channels: int | None) -> None:
    """Refuse stereo of a mono model by a ConfigError."""
    if channels == 2 and pipeline.spec.channels == 1:
        raise ConfigError(
            f"--channels 2: {pipeline.vocabulary.model} is mono; train it on stereo sounds with --set data.channels=2"
        )


def refuse_sequences(pipeline: Pipeline, operation: str) -> None:
    """Refuse a model of sequences, by a ConfigError that names what it can do."""
    if pipeline.is_sequence:
        raise ConfigError(
            f"{operation}: is of models of clips, and {pipeline.vocabulary.model} is one of sequences; use sample, "
            "continue, loop, vary, interpolate or reconstruct"
        )


def rendered(
    pipeline: Pipeline,
    points: Latents,
    names: Sequence[str],
    about: Callable[[int], dict[str, Any]],
    finish: Finish,
    *,
    batch: int = AT_ONCE,
    compare: Callable[[Tensor], list[Match]] | None = None,
) -> Iterator[Clip]:
    """Decode and vocode points, `batch` at a time.

    Args:
        pipeline: The model.
        points: B points.
        names: Names of the clips, B.
        about: Returns the provenance of a clip by its index.
        finish: Settings of files.
        batch: Clips at a time.
        compare: Compares clips with training sounds; its result is added to the provenance.
    """
    for first in range(0, len(points), batch):
        wavs = pipeline.vocode(pipeline.decode(points[first : first + batch], batch), batch)
        matches = compare(wavs) if compare else []
        for i, wav in enumerate(wavs):
            more = {"original": matches[i].to_json()} if matches else {}
            yield Clip(names[first + i], wav, pipeline.spec.sample_rate, {**about(first + i), **more}, finish)
