"""Faults of samples: thresholds and messages, shared by the diagnosis of a run and the verdict of an evaluation.

`training.diagnosis` applies them to the metrics of a run, `evaluation.verdict` to the figures of an evaluation.
"""

from dataclasses import dataclass
from typing import Any

# Spectral flatness of white noise is 0.56; of 529 drums, 97 of them hi-hats, the highest was 0.29.
NOISE_FLATNESS, WHITE_NOISE_FLATNESS = 0.4, 0.56
MOST_SILENT = 0.5  # share of the samples
# Of the mean distance between real clips: 0 for a single sound, 1 for the variety of the data.
COLLAPSED_DIVERSITY = 0.3
# Blurry samples may miss most real neighbourhoods, so low coverage is a fault only with low diversity.
LOW_COVERAGE, LOW_DIVERSITY = 0.25, 0.6
# Share of samples that are copies of a training sound, and its ratio to the share of unseen real sounds, because hits
# of one drum are as close to each other as copies.
MEMORISED, MEMORISED_OVER_REAL = 0.5, 5.0
MORE_OR_SHORTER = "add sounds, or train for fewer steps"  # fix for copies
MIN_SAMPLES = 16  # no alarm on shares of fewer samples


@dataclass(frozen=True)
class Finding:
    """One finding on a run or on samples.

    Attributes:
        name: Short and stable, for programs: "mode_collapse", "distance", ..
        text: A sentence with the figures; an alarm includes the fix.
        alarm: Whether it is a fault.
    """

    name: str
    text: str
    alarm: bool = False

    def to_json(self) -> dict[str, Any]:
        """The form in JSON."""
        return {"name": self.name, "text": self.text, "alarm": self.alarm}


def noise_data(flatness: float | None) -> Finding | None:
    """Report training sounds that are noise.

    Args:
        flatness: Median spectral flatness of the real sounds, 0 to 1.
    """
    if flatness is None or flatness <= NOISE_FLATNESS:
        return None
    return Finding(
        "noise_data",
        f"Your sounds are noise: their median spectral flatness is {flatness:.2f} (white noise has "
        f"{WHITE_NOISE_FLATNESS}, drums 0 to 0.3); listen to the files and check the folder.",
        alarm=True,
    )


def silent_samples(share: float | None) -> Finding | None:
    """Report silent samples.

    Args:
        share: Share of the samples, 0 to 1.
    """
    if not share:
        return None
    alarm = share > MOST_SILENT
    fix = "; look for silent files with `audio-gen inspect`, or lower train.lr in a new run" if alarm else ""
    return Finding("silent_samples", f"{percent(share)} of the samples are silent{fix}.", alarm)


def one_sound(count: float | None) -> Finding | None:
    """Report a training set of one sound.

    Args:
        count: Distinct training sounds.
    """
    if count != 1:
        return None
    return Finding("memorisation", "There is only one training sound, so the model can only copy it; add sounds.", True)


def memorisation(share: float | None, real_share: float | None, count: float, detail: str = "") -> Finding | None:
    """Report samples that are copies of training sounds.

    Args:
        share: Share of samples that are copies, by `evaluation.copies`, 0 to 1.
        real_share: Share of unseen real sounds that would count as copies; None if unknown.
        count: Number of samples.
        detail: Further text.
    """
    if share is None or count < MIN_SAMPLES or share < max(MEMORISED, MEMORISED_OVER_REAL * (real_share or 0.0)):
        return None
    real = "" if real_share is None else f" (of unseen real sounds, {percent(real_share)} are as close to one)"
    return Finding(
        "memorisation",
        f"{percent(share)} of the samples are copies of a training sound{real}{detail}; {MORE_OR_SHORTER}.",
        alarm=True,
    )


def mode_collapse(
    diversity: float | None, coverage: float | None, real_coverage: float | None, count: float, duplicates: int = 0
) -> Finding | None:
    """Report samples that are all similar.

    Args:
        diversity: Mean distance between samples over that between real sounds.
        coverage: Share of the real sounds with a sample close to them.
        real_coverage: The same for other real sounds in place of the samples.
        count: Number of samples.
        duplicates: Samples that equal an earlier one.
    """
    same = duplicates > count / 2
    missed = coverage is not None and bool(real_coverage) and coverage < LOW_COVERAGE * (real_coverage or 0.0)
    similar = diversity is not None and diversity < (LOW_DIVERSITY if missed else COLLAPSED_DIVERSITY)
    if count < MIN_SAMPLES or not (similar or same):
        return None
    parts = [] if diversity is None else [f"they differ {diversity:.2f} times as much as your sounds do"]
    parts += [f"{duplicates} of {count:.0f} equal another one"] if duplicates else []
    parts += [] if coverage is None else [f"they cover {percent(coverage)} of your sounds"]
    return Finding(
        "mode_collapse",
        f"Samples sound alike: {', '.join(parts)}; go back to an earlier checkpoint, or start a new run with a lower "
        "train.lr (for a VAE also a lower loss.kl).",
        alarm=True,
    )


# Faults of samples; an evaluation of newer samples supersedes those of a run.
OF_SAMPLES = frozenset({"noise_data", "silent_samples", "memorisation", "mode_collapse"})


def percent(share: float) -> str:
    """A share as a percentage: "12 %"."""
    return f"{100 * share:.0f} %"
