"""What a run leaves for others: the bundle of its best step, and that of its last where it is another."""

import math
from pathlib import Path

from torch import Tensor, nn

from audio_gen import __version__
from audio_gen.artefacts.bundle import load_bundle, save_bundle
from audio_gen.artefacts.folders import BundleFolder, RunFolder
from audio_gen.artefacts.tensors import halved
from audio_gen.errors import CheckpointError
from audio_gen.files import write_text
from audio_gen.models.registry import trained_weights
from audio_gen.text import one_line
from audio_gen.training.engine import Engine
from audio_gen.training.tasks.outliers import check_reach

TRAINED = ("codec.", "prior.mapping.")  # how the names of a clip model's networks begin in a bundle


def export(engine: Engine, run: Path) -> None:
    """Write the bundle of the step that the run is at: `bundle` if it is the best so far, else `bundle-last`."""
    places = RunFolder(run)
    if engine.occasions.newest_is_best() or not BundleFolder(places.bundle).exists():
        write(engine, places.bundle, engine.ema.module, engine.step)
        BundleFolder(places.last_bundle).drop()
    else:
        write(engine, places.last_bundle, engine.ema.module, engine.step, beside=places.bundle)


def export_last(engine: Engine, run: Path) -> None:
    """Write the last step's bundle, unless the run had ended here before and has it."""
    if not engine.occasions.trained and weights_of(run, engine.step) is not None:
        return
    export(engine, run)


def weights_of(run: Path, step: int) -> dict[str, Tensor] | None:
    """The averaged weights as they were at a step; None where no bundle of the run has these."""
    names = [name for name, trained in RunFolder(run).best_and_last().items() if trained.get("steps") == step]
    return trained_weights(load_bundle(run / names[0])) if names else None


def weights_to_go_on(run: Path, step: int) -> dict[str, Tensor]:
    """As `weights_of`.

    Raises:
        CheckpointError: No bundle has them.
    """
    weights = weights_of(run, step)
    if weights is None:
        raise CheckpointError(
            f"{run}: had finished, and its bundle of step {step} is gone, so it cannot go on; put "
            f"{RunFolder(run).bundle.name} or {RunFolder(run).last_bundle.name} back, or add --force to start anew"
        )
    return weights


def write(engine: Engine, folder: Path, model: nn.Module, step: int, *, beside: Path | None = None) -> None:
    """Write the bundle of a model as it was at a step, in fp16 but for vocoders, which are small.

    Raises:
        OutputError: It cannot be written, or its latents are broken; what was there before is kept.
    """
    bundle_config, tensors = engine.task.bundle(model)
    check_reach(tensors, folder)
    figures = {one.step: one for one in engine.occasions.figures}
    training = {
        "steps": step, "minutes": round(engine.budget.elapsed_sec() / 60, 2),
        "figure": finite(figures[step].value) if step in figures else None,
    }  # fmt: skip
    kind = (bundle_config.get("codec") or bundle_config["vocoder"])["kind"]
    extra = {"version": __version__, "training": training}
    speaks = not engine.task.makes_clips
    use = (
        "vocode FILE --vocoder THIS_FOLDER --out copies" if speaks else "sample THIS_FOLDER -n 16 --seed 0 --out clips"
    )
    if not speaks:  # differs by under 0.1 dB
        tensors = {**tensors, **halved({key: value for key, value in tensors.items() if key.startswith(TRAINED)})}
    digest = save_bundle(folder, {**bundle_config, **extra}, tensors, beside=beside)
    write_text(
        BundleFolder(folder).card,
        f"# {one_line(folder.resolve().parent.name)}\n\nA {kind} made with audio_gen {__version__} "
        f"({training['steps']} steps, {training['minutes']} minutes, on {len(engine.train)} clips).\n\n"
        f"- weights: {digest} (SHA-256, first 12 digits)\n- mel: {bundle_config['mel']}\n"
        f"- classes: {', '.join(map(one_line, bundle_config.get('classes') or [])) or 'none'}\n\n"
        f"    audio-gen {use}\n",
    )


def finite(value: float) -> float | None:
    """The value, or None where it is infinite or NaN, which JSON has not."""
    return value if math.isfinite(value) else None
