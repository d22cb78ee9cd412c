"""Encode sounds of any length with a codec along time, in parts that equal the whole."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from audio_gen.models.contract import Conditions, SequenceCodec

BLOCK_LATENTS = 512  # 24 s at 44.1 kHz


@torch.no_grad()
def encode_blocks(codec: SequenceCodec, read: Callable[[int, int], Tensor], frames: int) -> Iterator[Tensor]:
    """Yield the latents (n, D) of a sound on the CPU.

    Args:
        codec: The codec.
        read: Returns the frames between two multiples of the stride, as an image (R, L); silence outside the sound.
        frames: Frames of the sound, L.
    """
    reach, stride = codec.encoder_reach, codec.latent.stride
    assert stride is not None and isinstance(codec, nn.Module)
    device, count = next(codec.parameters()).device, -(-frames // stride)
    for start in range(0, count, BLOCK_LATENTS):
        stop = min(count, start + BLOCK_LATENTS)
        begin, end = max(0, start - reach), min(count, stop + reach)
        image = read(stride * begin, stride * end)
        z = codec.encode(image[None].to(device), Conditions(1)).mean[0]
        yield z[start - begin : stop - begin].float().cpu()
