"""Render sound with a vocoder network: correct a first spectrum, then fit it to the mel by iterations."""

from collections.abc import Callable
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor

from audio_gen.audio.mel import MelSpec
from audio_gen.audio.parallel import cores, each_clip, on_cores
from audio_gen.audio.stft import reach
from audio_gen.vocoding.bands import SILENT_POWER, low_decimation, low_part, nnls_amplitude
from audio_gen.vocoding.griffinlim import MOMENTUM, Backend, Stages, fastest_backend, refine, scaled, stages_of
from audio_gen.vocoding.network import VocoderNetwork
from audio_gen.vocoding.phases import PhaseStart, advanced_cycles, initial_phasors, partial_bins
from audio_gen.vocoding.silence import Opening, between_silence
from audio_gen.vocoding.vocoder import Decoder, Streaming

MAX_LOG_GAIN = 4.0
HEAD_FRAMES = 64

InitialPhases = Callable[[Tensor], Tensor]  # amplitudes (B, F, L) -> unit phasors (B, F, L)


class Renderer:
    """Turn the output of a network into a wave.

    Amplitudes from the filters' pseudo-inverse and phases of a noise make the first spectrum. The network corrects it.
    Each iteration then projects it to the spectrum of a wave and refits it to the mel.

    Args:
        network: The network; its weights may change between calls.
        backend: `reference` (torch, differentiable) or `numba` (CPU, no gradients); None for the faster one without
            gradients on the mel's device. See `griffinlim`.
        low_backend: Back end of the low part's iterations, which have no gradients; None for `backend`.

    Source: iterations as in fast Griffin-Lim (Perraudin 2013).
    """

    def __init__(
        self, network: VocoderNetwork, backend: Backend | None = None, low_backend: Backend | None = None
    ) -> None:
        """Store the settings."""
        self.network, self.spec, self.backend, self.low_backend = network, network.spec, backend, low_backend

    @classmethod
    def differentiable(cls, network: VocoderNetwork, device: torch.device) -> "Renderer":
        """The renderer to train with: `reference`, and the low part by the faster back end on a device."""
        return cls(network, "reference", fastest_backend(device))

    def __call__(
        self, mel: Tensor, start: InitialPhases | None = None, iterations: int | None = None,
        opening: Opening | None = None,
    ) -> Tensor:  # fmt: skip
        """Log-mel (B, M, L) -> wav (B, 1, L * hop_length).

        Args:
            mel: Clips or parts of clips.
            start: Returns the initial phasors of a part; None for whole clips.
            iterations: Number of iterations with momentum (see `stages_of`); None for those of training, without
                momentum.
            opening: Onset of all sounds, if known.
        """
        backend = self._backend(mel)
        if iterations is None and start is None and backend == "numba":
            parts = min(cores(), mel.shape[-1] // (2 * self.context_frames))
            if parts > 1:
                return self._in_parts(mel, parts, opening)
        stages, momentum = self.stages(iterations, self.spec)
        return refine(
            self.spectrum(mel, start), mel, self.spec, stages, momentum, opening,
            backend=backend, low_backend=self.low_backend,
        )  # fmt: skip

    def spectrum(self, mel: Tensor, start: InitialPhases | None = None) -> Tensor:
        """Log-mel (B, M, L) -> complex STFT (B, F, L) before iterations; `start` as in `__call__`."""
        amplitude = nnls_amplitude(mel, self.spec, iterations=0)
        phasors = initial_phasors(amplitude, self.spec) if start is None else start(amplitude)
        # Bins are contiguous for the FFT: (B, F, L) -> (B, L, F).
        amplitude, phasors = amplitude.mT.contiguous(), phasors.mT.contiguous()
        if self._backend(mel) == "numba":
            return self._compiled(mel, amplitude, phasors).mT
        return self._corrected(mel, amplitude, phasors).mT

    def stages(self, iterations: int | None, spec: MelSpec) -> tuple[Stages, float]:
        """Stages and momentum of `refine` for mels of a spec; `iterations` as in `__call__`."""
        if iterations is None:
            return ((low_decimation(spec), self.network.low_projections), (1, self.network.projections)), 0.0
        return stages_of(iterations, spec), MOMENTUM

    @property
    def context_frames(self) -> int:
        """The frames of context on each side of a frame, with the iterations of training."""
        spec, network = self.spec, self.network
        around = -(-spec.pad // spec.hop_length)  # frames whose windows overlap a frame's samples
        # An iteration spreads a frame to all frames whose windows overlap with it.
        iteration = reach(spec.n_fft, spec.hop_length)
        low = network.low_projections if low_part(spec, low_decimation(spec), torch.device("cpu")) else 0
        return max(network.backbone.reach, around) + (low + network.projections) * iteration + around

    def _backend(self, mel: Tensor) -> Backend:
        return self.backend or fastest_backend(mel.device)

    def _corrected(self, mel: Tensor, amplitude: Tensor, phasors: Tensor) -> Tensor:
        """Log-mel (B, M, L), first amplitudes and phasors (B, L, F) -> spectrum (B, L, F)."""
        first = self.network.first_bin
        sizes = [first, self.spec.n_bins - first]
        (low, amplitude), (low_phasors, phasors) = (x.split(sizes, dim=2) for x in (amplitude, phasors))
        log_gain, weight, real, imag = self.network(mel).float().chunk(4, dim=2)  # (B, L, K) each, of the bins above
        real = torch.addcmul(real, 1 + weight, phasors.real)
        imag = torch.addcmul(imag, 1 + weight, phasors.imag)
        gain = log_gain.clamp(-MAX_LOG_GAIN, MAX_LOG_GAIN).exp()
        scale = amplitude * gain * torch.rsqrt(torch.addcmul(real * real, imag, imag) + SILENT_POWER)
        return torch.cat([scaled(low_phasors, low), torch.complex(real * scale, imag * scale)], dim=2)

    @torch.no_grad()
    def _compiled(self, mel: Tensor, amplitude: Tensor, phasors: Tensor) -> Tensor:
        """As `_corrected`, without gradients; the spectrum overwrites the phasors."""
        from audio_gen.vocoding.kernels import corrected  # importing numba takes half a second

        h = self.network.backbone(mel)
        h, amplitude, spectrum = (x.flatten(0, 1) for x in (h, amplitude, torch.view_as_real(phasors).flatten(2)))
        # A few frames at a time, which fit the processor's cache.
        for features, level, part in zip(*(x.split(HEAD_FRAMES) for x in (h, amplitude, spectrum)), strict=True):
            output = self.network.head(features).float()
            # Exponentiate here, since numba has no fast exponential.
            output[:, : output.shape[1] // 4].clamp_(-MAX_LOG_GAIN, MAX_LOG_GAIN).exp_()
            corrected(output.numpy(), level.numpy(), self.network.first_bin, part.numpy())
        return phasors

    def _in_parts(self, mel: Tensor, parts: int, opening: Opening | None) -> Tensor:
        """Render parts of clips on several cores, each with its context frames."""
        count, hop, context = mel.shape[-1], self.spec.hop_length, self.context_frames
        lowest = nnls_amplitude(mel, self.spec, iterations=0, bins=partial_bins(self.spec))
        cycles = advanced_cycles(lowest, self.spec)
        wav = mel.new_empty(len(mel), 1, count * hop)

        def go(first: int, last: int) -> None:
            begin, end = max(0, first - context), min(count, last + context)
            start = partial(initial_phasors, spec=self.spec, first=begin, cycles=cycles[..., begin:end])
            output = self(mel[..., begin:end], start, opening=opening and opening.later(begin * hop))
            wav[..., first * hop : last * hop] = output[..., (first - begin) * hop : (last - begin) * hop]

        edges = [count * i // parts for i in range(parts + 1)]
        on_cores(lambda own: go(*own), list(pairwise(edges)))
        return wav


class NetworkVocoder:
    """A trained vocoder network, for mels of its spec.

    Args:
        network: The network.
        name: Name in sidecars and reports.
        iterations: Griffin-Lim iterations (see `stages_of`); None for those of training, as in `stream`.
        backend: See `Renderer`.
    """

    def __init__(
        self, network: VocoderNetwork, name: str, iterations: int | None = None, backend: Backend | None = None
    ) -> None:
        """Store the settings."""
        self.network, self.spec, self.name, self.iterations = network, network.spec, name, iterations
        self.renderer = Renderer(network, backend)

    @property
    def streaming(self) -> Streaming:
        """Streaming with the iterations of training."""
        return Streaming(self.renderer.context_frames, self._part_decoder)

    def _part_decoder(self) -> Decoder:
        """A decoder of parts with the phases of the whole clip."""
        start = PhaseStart(self.spec)

        @torch.no_grad()
        def decode(mel: Tensor, first: int) -> Tensor:
            return self.renderer(mel[None], partial(start, first=first))[0]

        return decode

    @torch.no_grad()
    def __call__(self, mel: Tensor, onset: float | None = None) -> Tensor:
        """Turn log-mel (B, M, L) into wav (B, 1, L * hop_length); see `Vocoder`."""
        return between_silence(self._speak, mel, self.spec, onset)

    def _speak(self, mel: Tensor, opening: Opening | None) -> Tensor:
        return each_clip(partial(self.renderer, iterations=self.iterations, opening=opening), mel)
