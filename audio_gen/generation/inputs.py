"""Sounds that users bring: read as training reads them, with the class and pitch that they are known by."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from audio_gen.audio.io import one_line
from audio_gen.audio.resample import resample_blocks
from audio_gen.data.labels import Label, read_labels
from audio_gen.data.measure import blocks_between, measure
from audio_gen.data.pitch import HEARD_SEC, estimate_midi
from audio_gen.data.report import sound_extent
from audio_gen.errors import AudioFileError, DataError
from audio_gen.generation.conditions import Conditions
from audio_gen.generation.latents import UNKNOWN_CLASS, Latents
from audio_gen.generation.pipeline import Pipeline


@dataclass(frozen=True)
class EncodedFile:
    """A file as the model sees it.

    Attributes:
        path: The file.
        mel: Its log-mel (M, L), cropped or padded.
        frames: How many of the frames of `mel` are its own; the rest is silence.
        latents: Its latent, a set of one.
        note: What happened to it on the way, for the user; None if nothing did.
    """

    path: Path
    mel: Tensor
    frames: int
    latents: Latents
    note: str | None


def encode_file(
    pipeline: Pipeline, path: Path, *, class_name: str | None = None, pitch: float | None = None
) -> EncodedFile:
    """Read and encode one file.

    Its class is the one that its name, its folder or a label file beside it gives, if the model knows it; its pitch the
    one that these give, else the one that is heard (pYIN), if the model was trained on it.

    Args:
        pipeline: The model.
        path: Any audio file.
        class_name: Its class where nothing else tells.
        pitch: Its MIDI pitch where nothing else tells.

    Raises:
        AudioFileError: The file cannot be read or holds no sound.
        ConfigError: The model does not know the class or the pitch given.
    """
    conditions = pipeline.conditions
    given = conditions.class_id(class_name), conditions.pitch(pitch)
    wav, length = read_start(path, pipeline.spec.sample_rate, pipeline.samples)
    label = file_label(path)
    class_id = conditions.known_class([label.class_name, path.absolute().parent.name])
    class_id = given[0] if class_id == UNKNOWN_CLASS else class_id
    own_pitch = pitch_of(conditions, label.pitch, wav, pipeline.spec.sample_rate)
    mel = pipeline.mel(wav)
    latents = pipeline.encode(mel, class_id, given[1] if np.isnan(own_pitch) else own_pitch)
    frames = min(-(-length // pipeline.spec.hop_length), pipeline.model.frames)
    return EncodedFile(path, mel, frames, latents, pipeline.length_note(one_line(path.name), length))


def read_start(path: Path, sample_rate: int, samples: int) -> tuple[Tensor, int]:
    """The beginning of a file, repaired and with long silences cut as for training.

    Args:
        path: Any audio file.
        sample_rate: Wanted, in Hz.
        samples: How many are wanted at most.

    Returns:
        wav (1, T) with T up to `samples`, and how long the whole sound is at that rate.
    """
    m = measure(path)
    if not m.frames:
        raise AudioFileError(f"{one_line(path)}: holds no samples; give a file with sound")
    start, stop = sound_extent(m)
    length = -(-(stop - start) * sample_rate // m.sample_rate)
    # A little more than is needed, so that the resampler's end is not heard.
    stop = min(stop, start + -(-samples * m.sample_rate // sample_rate) + m.sample_rate // 10)
    blocks = resample_blocks(blocks_between(path, m, start, stop), m.sample_rate, sample_rate)
    wav = np.concatenate([*blocks, np.zeros(0, np.float32)])[:samples] / max(m.peak, 1.0)
    return torch.from_numpy(wav.astype(np.float32))[None], length


def file_label(path: Path) -> Label:
    """What a file's name and the label files beside it, or one folder up, say of it."""
    folder, label = path.absolute().parent, Label()
    for place, name in ((folder, path.name), (folder.parent, f"{folder.name}/{path.name}")):
        with suppress(DataError):  # a CSV of another kind is no reason not to listen to a sound
            label = label.or_else(read_labels(place, [name])[0][name])
    return label


def pitch_of(conditions: Conditions, named: float | None, wav: Tensor, sample_rate: int) -> float:
    """The pitch of wav (1, T) that is named, else heard; NaN where the model has no pitch or was not trained on it."""
    if conditions.pitch_range is None:
        return conditions.known_pitch([])
    if named is None and bool(wav.any()):
        named = estimate_midi(wav[0, : int(HEARD_SEC * sample_rate)].numpy(), sample_rate)
    return conditions.known_pitch([named])


def log_mel_l1(real: Tensor, made: Tensor, frames: int) -> float:
    """Mean absolute difference in nats of log-mels (M, L) over their first `frames` frames."""
    return float((real - made)[:, :frames].abs().mean())
