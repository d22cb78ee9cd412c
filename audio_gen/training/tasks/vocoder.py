"""The training task of the vocoder: multi-resolution STFT losses, optionally discriminators."""

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from audio_gen.artefacts.bundle import Bundle
from audio_gen.audio.distance import BANDS_BY_N_FFT, at_peak, mrmel
from audio_gen.audio.mel import MelFrontEnd, MelSpec
from audio_gen.config import ClipSec, DataSettings, Depth, NotNegative, RateFactor, Settings, TrainSettings, Width
from audio_gen.data.dataset import Batch, ClipDataset
from audio_gen.data.store import Cache
from audio_gen.losses import adversarial
from audio_gen.losses.phase import spectrum_losses
from audio_gen.losses.spectral import MultiResolutionMel
from audio_gen.models.discriminators.wave import WaveDiscriminator
from audio_gen.models.registry import Part, packed
from audio_gen.training.task import Loss, Phase, Preview
from audio_gen.training.tasks.settings import RunConfig, clip_frames
from audio_gen.training.tasks.start import load_same
from audio_gen.vocoding.network import VocoderNetwork
from audio_gen.vocoding.phases import initial_phasors
from audio_gen.vocoding.renderer import Renderer

Iterations = Annotated[int, Field(ge=0, le=1000)]
MAX_FIRST_FRAME = 1 << 16
MIN_SAMPLES = max(BANDS_BY_N_FFT) // 2 + 1  # of a clip: its ends are mirrored into the longest window of the losses


class VocoderNet(Settings):
    """The network."""

    dim: Width = 192
    """Channels."""
    blocks: Depth = 6
    """ConvNeXt blocks."""
    expansion: Annotated[int, Field(ge=1, le=64)] = 3
    """Width of a block's pointwise network over `dim`."""
    low_projections: Iterations = 16
    """Griffin-Lim iterations of the low part of the spectrum in training; the network does not change that part."""
    projections: Iterations = 2
    """Griffin-Lim iterations of the whole spectrum in training."""


class WaveDiscriminators(Settings):
    """The discriminators of an adversarial run."""

    channels: Annotated[int, Field(ge=1, le=1024)] = 8
    """Channels of the discriminators of three STFT sizes."""
    bands: Literal[1, 5] = 1
    """Number of bands that each spectrum is split into."""
    period_channels: Annotated[int, Field(ge=0, le=512)] = 0
    """First channels of the multi-period discriminators (every 2nd to 11th sample); 0: none."""
    lr: RateFactor = 1.0
    """Learning rate, relative to the vocoder's."""


class VocoderLoss(Settings):
    """Loss weights and their parameters; a loss of weight 0 is not computed."""

    multi_mel: NotNegative = 1.0
    """Log-mel L1 over several STFT sizes."""
    sizes: Annotated[int, Field(ge=1, le=len(BANDS_BY_N_FFT))] = len(BANDS_BY_N_FFT)
    """Number of STFT sizes drawn in each step; fewer are faster."""
    multi_stft: NotNegative = 0.0
    """auraloss's multi-resolution STFT loss: linear bins, log and spectral convergence."""
    log_amplitude: NotNegative = 0.0
    """L1 of log amplitudes at the mel's STFT."""
    group_delay: NotNegative = 0.0
    """Error of phase differences along frequency, where the sound is audible."""
    phase_advance: NotNegative = 0.0
    """The same along time."""
    complex: NotNegative = 0.0
    """L1 of spectra with square-root amplitudes."""
    adversarial: NotNegative = 0.0
    """Weight of the waveform discriminators; for a run with --init from a run without them."""
    feature_matching: NotNegative = 2.0
    """L1 of the discriminators' activations, if `adversarial` is not 0."""
    quietest_gain_db: Annotated[float, Field(ge=-120, le=0)] = -15.0
    """Lowest random gain in dB of crops, after scaling to a peak of 0.95; the highest is 0 dB."""


class VocoderConfig(RunConfig):
    """A vocoder run."""

    model: Literal["vocoder"] = "vocoder"
    data: DataSettings = DataSettings(segment_sec=0.75, crop="random", labels="none", pitch="none")
    train: TrainSettings = TrainSettings(
        steps=3000, batch_size=16, lr=1e-3, betas=(0.8, 0.99), clip_norm=10, val_clips=32
    )
    net: VocoderNet = VocoderNet()
    loss: VocoderLoss = VocoderLoss()
    judges: WaveDiscriminators = WaveDiscriminators()
    val_sec: ClipSec = 2.0
    """Length of a validation clip in seconds."""

    @model_validator(mode="after")
    def _long_enough(self) -> Self:
        for name, duration_sec in (("data.segment_sec", self.data.segment_sec), ("val_sec", self.val_sec)):
            if self.mel.samples(clip_frames(duration_sec, self.mel)) < MIN_SAMPLES:
                raise ValueError(
                    f"{name} ({duration_sec:g}): the losses take clips of {MIN_SAMPLES} samples or more; give at least "
                    f"{math.ceil(100 * (MIN_SAMPLES + self.mel.hop_length) / self.mel.sample_rate) / 100:g}"
                )
        return self


class VocoderTask:
    """Trains a vocoder on crops of clips."""

    retired: Sequence[str] = ()
    generates = False
    judged_by: str | None = "mrmel"
    preroll = 0  # crops start anywhere in a sound

    def __init__(self, config: VocoderConfig, spec: MelSpec, cache: Cache) -> None:
        """Size the network to the mel."""
        self.config, self.spec = config, spec
        net = config.net
        self.args: dict[str, Any] = {
            **spec.to_dict(), "dim": net.dim, "blocks": net.blocks, "expansion": net.expansion,
            "low_projections": net.low_projections, "projections": net.projections,
        }  # fmt: skip
        self.model: nn.Module
        self.model = self.vocoder = VocoderNetwork(**self.args)
        self.front_end = MelFrontEnd(spec)
        self.multi_mel = MultiResolutionMel(spec.sample_rate)
        sizes = (config.data.segment_sec, config.val_sec)
        train, val = (clip_frames(sec, spec) for sec in sizes)
        self.segments = spec.samples(train), spec.samples(val)
        self.modules = nn.ModuleDict({"model": self.vocoder, "front_end": self.front_end, "multi_mel": self.multi_mel})
        loss = config.loss
        spectral = {
            "log_amplitude": loss.log_amplitude, "group_delay": loss.group_delay,
            "phase_advance": loss.phase_advance, "complex": loss.complex,
        }  # fmt: skip
        self._spectral = {key: weight for key, weight in spectral.items() if weight}
        self._weights = {
            "multi_mel": loss.multi_mel, "multi_stft": loss.multi_stft, **self._spectral,
            "adversarial_g": loss.adversarial, "feature_matching": loss.adversarial * loss.feature_matching,
        }  # fmt: skip
        if loss.multi_stft:
            self.modules["multi_stft"] = multi_stft()
        if loss.adversarial:
            judges = config.judges
            self.modules["d"] = WaveDiscriminator(
                channels=judges.channels, bands=judges.bands, period_channels=judges.period_channels
            )

    def compilable(self) -> Sequence[nn.Module]:
        """The network; Inductor does not support the complex iterations after it."""
        backbone = self.vocoder.get_submodule("backbone")
        return (backbone,)

    def initialise(self, train: ClipDataset) -> None:
        """Nothing to prepare."""

    def start_from(self, bundle: Bundle, run: Path) -> None:
        """Load the weights of a vocoder of the same shape."""
        load_same(self.vocoder, bundle, run)

    def phases(self) -> list[Phase]:
        """The vocoder, after the discriminators in an adversarial run."""
        vocoder = Phase("g", [(list(self.vocoder.parameters()), 1.0)])
        if "d" not in self.modules:
            return [vocoder]
        return [Phase("d", [(list(self.modules["d"].parameters()), self.config.judges.lr)]), vocoder]

    def begin(self, batch: Batch, generator: torch.Generator, progress: float) -> Tensor:
        """Crops (B, 1, T); each phase draws its levels and initial phases."""
        return batch.wav

    def loss(self, phase: str, shared: Tensor, generator: torch.Generator, progress: float) -> Loss:
        """Distances of copy-synthesis from the crops, and adversarial losses."""
        wav = self._levelled(shared, generator)
        # Discriminators train on sounds without gradients.
        render = Renderer.differentiable(self.vocoder, wav.device) if phase == "g" else Renderer(self.vocoder)
        with torch.set_grad_enabled(phase == "g"):
            copy = self._copy(render, wav, generator).float()
        if phase == "d":
            logits = [self.modules["d"](x)[0] for x in (wav, copy)]
            return Loss(
                {"adversarial_d": (mean(adversarial.hinge_d(*pair) for pair in zip(*logits, strict=True)), 1.0)}
            )
        with torch.autocast(wav.device.type, enabled=False):
            losses = self._distances(copy, wav, generator)
        if "d" in self.modules:
            losses |= self._adversarial(copy, wav)
        return Loss({key: (value, self._weights[key]) for key, value in losses.items()})

    def _copy(self, render: Renderer, wav: Tensor, generator: torch.Generator) -> Tensor:
        """Copy-synthesis of crops, with initial phases from a random frame of the noise."""
        first = int(torch.randint(MAX_FIRST_FRAME, (), generator=generator, device=generator.device))
        return render(self.front_end(wav), partial(initial_phasors, spec=self.spec, first=first))

    def _distances(self, copy: Tensor, wav: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        losses = {}
        if self.config.loss.multi_mel:
            order = torch.randperm(len(BANDS_BY_N_FFT), generator=generator, device=generator.device).tolist()
            sizes = list(BANDS_BY_N_FFT)
            drawn = [sizes[i] for i in order[: self.config.loss.sizes]]
            losses["multi_mel"] = self.multi_mel(copy, wav, drawn)
        if "multi_stft" in self.modules:
            losses["multi_stft"] = self.modules["multi_stft"](copy, wav)
        if self._spectral:
            found = spectrum_losses(*(self.front_end.stft(x) for x in (copy, wav)))
            losses |= {key: found[key] for key in self._spectral}
        return losses

    def _adversarial(self, copy: Tensor, wav: Tensor) -> dict[str, Tensor]:
        discriminator = self.modules["d"]
        with torch.no_grad():
            _, real = discriminator(wav)
        logits, fake = discriminator(copy)
        losses = {"adversarial_g": mean(adversarial.hinge_g(x) for x in logits)}
        if self.config.loss.feature_matching:
            losses["feature_matching"] = adversarial.feature_matching(real, fake)
        return losses

    def after_step(self, statistics: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Nothing."""
        return {}

    def after_validation(self, figures: Mapping[str, float]) -> None:
        """Nothing."""

    def validate(self, model: VocoderNetwork, batches: Iterable[Batch]) -> dict[str, float]:
        """`mrmel` of copy-synthesis of held-out clips, each at a peak of 0.95."""
        render, values = Renderer(model), []
        for batch in batches:
            for wav in at_peak(batch.wav):
                copy = render(self.front_end(wav[None]))
                values.append(mrmel(wav[0], copy[0, 0], self.spec.sample_rate))
        return {"mrmel": sum(values) / len(values)}

    def preview(self, model: VocoderNetwork, batch: Batch) -> Preview:
        """Real clips and their copy-synthesis."""
        render = Renderer(model)
        sounds: dict[str, Tensor] = {}
        columns: list[tuple[str, Tensor]] = []
        for i, wav in enumerate(at_peak(batch.wav)):
            mel = self.front_end(wav[None])
            copy = render(mel)
            sounds |= {f"{i}-real": wav, f"{i}-copy": copy[0]}
            columns += [(f"{i} real", mel[0]), (f"{i} copy", self.front_end(copy)[0])]
        return Preview(self.spec.sample_rate, sounds, {"clips": columns})

    def generate(self, model: VocoderNetwork, count: int, seed: int) -> Tensor:
        """Not used: a vocoder reconstructs its input, and `validate` measures it."""
        raise NotImplementedError

    def copy(self, wav: Tensor) -> Tensor:
        """The clips as they are."""
        return wav

    def bundle(self, model: VocoderNetwork) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """The averaged weights."""
        config, tensors = packed({"vocoder": Part("vocoder", self.args, model.state_dict())})
        return {**config, "mel": self.spec.to_dict()}, tensors

    def _levelled(self, wav: Tensor, generator: torch.Generator) -> Tensor:
        draw = torch.rand(len(wav), 1, 1, generator=generator, device=wav.device)
        return at_peak(wav) * 10 ** (self.config.loss.quietest_gain_db * draw / 20)


def mean(values: Iterable[Tensor]) -> Tensor:
    """The mean of scalars."""
    return torch.stack(list(values)).mean()


def multi_stft() -> nn.Module:
    """auraloss's loss at its default sizes, with log amplitudes bounded away from silence."""
    from auraloss.freq import MultiResolutionSTFTLoss

    return MultiResolutionSTFTLoss(eps=1e-5)
