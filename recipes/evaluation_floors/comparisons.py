"""Embeddings that the package does not ship, to compare with: a speaker encoder, and statistics of the log-mel."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import librosa
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from audio_gen.audio.mel import MelFrontEnd, MelSpec
from audio_gen.evaluation.embeddings import load_embedding
from audio_gen.evaluation.embeddings.base import Embedding, mean_over_windows

PARTIAL_FRAMES, PARTIAL_HOP = 160, 80


class LogMelStatistics:
    """Mean and deviation of each band of the log-mel."""

    name, digest, dimensions = "log-mel statistics", "", 256

    def __init__(self) -> None:
        self._front_end = MelFrontEnd(MelSpec.preset("44khz_128band_512x"))
        self.sample_rate = self._front_end.spec.sample_rate

    def __call__(self, wavs: Sequence[Tensor]) -> Tensor:
        mels = [self._front_end(wav[None, None])[0] for wav in wavs]
        return torch.stack([torch.cat([mel.mean(1), mel.std(1, correction=0)]) for mel in mels])


class Resemblyzer:
    """The speaker encoder of the package resemblyzer, without its voice detection (Wan 2018)."""

    name, digest, sample_rate, dimensions = "resemblyzer", "", 16000, 256

    def __init__(self) -> None:
        spec = importlib.util.find_spec("resemblyzer")
        if spec is None or not spec.submodule_search_locations:
            raise SystemExit('embedding resemblyzer: pip install --no-deps "Resemblyzer==0.1.4"')
        path = Path(spec.submodule_search_locations[0]) / "pretrained.pt"
        weights = torch.load(path, map_location="cpu", weights_only=True)["model_state"]
        self._lstm, self._linear = nn.LSTM(40, 256, 3, batch_first=True), nn.Linear(256, 256)
        for part, name in ((self._lstm, "lstm."), (self._linear, "linear.")):
            part.load_state_dict({k.removeprefix(name): v for k, v in weights.items() if k.startswith(name)})

    def __call__(self, wavs: Sequence[Tensor]) -> Tensor:
        return F.normalize(mean_over_windows(wavs, self._cut, self._embed, self.dimensions))

    def _cut(self, wav: Tensor) -> Tensor:
        mel = librosa.feature.melspectrogram(y=wav.numpy(), sr=self.sample_rate, n_fft=400, hop_length=160, n_mels=40)
        frames = torch.from_numpy(mel).float().T
        frames = F.pad(frames, (0, 0, 0, max(0, PARTIAL_FRAMES - len(frames))))
        return frames.unfold(0, PARTIAL_FRAMES, PARTIAL_HOP).transpose(1, 2)

    def _embed(self, frames: Tensor) -> Tensor:
        last = self._lstm(frames)[1][0][-1]
        return F.normalize(self._linear(last).relu())


def load(name: str) -> Embedding:
    """One of the package's embeddings, or one of these."""
    if name == "log-mel":
        return LogMelStatistics()
    return Resemblyzer() if name == "resemblyzer" else load_embedding(name)
