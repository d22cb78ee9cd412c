"""Read a user's sounds as training does, with their class, pitch and velocity, and find their latents."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from audio_gen.artefacts.sidecar import Sidecar, read_sidecar, sidecar_path
from audio_gen.audio.channels import mono
from audio_gen.audio.resample import resample_blocks
from audio_gen.data.labels import Label, read_labels
from audio_gen.data.measure import blocks_between, measure
from audio_gen.data.pitch import ANALYSED_SEC, estimate_midi
from audio_gen.data.report import sound_extent
from audio_gen.errors import AudioFileError, DataError
from audio_gen.generation.inversion import STEPS, Inversion
from audio_gen.generation.latents import Latents
from audio_gen.generation.pipeline import Pipeline
from audio_gen.generation.search import encode
from audio_gen.generation.source import Source
from audio_gen.generation.vocabulary import Vocabulary, none_if_unknown
from audio_gen.models.contract import CLASS, PITCH, UNKNOWN_CLASS, VELOCITY, Conditions
from audio_gen.text import one_line

SILENT = 1e-6  # a lower peak is silence


@dataclass(frozen=True)
class EncodedFile:
    """A file as the model sees it.

    Attributes:
        path: The file.
        mel: Its log-mel (M, L), cropped or padded.
        frames: Number of frames of `mel` with sound; the rest is silence.
        latents: Its latent, a set of one.
        begin: First sample of the model's clip in the file, at the model's rate; it may be negative.
        length: Samples of the file at that rate, up to the end of its sound.
        wav: Samples (C, T) of the file from the start of the model's clip, at that rate.
        note: A note for the user if the sound was cropped or padded.
        search: The search for its latent; None for a codec with a trained encoder.
    """

    path: Path
    mel: Tensor
    frames: int
    latents: Latents
    begin: int
    length: int
    wav: Tensor
    note: str | None
    search: Inversion | None = None

    @property
    def notes(self) -> list[str]:
        """Notes for the user: cropping or padding, and the error of the search."""
        found = [] if self.search is None else [
            f"{one_line(self.path.name)}: log-mel L1 {self.search.mel_l1_start:.3f} nats by the encoder's estimate, "
            f"{self.search.mel_l1:.3f} after {self.search.steps} steps of search"
        ]  # fmt: skip
        return ([self.note] if self.note else []) + found


def encode_file(
    pipeline: Pipeline, path: Path, *, class_name: str | None = None, pitch: float | None = None, steps: int = STEPS
) -> EncodedFile:
    """Read and encode one file; without a trained encoder, its latent is found by search.

    Class and pitch come from its name, its folder or a label file in the folder, if the model knows them; otherwise the
    pitch is estimated (pYIN).

    Args:
        pipeline: The model.
        path: Any audio file.
        class_name: Its class if the file does not give one.
        pitch: Its MIDI pitch if the file does not give one.
        steps: The most steps of the search.

    Raises:
        AudioFileError: The file cannot be read or holds no sound.
        ConfigError: The model does not know the class or the pitch given.
    """
    vocabulary = pipeline.vocabulary
    vocabulary.requested(class_name, pitch)  # a wrong one is an error even if it is not needed
    wav, start, length = _read(pipeline, path)
    label = file_label(path)
    midi = none_if_unknown(pitch_of(vocabulary, label.pitch, wav, pipeline.spec.sample_rate))
    conditions = vocabulary.known(class_names(path, class_name), [midi, pitch], [label.velocity])
    mel = pipeline.mel(wav)
    begin = pipeline.begin(wav)
    sounding = length - begin + pipeline.preroll
    frames = min(-(-sounding // pipeline.spec.hop_length), pipeline.frames)
    note = pipeline.length_note(one_line(path.name), length - max(0, begin))
    latents, found = encode(pipeline, mel, conditions, steps=steps, frames=frames)
    aligned = from_begin(pipeline, wav)
    return EncodedFile(path, mel, frames, latents, start + begin, start + length, aligned, note, found)


def class_names(path: Path, given: str | None = None) -> list[str | None]:
    """What may be the class of a file, the surest first: by its sidecar, its name, its folder, and as given."""
    try:
        sidecar = read_sidecar(path)
    except DataError:  # a JSON of another kind with the name of a user's sound
        sidecar = None
    return [
        None if sidecar is None else sidecar.class_name,
        file_label(path).class_name, path.absolute().parent.name, given,
    ]  # fmt: skip


def starting_point(
    pipeline: Pipeline, path: Path, *, class_name: str | None = None, pitch: float | None = None
) -> Source:
    """A sound to edit: by the latent in its sidecar if the same bundle generated it, otherwise encoded.

    An encoded sound keeps its residual, so that it starts as it is. So does a clip that was edited, whose sidecar
    holds only the nearest latent.

    Args:
        pipeline: The model.
        path: A generated clip, or any audio file.
        class_name: Its class if the file does not give one.
        pitch: Its MIDI pitch if the file does not give one.

    Raises:
        DataError: The latent in the sidecar has another shape, or the path is a folder.
        AudioFileError: The file has to be encoded, and cannot be read or is silent.
        ConfigError: The model does not know the class or the pitch given.
    """
    if path.is_dir():
        raise DataError(f"{one_line(path)}: is a folder; give a sound file")
    notes = []
    try:
        sidecar = read_sidecar(path)
    except DataError:  # a JSON of another kind with the name of a user's sound
        sidecar = None
        notes.append(f"{one_line(sidecar_path(path))}: contains no latent; the sound is encoded instead")
    if sidecar is not None and sidecar.z is None:  # a sound of any length
        sidecar = None
    if sidecar is not None and sidecar.digest == pipeline.digest:
        point = _point_of(pipeline, path, sidecar)
        if not sidecar.edited:
            return Source.exact(pipeline, point, tuple(notes))
        wav, _, length = _read(pipeline, path)
        if note := pipeline.length_note(one_line(path.name), length - max(0, pipeline.begin(wav))):
            notes.append(note)
        wav = _sounding(path, wav)
        return Source.of_file(pipeline, point, pipeline.mel(wav), from_begin(pipeline, wav), tuple(notes))
    if sidecar is not None:
        source = f"generated by the bundle {sidecar.digest}, not {pipeline.digest}"
        notes.append(f"{one_line(path)}: {source}; its sound is encoded instead")
    encoded = encode_file(pipeline, path, class_name=class_name, pitch=pitch)
    _sounding(path, encoded.wav)
    return Source.of_file(pipeline, encoded.latents, encoded.mel, encoded.wav, (*notes, *encoded.notes))


def _read(pipeline: Pipeline, path: Path) -> tuple[Tensor, int, int]:
    """What a model reads of a file, see `read_start`."""
    # Up to half a second of silence before the sound is read; `Pipeline.mel` crops it.
    spec = pipeline.spec
    return read_start(path, spec.sample_rate, pipeline.samples + spec.sample_rate, spec.channels)


def _sounding(path: Path, wav: Tensor) -> Tensor:
    """Samples (C, T) of a file.

    Raises:
        AudioFileError: They are silent.
    """
    if float(wav.abs().max()) < SILENT:
        raise AudioFileError(f"{one_line(path)}: is silent; give a file with sound")
    return wav


def from_begin(pipeline: Pipeline, wav: Tensor) -> Tensor:
    """Samples (C, T) of a sound from the start of the model's clip."""
    begin = pipeline.begin(wav)
    return F.pad(wav[:, max(0, begin) :], (max(0, -begin), 0))


def _point_of(pipeline: Pipeline, path: Path, sidecar: Sidecar) -> Latents:
    """The latent in a sidecar of this model, checked."""
    assert sidecar.z is not None
    shape = pipeline.codec.latent
    shapes = [(count, shape.dim) for count in shape.counts()]
    if sidecar.z.shape not in shapes:
        given, *wanted = (f"{n} x {dim}" if n > 1 else str(dim) for n, dim in (sidecar.z.shape, *shapes))
        raise DataError(
            f"{one_line(sidecar_path(path))}: its z has {given} numbers, the model has "
            f"{' or '.join(wanted)}; move it away, then the WAV itself is encoded"
        )
    number = pipeline.vocabulary.class_id(sidecar.class_name)
    values = {CLASS: None if number == UNKNOWN_CLASS else number, PITCH: sidecar.pitch, VELOCITY: sidecar.velocity}
    return Latents.one(sidecar.z, Conditions.one(values))


def read_start(path: Path, sample_rate: int, samples: int, channels: int = 1) -> tuple[Tensor, int, int]:
    """The beginning of a file, repaired and with long silences cut as for training.

    Args:
        path: Any audio file.
        sample_rate: Of the result, in Hz.
        samples: The most samples to read.
        channels: 1 for the mono mix; 2 for left and right, if the file has two that differ.

    Returns:
        wav (C, T) with T up to `samples`, its start in the file, and the length of the whole sound, at that rate.
    """
    m = measure(path).of_channels(channels)
    if not m.frames:
        raise AudioFileError(f"{one_line(path)}: has no samples; give a file with sound")
    start, stop = sound_extent(m)
    length, begin = -(-(stop - start) * sample_rate // m.sample_rate), round(start * sample_rate / m.sample_rate)
    # A little more than needed, so that the resampler's edge is cut off.
    stop = min(stop, start + -(-samples * m.sample_rate // sample_rate) + m.sample_rate // 10)
    blocks = blocks_between(path, m, start, stop, channels=channels)
    parts = [np.atleast_2d(block) for block in resample_blocks(blocks, m.sample_rate, sample_rate)]
    wav = np.concatenate(parts or [np.zeros((1, 0), np.float32)], axis=1)[:, :samples] / max(m.peak, 1.0)
    return torch.from_numpy(wav.astype(np.float32)), begin, length


def file_label(path: Path) -> Label:
    """The label of a file by its name and the label files in its folder and the parent folder."""
    folder, label = path.absolute().parent, Label()
    for place, name in ((folder, path.name), (folder.parent, f"{folder.name}/{path.name}")):
        with suppress(DataError):  # a CSV of another kind does not prevent encoding
            label = label.or_else(read_labels(place, [name])[0][name])
    return label


def pitch_of(vocabulary: Vocabulary, named: float | None, wav: Tensor, sample_rate: int) -> float:
    """The labelled pitch of wav (C, T), otherwise the estimated one; NaN if the model does not know it."""
    if vocabulary.pitch_range is None:
        return vocabulary.known_pitch([])
    if named is None and bool(wav.any()):
        named = estimate_midi(mono(wav[:, : int(ANALYSED_SEC * sample_rate)]).numpy(), sample_rate)
    return vocabulary.known_pitch([named])
