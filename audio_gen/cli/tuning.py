"""Which vocoder suits a folder's sounds: the shipped network, the classical way, or the network trained on them."""

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
BETTER = 0.99  # of the default's distance; less is chance
HEARD, HEARD_SEC, FEWEST = 32, 2.0, 3  # kept-out files that are listened to


def chosen_vocoder(
    cache: "Cache", spec: "MelSpec", run: Path, *, minutes: float, seed: int, device: str, force: bool,
    tell: Callable[..., None],
) -> tuple[str | None, str]:  # fmt: skip
    """Train the shipped vocoder on the clips of a cache, and listen which way is nearest on those kept out.

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
    from audio_gen.generation.vocoders import CLASSICAL, NETWORK, default_vocoder, load_vocoder, speaks
    from audio_gen.training.tasks import train_run

    usual = default_vocoder(spec)
    if (kept_out := len(cache.split("val"))) < FEWEST:
        return None, f"{kept_out} kept-out files are too few to choose a vocoder by, so {usual} is used."
    choices = {name: name for name in dict.fromkeys((usual, CLASSICAL))}
    if speaks(NETWORK, spec) == spec:
        train_run(
            cache.path, run, model="vocoder", init=Path(NETWORK), minutes=SHARE * minutes, seed=seed, device=device,
            overrides=[*SETTINGS, *_shape(NETWORK, spec)], force=force, on_event=tell,
        )  # fmt: skip
        choices[f"{NETWORK} trained on these sounds for {SHARE * minutes:.1f} minutes"] = str(run)
    distances = {name: _distance(load_vocoder(choice, spec), cache) for name, choice in choices.items()}
    best = min(distances, key=lambda name: distances[name])
    if distances[best] > BETTER * distances[usual]:
        best = usual
    told = ", ".join(f"{name} {distance:.3f}" for name, distance in distances.items())
    heard = min(kept_out, HEARD)
    found = f"Distance of {heard} kept-out files from their copies (mrmel): {told}; so the vocoder is {best}."
    return None if best == usual else choices[best], found


def _shape(name: str, spec: "MelSpec") -> list[str]:
    """Settings that make a run of the same mel and network as the shipped one of that name."""
    from audio_gen.checkpoint import load_bundle, shipped

    folder = shipped(name)
    assert folder
    args = {key: value for key, value in load_bundle(folder).config["args"].items() if key not in spec.to_dict()}
    return [f"mel={json.dumps(spec.to_dict())}", *(f"net.{key}={value}" for key, value in args.items())]


def _distance(vocoder: "Vocoder", cache: "Cache") -> float:
    """Mean `mrmel` of kept-out clips and their copies."""
    import torch

    from audio_gen.audio.distance import QUIET, at_peak, mrmel
    from audio_gen.generation.vocoders import copy_synthesis

    found, samples = [], round(HEARD_SEC * vocoder.spec.sample_rate)
    for clip in cache.split("val")[:HEARD]:
        wav = torch.from_numpy(cache.read(clip, 0, min(samples, clip.samples)))[None, None]
        if float(wav.abs().max()) > QUIET:
            wav = at_peak(wav)
            found.append(mrmel(wav[0, 0], copy_synthesis(vocoder, wav[0])[0], vocoder.spec.sample_rate))
    return sum(found) / max(1, len(found))
