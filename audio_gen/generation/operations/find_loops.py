"""Find the best loops of files and write them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from audio_gen.artefacts.sidecar import of_loop, write_sidecar
from audio_gen.audio.resample import as_wav
from audio_gen.audio.sampler_chunks import write_loop
from audio_gen.errors import AudioGenError, DataError
from audio_gen.generation import find_loops as loops
from audio_gen.generation.find_loops import FoundLoop, LoopSearch
from audio_gen.generation.outputs import claimed, output_stems, sound_files, with_sidecars
from audio_gen.reporter import SILENT, Reporter
from audio_gen.request import Request
from audio_gen.text import one_line


class FindLoopsRequest(Request):
    """Options of `find_loops`."""

    files: list[Path]
    """Sound files, or folders of them."""
    out: Path
    """Folder for the results."""
    count: int = 8
    """Loops per file."""
    bpm: float | None = None
    """Tempo; None estimates it."""
    bars: int | None = None
    """Length in bars of four beats; None is any length between `min_sec` and `max_sec`."""
    min_sec: float = 1.0
    """Shortest loop in seconds."""
    max_sec: float = 16.0
    """Longest loop in seconds."""
    force: bool = False
    """Replace files that exist already."""


@dataclass(frozen=True)
class LoopFiles:
    """The result of `find_loops`.

    Attributes:
        loops: The loops of all files.
        paths: The WAV of each.
        skipped: Files of folders in which nothing was found, with the reason.
    """

    loops: list[FoundLoop] = field(default_factory=list)
    paths: list[Path] = field(default_factory=list)
    skipped: dict[Path, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """All figures."""
        rows = [
            {"path": str(path), "source": str(one.source), **one.to_json()}
            for path, one in zip(self.paths, self.loops, strict=True)
        ]
        skipped = [{"file": str(file), "reason": reason} for file, reason in self.skipped.items()]
        return {"files": rows, "skipped": skipped}

    def lines(self) -> list[str]:
        """A line about each loop."""
        return [
            f"{one_line(path.name)}: {one.cut.start / one.sample_rate:.2f} to {one.cut.end / one.sample_rate:.2f} s, "
            f"seam z {one.seam.step_z:+.1f}"
            for path, one in zip(self.paths, self.loops, strict=True)
        ]


def find_loops(request: FindLoopsRequest, reporter: Reporter = SILENT) -> LoopFiles:
    """Find the best loops of each file and write them as WAVs of 24 bits at the file's rate.

    A file of a folder that cannot be used is skipped with a note; a file that was named is an error.

    Args:
        request: The options.
        reporter: Gets notes and progress.

    Raises:
        AudioGenError: A named file cannot be used, no file of a folder can, or a result would be replaced.
    """
    search = LoopSearch(request.count, request.bpm, request.bars, request.min_sec, request.max_sec)
    named = {file for file in request.files if not file.is_dir()}
    files = sound_files(request.files)
    done, stems = LoopFiles(), output_stems(files)
    found: dict[Path, list[FoundLoop]] = {}
    with reporter.progress("Searching", len(files), "files") as advance:
        for file in files:
            try:
                found[file] = loops.find_loops(file, search)
            except AudioGenError as e:
                if file in named:
                    raise
                done.skipped[file] = str(e)
                reporter.note(f"skipped {e}")
            advance(1)
    if not found:
        raise DataError(f"no loops found: {len(files)} files skipped, first {next(iter(done.skipped.values()))}")
    names = {
        file: [f"{stem}-loop-{i:02d}-{one.length_name}" for i, one in enumerate(found[file], 1)]
        for file, stem in zip(files, stems, strict=True)
        if file in found
    }
    everything = with_sidecars(name for of_file in names.values() for name in of_file)
    hold = {"command": request.origin, "bundle": "", "force": request.force, "reporter": reporter}
    with (
        claimed(request.out, everything, **hold),  # type: ignore[arg-type]
        reporter.progress("Writing", sum(map(len, found.values())), "loops") as advance,
    ):
        for file, those in found.items():
            paths = [request.out / f"{name}.wav" for name in names[file]]
            _write(file, those, paths, request.origin, advance)
            done.loops.extend(those)
            done.paths.extend(paths)
    return done


def _write(file: Path, those: Sequence[FoundLoop], paths: Sequence[Path], command: str, advance: Any) -> None:
    for i, wav in loops.loop_sounds(file, those):
        gain = write_loop(paths[i], as_wav(wav), those[i].sample_rate)
        about = of_loop(source=one_line(file), loop=those[i].to_json(), channels=len(wav), command=command)
        if gain < 1:
            about["gain_db"] = round(20 * math.log10(gain), 4)
        write_sidecar(paths[i], about)
        advance(1)
