"""Sounds of one class of a trained model as another class of it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from audio_gen.audio.mel import MelSpec
from audio_gen.errors import ConfigError
from audio_gen.generation.inputs import class_names, starting_point
from audio_gen.generation.noise_path import NoiseOf, require_invertible
from audio_gen.generation.pipeline import Pipeline
from audio_gen.generation.sequence import draw_latents
from audio_gen.models.codecs.long import encode_blocks
from audio_gen.models.contract import CLASS, UNKNOWN_CLASS, Conditions, Kept
from audio_gen.models.transforms.sound import FINE, LOUDER_DB, SoundFrames
from audio_gen.text import one_line, shortened
from audio_gen.vocoding.load import load_vocoder

BY_CLASS = "class"


def check_classes(pipeline: Pipeline, target: str | None, given: str | None) -> int:
    """The number of the class that a user names as target; `given` is the one named as that of the sounds.

    Raises:
        ConfigError: The model has no classes, or not that one, or cannot find the noise of a sound.
    """
    classes, model = pipeline.vocabulary.classes, pipeline.vocabulary.model
    if "codec" not in pipeline.parts or len(classes) < 2:
        raise ConfigError(f"--method class: {model} has no classes; train on a folder with a subfolder for each class")
    if target is None:
        raise ConfigError(f"--to: missing; {model} has the classes {', '.join(map(shortened, classes))}")
    if pipeline.is_sequence:
        require_invertible(pipeline, "transfer --method class")
    pipeline.vocabulary.class_id(given)
    return pipeline.vocabulary.class_id(target)


def class_pipeline(pipeline: Pipeline, vocoder: str | Path | None) -> Pipeline:
    """A pipeline that transfers into the classes of a sequence model; see `ClassTransform.of`.

    Args:
        pipeline: The sequence model.
        vocoder: See `load_vocoder`.
    """
    mono, part = pipeline.spec.mono, ClassTransform(pipeline, Conditions(1))
    voice = load_vocoder(vocoder, mono, pipeline.device)
    return replace(pipeline, kind=BY_CLASS, parts={"transform": part}, spec=mono, vocoder=voice)  # type: ignore[dict-item]


def heard_as(pipeline: Pipeline, own: Conditions) -> str:
    """A note on the class that a sound is taken for."""
    number = int(own.class_id)
    if number == UNKNOWN_CLASS:
        return "its class is not known, which makes more of it change; give it with --class"
    return f"as a sound of {one_line(pipeline.vocabulary.classes[number])}"


class ClassTransform:
    """A sound of a sequence model: its noise under its own class, as latents under another. See `Transform`.

    Attributes:
        own: The conditions of the sound.
    """

    usual_target = None

    def __init__(self, pipeline: Pipeline, own: Conditions) -> None:
        """For sounds with these conditions."""
        self._pipeline, self.own = pipeline, own

    def of(self, path: Path, given: str | None) -> "ClassTransform":
        """That of a file, whose name or folder may be its class; `given` is its class if they do not say it."""
        return ClassTransform(self._pipeline, self._pipeline.vocabulary.known(class_names(path, given)))

    @torch.no_grad()
    def begin(
        self, sound: SoundFrames, target: int, kept: Kept, advance: Callable[[float], object] = lambda share: None
    ) -> "ClassRendition":
        """See `Transform.begin`; of what can be kept, only loudness is a choice."""
        pipeline, spec = self._pipeline, self._pipeline.spec
        image = sound.image(spec)
        z = torch.cat(list(encode_blocks(pipeline.sequence_codec, image, sound.frames)))
        noise = NoiseOf(pipeline, z, self.own)
        wanted = self.own.replaced(CLASS, torch.tensor([target]))
        found = []
        for part in draw_latents(pipeline, wanted, torch.Generator(), len(z), noise=noise):
            found.append(part)
            advance(len(part) / len(z))
        return ClassRendition(pipeline, torch.cat(found), spec, heard_as(pipeline, self.own))


@dataclass(frozen=True)
class ClassRendition:
    """See `Rendition`.

    Attributes:
        pipeline: The sequence model.
        z: The latents (N, D) of the other class.
        spec: The mel of the model.
        note: On the class that the sound is taken for.
    """

    pipeline: Pipeline
    z: Tensor
    spec: MelSpec
    note: str
    smoothing = FINE
    louder_db = LOUDER_DB

    @property
    def notes(self) -> tuple[str, ...]:
        """What was done to the sound, for the user."""
        return (self.note,)

    @torch.no_grad()
    def mel(self, first: int, stop: int) -> Tensor:
        """See `Rendition.mel`; what is outside the sound is as its ends."""
        codec, count = self.pipeline.sequence_codec, len(self.z)
        stride = self.pipeline.latent_samples // self.spec.hop_length
        begin = min(max(0, first // stride), count - 1)
        end = max(min(count, -(-stop // stride)), begin + 1)
        before, after = max(0, begin - codec.reach), min(count, end + codec.reach)
        z = self.z[None, before:after].to(self.pipeline.device)
        image = codec.decode_part(z, begin - before, end - before, offset=before)[0, : self.spec.n_mels].cpu()
        frames = (torch.arange(first, stop) - stride * begin).clamp(0, image.shape[1] - 1)
        return image[:, frames]


@torch.no_grad()
def reclassed(pipeline: Pipeline, path: Path, target: int, given: str | None) -> tuple[Tensor, list[str]]:
    """A file under another class of a model of clips: the clip (C, T) at the level of the file, and notes.

    Args:
        pipeline: The model.
        path: A sound, as long as its clips or shorter.
        target: Number of the class.
        given: Its class if its name and folder do not say it.
    """
    source = starting_point(pipeline, path, class_name=given)
    own = source.latents.conditions
    latents = replace(source.latents, conditions=own.replaced(CLASS, torch.tensor([target])))
    wav = pipeline.vocode(pipeline.decode(latents))[0] * 10 ** (source.gain_db / 20)
    prefix = f"{one_line(path.name)}: "
    return wav, [*(note.removeprefix(prefix) for note in source.notes), heard_as(pipeline, own)]
