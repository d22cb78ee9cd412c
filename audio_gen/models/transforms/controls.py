"""A decoder of one target's sounds, from loudness, pitches, onsets and brightness along time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from audio_gen.models.codecs.patches import GRAIN, STRIDE, PatchDecoder, reach_of
from audio_gen.models.contract import Kept
from audio_gen.models.salience import PITCHES
from audio_gen.models.transforms.matching import Matching
from audio_gen.models.transforms.sound import (
    BANDS,
    COARSE,
    FINE,
    FLOOR,
    LOUDER_DB,
    QUANTILES,
    SMOOTHINGS,
    Controls,
    Ranges,
    Smoothing,
    SoundFrames,
)

GROUPS = 4  # of controls that can be left out: pitch, loudness, attack, brightness
MOST_DEVIATIONS = 4.0
LEAST_DEVIATION = 1e-3


class ControlDecoder(PatchDecoder):
    """Controls along time -> log-mel of a target, one of those that it was trained on.

    It never hears a source: pitch and time are kept because they are all that it gets. In training it also learns to
    do without some of the controls.
    """

    loudness: Tensor
    onset: Tensor
    brightness: Tensor
    pitches: Tensor
    voiced: Tensor

    def __init__(
        self, *, n_mels: int, n_classes: int = 0, width: int = 256, depth: int = 4, grain_depth: int = 3,
        noise_dim: int = 64, mel_floor: float = FLOOR,
    ) -> None:  # fmt: skip
        """For log-mel (B, n_mels, L) of `n_classes` targets, or of one without classes."""
        super().__init__(n_mels=n_mels, noise_dim=noise_dim, mel_floor=mel_floor, stereo_bands=0)
        self.reach, self.usual_target = reach_of(depth, grain_depth), None if n_classes > 1 else 0
        for name, shape in (
            ("loudness", (len(SMOOTHINGS), QUANTILES)), ("onset", (QUANTILES,)), ("brightness", (BANDS, QUANTILES)),
            ("pitches", (PITCHES,)), ("voiced", ()),
        ):  # fmt: skip
            self.register_buffer(name, torch.zeros(max(1, n_classes), *shape))
        self.stem = nn.Linear(STRIDE * (PITCHES + 2 + BANDS) + GROUPS, width)
        self.target = nn.Embedding(max(1, n_classes), width)
        nn.init.zeros_(self.target.weight)
        self.add_decoder(0, width=width, depth=depth, grain_depth=grain_depth)

    def ranges(self, target: int) -> Ranges:
        """The ranges of a target's controls."""
        return Ranges(
            self.loudness[target].cpu(), self.onset[target].cpu(), self.brightness[target].cpu(),
            self.pitches[target].cpu(), float(self.voiced[target]),
        )  # fmt: skip

    @torch.no_grad()
    def set_ranges(self, target: int, ranges: Ranges) -> None:
        """Set the ranges of a target's controls."""
        self.loudness[target], self.onset[target] = ranges.loudness_db, ranges.onset
        self.brightness[target], self.pitches[target] = ranges.brightness_db, ranges.pitches
        self.voiced[target] = ranges.voiced

    def smoothing(self, target: int) -> Smoothing:
        """How the controls of a target are averaged over time."""
        return COARSE if self.ranges(target).is_pitched else FINE

    def inputs(self, controls: Controls, target: int, kept: Sequence[bool]) -> Tensor:
        """Controls of frames of a target, a multiple of 4 -> inputs (N, I); groups that are not kept are unknown."""
        row = SMOOTHINGS.index(self.smoothing(target))
        levels, onset, bands = (one[target].cpu() for one in (self.loudness[:, row], self.onset, self.brightness))
        pitch, loudness, attack, brightness = (float(one) for one in kept)
        frames = torch.cat([
            pitch * controls.salience, loudness * _standard(controls.loudness_db, levels)[None],
            attack * (controls.onset / onset.std().clamp(min=LEAST_DEVIATION))[None],
            brightness * torch.stack([_standard(*band) for band in zip(controls.brightness_db, bands, strict=True)]),
        ])  # fmt: skip
        patches = frames.unflatten(1, (-1, STRIDE)).permute(1, 0, 2).flatten(1)  # (I, L) -> (N, 4 I)
        known = torch.tensor([[pitch, loudness, attack, brightness]])
        return torch.cat([patches, known.expand(len(patches), -1)], dim=1)

    def features(self, inputs: Tensor, target: Tensor) -> Tensor:
        """Inputs (B, N, I) and numbers of targets (B,) -> features (B, N, C) that mean and grain are made of."""
        h: Tensor = self.stem(inputs) + self.target(target)[:, None]
        for block in self.decoder:
            h = block(h)
        return h

    def mean_of(self, h: Tensor) -> Tensor:
        """The mean of normalised patches (B, N, 4 M), from features."""
        mean: Tensor = self.decoder_head(h)
        return mean

    def grain_of(self, h: Tensor, noise: Tensor) -> Tensor:
        """Grain (B, N, 4 M) from features and noise."""
        return self.drawn(h[..., :0], h, noise)

    def decoded(self, h: Tensor, first: int = 0) -> Tensor:
        """The log-mel (B, M, 4 N) of features whose first patch has the number `first` in its sound."""
        noise = self.noise_of(first, first + h.shape[1])
        return self.limited(self.image(self.mean_of(h) + GRAIN * self.grain_of(h, noise)))

    def begin(
        self, sound: SoundFrames, target: int, kept: Kept, advance: Callable[[float], object] = lambda share: None
    ) -> "ControlRendition":
        """See `Transform.begin`."""
        return ControlRendition(self, target, sound, Matching(Ranges.of([sound], advance), self.ranges(target), kept))


def _standard(values: Tensor, quantiles: Tensor) -> Tensor:
    """Values (L,) in deviations of a distribution with these quantiles."""
    found = (values - quantiles.mean()) / quantiles.std().clamp(min=LEAST_DEVIATION)
    return found.clamp(-MOST_DEVIATIONS, MOST_DEVIATIONS)


@dataclass(frozen=True)
class ControlRendition:
    """See `Rendition`.

    Attributes:
        decoder: The decoder.
        target: Number of the target.
        sound: The sound.
        matching: How its controls are brought into the target's range.
    """

    decoder: ControlDecoder
    target: int
    sound: SoundFrames
    matching: Matching
    louder_db = LOUDER_DB

    @property
    def notes(self) -> tuple[str, ...]:
        """See `Rendition.notes`."""
        return self.matching.notes

    @property
    def smoothing(self) -> Smoothing:
        """See `Rendition.smoothing`."""
        return self.matching.smoothing

    @cached_property
    def groups(self) -> tuple[bool, bool, bool, bool]:
        """Which groups of controls the decoder gets.

        The brightness of a sound with pitches follows from them and from the level, as that of the target does.
        """
        kept, pitched = self.matching.kept, self.matching.pitched
        return pitched, kept.loudness, kept.attack, kept.brightness and not pitched

    @torch.no_grad()
    def mel(self, first: int, stop: int) -> Tensor:
        """See `Rendition.mel`."""
        decoder, device = self.decoder, self.decoder.mean.device
        begin, end = first // STRIDE, -(-stop // STRIDE)
        start, last = begin - decoder.reach, end + decoder.reach
        # What the decoder sees of time is what it learned from: the averages of its target.
        found = self.sound.controls(STRIDE * start, STRIDE * last, self.smoothing)
        inputs = decoder.inputs(self.matching(found), self.target, self.groups)[None].to(device)
        h = decoder.features(inputs, torch.tensor([self.target], device=device))
        mel = decoder.decoded(h, start)[0, :, STRIDE * decoder.reach : STRIDE * (decoder.reach + end - begin)].cpu()
        return mel[:, first - STRIDE * begin : stop - STRIDE * begin]
