"""Find the latent of a sound: by the encoder if it is trained, otherwise by a search from its estimate."""

from collections.abc import Callable
from typing import TypeVar

from torch import Tensor

from audio_gen.audio.parallel import on_cores, one_thread
from audio_gen.generation.inversion import STEPS, Inversion, invert
from audio_gen.generation.latents import Latents
from audio_gen.generation.pipeline import Pipeline
from audio_gen.models.contract import Conditions


def encode(
    pipeline: Pipeline, mel: Tensor, conditions: Conditions, *, steps: int = STEPS, frames: int | None = None
) -> tuple[Latents, Inversion | None]:
    """The latent of a log-mel.

    Args:
        pipeline: The model.
        mel: Log-mel (M, L) as `Pipeline.mel` gives it.
        conditions: Of this one clip.
        steps: The most steps of the search, if there is one.
        frames: Number of frames of `mel` that errors are measured over; None for all.

    Returns:
        A set of one, and the search; None for a codec with a trained encoder.
    """
    if pipeline.codec.has_encoder:
        return pipeline.encode(mel, conditions), None
    found = invert(pipeline, mel, conditions, steps=steps, frames=frames)
    return found.latents, found


Found = TypeVar("Found")


def for_each(pipeline: Pipeline, encode_one: Callable[[int], Found], count: int) -> list[Found]:
    """Encode `count` sounds by index; in parallel on a CPU, where one such network gains nothing from several cores."""
    if pipeline.device.type != "cpu":
        return [encode_one(i) for i in range(count)]
    found: dict[int, Found] = {}
    with one_thread():
        on_cores(lambda i: found.__setitem__(i, encode_one(i)), range(count))
    return [found[i] for i in range(count)]


def encode_sound(
    pipeline: Pipeline, wav: Tensor, class_name: str | None, pitch: float | None, *, steps: int = STEPS
) -> Latents:
    """The latent of a sound with labels, as a set of one.

    Args:
        pipeline: The model.
        wav: (C, T) at the model's rate.
        class_name: Its class; ignored if the model does not know it.
        pitch: Its MIDI pitch; ignored outside the trained range.
        steps: See `encode`.
    """
    conditions = pipeline.vocabulary.known([class_name], [pitch])
    return encode(pipeline, pipeline.mel(wav), conditions, steps=steps, frames=sound_frames(pipeline, wav))[0]


def sound_frames(pipeline: Pipeline, wav: Tensor) -> int:
    """Number of frames of `Pipeline.mel` that a sound (C, T) fills; silence follows."""
    samples = wav.shape[-1] - pipeline.begin(wav) + pipeline.preroll
    return min(-(-samples // pipeline.spec.hop_length), pipeline.frames)
