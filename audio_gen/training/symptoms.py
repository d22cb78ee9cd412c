"""What can be wrong with a run, each found in its metrics and told in one sentence with what to do.

Keys that are read: `val/..` of files kept out, `eval/..` of what the model makes, `loss/..`, `grad_norm/..`, and
`gap/logits`, mean real minus mean fake logit, of tasks with a discriminator. What is missing is not judged.
"""

import math
from collections.abc import Callable, Sequence
from statistics import median

from audio_gen.training.readings import Readings

# Of the mean distance between real clips: a model that makes one sound is near 0, one as varied as its data at 1.
COLLAPSED_DIVERSITY = 0.3
# Blurry samples may miss most real neighbourhoods, so low coverage alone proves nothing; with low diversity it does.
LOW_COVERAGE, LOW_DIVERSITY = 0.25, 0.6
# Fewer samples than this say nothing about diversity, coverage or copies.
MIN_SAMPLES = 16
# The KL weight rises for the first 20 % of a run; what a latent holds is settled only after that.
SETTLED_PROGRESS = 0.25
# A latent below half a nat cannot tell two sounds apart. Free bits let each dimension cost a little for nothing (0.02
# nat by default), so many dimensions that hold no more than that each are as dead; working runs hold 0.8 in each.
COLLAPSED_KL, COLLAPSED_KL_PER_DIMENSION = 0.5, 0.025
# One dimension cannot hold more than a few nats: with more, only too few clips were kept out to see the others vary.
COLLAPSED_DIMENSIONS, MOST_KL_OF_ONE_DIMENSION = 1, 5.0
# With the KL weight far too high, the KL only falls while errors rise (to a fifth with loss.kl=1); in working runs both
# fall. With the rate too high the KL rises first (1.7-fold with train.lr=0.01).
SQUEEZED_KL, RISEN_KL = 0.7, 1.3
# At this gap of logits softplus(-gap) < 0.7 %: the generator learns next to nothing. If it rises, that gets worse.
WON_GAP, RISING_GAP = 5.0, 1.2
# Half the samples nearer to a training clip than 99 of 100 real clips are; the ratio of medians must agree, since takes
# of one instrument may be near-copies of each other. A tenth of the real distance is a copy, whatever the share.
COPIED_SHARE, COPIED_OVER_REAL, NEAR_RATIO, COPY_RATIO = 0.5, 2.0, 0.25, 0.1
# An error on kept-out files that rises by 10 % while the KL falls is common and harmless; half more is neither.
DIVERGED_ERROR = 1.5
# The mel losses of working runs end below where they began; batches of few clips scatter by half.
DIVERGED_LOSS = 2.0
# A rate far too high breaks a run before its first line, and later lines look good as the rate falls. Working VAEs hold
# 1 to 2 nats a dimension, and no loss falls a hundredfold; train.lr=0.1 gave 120,000 nats and 200-fold. Where few clips
# are kept out, few dimensions seem in use, so there is a least KL that counts as well.
EXPLODED_KL_PER_DIMENSION, EXPLODED_KL, RECOVERED_LOSS = 20.0, 2000.0, 100.0
# Gradient norms of working VAEs fall to a third; 20 times the first is on the way to NaN, whatever the model.
EXPLODED_GRADIENT = 20.0
# Norms of a GAN that diverged passed 1,000 sixty steps before NaN; those of two that did not stayed below 15.
ADVERSARIAL_GRADIENT = 1000.0
# Spectral flatness of white noise is 0.56; of 529 drums, 97 of them hi-hats, the highest was 0.29.
NOISE_FLATNESS = 0.4
MOST_SILENT = 0.5
# A KAD that doubled, by more than noise explains, and to above that of real sounds. GANs on drums and on notes whose
# samples kept their quality went from 0.45 to 0.57 and from 0.51 to 0.62 in six times the training.
WORSE_KAD, WORSE_ERRORS = 2.0, 3.0

Symptom = Callable[[Readings], str | None]


def divergence(log: Readings) -> str | None:
    """Losses, errors or gradients that grow, exploded or are not finite."""
    finders = [_not_finite, _latent_exploded, _loss_recovered, _gradient_grew]
    finders += [] if _squeezed(log) else [_error_grew]
    found = next((text for find in finders if (text := find(log)) is not None), None)
    return found and f"training diverged ({found}): lower train.lr threefold to tenfold in a new run"


def noise_data(log: Readings) -> str | None:
    """Sounds to learn from that are noise."""
    flatness = log.last("eval/flatness_real")
    if flatness is None or flatness <= NOISE_FLATNESS:
        return None
    return (
        f"your sounds are themselves noise (spectral flatness {flatness:.2f}; white noise has 0.56, drums 0 to 0.3): "
        "listen to the files, and check the folder"
    )


def memorisation(log: Readings) -> str | None:
    """Samples that are copies of training clips, or have nothing else to be."""
    if log.last("eval/distinct_real") == 1:
        return "there is one clip only to learn from, so all that the model can do is to copy it: add sounds"
    share, ratio = log.last("eval/memorised"), log.last("eval/nearest_ratio")
    if share is None or ratio is None or not _enough_samples(log):
        return None
    real = log.last("eval/memorised_real") or 0.0
    many = share > max(COPIED_SHARE, COPIED_OVER_REAL * real) and ratio < NEAR_RATIO
    if not many and ratio >= COPY_RATIO:
        return None
    return (
        f"samples are copies ({100 * share:.0f} % are nearer to a training clip than 99 % of real clips are; typically "
        f"at {ratio:.2f} times the distance of those): add sounds, or train for fewer steps"
    )


def silent_samples(log: Readings) -> str | None:
    """Samples without sound."""
    silent = log.last("eval/silent")
    if silent is None or silent <= MOST_SILENT:
        return None
    return (
        f"{100 * silent:.0f} % of the samples are silent: look for silent files with `audio-gen inspect`, else lower "
        "train.lr in a new run"
    )


def mode_collapse(log: Readings) -> str | None:
    """Samples that are all alike."""
    diversity = log.last("eval/diversity")
    if diversity is None or not _enough_samples(log):
        return None
    coverage, real = log.last("eval/coverage"), log.last("eval/coverage_real")
    missed = coverage is not None and real is not None and coverage < LOW_COVERAGE * real
    if diversity >= (LOW_DIVERSITY if missed else COLLAPSED_DIVERSITY):
        return None
    covered = "" if coverage is None else f" and cover {100 * coverage:.0f} % of these"
    return (
        f"samples sound alike (they differ {diversity:.2f} times as much as your sounds do{covered}): go back to an "
        "earlier checkpoint, or start a new run with a lower train.lr, for a VAE also a lower loss.kl"
    )


def posterior_collapse(log: Readings) -> str | None:
    """A latent that says nothing, or that the KL term squeezes flat."""
    if _squeezed(log) and (grown := _error_grew(log)) is not None:
        return (
            f"the KL term squeezes the sounds out of the latent ({grown}): lower loss.kl tenfold or more in a new run"
        )
    kl, active = log.last("val/kl"), log.last("val/active_dimensions")
    if log.progress < SETTLED_PROGRESS or (kl is None and active is None):
        return None
    few = active is not None and active <= COLLAPSED_DIMENSIONS and (kl is None or kl < MOST_KL_OF_ONE_DIMENSION)
    if not few and (kl is None or kl >= max(COLLAPSED_KL, COLLAPSED_KL_PER_DIMENSION * (active or 0))):
        return None
    told = [] if kl is None else [f"KL {kl:.2g} nats"]
    told += [] if active is None else [f"{active:.0f} dimensions in use"]
    return (
        f"the latent says next to nothing about a sound ({', '.join(told)}), so samples differ by chance only: "
        "lower loss.kl tenfold or more in a new run"
    )


def samples_got_worse(log: Readings) -> str | None:
    """Samples that were clearly nearer to the real sounds at an earlier step."""
    kads = log.series("eval/kad")
    if len(kads) < 2:
        return None
    (best_step, best), (step, now) = min(kads, key=lambda pair: pair[1]), kads[-1]
    noise, floor = dict(log.series("eval/kad_se")).get(best_step, 0.0), log.last("eval/kad_floor") or 0.0
    if now <= max(WORSE_KAD * best, best + WORSE_ERRORS * noise, floor):
        return None
    do = "stop here, or go on and listen" if log.progress < 1 else "train a shorter run, or with a lower train.lr"
    return (
        f"samples got worse: KAD was {best:.3g} at step {best_step:.0f} and is {now:.3g} at step {step:.0f}; "
        f"all commands use the better step: {do}"
    )


def discriminator_winning(log: Readings) -> str | None:
    """Logits of real and made sounds that are far apart and go further."""
    gaps = log.values("gap/logits")
    now, before = log.start_and_end("gap/logits")[1], median(gaps[: len(gaps) // 2] or [math.nan])
    if not (now > WON_GAP and now > RISING_GAP * before):
        return None
    return (
        f"the discriminator is winning (its logits of real and made sounds are {now:.1f} apart, {before:.1f} in the "
        "first half): lower its learning rate or raise its gradient penalty in a new run"
    )


# In the order in which they are told: what breaks a run first, then what follows from it.
ALARMS: dict[str, Symptom] = {
    "divergence": divergence,
    "noise_data": noise_data,
    "memorisation": memorisation,
    "silent_samples": silent_samples,
    "posterior_collapse": posterior_collapse,
    "mode_collapse": mode_collapse,
    "samples_got_worse": samples_got_worse,
    "discriminator_winning": discriminator_winning,
}


def rose(errors: Sequence[float], factor: float) -> bool:
    """Whether the last of `errors` is above the first, and more than `factor` times the lowest."""
    return bool(errors) and errors[-1] > errors[0] and errors[-1] > factor * min(errors)


def _squeezed(log: Readings) -> bool:
    """Whether the KL only fell: where errors rise, that tells a KL weight too high from a rate too high."""
    kl = log.values("loss/kl") or log.values("val/kl")
    return bool(kl) and median(kl[-3:]) < SQUEEZED_KL * kl[0] and max(kl) < RISEN_KL * kl[0]


def _not_finite(log: Readings) -> str | None:
    # A figure of eval/ may be infinite where nothing can be heard, which is told elsewhere.
    entries = ((key, value) for row in log.rows for key, value in row.items() if not key.startswith("eval/"))
    bad = (key for key, value in entries if isinstance(value, float) and not math.isfinite(value))
    return next((f"{key} is NaN or infinite" for key in bad), None)


def _latent_exploded(log: Readings) -> str | None:
    step, kl = max(log.series("val/kl"), key=lambda pair: pair[1], default=(0, 0.0))
    dimensions = max(log.values("val/active_dimensions"), default=0.0)
    most = max(EXPLODED_KL, EXPLODED_KL_PER_DIMENSION * dimensions)
    return f"KL was {kl:.3g} nats at step {step:.0f}" if kl > most else None


def _loss_recovered(log: Readings) -> str | None:
    for key in log.mel_losses():
        step, worst = max(log.series(key), key=lambda pair: pair[1], default=(0, 0.0))
        if worst > RECOVERED_LOSS * log.start_and_end(key)[1] > 0:
            return f"{key} was {worst:.3g} at step {step:.0f}"
    return None


def _error_grew(log: Readings) -> str | None:
    errors = log.errors()
    # Where training losses fall, clips are learned by heart, which is no fault of the rate.
    if not log.learns() and rose(errors, DIVERGED_ERROR):
        return f"the error on kept-out files is {errors[-1]:.3g} and was {min(errors):.3g} at best"
    return _first_grown([(key, *log.best_start_and_end(key)) for key in log.mel_losses()], DIVERGED_LOSS)


def _gradient_grew(log: Readings) -> str | None:
    # Adversarial gradients start near zero, with networks that change nothing yet: there the end alone counts.
    adversarial, ends = bool(log.keys("gap/")), [(key, *log.start_and_end(key)) for key in log.keys("grad_norm/")]
    if adversarial:
        ends = [(key, start, end) for key, start, end in ends if end > ADVERSARIAL_GRADIENT]
    return _first_grown(ends, EXPLODED_GRADIENT)


def _first_grown(ends: Sequence[tuple[str, float, float]], factor: float) -> str | None:
    told = (f"{key} is {end:.3g} and was {start:.3g} at first" for key, start, end in ends if end > factor * start > 0)
    return next(told, None)


def _enough_samples(log: Readings) -> bool:
    count = log.last("eval/n")
    return count is None or count >= MIN_SAMPLES
