"""Diagnose a run by its metrics: alarms with a fix, or notes on its progress. Reads no file and needs no torch.

Keys: `val/..` of held-out files, `eval/..` of samples, `loss/..`, `grad_norm/..`, and `gap/logits`, mean real minus
mean fake logit, of tasks with a discriminator. Checks whose keys are missing are skipped.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any

from audio_gen import findings
from audio_gen.findings import Finding, percent
from audio_gen.training.history import History

# The KL weight rises for the first 20 % of a run; the KL settles only after that.
SETTLED_PROGRESS = 0.25
# A latent below half a nat cannot distinguish two sounds. Free bits make a little KL in each dimension free (0.02 nat
# by default), so dimensions with no more than that are dead too; working runs have 0.8 in each.
COLLAPSED_KL, COLLAPSED_KL_PER_DIMENSION = 0.5, 0.025
# One dimension cannot hold more than a few nats: with more, too few clips were held out to see the others vary.
COLLAPSED_DIMENSIONS, MOST_KL_OF_ONE_DIMENSION = 1, 5.0
# With the KL weight far too high, the KL only falls while errors rise (to a fifth with loss.kl=1); in working runs both
# fall. With the rate too high the KL rises first (1.7-fold with train.lr=0.01).
SQUEEZED_KL, RISEN_KL = 0.7, 1.3
# At this gap of logits softplus(-gap) < 0.7 %: the generator hardly learns. A rising gap makes it worse.
WON_GAP, RISING_GAP = 5.0, 1.2
# An error on held-out files that rises by 10 % while the KL falls is common and harmless; by half is not.
DIVERGED_ERROR = 1.5
# The mel losses of working runs end below where they began; batches of few clips scatter by half.
DIVERGED_LOSS = 2.0
# A rate far too high breaks a run before its first line, and later lines look good as the rate falls. Working VAEs hold
# 1 to 2 nats a dimension, and no loss falls a hundredfold; train.lr=0.1 gave 120,000 nats and 200-fold. With few
# held-out clips few dimensions seem in use, so there is a lower limit of the KL as well.
EXPLODED_KL_PER_DIMENSION, EXPLODED_KL, RECOVERED_LOSS = 20.0, 2000.0, 100.0
# Gradient norms of working VAEs fall to a third; 20 times the first is on the way to NaN, whatever the model.
EXPLODED_GRADIENT = 20.0
# Norms of a GAN that diverged passed 1,000 sixty steps before NaN; those of two that did not stayed below 15.
ADVERSARIAL_GRADIENT = 1000.0
# A KAD that doubled, by more than noise explains, and is above that of real sounds. GANs on drums and on notes whose
# samples kept their quality went from 0.45 to 0.57 and from 0.51 to 0.62 in six times the training.
WORSE_KAD, WORSE_ERRORS = 2.0, 3.0

# A VAE starts from principal components, so an error that falls by less than 2 % is a note and no alarm.
LEARNED, LEARNED_PROGRESS = 0.98, 0.5
# Of the whole run; with 20 validations these are 4 without improvement, and one alone would be chance.
PLATEAU_SHARE, PLATEAU_FIGURES = 0.2, 2
# While the KL weight rises, over a fifth of a run, the error on held-out files may rise with it.
WARM_UP_SHARE = 0.2
OVERFITTED_ERROR = 1.2  # above the 10 % that are common and harmless
# Of the way from the sources to the target: copy-synthesis of the sources has -0.15 to 0.1.
LEAST_WAY = 0.15
CLOSER = 0.9  # the KAD of a few samples differs a little between two draws

Check = Callable[[History], Finding | None]


def diagnose(rows: Sequence[Mapping[str, Any]], *, progress: float = 1.0) -> list[Finding]:
    """Diagnose a run: alarms, otherwise its progress.

    Args:
        rows: Lines of its metrics, oldest first; any key may be missing.
        progress: Share of the run that they cover, 0 to 1.

    Returns:
        The alarms, causes before consequences; without alarms, notes.
    """
    log = History(rows, min(max(progress, 0.0), 1.0))
    alarms = [finding for check in ALARMS if (finding := check(log)) is not None and finding.alarm]
    return alarms or [finding for check in NOTES if (finding := check(log)) is not None]


def divergence(log: History) -> Finding | None:
    """Losses, errors or gradients that grow, exploded or are not finite."""
    finders = [_not_finite, _latent_exploded, _loss_recovered, _gradient_grew]
    finders += [] if _squeezed(log) else [_error_grew]
    found = next((text for find in finders if (text := find(log)) is not None), None)
    if found is None:
        return None
    return _alarm("divergence", f"Training diverged: {found}; lower train.lr threefold to tenfold in a new run.")


def noise_data(log: History) -> Finding | None:
    """Training sounds that are noise."""
    return findings.noise_data(log.last("eval/flatness_real"))


def memorisation(log: History) -> Finding | None:
    """Samples that copy training sounds, or a single distinct training sound."""
    shares = log.last("eval/memorised"), log.last("eval/memorised_real")
    return findings.one_sound(log.last("eval/distinct_real")) or findings.memorisation(*shares, _samples(log))


def silent_samples(log: History) -> Finding | None:
    """Samples without sound."""
    return findings.silent_samples(log.last("eval/silent"))


def mode_collapse(log: History) -> Finding | None:
    """Samples that are all similar."""
    diversity, coverage, real = (log.last(f"eval/{name}") for name in ("diversity", "coverage", "coverage_real"))
    return findings.mode_collapse(diversity, coverage, real, _samples(log))


def unchanged(log: History) -> Finding | None:
    """Transferred sounds that are as far from the target as their sources."""
    way = log.last("eval/way")
    if way is None or log.progress < LEARNED_PROGRESS or way >= LEAST_WAY:
        return None
    return _alarm(
        "unchanged",
        f"Transferred sounds are hardly nearer to the target than their sources ({percent(max(0.0, way))} of the way): "
        "the network still leaves them as they are; train longer, or lower loss.cycle and loss.identity in a new run.",
    )


def posterior_collapse(log: History) -> Finding | None:
    """A latent that carries no information, or that the KL term squeezes flat."""
    fix = "lower loss.kl tenfold or more in a new run"
    if _squeezed(log) and (grown := _error_grew(log)) is not None:
        return _alarm("posterior_collapse", f"The KL weight is too high: {grown}; {fix}.")
    kl, active = log.last("val/kl"), log.last("val/active_dimensions")
    if log.progress < SETTLED_PROGRESS or (kl is None and active is None):
        return None
    few = active is not None and active <= COLLAPSED_DIMENSIONS and (kl is None or kl < MOST_KL_OF_ONE_DIMENSION)
    if not few and (kl is None or kl >= max(COLLAPSED_KL, COLLAPSED_KL_PER_DIMENSION * (active or 0))):
        return None
    figures = [] if kl is None else [f"KL {kl:.2g} nats"]
    figures += [] if active is None else [f"{active:.0f} dimensions in use"]
    text = f"The latent carries next to no information: {', '.join(figures)}, so samples differ only by chance; {fix}."
    return _alarm("posterior_collapse", text)


def samples_got_worse(log: History) -> Finding | None:
    """Samples that were clearly closer to the real sounds at an earlier step."""
    kads = log.series("eval/kad")
    if len(kads) < 2:
        return None
    (best_step, best), (step, now) = min(kads, key=lambda pair: pair[1]), kads[-1]
    noise, floor = dict(log.series("eval/kad_se")).get(best_step, 0.0), log.last("eval/kad_floor") or 0.0
    if now <= max(WORSE_KAD * best, best + WORSE_ERRORS * noise, floor):
        return None
    fix = "stop here, or continue and listen" if log.progress < 1 else "train a shorter run, or with a lower train.lr"
    return _alarm(
        "samples_got_worse",
        f"Samples got worse: KAD was {best:.3g} at step {best_step:.0f} and is {now:.3g} at step {step:.0f}; "
        f"all commands use the better step: {fix}.",
    )


def discriminator_winning(log: History) -> Finding | None:
    """Logits of real and generated sounds that are far apart and drift further."""
    gaps = log.values("gap/logits")
    now, before = log.start_and_end("gap/logits")[1], median(gaps[: len(gaps) // 2] or [math.nan])
    if not (now > WON_GAP and now > RISING_GAP * before):
        return None
    return _alarm(
        "discriminator_winning",
        f"The discriminator is winning: its logits of real and generated sounds are {now:.1f} apart, {before:.1f} in "
        "the first half; lower its learning rate or raise its gradient penalty in a new run.",
    )


def working(log: History) -> Finding | None:
    """Samples or reconstructions that improve."""
    kads, errors = log.values("eval/kad"), log.errors()
    then = "let it continue" if log.progress < 1 else "listen to the previews"
    if len(kads) > 1 and max(kads[-1], 0.0) < CLOSER * kads[0]:  # below 0 nothing is closer
        floor = log.last("eval/kad_floor")
        real = "" if floor is None else f"; real-vs-real baseline {floor:.3g}"
        text = f"Samples get closer to your sounds (KAD {kads[0]:.3g} -> {kads[-1]:.3g}{real}): {then}."
        return Finding("working", text)
    if len(errors) > 1 and errors[-1] < LEARNED * errors[0]:
        text = f"The model learns ({log.error_name()} {errors[0]:.3g} -> {errors[-1]:.3g}): {then}."
        return Finding("working", text)
    return None


def plateau(log: History) -> Finding | None:
    """No improvement for a fifth of the run."""
    by_kad = len(log.values("eval/kad")) > PLATEAU_FIGURES
    series = log.series("eval/kad" if by_kad else log.error_key())
    if not series:
        return None
    best_step, best = min(series, key=lambda pair: pair[1])
    age = (log.steps_done() - max(best_step, WARM_UP_SHARE * log.steps())) / log.steps()
    if age <= PLATEAU_SHARE or sum(step > best_step for step, _ in series) < PLATEAU_FIGURES:
        return None
    what = "KAD of the samples" if by_kad else f"The {log.error_name()}"
    then = "stop or lower the rate" if log.progress < 1 else "a shorter run, or a lower train.lr, does as well"
    text = f"{what} has not improved for {percent(age)} of the run (best {best:.3g} at step {best_step:.0f}): {then}."
    return Finding("plateau", text)


def overfitting(log: History) -> Finding | None:
    """An error on held-out files that rises while the training loss falls."""
    errors = log.errors()
    if not log.learns() or not rose(errors, OVERFITTED_ERROR):
        return None
    return Finding(
        "overfitting",
        f"The model overfits: the {log.error_name()} is {errors[-1]:.3g} and was {min(errors):.3g} at best, while "
        "the training loss falls; stop earlier, or add sounds.",
    )


def no_learning(log: History) -> Finding | None:
    """An error on held-out files that hardly falls."""
    errors = log.errors()
    if log.progress < LEARNED_PROGRESS or len(errors) < 2 or min(errors) < LEARNED * errors[0]:
        return None
    return Finding(
        "no_learning",
        f"The {log.error_name()} hardly fell ({errors[0]:.3g} at first, {min(errors):.3g} at best), as is common "
        "with few sounds: listen to the previews, and add sounds if they are not good enough.",
    )


def rose(errors: Sequence[float], factor: float) -> bool:
    """Whether the last of `errors` is above the first, and more than `factor` times the lowest."""
    return bool(errors) and errors[-1] > errors[0] and errors[-1] > factor * min(errors)


def _squeezed(log: History) -> bool:
    """Whether the KL only fell: with rising errors, that means a KL weight too high rather than a rate too high."""
    kl = log.values("loss/kl") or log.values("val/kl")
    return bool(kl) and median(kl[-3:]) < SQUEEZED_KL * kl[0] and max(kl) < RISEN_KL * kl[0]


def _not_finite(log: History) -> str | None:
    # An infinite figure of eval/ means silent samples, which `silent_samples` reports.
    entries = ((key, value) for row in log.rows for key, value in row.items() if not key.startswith("eval/"))
    bad = (key for key, value in entries if isinstance(value, float) and not math.isfinite(value))
    return next((f"{key} is NaN or infinite" for key in bad), None)


def _latent_exploded(log: History) -> str | None:
    step, kl = max(log.series("val/kl"), key=lambda pair: pair[1], default=(0, 0.0))
    dimensions = max(log.values("val/active_dimensions"), default=0.0)
    most = max(EXPLODED_KL, EXPLODED_KL_PER_DIMENSION * dimensions)
    return f"KL was {kl:.3g} nats at step {step:.0f}" if kl > most else None


def _loss_recovered(log: History) -> str | None:
    for key in log.mel_losses():
        step, worst = max(log.series(key), key=lambda pair: pair[1], default=(0, 0.0))
        if worst > RECOVERED_LOSS * log.start_and_end(key)[1] > 0:
            return f"{key} was {worst:.3g} at step {step:.0f}"
    return None


def _error_grew(log: History) -> str | None:
    errors = log.errors()
    # If training losses fall, the model overfits; the learning rate is not the cause.
    if not log.learns() and rose(errors, DIVERGED_ERROR):
        return f"the {log.error_name()} is {errors[-1]:.3g} and was {min(errors):.3g} at best"
    return _first_grown([(key, *log.best_start_and_end(key)) for key in log.mel_losses()], DIVERGED_LOSS)


def _gradient_grew(log: History) -> str | None:
    # Adversarial gradients start near zero, since the networks start at zero: only their end counts.
    adversarial, ends = bool(log.keys("gap/")), [(key, *log.start_and_end(key)) for key in log.keys("grad_norm/")]
    if adversarial:
        ends = [(key, start, end) for key, start, end in ends if end > ADVERSARIAL_GRADIENT]
    return _first_grown(ends, EXPLODED_GRADIENT)


def _first_grown(ends: Sequence[tuple[str, float, float]], factor: float) -> str | None:
    grown = (f"{key} is {end:.3g} and was {start:.3g} at first" for key, start, end in ends if end > factor * start > 0)
    return next(grown, None)


def _alarm(name: str, text: str) -> Finding:
    return Finding(name, text, alarm=True)


def _samples(log: History) -> float:
    """How many samples the newest evaluation had."""
    count = log.last("eval/n")
    return math.inf if count is None else count


ALARMS: tuple[Check, ...] = (
    divergence,
    noise_data,
    memorisation,
    silent_samples,
    unchanged,
    posterior_collapse,
    mode_collapse,
    samples_got_worse,
    discriminator_winning,
)
NOTES: tuple[Check, ...] = (working, plateau, overfitting, no_learning)
