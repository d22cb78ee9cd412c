"""Sounds of any length: blocks that fade into each other, and copy-synthesis."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from audio_gen.audio.crossfade import crossfade
from audio_gen.audio.mel import MelFrontEnd
from audio_gen.audio.onset import loudest, silent_until
from audio_gen.audio.stereo import FRAMES
from audio_gen.vocoding.silence import silent_frames
from audio_gen.vocoding.vocoder import LongMel, Vocoder

BLOCK_FRAMES, OVERLAP_FRAMES = 2048, 32  # hours of sound need less than 1 GB


def vocode_long(vocoder: Vocoder, mel: LongMel, block_frames: int = BLOCK_FRAMES, onset: float | None = None) -> Tensor:
    """Turn a log-mel of any length into sound, in blocks that fade into each other.

    Args:
        vocoder: The vocoder.
        mel: (M, L), with the rows of stereo if the vocoder is stereo.
        block_frames: Frames in a block.
        onset: The onset as a sample, if known.

    Returns:
        wav (C, L * hop_length) on the CPU.
    """
    wav, done = torch.empty(vocoder.spec.channels, mel.shape[-1] * vocoder.spec.hop_length), 0
    for block in vocode_blocks(vocoder, mel, block_frames, onset):
        wav[:, done : done + block.shape[-1]] = block
        done += block.shape[-1]
    return wav


def vocode_blocks(
    vocoder: Vocoder, mel: LongMel, block_frames: int = BLOCK_FRAMES, onset: float | None = None
) -> Iterator[Tensor]:
    """Yield the result of `vocode_long` in pieces (C, T): neither mel nor sound need fit into memory."""
    assert not vocoder.spec.stereo_bands or block_frames % FRAMES == 0  # rows of stereo hold several frames together
    samples, held = vocoder.spec.samples(block_frames), None
    for start in range(0, mel.shape[-1], block_frames):
        end = start + block_frames + OVERLAP_FRAMES
        begin = None if onset is None else onset - vocoder.spec.samples(start)
        block = vocoder(mel[:, start:end][None], begin)[0].cpu()
        block = block if held is None else _joined(held, block)
        if end >= mel.shape[-1]:
            yield block
            return
        yield block[:, :samples]
        held = block[:, samples:]


def _joined(old: Tensor, block: Tensor) -> Tensor:
    """Fade from `old` (C, T) into a block (C, N) that begins at the same time, at constant power."""
    new = block[:, : old.shape[-1]]
    # Blocks may disagree in phase: the better polarity is used, and the remaining cancellation compensated.
    correlation = float((old * new).sum() / (old.norm() * new.norm()).clamp(min=1e-8))
    sign = -1.0 if correlation < 0 else 1.0
    return torch.cat([crossfade(old, sign * new, abs(correlation)), sign * block[:, old.shape[-1] :]], dim=1)


def copy_synthesis(vocoder: Vocoder, wav: Tensor) -> Tensor:
    """Vocode the mel of a sound, with unchanged timing and length: wav (C, T) -> (C, T).

    A stereo vocoder takes 1 or 2 channels and makes 2.
    """
    spec, device = vocoder.spec, wav.device
    lead = spec.samples(silent_frames(spec))
    mel = MelFrontEnd(spec).to(device)(F.pad(wav, (lead, lead))[None])[0]
    generated = vocode_long(vocoder, mel, onset=lead + silent_until(loudest(wav.cpu().numpy()), spec.sample_rate))
    return generated[:, lead : lead + wav.shape[-1]]
