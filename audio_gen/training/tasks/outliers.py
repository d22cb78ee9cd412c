"""Detect broken latent components in bundles, and drop them for `--init`."""

from pathlib import Path

import torch
from torch import Tensor

from audio_gen.artefacts.bundle import Bundle
from audio_gen.errors import OutputError
from audio_gen.models.codecs.gan import GANCodec
from audio_gen.models.codecs.vae import VAE
from audio_gen.models.registry import packed, parts_of
from audio_gen.training.tasks.mels import ENCODE_BATCH, MelData

MOST_DEVIATIONS = 20.0
ENCODED_CLIPS = 1024


def reach(tensors: dict[str, Tensor]) -> Tensor | None:
    """The range of a bundle's latents.

    Args:
        tensors: Tensors of the bundle.

    Returns:
        The largest magnitude in each component (D,), in standard deviations, of training clips and samples; None for a
        model without latents.
    """
    known = []
    for name, with_pitch in (
        ("prior.corners", True), ("prior.mapping.corners", True), ("prior.centres", False), ("prior.reach", False)
    ):  # fmt: skip
        if name in tensors:
            values = tensors[name].float()
            known.append(values[..., : -1 if with_pitch else None].reshape(-1, values.shape[-1] - with_pitch))
    return torch.cat(known).abs().amax(0).cpu() if known else None


def check_reach(tensors: dict[str, Tensor], folder: Path) -> None:
    """Refuse a bundle with a broken latent.

    Raises:
        OutputError: A component is not finite or exceeds MOST_DEVIATIONS.
    """
    found = reach(tensors)
    if found is None or bool((found <= MOST_DEVIATIONS).all()):
        return
    worst = int(found.nan_to_num(torch.inf).argmax())
    raise OutputError(
        f"{folder}: not written, since component {worst} of the latent reaches {found[worst]:.3g} standard deviations "
        f"({MOST_DEVIATIONS:g} at most){'; the earlier one is kept' if folder.is_dir() else ''}; train a new run, with "
        "a lower train.lr or with --init of this one, which drops such components"
    )


@torch.no_grad()
def drop_outliers(codec: GANCodec | VAE, bundle: Bundle, mels: MelData, run: Path) -> str | None:
    """Drop the components of a loaded model in which its latents, or those of this run's clips, are outliers.

    Args:
        codec: The model, with the weights of the bundle.
        bundle: The bundle.
        mels: The clips of this run.
        run: The user's path of the bundle.

    Returns:
        A note, if components were dropped.
    """
    device = next(codec.parameters()).device
    far = torch.zeros(codec.latent.dim)
    for batch in mels.train.fixed_batches(ENCODE_BATCH, ENCODED_CLIPS):
        batch = batch.to(device)
        w = codec.encode(mels.front_end(batch.wav), mels.conditions(batch)).mean
        far = torch.maximum(far, w.abs().amax((0, 1)).cpu())
    theirs = reach(packed(parts_of(bundle))[1])
    far = far if theirs is None else torch.maximum(far, theirs)
    which = ~(far <= MOST_DEVIATIONS)
    if not which.any():
        return None
    codec.drop_components(which.to(device))
    return (
        f"--init {run}: {int(which.sum())} of its {len(which)} components of the latent reach up to "
        f"{float(far.max()):.3g} standard deviations ({MOST_DEVIATIONS:g} at most) and are dropped"
    )
