"""The verdict of an evaluation in plain language: quality, novelty and faults."""

from collections.abc import Mapping
from typing import Any

from audio_gen import findings
from audio_gen.data.channel_choice import STEREO_SHARE
from audio_gen.evaluation.playability import playability
from audio_gen.evaluation.sequence_verdict import judge_over_time
from audio_gen.findings import Finding, percent

# Each threshold of an alarm is well above the figures of healthy runs of the recipes. The thresholds of copies,
# collapse, silence and noise are in `findings`.
FAR_FLOORS, FAR_OF_NOISE = 20.0, 0.3  # above 20 baselines, and above this share of the KAD of white noise
COPY_FLOORS, COPY_KAD = 5.0, 4.0  # good copy-synthesis is within a few baselines and below 1
VERY_NEAR = 0.25  # of the median distance of real sounds to a training sound
FEW = 100  # sounds; with fewer, the 1st percentile of their distances is nearly the smallest one
WIDTH_DIFFERS_DB, WIDTH_ERRORS = 4.0, 3.0
MONO_SAMPLES = 20  # without width; fewer can be so by chance
FOLLOW_FROM_NOISE = ("vocoder_mismatch", "unlike")  # no mel distinguishes one noise from another


def judge(result: Mapping[str, Any]) -> list[Finding]:
    """State the verdict on the figures of `compare`.

    Args:
        result: The figures.

    Returns:
        Sentences, alarms first.
    """
    checks = (
        _noise, _silence, _collapse, _vocoder, _far, _memorised, _distance, _variety, _pitch, _classes, _signal, _width,
    )  # fmt: skip
    found = [finding for check in checks if (finding := check(result)) is not None]
    if any(finding.name == "noise_data" for finding in found):
        found = [finding for finding in found if finding.name not in FOLLOW_FROM_NOISE]
    if (long := result.get("over_time")) is not None:
        found = [finding for finding in found if finding.name != "memorisation" or long["memorised"] is None]
        found += judge_over_time(long)
    found += playability(result)
    return sorted(found, key=lambda finding: not finding.alarm)


def _distance(result: Mapping[str, Any]) -> Finding | None:
    value, floor = result["kad"]["value"], result["kad"]["floor"]
    if value is None:
        return Finding("distance", "There are too few clips to measure the distance of the samples to your sounds.")
    if not floor:
        return Finding("distance", f"Samples are at KAD {value:.3g} from your sounds.")
    if result["n"]["real"] < FEW:
        return Finding("distance", _too_few(result, value, floor))
    figures = f"(KAD {value:.3g}, real-vs-real baseline {floor:.3g})"
    if value <= floor:
        return Finding("distance", f"Samples are as close to your sounds as your sounds are to each other {figures}.")
    text = f"Samples are {value / floor:.1f} x as far from your sounds as your sounds are from each other {figures}"
    copies = result.get("copy_synthesis")
    if copies and copies["kad"] is not None and copies["kad"] > 0:
        text += f"; the vocoder alone is at {copies['kad']:.3g}"
    return Finding("distance", f"{text}.")


def _too_few(result: Mapping[str, Any], value: float, floor: float) -> str:
    interval = result["kad"]["ci"]
    between = "" if interval is None else f", 95 % of repetitions between {interval[0]:.2g} and {interval[1]:.2g}"
    return (
        f"{result['n']['real']} sounds are too few to measure how close the samples are: they are at KAD "
        f"{value:.3g}{between}, and the real-vs-real baseline is {floor:.3g}. Listen to the samples, or compare with "
        f"{FEW} sounds or more."
    )


def _far(result: Mapping[str, Any]) -> Finding | None:
    value, floor, noise = result["kad"]["value"], result["kad"]["floor"], result.get("white_noise")
    if value is None or not floor or not noise or not noise["kad"]:
        return None
    if value < FAR_FLOORS * floor or value < FAR_OF_NOISE * noise["kad"]:
        return None
    return Finding(
        "unlike",
        f"Samples do not sound like your sounds: KAD {value:.3g}; white noise has {noise['kad']:.3g} and two "
        f"halves of your sounds have at most {floor:.3g}; listen to them, and train longer or start a new run.",
        alarm=True,
    )


def _memorised(result: Mapping[str, Any]) -> Finding | None:
    figures, count = result["memorised"], result["n"]["generated"]
    if (alone := findings.one_sound(result["nearness"]["learned_from"])) is not None:
        return alone
    if figures is None:
        return _near(result["nearness"], count)
    if not figures["count"]:
        close = f"{figures['close']} {'is' if figures['close'] == 1 else 'are'} close to one"
        return Finding("memorisation", f"None of {count} samples is a copy of a training sound; {close}.")
    first, real = figures["closest"][0], figures["real_share"]
    such = f"such as {first['generated']} of {first['file']}"
    if alarm := findings.memorisation(figures["share"], real, count, f", {such}"):
        return alarm
    unseen = "" if real is None else f"; of unseen real sounds, {percent(real)} are as close to one"
    return Finding(
        "memorisation",
        f"{figures['count']} of {count} samples are copies of a training sound ({such}), {figures['close']} more are "
        f"close to one{unseen}.",
    )


def _near(figures: Mapping[str, Any], count: int) -> Finding:
    """Nearness by the embedding, if a reference file has no audio to find copies with."""
    share, real, ratio = figures["share"], figures["real_share"], figures["median_ratio"]
    unseen = "" if real is None else f" (of unseen real sounds, {percent(real)} are)"
    text = f"{figures['count']} of {count} samples are closer to a training sound than 99 % of real sounds{unseen}"
    many = share >= max(findings.MEMORISED, findings.MEMORISED_OVER_REAL * (real or 0.0))
    if count >= findings.MIN_SAMPLES and many and ratio is not None and ratio < VERY_NEAR:
        return Finding("memorisation", f"{text}; {findings.MORE_OR_SHORTER}.", alarm=True)
    rough = "; with so few sounds that is a rough count" if figures["learned_from"] < FEW else ""
    return Finding("nearness", f"{text}{rough}.")


def _collapse(result: Mapping[str, Any]) -> Finding | None:
    diversity, real = result["diversity"], result["real_vs_real"]["coverage"]
    count = result["n"]["generated"]
    return findings.mode_collapse(diversity["ratio"], result["coverage"], real, count, diversity["duplicates"])


def _vocoder(result: Mapping[str, Any]) -> Finding | None:
    copies, floor = result.get("copy_synthesis"), result["kad"]["floor"]
    if not copies or copies["kad"] is None or copies["kad"] < max(COPY_KAD, COPY_FLOORS * (floor or 0)):
        return None
    return Finding(
        "vocoder_mismatch",
        f"The vocoder does not fit: copy-synthesis of your sounds is at KAD {copies['kad']:.3g} (real-vs-real "
        f"baseline {floor or 0:.3g}); use --vocoder griffinlim, or one that was trained on this mel.",
        alarm=True,
    )


def _noise(result: Mapping[str, Any]) -> Finding | None:
    return findings.noise_data(_median(result, "flatness", "real"))


def _silence(result: Mapping[str, Any]) -> Finding | None:
    silent = sum("silen" in reason for _, reason in result["left_out"]["generated"])
    return findings.silent_samples(silent / (result["n"]["generated"] + result["n"]["left_out_generated"]))


def _variety(result: Mapping[str, Any]) -> Finding | None:
    coverage, real = result["coverage"], result["real_vs_real"]["coverage"]
    if coverage is None or real is None:
        return None
    ratio = result["diversity"]["ratio"]
    varied = f", and differ from each other {ratio:.2f} x as much as your sounds do" if ratio is not None else ""
    return Finding(
        "variety",
        f"Samples cover {percent(coverage)} of your sounds (one half of your sounds covers {percent(real)} of the "
        f"other){varied}.",
    )


def _pitch(result: Mapping[str, Any]) -> Finding | None:
    generated = (result["pitch"] or {}).get("generated")
    if not generated or generated.get("accuracy") is None:
        return None
    real = (result["pitch"] or {}).get("real") or {}
    reference = f" (your sounds: {percent(real['accuracy'])})" if real.get("accuracy") is not None else ""
    text = (
        f"{percent(generated['accuracy'])} of {generated['n']} samples are within 50 cents of their pitch{reference}."
    )
    return Finding("pitch", text)


def _classes(result: Mapping[str, Any]) -> Finding | None:
    found = result["classes"]
    if not found:
        return None
    shares = {"unseen real sounds": found["real_accuracy"], "copy-synthesis": found.get("copy_accuracy")}
    known = ", ".join(f"{name}: {percent(share)}" for name, share in shares.items() if share is not None)
    reference = f" ({known})" if known else ""
    return Finding(
        "classes", f"{percent(found['accuracy'])} of samples are recognised as the requested class{reference}."
    )


def _signal(result: Mapping[str, Any]) -> Finding | None:
    real, generated = _median(result, "loudness_lufs", "real"), _median(result, "loudness_lufs", "generated")
    if real is None or generated is None or abs(real - generated) < 3:
        return None
    side = "softer" if generated < real else "louder"
    return Finding("loudness", f"Samples are {abs(real - generated):.0f} dB {side} than your sounds in the median.")


def _width(result: Mapping[str, Any]) -> Finding | None:
    """Mean widths that differ by more than 4 dB and by three standard errors; an alarm if all samples are mono."""
    if "stereo" not in result:
        return None
    real, generated = (result["stereo"]["width"][side] for side in ("real", "generated"))
    if real["se"] is None or generated["se"] is None:
        return None
    if not generated["wide"] and real["wide"] > STEREO_SHARE and result["n"]["generated"] >= MONO_SAMPLES:
        share = percent(real["wide"])
        return Finding(
            "width", f"Samples are mono, and {share} of your sounds have real width; train longer.", alarm=True
        )
    difference = generated["mean"] - real["mean"]
    if abs(difference) < max(WIDTH_DIFFERS_DB, WIDTH_ERRORS * (real["se"] ** 2 + generated["se"] ** 2) ** 0.5):
        return None
    side = "narrower" if difference < 0 else "wider"
    return Finding(
        "width",
        f"Samples are {side} than your sounds by {abs(difference):.0f} dB in the mean: {percent(generated['wide'])} of "
        f"them have real width, of your sounds {percent(real['wide'])}.",
    )


def _median(result: Mapping[str, Any], field: str, side: str) -> float | None:
    figures = result["signal"].get(field)
    return None if not figures else figures[side]["median"]
