"""Export bundles: the best step, and the last step if it is another."""

import math
from pathlib import Path

from torch import Tensor, nn

from audio_gen import __version__
from audio_gen.artefacts.bundle import load_bundle, save_bundle
from audio_gen.artefacts.folders import BundleFolder, RunFolder
from audio_gen.artefacts.tensors import halved
from audio_gen.errors import CheckpointError
from audio_gen.files import write_text
from audio_gen.models.registry import ALONG_TIME, trained_weights
from audio_gen.text import one_line
from audio_gen.training.hooks import Moment
from audio_gen.training.schedule import Budget
from audio_gen.training.selfcheck import SelfCheck
from audio_gen.training.task import Task
from audio_gen.training.tasks.outliers import check_reach
from audio_gen.training.tasks.time_axis import time_axis_in

TRAINED = ("codec.", "prior.mapping.")  # name prefixes of a clip model's networks in a bundle
TRAINED_SEQUENCES = ("codec.", "prior.")
TRAINED_TRANSFERS = ("transform.",)


class BundleExport:
    """Writes bundles of the averaged model: best step, last step, and milestones."""

    def __init__(self, task: Task, model: nn.Module, check: SelfCheck, budget: Budget, run: Path, clips: int) -> None:
        """Write into a run's folder.

        Args:
            task: The model's task.
            model: The averaged model.
            check: Knows the best step.
            budget: The run's length.
            run: The run's folder.
            clips: Number of training clips.
        """
        self._task, self._model, self._check, self._budget = task, model, check, budget
        self._run, self._clips = run, clips

    def export(self, step: int) -> None:
        """Write the bundle of the current step: `bundle` if it is the best so far, otherwise `bundle-last`."""
        places = RunFolder(self._run)
        if self._check.newest_is_best() or not BundleFolder(places.bundle).exists():
            self._write(places.bundle, step)
            BundleFolder(places.last_bundle).drop()
        else:
            self._write(places.last_bundle, step, beside=places.bundle)

    def milestone(self, moment: Moment, minutes: float) -> None:
        """Write the bundle of a milestone."""
        self._write(RunFolder(self._run).milestone(minutes), moment.step)

    def _write(self, folder: Path, step: int, *, beside: Path | None = None) -> None:
        """Write a bundle, in fp16 except for vocoders, which are small.

        Raises:
            OutputError: It cannot be written, or its latents are broken; an earlier bundle is kept.
        """
        bundle_config, tensors = self._task.bundle(self._model)
        check_reach(tensors, folder)
        figures = {one.step: one for one in self._check.figures}
        training = {
            "steps": step, "minutes": round(self._budget.elapsed_sec() / 60, 2),
            "figure": finite(figures[step].value) if step in figures else None,
        }  # fmt: skip
        extra = {"version": __version__, "training": training}
        kind = next(bundle_config[part]["kind"] for part in ("codec", "transform", "vocoder") if part in bundle_config)
        is_vocoder, has_axis = "vocoder" in bundle_config, "codec" in bundle_config
        use = "sample THIS_FOLDER -n 16 --seed 0 --out clips"
        if is_vocoder:
            use = "vocode FILE --vocoder THIS_FOLDER --out copies"
        elif not has_axis:
            use = "transfer THIS_FOLDER FILE --out transferred"
        elif kind in ALONG_TIME:
            use = "sample THIS_FOLDER --duration 30 --out sounds"
        if not is_vocoder:  # the sound changes by under 0.1 dB
            trained = TRAINED_SEQUENCES if kind in ALONG_TIME else TRAINED if has_axis else TRAINED_TRANSFERS
            tensors = {**tensors, **halved({key: value for key, value in tensors.items() if key.startswith(trained)})}
        axis = "" if not has_axis else f"- time axis: {time_axis_in(bundle_config['codec']['args'])}\n"
        digest = save_bundle(folder, {**bundle_config, **extra}, tensors, beside=beside)
        write_text(
            BundleFolder(folder).card,
            f"# {one_line(folder.resolve().parent.name)}\n\nA {kind} made with audio_gen "
            f"{__version__} ({training['steps']} steps, {training['minutes']} minutes, on {self._clips} clips).\n\n"
            f"- weights: {digest} (SHA-256, first 12 digits)\n- mel: {bundle_config['mel']}\n"
            f"- classes: {', '.join(map(one_line, bundle_config.get('classes') or [])) or 'none'}\n{axis}\n"
            f"    audio-gen {use}\n",
        )


def weights_of(run: Path, step: int) -> dict[str, Tensor] | None:
    """The averaged weights of a step; None if no bundle of the run has them."""
    names = [name for name, trained in RunFolder(run).best_and_last().items() if trained.get("steps") == step]
    return trained_weights(load_bundle(run / names[0])) if names else None


def weights_to_resume(run: Path, step: int) -> dict[str, Tensor]:
    """The averaged weights of a step, to resume a finished run.

    Raises:
        CheckpointError: No bundle has them.
    """
    weights = weights_of(run, step)
    if weights is None:
        raise CheckpointError(
            f"{run}: is finished, and its bundle of step {step} is missing, so it cannot resume; put "
            f"{RunFolder(run).bundle.name} or {RunFolder(run).last_bundle.name} back, or add --force to start again"
        )
    return weights


def finite(value: float) -> float | None:
    """The value; None if it is infinite or NaN, which JSON cannot hold."""
    return value if math.isfinite(value) else None
