"""The vocoder's task: mel in, wave out, compared over several STFT sizes."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from audio_gen.audio.distance import mrmel
from audio_gen.audio.mel import MelFrontEnd, MelSpec
from audio_gen.checkpoint import Bundle
from audio_gen.config import Count, DataSettings, Positive, RunConfig, Settings, TrainSettings
from audio_gen.data.dataset import Batch, ClipDataset
from audio_gen.data.store import Cache
from audio_gen.losses.spectral import MultiResolutionMel
from audio_gen.models.vocoder import Vocoder, VocosHead
from audio_gen.training.task import Phase, Preview
from audio_gen.training.tasks.start import load_same

HEADS: dict[str, type[nn.Module]] = {"vocoder": Vocoder, "vocos": VocosHead}
PEAK, QUIET = 0.95, 1e-4


class VocoderNet(Settings):
    """The network."""

    head: Literal["vocoder", "vocos"] = "vocoder"
    """vocoder: starts from what the mel gives; vocos: a plain Vocos head, to compare with."""
    dim: Count = 192
    """Channels."""
    blocks: Count = 6
    """ConvNeXt blocks."""
    expansion: Count = 3
    """Width of a block's pointwise network over `dim`."""


class VocoderLoss(Settings):
    """Weights of the losses, and what shapes them."""

    multi_mel: float = 1.0
    """Log-mel L1 over several STFT sizes."""
    quietest_gain_db: float = -15.0
    """Crops are scaled to a peak of 0.95 and then by a gain drawn between this and 0 dB."""


class VocoderConfig(RunConfig):
    """A vocoder run."""

    model: Literal["vocoder"] = "vocoder"
    data: DataSettings = DataSettings(segment_sec=0.75, crop="random", labels="none", pitch="none")
    train: TrainSettings = TrainSettings(
        steps=3000, batch_size=16, lr=1e-3, betas=(0.8, 0.99), clip_norm=10, val_clips=32
    )
    net: VocoderNet = VocoderNet()
    loss: VocoderLoss = VocoderLoss()
    val_sec: Positive = 2.0
    """Length of a validation clip in seconds."""


class VocoderTask:
    """Trains a vocoder on crops of clips."""

    def __init__(self, config: VocoderConfig, spec: MelSpec, cache: Cache) -> None:
        """Size the network to the mel."""
        self.config, self.spec = config, spec
        net = config.net
        self.args = {**spec.to_dict(), "dim": net.dim, "blocks": net.blocks, "expansion": net.expansion}
        self.vocoder = HEADS[net.head](**self.args)
        self.front_end = MelFrontEnd(spec)
        self.multi_mel = MultiResolutionMel(spec.sample_rate)
        self._modules = nn.ModuleDict({"model": self.vocoder, "front_end": self.front_end, "multi_mel": self.multi_mel})

    @property
    def model(self) -> nn.Module:
        """The vocoder."""
        return self.vocoder

    @property
    def modules(self) -> nn.ModuleDict:
        """The vocoder, the front end and the loss."""
        return self._modules

    @property
    def makes_clips(self) -> bool:
        """A vocoder makes nothing new."""
        return False

    def segments(self) -> tuple[int, int]:
        """Samples of a training and of a validation clip."""
        sizes = (self.config.data.segment_sec, self.config.val_sec)
        train, val = (max(1, round(sec * self.spec.frame_rate)) for sec in sizes)
        return self.spec.samples(train), self.spec.samples(val)

    def initialise(self, train: ClipDataset) -> None:
        """Nothing: the prior is in the network."""

    def start_from(self, bundle: Bundle, run: Path) -> None:
        """Take the weights of another vocoder of the same shape."""
        load_same(self.vocoder, bundle, run)

    def phases(self) -> list[Phase]:
        """One phase."""
        return [Phase("g", [(list(self.vocoder.parameters()), 1.0)])]

    def weights(self, phase: str, progress: float) -> Mapping[str, float]:
        """The weights of the losses."""
        return {"multi_mel": self.config.loss.multi_mel}

    def losses(self, phase: str, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """The distance of copy-synthesis from the crop."""
        wav = self._levelled(batch.wav, generator)
        made = self.vocoder(self.front_end(wav))
        return {"multi_mel": self.multi_mel(made.float(), wav)}

    def readings(self) -> Mapping[str, Tensor]:
        """Nothing beside the losses."""
        return {}

    def validate(self, model: nn.Module, batches: Iterable[Batch]) -> dict[str, float]:
        """`mrmel` of copy-synthesis on clips kept out, each at a peak of 0.95."""
        values = []
        for batch in batches:
            for wav in _at_peak(batch.wav):
                made = model(self.front_end(wav[None]))
                values.append(mrmel(wav[0], made[0, 0], self.spec.sample_rate))
        return {"mrmel": sum(values) / len(values)}

    def preview(self, model: nn.Module, batch: Batch) -> Preview:
        """Real clips and their copy-synthesis."""
        sounds: dict[str, Tensor] = {}
        columns: list[tuple[str, Tensor]] = []
        for i, wav in enumerate(_at_peak(batch.wav)):
            mel = self.front_end(wav[None])
            made = model(mel)
            sounds |= {f"{i}-real": wav, f"{i}-copy": made[0]}
            columns += [(f"{i} real", mel[0]), (f"{i} copy", self.front_end(made)[0])]
        return Preview(self.spec.sample_rate, sounds, {"clips": columns})

    def make(self, model: nn.Module, count: int, seed: int) -> Tensor:
        """Never asked: a vocoder gives back what goes in, and `validate` measures how well."""
        raise NotImplementedError

    def copy(self, wav: Tensor) -> Tensor:
        """The clips as they are."""
        return wav

    def bundle(self, model: nn.Module) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """The averaged weights."""
        config = {"model": self.config.net.head, "args": self.args, "mel": self.spec.to_dict()}
        return config, {f"model.{key}": value for key, value in model.state_dict().items()}

    def _levelled(self, wav: Tensor, generator: torch.Generator) -> Tensor:
        draw = torch.rand(len(wav), 1, 1, generator=generator, device=wav.device)
        return _at_peak(wav) * 10 ** (self.config.loss.quietest_gain_db * draw / 20)


def _at_peak(wav: Tensor) -> Tensor:
    """wav (B, 1, T) scaled to a peak of 0.95; silence stays as it is."""
    peak = wav.abs().amax(dim=(1, 2), keepdim=True)
    return torch.where(peak > QUIET, wav * (PEAK / peak.clamp(min=QUIET)), wav)
