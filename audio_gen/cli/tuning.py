"""The shipped vocoder on a folder's own sounds: trained on for a while, and used where kept-out files gain by it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from audio_gen.audio.mel import MelSpec
    from audio_gen.data.store import Cache
    from audio_gen.generation.vocoders import Vocoder

SHARE = 0.2  # of the time that the model was trained for
SETTINGS = ("train.lr=2e-4", "loss.sizes=2", "train.validations=0", "train.previews=0")
BETTER = 0.99  # of the distance before; less is chance
HEARD, HEARD_SEC, FEWEST = 32, 2.0, 3  # kept-out files that are listened to
PEAK, QUIET = 0.95, 1e-4


def tuned_vocoder(
    cache: "Cache",
    spec: "MelSpec",
    run: Path,
    *,
    minutes: float,
    seed: int,
    device: str,
    force: bool,
    tell: Callable[..., None],
) -> tuple[str | None, str]:
    """Train the shipped vocoder on the clips of a cache, and compare it with what it was.

    Args:
        cache: The sounds; its kept-out files decide.
        spec: The model's mel.
        run: The vocoder's run; an unfinished one there goes on.
        minutes: How long the model was trained.
        seed: Of the training.
        device: Where to compute.
        force: Move an earlier run aside.
        tell: Told of the training's events.

    Returns:
        The vocoder to use, None for the default one, and what was found in one sentence.
    """
    from audio_gen.generation.vocoders import CLASSICAL, default_vocoder, load_vocoder
    from audio_gen.training.tasks import train_run

    shipped, kept_out = default_vocoder(spec), cache.split("val")
    if shipped == CLASSICAL:
        return None, f"No vocoder that was trained for this mel comes with audio_gen, so {CLASSICAL} was used."
    if not _is_its_own(spec, shipped):
        return None, f"The vocoder {shipped} was used as it is: it can be tuned for its own mel only."
    if len(kept_out) < FEWEST:
        return (
            None,
            f"The vocoder {shipped} was used as it is: {len(kept_out)} kept-out files are too few to tune it by.",
        )
    train_run(
        cache.path, run, model="vocoder", init=Path(shipped), minutes=SHARE * minutes, seed=seed, device=device,
        overrides=[*SETTINGS, *_shape(spec, shipped)], force=force, on_event=tell,
    )  # fmt: skip
    before, after = (_distance(load_vocoder(str(v), spec), cache) for v in (shipped, run))
    found = (
        f"The vocoder {shipped} was trained on these sounds for {SHARE * minutes:.1f} minutes: the distance of "
        f"{min(len(kept_out), HEARD)} kept-out files from their copies (mrmel) went from {before:.3f} to {after:.3f}"
    )
    if after < BETTER * before:
        return str(run), f"{found}, so this one is used."
    return None, f"{found}, which is no gain, so {shipped} is used as it comes."


def _is_its_own(spec: "MelSpec", vocoder: str) -> bool:
    from audio_gen.checkpoint import shipped, shipped_mel

    folder = shipped(vocoder, spec.to_dict())
    return folder is not None and shipped_mel(folder) == spec.to_dict()


def _shape(spec: "MelSpec", vocoder: str) -> list[str]:
    """Settings that make a run of the same mel and network as a shipped one."""
    from audio_gen.checkpoint import load_bundle, shipped

    folder = shipped(vocoder, spec.to_dict())
    assert folder
    args = {key: value for key, value in load_bundle(folder).config["args"].items() if key not in spec.to_dict()}
    return [f"mel={json.dumps(spec.to_dict())}", *(f"net.{key}={value}" for key, value in args.items())]


def _distance(vocoder: "Vocoder", cache: "Cache") -> float:
    """Mean `mrmel` of kept-out clips and their copies."""
    import torch

    from audio_gen.audio.distance import mrmel
    from audio_gen.audio.mel import MelFrontEnd

    front_end, found, samples = MelFrontEnd(vocoder.spec), [], round(HEARD_SEC * vocoder.spec.sample_rate)
    for clip in cache.split("val")[:HEARD]:
        wav = torch.from_numpy(cache.read(clip, 0, min(samples, clip.samples)))[None]
        peak = float(wav.abs().max())
        if peak > QUIET:
            wav = wav * (PEAK / peak)
            found.append(mrmel(wav[0], vocoder(front_end(wav[None]))[0, 0].cpu(), vocoder.spec.sample_rate))
    return sum(found) / max(1, len(found))
