"""A vocoder network on mels of a lower sample rate, with the same weights.

Frames of 2048 samples at 44.1 kHz and of 1024 at 22.05 kHz cover the same time, and the spectrum at the lower rate is
the lower half of the one at the higher rate. So the amplitudes of the given mel give a mel for the network, silent in
its upper half. The lower half of the network's spectrum is refined to fit the given mel.
"""

from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from audio_gen.audio.mel import MEL_FLOOR, MelSpec, mel_filters
from audio_gen.audio.parallel import each_clip
from audio_gen.vocoding.bands import nnls_amplitude
from audio_gen.vocoding.griffinlim import Backend, fastest_backend, refine
from audio_gen.vocoding.network import VocoderNetwork
from audio_gen.vocoding.renderer import Renderer
from audio_gen.vocoding.silence import Opening, between_silence


def rate_factor(spec: MelSpec, network_spec: MelSpec) -> int | None:
    """The factor of the rate of `network_spec` over that of `spec`; None if frames do not cover the same time."""
    factor = network_spec.sample_rate // spec.sample_rate
    theirs = (network_spec.sample_rate, network_spec.n_fft, network_spec.hop_length)
    return (
        factor
        if factor > 1 and theirs == tuple(factor * x for x in (spec.sample_rate, spec.n_fft, spec.hop_length))
        else None
    )


class LowerRateVocoder:
    """A network for mels of a lower sample rate than in its training.

    Args:
        network: The network.
        spec: Mel definition of its input; see `rate_factor`.
        name: Name in sidecars and reports.
        iterations: As for `NetworkVocoder`.
        backend: See `Renderer`.
    """

    streaming = None

    def __init__(
        self, network: VocoderNetwork, spec: MelSpec, name: str, iterations: int | None, backend: Backend | None = None
    ) -> None:
        """Store the settings."""
        factor = rate_factor(spec, network.spec)
        assert factor
        self.network, self.spec, self.iterations, self._factor = network, spec, iterations, factor
        self.renderer, self._backend = Renderer(network, backend), backend
        self.name = f"{name} at {spec.sample_rate / 1000:g} kHz"

    def __call__(self, mel: Tensor, onset: float | None = None) -> Tensor:
        """Turn log-mel (B, M, L) into wav (B, 1, L * hop_length); see `Vocoder`."""

        def speak(padded: Tensor, opening: Opening | None) -> Tensor:
            return each_clip(partial(self._wav, opening=opening), padded)

        return between_silence(speak, mel, self.spec, onset)

    def _wav(self, mel: Tensor, opening: Opening | None) -> Tensor:
        spectrum = self.renderer.spectrum(self._network_mel(mel))[:, : self.spec.n_bins] / self._factor
        stages, momentum = self.renderer.stages(self.iterations, self.spec)
        backend = self._backend or fastest_backend(mel.device)
        return refine(spectrum, mel, self.spec, stages, momentum, opening, backend=backend)

    def _network_mel(self, mel: Tensor) -> Tensor:
        """The log-mel (B, M', L) for the network, of a sound with the given log-mel (B, M, L)."""
        network_spec = self.network.spec
        amplitude = F.pad(
            self._factor * nnls_amplitude(mel, self.spec), (0, 0, 0, network_spec.n_bins - self.spec.n_bins)
        )
        return torch.log((mel_filters(network_spec).to(mel.device) @ amplitude).clamp(min=MEL_FLOOR))
