"""The sound that an edit starts from: its latent, and what the model cannot express of it."""

from dataclasses import dataclass

import torch
from torch import Tensor

from audio_gen.audio.stereo import on_mel
from audio_gen.generation.latents import Latents
from audio_gen.generation.level import level_db, limited, shift_level
from audio_gen.generation.pipeline import Pipeline


@dataclass(frozen=True)
class Source:
    """A sound as the start of an edit.

    Attributes:
        latents: A set of one.
        mel: Its log-mel (1, M, L): that of the latent plus the residual, at the gain; with rows of stereo if the model
            has them, which no gain changes.
        residual: The log-mel of the sound at the level of its latent, minus that of the latent, (1, M, L) in nats; None
            if the latent is exact.
        gain_db: The level of the sound, relative to that of its latent.
        wav: The samples (C, T) of a file from the start of the model's clip, at the model's rate; None for a clip that
            the model renders.
        notes: Notes for the user.
    """

    latents: Latents
    mel: Tensor
    residual: Tensor | None = None
    gain_db: float = 0.0
    wav: Tensor | None = None
    notes: tuple[str, ...] = ()

    @classmethod
    def exact(cls, pipeline: Pipeline, latents: Latents, notes: tuple[str, ...] = ()) -> "Source":
        """A clip of the model itself."""
        return cls(latents, pipeline.decode(latents), notes=notes)

    @classmethod
    def of_file(
        cls, pipeline: Pipeline, latents: Latents, mel: Tensor, wav: Tensor, notes: tuple[str, ...] = ()
    ) -> "Source":
        """A sound of which a latent is an estimate: log-mel (M, L) and samples (C, T) as in `Pipeline.mel`."""
        decoded, floor, n_mels = pipeline.decode(latents), pipeline.codec.mel_floor, pipeline.spec.n_mels
        gain_db = level_db(mel[None, :n_mels]) - level_db(decoded[:, :n_mels])
        residual = on_mel(mel[None], n_mels, lambda rows: shift_level(rows, -gain_db, floor)) - decoded
        return cls(latents, mel[None], residual, float(gain_db), wav, notes)

    def with_pitch(self, pipeline: Pipeline, pitch: float | None) -> "Source":
        """The same sound at another pitch (MIDI); None keeps its own."""
        if pitch is None:
            return self
        latents = self.latents.with_pitch(pitch)
        decoded, residual = pipeline.decode(latents), self.carried(pipeline, latents)
        spec, floor, gain_db = pipeline.spec, pipeline.codec.mel_floor, torch.tensor([self.gain_db])
        if residual is None:
            return Source(latents, decoded, notes=self.notes)
        whole = limited(decoded + residual, spec, floor)
        mel = on_mel(whole, spec.n_mels, lambda rows: shift_level(rows, gain_db, floor))
        return Source(latents, mel, residual, self.gain_db, self.wav, self.notes)

    def carried(self, pipeline: Pipeline, points: Latents) -> Tensor | None:
        """The residual on the time and frequency axes of B points, (B, M, L); None if there is none.

        After the end of a decay, where a codec carries nothing, it stays as it is: it silences what the model decodes.
        """
        if self.residual is None:
            return None
        count, device = len(points), pipeline.device
        start = Latents(self.latents.z.expand(count, -1, -1), self.latents.conditions.repeat(count))
        image = self.residual.expand(count, -1, -1).to(device)
        with torch.no_grad():
            ends = [(one.z.to(device), one.conditions.to(device)) for one in (start, points)]
            carried = pipeline.codec.carry(image, *ends[0], *ends[1])
            inside = pipeline.codec.carry(torch.ones_like(image), *ends[0], *ends[1]) != 0
            ended = ~inside[:, : pipeline.spec.n_mels].any(dim=1, keepdim=True)  # (B, 1, L)
            return torch.where(ended, image, carried).float().cpu()

    def rendered(self, pipeline: Pipeline) -> Tensor:
        """The samples (C, T) of the sound from the start of the model's clip, in the model's channels."""
        return pipeline.vocode(self.mel)[0] if self.wav is None else self.wav.expand(pipeline.spec.channels, -1)
