"""Streaming: chunks of mel go in, chunks of sound come out a stated number of frames later."""

from collections import deque
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from audio_gen.audio.mel import LOG_FLOOR
from audio_gen.errors import ConfigError
from audio_gen.vocoding.silence import silent_frames
from audio_gen.vocoding.vocoder import Vocoder, check_mel


def stream(vocoder: Vocoder, mel_chunks: Iterable[Tensor], lookahead_frames: int | None = None) -> Iterator[Tensor]:
    """Turn chunks of log-mel into chunks of sound, each as soon as its look-ahead has arrived.

    The output equals that of the whole sound: up to rounding with the default look-ahead, approximately with a shorter
    one. A network uses its iterations of training, as `small:0` does; more iterations would need more look-ahead. Each
    decoding also renders `context_frames` on each side, so chunks should not be much shorter.

    Args:
        vocoder: A trained network, or BigVGAN.
        mel_chunks: (M, l) each, of any lengths.
        lookahead_frames: Frames to wait for after a chunk; None is `context_frames(vocoder)`: 77 for the standard
            vocoder of 6 blocks, or 894 ms at 44.1 kHz.

    Yields:
        wav (1, l * hop_length) on the CPU for every chunk.

    Raises:
        ConfigError: The vocoder needs the whole clip, or the look-ahead is negative.
        DataError, MelMismatchError: A chunk is not a log-mel; see `check_mel`.
    """
    context = context_frames(vocoder)
    lookahead = context if lookahead_frames is None else lookahead_frames
    if lookahead < 0:
        raise ConfigError(f"lookahead_frames ({lookahead}) must not be negative; this vocoder's full one is {context}")
    return _streamed(vocoder, mel_chunks, context, lookahead)


def context_frames(vocoder: Vocoder) -> int:
    """Return the frames of context on each side of a frame's sound.

    Raises:
        ConfigError: The vocoder needs the whole clip.
    """
    if (streaming := vocoder.streaming) is not None:
        return streaming.context_frames
    if vocoder.spec.stereo_bands:
        raise ConfigError(
            f"vocoder {vocoder.name} cannot stream stereo; stream the first {vocoder.spec.n_mels} rows, the mel of the "
            "mid, with a vocoder of that mel (MelSpec.mono)"
        )
    raise ConfigError(f"vocoder {vocoder.name} needs the whole clip and cannot stream; use a trained network")


def _streamed(vocoder: Vocoder, mel_chunks: Iterable[Tensor], context: int, lookahead: int) -> Iterator[Tensor]:
    window, waiting, spec = _Window(vocoder, context), deque[int](), vocoder.spec
    silence = torch.full((spec.n_mels, silent_frames(spec)), LOG_FLOOR)  # added at both ends, as for a whole clip
    window.append(silence)
    window.done = window.known
    for number, chunk in enumerate(mel_chunks):
        if chunk.shape[-1]:
            check_mel(chunk, vocoder.spec, f"mel chunk {number}")
            window.append(chunk)
        waiting.append(chunk.shape[-1])
        yield from _released(window, waiting, lookahead)
    window.append(silence)
    yield from _released(window, waiting, lookahead=0)


def _released(window: "_Window", waiting: deque[int], lookahead: int) -> Iterator[Tensor]:
    """Decode all waiting chunks whose look-ahead has arrived."""
    until, lengths = window.done, []
    while waiting and until + waiting[0] + lookahead <= window.known:
        lengths.append(waiting.popleft())
        until += lengths[-1]
    if lengths:
        yield from window.wav(until).split([window.hop_length * length for length in lengths], dim=1)


class _Window:
    """The frames of a stream that are still needed."""

    def __init__(self, vocoder: Vocoder, context: int) -> None:
        assert vocoder.streaming is not None
        self._decode, self._context, self.hop_length = vocoder.streaming.begin(), context, vocoder.spec.hop_length
        self._mel = torch.empty(vocoder.spec.n_mels, 0)
        self._first = self.done = 0

    @property
    def known(self) -> int:
        """Frames received so far."""
        return self._first + self._mel.shape[1]

    def append(self, chunk: Tensor) -> None:
        self._mel = torch.cat([self._mel.to(chunk), chunk], dim=1)

    def wav(self, until: int) -> Tensor:
        """Decode the frames from `done` to `until`, and drop those that are not needed later."""
        if until == self.done:
            return torch.empty(1, 0)
        first = max(0, self.done - self._context)
        self._mel, self._first = self._mel[:, first - self._first :], first
        wav = self._decode(self._mel[:, : until + self._context - first], first)
        start, end = ((frame - first) * self.hop_length for frame in (self.done, until))
        self.done = until
        return wav[:, start:end].cpu()
