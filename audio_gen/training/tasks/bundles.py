"""What a run leaves for others: its bundle, and that of its best step."""

import math
import shutil
from pathlib import Path

from torch import nn

from audio_gen import __version__
from audio_gen.checkpoint import save_bundle
from audio_gen.files import write_text
from audio_gen.training.engine import Engine
from audio_gen.training.tasks.outliers import check_reach

BUNDLE_NAME, BEST_BUNDLE_NAME = "bundle", "bundle-best"


def export(engine: Engine, run: Path) -> None:
    """Write the run's bundle (averaged weights, config, model card), and that of its best step where it was another."""
    write(engine, run / BUNDLE_NAME, engine.ema.module, engine.step)
    best = engine.occasions.best_weights()
    if best is not None:
        write(engine, run / BEST_BUNDLE_NAME, best, engine.occasions.best_step)
    elif (run / BEST_BUNDLE_NAME).is_dir():
        shutil.rmtree(run / BEST_BUNDLE_NAME)  # of an earlier session; the bundle itself is the best now


def write(engine: Engine, folder: Path, model: nn.Module, step: int) -> None:
    """Write the bundle of a model as it was at a step.

    Raises:
        OutputError: It cannot be written, or its latents are broken; what was there before is kept.
    """
    bundle_config, tensors = engine.task.bundle(model)
    check_reach(tensors, folder)
    training = {
        "steps": step, "minutes": round(engine.budget.elapsed_sec() / 60, 2), "best": finite(engine.occasions.best),
        "best_step": engine.occasions.best_step,
    }  # fmt: skip
    extra = {"version": __version__, "training": training}
    speaks = not engine.task.makes_clips
    use = (
        "vocode FILE --vocoder THIS_FOLDER --out copies" if speaks else "sample THIS_FOLDER -n 16 --seed 0 --out clips"
    )
    digest = save_bundle(folder, {**bundle_config, **extra}, tensors)
    write_text(
        folder / "README.md",
        f"# {folder.resolve().parent.name}\n\nA {bundle_config['model']} made with audio_gen {__version__} "
        f"({training['steps']} steps, {training['minutes']} minutes, on {len(engine.train)} clips).\n\n"
        f"- weights: {digest} (SHA-256, first 12 digits)\n- mel: {bundle_config['mel']}\n"
        f"- classes: {', '.join(bundle_config.get('classes') or []) or 'none'}\n\n"
        f"    audio-gen {use}\n",
    )


def finite(value: float) -> float | None:
    """The value, or None where it is infinite or NaN, which JSON has not."""
    return value if math.isfinite(value) else None
