"""Encoding and reconstruction: find the latents of sounds, and render them."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Annotated, Any

from pydantic import Field
from torch.nn import functional as F

from audio_gen.errors import ConfigError
from audio_gen.generation.clip import Clip, Clips, Saved
from audio_gen.generation.clip_file import describe
from audio_gen.generation.finish import AS_IT_IS
from audio_gen.generation.inputs import EncodedFile, encode_file
from audio_gen.generation.inversion import STEPS, log_mel_l1
from audio_gen.generation.operations.common import SoundFiles, check_channels
from audio_gen.generation.operations.reconstruction import rebuilt_sounds
from audio_gen.generation.outputs import output_stems, sound_files
from audio_gen.generation.pipeline import Pipeline
from audio_gen.generation.search import for_each
from audio_gen.reporter import Reporter
from audio_gen.request import Request
from audio_gen.text import one_line

ENCODED, RECONSTRUCTED, COPIED = "encoded", "recon", "copy"


class EncodeRequest(Request):
    """Options of `encode` and `reconstruct`."""

    files: SoundFiles
    """Sound files, or folders of them."""
    steps: Annotated[int, Field(ge=0)] = STEPS
    """The most steps of a GAN's search; a VAE needs none."""
    class_name: str | None = None
    """Class of files that do not give one."""
    pitch: float | None = None
    """MIDI pitch of files that do not give one."""
    copy_synthesis: bool = False
    """Also render the real mel through the vocoder alone, in `reconstruct`."""
    keep_residual: bool = False
    """Add what the model cannot express of a sound, in `reconstruct`: the start of an edit."""
    channels: int | None = None
    """1: the mono mix; 2: stereo, of a stereo model; None: those of the model."""


def encode(pipeline: Pipeline, request: EncodeRequest) -> Clips:
    """Find the latents of sounds; each clip is the model's version of one, and its provenance holds the latent.

    Args:
        pipeline: The model.
        request: The options.

    Raises:
        DataError: A folder has no audio files.
        AudioFileError: A file cannot be read (while rendering).
    """
    if pipeline.is_sequence:
        raise ConfigError(
            f"{pipeline.vocabulary.model}: a model of sequences, whose latents no sidecar holds; use reconstruct, or "
            "continue"
        )
    return _encoded(pipeline, request, [ENCODED])


def reconstruct(pipeline: Pipeline, request: EncodeRequest) -> Clips:
    """Send sounds through the model and back; arguments and errors as for `encode`."""
    kinds = [RECONSTRUCTED, COPIED] if request.copy_synthesis else [RECONSTRUCTED]
    return _encoded(pipeline, request, kinds, keep_residual=request.keep_residual)


def _encoded(pipeline: Pipeline, request: EncodeRequest, kinds: Sequence[str], *, keep_residual: bool = False) -> Clips:
    check_channels(pipeline, request.channels)
    finish, n_mels = replace(AS_IT_IS, channels=request.channels), pipeline.spec.n_mels
    files = sound_files(request.files)
    stems = output_stems(files)
    names = [f"{stem}.{kind}" for stem in stems for kind in kinds]
    if pipeline.is_sequence:
        pipeline.vocabulary.requested(request.class_name, request.pitch)
        return rebuilt_sounds(
            pipeline, files, names, kinds, request.origin, finish, class_name=request.class_name, real=keep_residual
        )

    def render(reporter: Reporter) -> Iterator[Clip]:
        # All files are read before any is written, so that a wrong name fails early.
        return rebuilt(encode_files(pipeline, files, request, reporter))

    def rebuilt(encoded: Sequence[EncodedFile]) -> Iterator[Clip]:
        for stem, one in zip(stems, encoded, strict=True):
            mel = pipeline.decode(one.latents)
            score = log_mel_l1(one.mel[:n_mels], mel[0, :n_mels], one.frames)
            figures = {"mel_l1": score, "mel_l1_start": one.search.mel_l1_start if one.search else score}
            real = one.mel[None]  # the decoded log-mel with its residual
            for kind, some in zip(kinds, (real if keep_residual else mel, real), strict=False):
                source = {"source": one_line(one.path), "kind": kind, "mel_l1": score}
                source |= {"edited": True} if keep_residual else {}
                about = describe(pipeline, one.latents, command=request.origin, more=source)
                wav = F.pad(pipeline.vocode(some)[0], (one.begin, 0))[:, : one.length]  # aligned with the file
                yield Clip(f"{stem}.{kind}", wav, pipeline.spec.sample_rate, about, finish, figures)

    return Clips(names, render, pipeline, request.origin, "Reconstructing", unit="files", per_clip=1 / len(kinds))


def encode_files(
    pipeline: Pipeline, files: Sequence[Path], request: EncodeRequest, reporter: Reporter
) -> list[EncodedFile]:
    """Encode files, in parallel on a CPU; each file's notes go to the reporter."""
    options: dict[str, Any] = {"class_name": request.class_name, "pitch": request.pitch, "steps": request.steps}
    lock = Lock()
    with reporter.progress("Encoding", len(files), "files") as advance:

        def encode_one(i: int) -> EncodedFile:
            found = encode_file(pipeline, files[i], **options)
            with lock:
                advance(1)
            return found

        encoded = for_each(pipeline, encode_one, len(files))
    for note in (note for one in encoded for note in one.notes):
        reporter.note(note)
    return encoded


def scores(files: Sequence[Path], saved: Sequence[Saved]) -> dict[str, Any]:
    """Log-mel L1, in nats, of each file and the model's version, with the mean, for JSON."""
    rows = [
        {
            "file": str(file), "out": str(one.path), "class": one.provenance["class"],
            "pitch": one.provenance["pitch"], **one.figures,
        }
        for file, one in zip(files, saved, strict=True)
    ]  # fmt: skip
    return {"files": rows, "mel_l1": sum(one.figures["mel_l1"] for one in saved) / len(saved)}


def score_lines(files: Sequence[Path], saved: Sequence[Saved]) -> list[str]:
    """The scores as a table."""
    found = scores(files, saved)
    rows = [f"{row['mel_l1']:7.3f}  {one_line(row['file'])}" for row in found["files"]]
    mean = [f"{found['mel_l1']:7.3f}  mean of {len(rows)}"] if len(rows) > 1 else []
    return ["log-mel L1 in nats, over the frames of sound:", *rows, *mean]
