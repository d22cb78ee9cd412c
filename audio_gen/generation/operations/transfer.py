"""Play sounds in the timbre of others."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from pydantic import Field, field_validator

from audio_gen.artefacts.folders import is_run_or_bundle
from audio_gen.artefacts.sidecar import of_transfer
from audio_gen.data.measurement import Measurement
from audio_gen.data.names import meant
from audio_gen.errors import AudioFileError, CheckpointError, ConfigError
from audio_gen.generation.class_transfer import BY_CLASS, ClassTransform, check_classes, class_pipeline, reclassed
from audio_gen.generation.clip import Clip, Clips, Saved
from audio_gen.generation.long_clip import LongClip
from audio_gen.generation.operations.common import FileRequest, SoundFiles
from audio_gen.generation.outputs import distinct_names, output_stems, sound_files
from audio_gen.generation.pipeline import Pipeline
from audio_gen.generation.stored_sound import check_sound
from audio_gen.generation.transfer import GRAINS, Transferred, grain_pipeline, target_name
from audio_gen.generation.transferred import Transfer
from audio_gen.models.contract import Kept
from audio_gen.reporter import SILENT, Advance, Reporter
from audio_gen.text import one_line, shortened

KEEPABLE = ("pitch", "loudness", "attack", "brightness")
METHODS = (GRAINS, "model", BY_CLASS)
WITHOUT_PITCH = ("cycle", BY_CLASS)  # kinds that do not read pitches
MOST_OCTAVES = 6
LEAST_TOLD_DB = 0.5


class TransferRequest(FileRequest):
    """Options of `transfer`."""

    files: SoundFiles
    """Sounds to transfer, or folders of them; the first one may be a run that was trained to transfer."""
    to: str | None = None
    """A folder of the target's sounds; or a class of the run; None if the run has one target."""
    method: str | None = None
    """grains: frames of the target's sounds, without training; model: a run that learned to transfer; class: a run
    with classes, of which `to` is one. None is what the run can, and grains without a run."""
    class_name: str | None = None
    """With the method class: class of the sounds whose name and folder do not say it."""
    keep: list[str] | None = None
    """Of pitch, loudness, attack and brightness, what the result takes from the sound; None is all."""
    mix: float = Field(default=1.0, ge=0, le=1, allow_inf_nan=False)
    """Share of the result in a mix with the sound itself."""
    start: float = Field(default=1.0, ge=0, le=1, allow_inf_nan=False)
    """Amount of the transfer where the sound begins: 0 is the sound itself."""
    end: float = Field(default=1.0, ge=0, le=1, allow_inf_nan=False)
    """Amount where it ends; in between it moves evenly."""
    octaves: int | None = Field(default=None, ge=-MOST_OCTAVES, le=MOST_OCTAVES)
    """Move pitches by so many octaves; None is as many as bring them to those of the target."""
    levels: bool = True
    """Take the sound's range of levels for the target's, so that its loudest is played as the target's loudest."""
    vocoder: str | None = None
    """See `load_vocoder`."""
    device: str = "auto"
    """Where to compute."""

    @field_validator("keep")
    @classmethod
    def _check_keep(cls, keep: list[str] | None) -> list[str] | None:
        for name in keep or ():
            if name not in KEEPABLE:
                raise ValueError(f"{shortened(name)} cannot be kept; give some of {', '.join(KEEPABLE)}")
        return keep

    @field_validator("method")
    @classmethod
    def _check_method(cls, method: str | None) -> str | None:
        if method is not None and method not in METHODS:
            raise ValueError(f"{shortened(method)} is unknown; known are {', '.join(METHODS)}")
        return method

    @property
    def kept(self) -> Kept:
        """What is kept of the sound."""
        names = KEEPABLE if self.keep is None else self.keep
        return Kept(**{name: name in names for name in KEEPABLE}, octaves=self.octaves, levels=self.levels)


def transfer(request: TransferRequest, reporter: Reporter = SILENT, pipeline: Pipeline | None = None) -> Clips:
    """Play sounds in the timbre of a target, at their length.

    Args:
        request: The options.
        reporter: Gets notes and the progress of reading the target.
        pipeline: A loaded model, in place of a run among the files.

    Raises:
        AudioGenError: A file or the target cannot be used, or the run cannot transfer.
    """
    files = list(request.files)
    run = files.pop(0) if pipeline is None and files and is_run_or_bundle(files[0]) else None
    if not files:
        raise ConfigError("transfer: there is no sound; name sound files, or a folder of them, after the run")
    measured = _usable(files, reporter)
    if pipeline is None and run is not None:
        pipeline = Pipeline.load(run, vocoder=request.vocoder, device=request.device)
    usual = GRAINS if pipeline is None else "model" if "transform" in pipeline.parts else BY_CLASS
    method = request.method or usual
    if method != GRAINS and pipeline is None:
        raise ConfigError(f"--method {method}: needs a run; name one before the sounds, or leave --method out")
    if request.class_name is not None and method != BY_CLASS:
        raise ConfigError(f"--class {one_line(request.class_name)}: is for --method class; leave it out")
    if method == BY_CLASS and pipeline is not None:
        target = check_classes(pipeline, request.to, request.class_name)
        if not pipeline.is_sequence:
            return _clips_of_class(pipeline, measured, target, request)
        pipeline = class_pipeline(pipeline, request.vocoder)
    elif method == "model" and pipeline is not None:
        target = _target(pipeline, request.to)
    else:
        if request.to is not None and is_run_or_bundle(Path(request.to).expanduser()):
            name = one_line(request.to)
            raise ConfigError(
                f"--to {name}: is a run, not a folder of sounds; write transfer {name} FILE, without --to"
            )
        if request.to is not None and not Path(request.to).expanduser().exists():
            raise ConfigError(f"--to {one_line(request.to)}: no such folder or file; give a folder of sounds")
        if request.to is None:
            raise ConfigError("--to: missing; give a folder of sounds whose timbre the result is to have")
        spec = pipeline.spec if pipeline is not None else None
        pipeline = grain_pipeline(
            Path(request.to).expanduser(), spec=spec, vocoder=request.vocoder, device=request.device, reporter=reporter
        )
        target = 0
    if request.octaves is not None and pipeline.kind in WITHOUT_PITCH:
        raise ConfigError(f"--octaves {request.octaves}: {pipeline.kind} does not read pitches; leave it out")
    how = Transfer(target, request.kept, request.start, request.end, request.mix)
    found = pipeline

    def render(reporter: Reporter) -> Iterator[LongClip]:
        for name, (file, m) in zip(names, measured, strict=True):
            yield _clip(found, file, m, name, how, request)

    names = distinct_names(f"{stem}-{found.domains[target]}" for stem in output_stems(file for file, _ in measured))
    return Clips(names, render, found, request.origin, f"Transferring ({method})", unit="files", summary=_told)


def _usable(given: Sequence[Path], reporter: Reporter) -> list[tuple[Path, Measurement]]:
    """The sounds that a user names, measured; of a folder, files that cannot be used are left out with a note.

    Raises:
        AudioFileError: A file that is named cannot be used, or none of a folder.
    """
    found: list[tuple[Path, Measurement]] = []
    for file in sound_files(given):
        try:
            found.append((file, check_sound(file)))
        except AudioFileError as e:
            if file in given:
                raise
            reporter.note(f"note: left out: {e}")
    if not found:
        raise AudioFileError(f"{one_line(given[0])}: has no sound that can be used; give files with sound")
    return found


def _clip(
    pipeline: Pipeline, file: Path, measured: Measurement, name: str, how: Transfer, request: TransferRequest
) -> LongClip:
    keepable = ("loudness",) if pipeline.kind in WITHOUT_PITCH else KEEPABLE
    if isinstance(transform := pipeline.transform, ClassTransform):
        pipeline = replace(pipeline, parts={"transform": transform.of(file, request.class_name)})  # type: ignore[dict-item]
    sound = Transferred(pipeline, file, measured, how)
    stored, finish = sound.sound, request.finish_of_file(unchanged=False)
    about = of_transfer(
        source=one_line(file), target=pipeline.domains[how.target], method=pipeline.kind, digest=pipeline.digest,
        learned_from=pipeline.path, duration_sec=round(stored.samples / stored.sample_rate, 6),
        vocoder=pipeline.vocoder.name, sample_rate=stored.sample_rate, command=request.origin,
        more={
            "keep": [one for one in keepable if getattr(how.kept, one)], "amount": [how.start, how.end], "mix": how.mix
        },
    )  # fmt: skip

    def prepare(advance: Advance) -> None:
        if notes := (*stored.notes, *sound.prepare(advance).notes):
            about["notes"] = list(notes)

    rate = finish.rate or stored.file_rate
    return LongClip(
        name, sound, stored.samples, stored.sample_rate, about, replace(finish, rate=rate), fade_in=False,
        fade_out=False, limit=True, prepare=prepare,
        file_samples=stored.file_samples if rate == stored.file_rate else None,
    )  # fmt: skip


def _clips_of_class(
    pipeline: Pipeline, measured: Sequence[tuple[Path, Measurement]], target: int, request: TransferRequest
) -> Clips:
    """Files as another class of a model of clips."""
    name = pipeline.vocabulary.classes[target]
    names = distinct_names(f"{stem}-{name}" for stem in output_stems(file for file, _ in measured))

    def render(reporter: Reporter) -> Iterator[Clip]:
        for result, (file, _) in zip(names, measured, strict=True):
            wav, notes = reclassed(pipeline, file, target, request.class_name)
            about = of_transfer(
                source=one_line(file), target=name, method=BY_CLASS, digest=pipeline.digest, learned_from=pipeline.path,
                duration_sec=round(wav.shape[-1] / pipeline.spec.sample_rate, 6), vocoder=pipeline.vocoder.name,
                sample_rate=pipeline.spec.sample_rate, command=request.origin, more={"notes": notes},
            )  # fmt: skip
            yield Clip(result, wav, pipeline.spec.sample_rate, about, request.finish_of_file(unchanged=False))

    named = replace(pipeline, kind=BY_CLASS)
    return Clips(names, render, named, request.origin, f"Transferring ({BY_CLASS})", unit="files", summary=_noted)


def _told(saved: Sequence[Saved]) -> list[str]:
    """A line for each file on what was done to it, and on its level."""
    limited = [
        f"{one_line(one.path.name)}: peaks that would clip are up to {one.provenance['limited_db']:.1f} dB lower"
        for one in saved
        if one.provenance.get("limited_db", 0.0) > LEAST_TOLD_DB
    ]
    return [*_noted(saved), *limited]


def _noted(saved: Sequence[Saved]) -> list[str]:
    """A line for each file on what was done to it."""
    return [f"{one_line(one.path.name)}: {note}" for one in saved for note in one.provenance.get("notes", ())]


def _target(pipeline: Pipeline, wanted: str | None) -> int:
    """The number of the target of a model that a user names."""
    if "transform" not in pipeline.parts:
        raise CheckpointError(
            f"{pipeline.vocabulary.model}: is a {pipeline.kind} model, which cannot transfer; leave it out, and give "
            "--to a folder of sounds, or give a run of --model transfer"
        )
    if wanted is not None and wanted not in pipeline.domains and Path(wanted).expanduser().is_dir():
        wanted = target_name(Path(wanted).expanduser())
    return pipeline.domain(next(iter(meant(wanted, pipeline.domains)), wanted) if wanted is not None else None)
