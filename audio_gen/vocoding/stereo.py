"""A vocoder of stereo: the mid by any vocoder, spread to left and right by the rows below its mel."""

import torch
from torch import Tensor

from audio_gen.audio.mel import MelSpec
from audio_gen.audio.stereo import Strip, sides, spread_of, unpacked
from audio_gen.audio.stft import STFT
from audio_gen.vocoding.silence import Opening
from audio_gen.vocoding.vocoder import Vocoder


class StereoVocoder:
    """Left and right from images of a stereo mel.

    The sum of both sides is the mid, so a mono mix lacks the part that is turned. The onset is that of the mid.

    Args:
        mid: A vocoder of `spec.mono`.
        spec: Mel definition of its input.
    """

    streaming = None  # the stereo rows hold 4 frames together, and chunks may be of any length

    def __init__(self, mid: Vocoder, spec: MelSpec) -> None:
        """Store the parts."""
        spec.mono.check_same(mid.spec, "the model", f"the vocoder {mid.name}")
        self.mid, self.spec, self.name = mid, spec, mid.name

    @torch.no_grad()
    def __call__(self, mel: Tensor, onset: float | None = None) -> Tensor:
        """Turn images (B, rows, L) into wav (B, 2, L * hop_length); see `Vocoder`."""
        bands = self.spec.n_mels
        carrier = self.mid(mel[:, :bands], onset)
        values = unpacked(mel[:, bands:].to(carrier.device))
        if not any(bool(x.any()) for x in values):
            return carrier.expand(-1, 2, -1).clone()
        stft = STFT(self.spec.n_fft, self.spec.hop_length).to(carrier.device)
        gate = None if onset is None else Opening(onset, self.spec.sample_rate).gate(carrier.shape[-1])
        wavs = []
        for wav, *parts in zip(carrier.split(1), *(x.split(1) for x in values), strict=True):
            mid, side = sides(wav, spread_of(Strip(*parts)), self.spec, stft)
            if gate is not None:  # the vocoder's own sound has been through it
                mid, side = (x if x is wav else x * gate.to(x.device) for x in (mid, side))
            wavs.append(torch.cat([mid + side, mid - side], dim=1))
        return torch.cat(wavs)
