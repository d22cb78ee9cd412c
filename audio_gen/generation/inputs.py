"""Sounds that users bring: read as training reads them, with the class, pitch and velocity that they are known by."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from audio_gen.artefacts.sidecar import Sidecar, read_sidecar, sidecar_path
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
from audio_gen.generation.vocabulary import Vocabulary, none_if_unknown
from audio_gen.models.contract import CLASS, PITCH, UNKNOWN_CLASS, VELOCITY, Conditions
from audio_gen.text import one_line


@dataclass(frozen=True)
class EncodedFile:
    """A file as the model sees it.

    Attributes:
        path: The file.
        mel: Its log-mel (M, L), cropped or padded.
        frames: How many of the frames of `mel` are its own; the rest is silence.
        latents: Its latent, a set of one.
        begin: The sample of the file, at the model's rate, with which the model's clip begins; it may be negative.
        length: Samples of the file at that rate, up to the end of its sound.
        note: What happened to it on the way, for the user; None if nothing did.
        search: How its latent was found; None for a codec with a trained encoder.
    """

    path: Path
    mel: Tensor
    frames: int
    latents: Latents
    begin: int
    length: int
    note: str | None
    search: Inversion | None = None

    @property
    def notes(self) -> list[str]:
        """All there is to tell the user: the note, and how near the search came."""
        found = [] if self.search is None else [
            f"{one_line(self.path.name)}: log-mel L1 {self.search.mel_l1_start:.3f} nats by the model's own guess, "
            f"{self.search.mel_l1:.3f} after {self.search.steps} steps of search"
        ]  # fmt: skip
        return ([self.note] if self.note else []) + found


def encode_file(
    pipeline: Pipeline, path: Path, *, class_name: str | None = None, pitch: float | None = None, steps: int = STEPS
) -> EncodedFile:
    """Read and encode one file; where the codec has no trained encoder, its latent is searched for.

    Its class is the one that its name, its folder or a label file beside it gives, if the model knows it; its pitch the
    one that these give, else the one that is heard (pYIN), if the model was trained on it.

    Args:
        pipeline: The model.
        path: Any audio file.
        class_name: Its class where nothing else tells.
        pitch: Its MIDI pitch where nothing else tells.
        steps: Of the search, at most.

    Raises:
        AudioFileError: The file cannot be read or holds no sound.
        ConfigError: The model does not know the class or the pitch given.
    """
    vocabulary = pipeline.vocabulary
    vocabulary.asked(class_name, pitch)  # a wrong one is told even where it is not needed
    # Up to half a second of silence before the sound is kept, and left out by `mel`.
    wav, start, length = read_start(path, pipeline.spec.sample_rate, pipeline.samples + pipeline.spec.sample_rate)
    label = file_label(path)
    heard = none_if_unknown(pitch_of(vocabulary, label.pitch, wav, pipeline.spec.sample_rate))
    conditions = vocabulary.known(
        [label.class_name, path.absolute().parent.name, class_name], [heard, pitch], [label.velocity]
    )
    mel = pipeline.mel(wav)
    begin = pipeline.begin(wav)
    sounding = length - begin + pipeline.preroll
    frames = min(-(-sounding // pipeline.spec.hop_length), pipeline.frames)
    note = pipeline.length_note(one_line(path.name), length - max(0, begin))
    latents, found = encode(pipeline, mel, conditions, steps=steps, frames=frames)
    return EncodedFile(path, mel, frames, latents, start + begin, start + length, note, found)


def starting_point(
    pipeline: Pipeline, path: Path, *, class_name: str | None = None, pitch: float | None = None
) -> tuple[Latents, list[str]]:
    """The latent of a sound: from its sidecar if the same bundle generated it, otherwise encoded.

    Args:
        pipeline: The model.
        path: A clip that was made, or any audio file.
        class_name: Its class where nothing else tells.
        pitch: Its MIDI pitch where nothing else tells.

    Returns:
        A set of one, and what happened on the way, for the user.

    Raises:
        DataError: The sidecar holds a latent of another shape.
        AudioFileError: The file has to be encoded, and cannot be read.
        ConfigError: The model does not know the class or the pitch given.
    """
    notes = []
    try:
        sidecar = read_sidecar(path)
    except DataError:  # a JSON of another kind beside a user's own sound
        sidecar = None
        notes.append(f"{one_line(sidecar_path(path))}: contains no latent; the sound is encoded instead")
    if sidecar is not None and sidecar.digest == pipeline.digest:
        return _point_of(pipeline, path, sidecar), notes
    if sidecar is not None:
        made_by = f"made by the bundle {sidecar.digest}, not {pipeline.digest}"
        notes.append(f"{one_line(path)}: {made_by}; its sound is encoded instead")
    encoded = encode_file(pipeline, path, class_name=class_name, pitch=pitch)
    return encoded.latents, [*notes, *encoded.notes]


def _point_of(pipeline: Pipeline, path: Path, sidecar: Sidecar) -> Latents:
    """What a sidecar of this model says, checked."""
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


def read_start(path: Path, sample_rate: int, samples: int) -> tuple[Tensor, int, int]:
    """The beginning of a file, repaired and with long silences cut as for training.

    Args:
        path: Any audio file.
        sample_rate: Wanted, in Hz.
        samples: How many are wanted at most.

    Returns:
        wav (1, T) with T up to `samples`, where in the file it starts, and how long the whole sound is, at that rate.
    """
    m = measure(path)
    if not m.frames:
        raise AudioFileError(f"{one_line(path)}: holds no samples; give a file with sound")
    start, stop = sound_extent(m)
    length, begin = -(-(stop - start) * sample_rate // m.sample_rate), round(start * sample_rate / m.sample_rate)
    # A little more than is needed, so that the resampler's end is not heard.
    stop = min(stop, start + -(-samples * m.sample_rate // sample_rate) + m.sample_rate // 10)
    blocks = resample_blocks(blocks_between(path, m, start, stop), m.sample_rate, sample_rate)
    wav = np.concatenate([*blocks, np.zeros(0, np.float32)])[:samples] / max(m.peak, 1.0)
    return torch.from_numpy(wav.astype(np.float32))[None], begin, length


def file_label(path: Path) -> Label:
    """What a file's name and the label files beside it, or one folder up, say of it."""
    folder, label = path.absolute().parent, Label()
    for place, name in ((folder, path.name), (folder.parent, f"{folder.name}/{path.name}")):
        with suppress(DataError):  # a CSV of another kind is no reason not to listen to a sound
            label = label.or_else(read_labels(place, [name])[0][name])
    return label


def pitch_of(vocabulary: Vocabulary, named: float | None, wav: Tensor, sample_rate: int) -> float:
    """The labelled pitch of wav (1, T), otherwise the estimated one; NaN if the model does not know it."""
    if vocabulary.pitch_range is None:
        return vocabulary.known_pitch([])
    if named is None and bool(wav.any()):
        named = estimate_midi(wav[0, : int(ANALYSED_SEC * sample_rate)].numpy(), sample_rate)
    return vocabulary.known_pitch([named])
