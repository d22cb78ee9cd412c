"""The result of operations: clips with their provenance, rendered a few at a time."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from audio_gen.artefacts.sidecar import sidecar_path
from audio_gen.errors import ConfigError, OutputError
from audio_gen.files import at_home
from audio_gen.generation import clip_file
from audio_gen.generation.finish import Finish
from audio_gen.generation.outputs import claimed, with_sidecars
from audio_gen.generation.pipeline import Pipeline
from audio_gen.reporter import SILENT, Advance, Reporter
from audio_gen.text import one_line

DEFAULT_FINISH = Finish()


def ignored(share: float) -> None:
    """Progress without a reader."""


@dataclass(frozen=True)
class Saved:
    """A clip on disk.

    Attributes:
        path: The WAV; its sidecar has the same name with the suffix .json.
        provenance: The contents of its sidecar.
        figures: Measurements that are not in the sidecar.
        duration_sec: Length of the file in seconds.
        cut: Whether the sound is longer than the model's clips.
    """

    path: Path
    provenance: Mapping[str, Any]
    figures: Mapping[str, float]
    duration_sec: float
    cut: bool


@dataclass(frozen=True)
class Clip:
    """A sound that a model generated.

    Attributes:
        name: Suggested file name without suffix, such as "kick-0003".
        wav: (C, T) on the CPU, as the vocoder rendered it.
        sample_rate: Of `wav`, in Hz.
        provenance: The contents of its sidecar.
        finish: Settings of the file: ends, level, rate and depth.
        figures: Measurements that are not in the sidecar.
    """

    name: str
    wav: Tensor
    sample_rate: int
    provenance: dict[str, Any]
    finish: Finish = DEFAULT_FINISH
    figures: Mapping[str, float] = field(default_factory=dict)

    def save(self, path: Path | str, *, overwrite: bool = False, advance: Advance = ignored) -> Saved:
        """Write the WAV and its sidecar.

        Args:
            path: The WAV; it must end in .wav.
            overwrite: Replace existing files.
            advance: Gets the shares of the clip that are done, 1 in all.

        Raises:
            ConfigError: The path has another suffix.
            OutputError: A file exists and `overwrite` is off.
        """
        path = writable(path, overwrite=overwrite)
        done = clip_file.write_clip(path, self.wav, self.provenance, self.finish)
        advance(1)
        return Saved(path, self.provenance, self.figures, done.wav.shape[-1] / done.sample_rate, done.cut)


def writable(path: Path | str, *, overwrite: bool) -> Path:
    """The path of a clip, checked; arguments and errors as for `Clip.save`."""
    path = at_home(path)
    if path.suffix.lower() != ".wav":
        fix = one_line(path.with_suffix(".wav").name) if path.name else "clip.wav"
        raise ConfigError(f"{one_line(path)}: must end in .wav; try {fix}")
    there = [one for one in (path, sidecar_path(path)) if one.exists()]
    if there and not overwrite:
        raise OutputError(f"{one_line(there[0])}: exists already; choose another name, or give overwrite=True")
    return path


class Sound(Protocol):
    """A generated sound that can be written: a `Clip`, or a `LongClip` that is rendered as it is written."""

    @property
    def name(self) -> str:
        """Suggested file name without suffix."""

    @property
    def wav(self) -> Tensor:
        """(C, T) on the CPU, as the vocoder rendered it."""

    @property
    def sample_rate(self) -> int:
        """Of `wav`, in Hz."""

    @property
    def provenance(self) -> dict[str, Any]:
        """The contents of its sidecar."""

    def save(self, path: Path | str, *, overwrite: bool = False, advance: Advance = ignored) -> Saved:
        """See `Clip.save`."""


@dataclass(frozen=True)
class Clips:
    """The result of an operation. Iterating renders the clips, a few at a time, so memory use stays small.

    Attributes:
        names: The clips' names, in order; a name may include a folder.
        render: Yields the clips; notes and progress before the first clip go to the reporter.
        pipeline: The model that renders them.
        command: The command line or request.
        title: Title of the progress bar.
        unit: Unit of the progress bar.
        per_clip: Number of units per clip.
        notes: Notes for the user, shown before rendering.
        pictures: Further files by name, each with a function that writes it to a path.
        summary: Lines about saved clips.
    """

    names: Sequence[str]
    render: Callable[[Reporter], Iterator[Sound]]
    pipeline: Pipeline
    command: str
    title: str
    unit: str = "clips"
    per_clip: float = 1.0
    notes: Sequence[str] = ()
    pictures: Mapping[str, Callable[[Path], None]] = field(default_factory=dict)
    summary: Callable[[Sequence[Saved]], list[str]] = lambda saved: []

    def __len__(self) -> int:
        """Number of clips."""
        return len(self.names)

    def __iter__(self) -> Iterator[Sound]:
        """Render the clips."""
        return self.render(SILENT)

    def save(self, out: Path | str, *, force: bool = False, reporter: Reporter = SILENT) -> list[Saved]:
        """Render all clips into a folder.

        A killed request resumes when it runs again. Two processes cannot write the same files at once.

        Args:
            out: The folder; created if missing.
            force: Replace existing files.
            reporter: Gets notes and progress.

        Raises:
            OutputError: A file exists already, or another process writes it.
        """
        out, files = at_home(out), [*with_sidecars(self.names), *self.pictures]
        saved = []
        with claimed(out, files, command=self.command, bundle=self.pipeline.digest, force=force, reporter=reporter):
            for note in self.notes:
                reporter.note(note)
            clips = self.render(reporter)
            with reporter.progress(self.title, self.per_clip * len(self.names), self.unit) as advance:
                for clip in clips:
                    path = out / f"{clip.name}.wav"
                    saved.append(clip.save(path, overwrite=True, advance=lambda share: advance(self.per_clip * share)))
            for name, draw in self.pictures.items():
                draw(out / name)
        return saved
