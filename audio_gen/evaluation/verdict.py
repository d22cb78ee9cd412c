"""What the figures mean, in plain words: is it good, is it new, is anything broken?"""

from collections.abc import Mapping
from typing import Any

from audio_gen.evaluation.finding import Finding
from audio_gen.evaluation.playability import playability

# Alarms are for what is plainly broken: each threshold lies well beyond what healthy runs of the recipes reach.
FAR_FLOORS, FAR_OF_NOISE = 20.0, 0.3  # beyond 20 floors, and nearer to white noise than this share of the way
COPY_FLOORS, COPY_KAD = 5.0, 4.0  # good copy-synthesis stays within a few floors and below 1
ALIKE, THIN_COVERAGE = 0.35, 0.25  # of the real clips' mean distance, and of their coverage
COPIED, COPIED_OVER_REAL, VERY_NEAR = 0.5, 5.0, 0.25  # share of copies; over that of new real clips; of their distance
NOISY = 0.4  # median spectral flatness; white noise has 0.56, cymbals 0.1 to 0.3
SILENT = 0.5
FEW = 100  # sounds; with fewer the 1st percentile of their distances is all but the smallest of them
FOLLOW_FROM_NOISE = ("vocoder_mismatch", "unlike")  # no mel tells one noise from another


def judge(result: Mapping[str, Any]) -> list[Finding]:
    """Judge the figures of `compare`.

    Args:
        result: The figures.

    Returns:
        Sentences, alarms first.
    """
    checks = (_noise_data, _silence, _collapse, _vocoder, _far, _copies, _distance, _variety, _pitch, _classes, _signal)
    found = [finding for check in checks if (finding := check(result)) is not None]
    if any(finding.name == "noise_data" for finding in found):
        found = [finding for finding in found if finding.name not in FOLLOW_FROM_NOISE]
    found += playability(result)
    return sorted(found, key=lambda finding: not finding.alarm)


def _distance(result: Mapping[str, Any]) -> Finding | None:
    value, floor = result["kad"]["value"], result["kad"]["floor"]
    if value is None:
        return Finding("distance", "There are too few clips to say how far the samples are from your sounds.")
    if not floor:
        return Finding("distance", f"Samples are at KAD {value:.3g} from your sounds.")
    if result["n"]["real"] < FEW:
        return Finding("distance", _too_few(result, value, floor))
    told = f"(KAD {value:.3g}, floor {floor:.3g})"
    if value <= floor:
        return Finding("distance", f"Samples are as near to your sounds as your sounds are to each other {told}.")
    text = f"Samples are {value / floor:.1f} x as far from your sounds as your sounds are from each other {told}"
    copies = result.get("copy_synthesis")
    if copies and copies["kad"] is not None and copies["kad"] > 0:
        text += f"; the vocoder alone is at {copies['kad']:.3g}"
    return Finding("distance", f"{text}.")


def _too_few(result: Mapping[str, Any], value: float, floor: float) -> str:
    interval = result["kad"]["ci"]
    between = "" if interval is None else f", 95 % of repetitions between {interval[0]:.2g} and {interval[1]:.2g}"
    return (
        f"{result['n']['real']} sounds are too few to tell how near the samples are to them: they are at KAD "
        f"{value:.3g}{between}, and two halves of your own sounds can be {floor:.3g} apart. Listen, or "
        f"compare with {FEW} sounds or more."
    )


def _far(result: Mapping[str, Any]) -> Finding | None:
    value, floor, noise = result["kad"]["value"], result["kad"]["floor"], result.get("white_noise")
    if value is None or not floor or not noise or not noise["kad"]:
        return None
    if value < FAR_FLOORS * floor or value < FAR_OF_NOISE * noise["kad"]:
        return None
    return Finding(
        "unlike",
        f"Samples sound unlike your sounds: KAD {value:.3g}, where white noise has {noise['kad']:.3g} and your sounds "
        f"among each other at most {floor:.3g}; listen to them, and train longer or anew.",
        alarm=True,
    )


def _copies(result: Mapping[str, Any]) -> Finding | None:
    found, count = result["memorised"], result["n"]["generated"]
    share, real_share = found["share"], found["real_share"]
    if found["learned_from"] == 1:
        text = "There is one sound only to learn from, so all that a model can do is copy it; add sounds."
        return Finding("memorisation", text, alarm=True)
    new = "" if real_share is None else f"; of new real sounds, {real_share:.0%} are as near"
    told = f"{found['count']} of {count} samples are copies, nearer to a sound learned from than 99 % of real sounds"
    near = found["median_ratio"] is not None and found["median_ratio"] < VERY_NEAR
    if copied := result.get("copies"):
        return _named_copies(copied, count, alarm=share >= COPIED and near)
    if share >= COPIED and share >= COPIED_OVER_REAL * (real_share or 0.01) and near:
        return Finding("memorisation", f"{told}{new}; train for less time or on more sounds.", alarm=True)
    rough = " (a rough count: of so few sounds, the nearest two set the scale)" if found["learned_from"] < FEW else ""
    return Finding("copies", f"{told}{new}{rough}." if found["count"] else f"None of {count} samples is a copy{new}.")


def _named_copies(found: Mapping[str, Any], count: int, *, alarm: bool) -> Finding:
    real = found["real_share"]
    beside = "" if real is None else f"; of real sounds, {real:.0%} are as near to another one that was learned from"
    alarm = (alarm or found["share"] >= COPIED) and found["share"] >= COPIED_OVER_REAL * (real or 0.01)
    if not found["count"]:
        return Finding(
            "copies", f"None of {count} samples is a copy of a sound learned from, {found['close']} are close."
        )
    first = found["closest"][0]
    text = (
        f"{found['count']} of {count} samples are copies of a sound learned from (such as {first['generated']} of "
        f"{first['file']}), {found['close']} more are close{beside}"
    )
    fix = "; train for less time or on more sounds" if alarm else ""
    return Finding("memorisation" if alarm else "copies", f"{text}{fix}.", alarm)


def _collapse(result: Mapping[str, Any]) -> Finding | None:
    ratio, duplicates = result["diversity"]["ratio"], result["diversity"]["duplicates"]
    coverage, real = result["coverage"], result["real_vs_real"]["coverage"]
    count = result["n"]["generated"]
    alike = ratio is not None and ratio < ALIKE
    thin = coverage is not None and real and coverage < THIN_COVERAGE * real and ratio is not None and ratio < 2 * ALIKE
    same = count > 1 and duplicates > count / 2
    if not (alike or thin or same):
        return None
    told = "" if ratio is None else f"they differ {ratio:.2f} x as much as your sounds do"
    told += f", {duplicates} of {count} are equal to another" if duplicates else ""
    covered = "" if coverage is None else f" and cover {coverage:.0%} of them"
    return Finding(
        "mode_collapse",
        f"Samples are nearly all alike: {told}{covered}; the model has collapsed, so go back to an earlier checkpoint.",
        alarm=True,
    )


def _vocoder(result: Mapping[str, Any]) -> Finding | None:
    copies, floor = result.get("copy_synthesis"), result["kad"]["floor"]
    if not copies or copies["kad"] is None or copies["kad"] < max(COPY_KAD, COPY_FLOORS * (floor or 0)):
        return None
    return Finding(
        "vocoder_mismatch",
        f"The vocoder does not fit: your own sounds come back from it at KAD {copies['kad']:.3g} (floor "
        f"{floor or 0:.3g}); use --vocoder griffinlim, or one that was trained on this mel.",
        alarm=True,
    )


def _noise_data(result: Mapping[str, Any]) -> Finding | None:
    flatness = _median(result, "flatness", "real")
    if flatness is None or flatness < NOISY:
        return None
    return Finding(
        "noise_data",
        f"Your sounds themselves are noise: half of them have a spectral flatness of {flatness:.2f} or more (white "
        "noise has 0.56); check the folder.",
        alarm=True,
    )


def _silence(result: Mapping[str, Any]) -> Finding | None:
    silent = sum("silen" in reason for _, reason in result["left_out"]["generated"])
    total = result["n"]["generated"] + result["n"]["left_out_generated"]
    if not silent:
        return None
    return Finding("silent_samples", f"{silent} of {total} samples are silent.", alarm=silent > SILENT * total)


def _variety(result: Mapping[str, Any]) -> Finding | None:
    coverage, real = result["coverage"], result["real_vs_real"]["coverage"]
    if coverage is None or real is None:
        return None
    ratio = result["diversity"]["ratio"]
    varied = f", and differ from each other {ratio:.2f} x as much as your sounds do" if ratio is not None else ""
    return Finding("variety", f"Samples cover {coverage:.0%} of your sounds (your own other half: {real:.0%}){varied}.")


def _pitch(result: Mapping[str, Any]) -> Finding | None:
    made = (result["pitch"] or {}).get("generated")
    if not made or made.get("accuracy") is None:
        return None
    real = (result["pitch"] or {}).get("real") or {}
    beside = f" (your sounds: {real['accuracy']:.0%})" if real.get("accuracy") is not None else ""
    told = f"{made['accuracy']:.0%} of {made['n']} samples are within 50 cents of their pitch{beside}."
    return Finding("pitch", told)


def _classes(result: Mapping[str, Any]) -> Finding | None:
    found = result["classes"]
    if not found:
        return None
    shares = {"new real sounds": found["real_accuracy"], "their copies": found.get("copy_accuracy")}
    known = ", ".join(f"{name}: {share:.0%}" for name, share in shares.items() if share is not None)
    beside = f" ({known})" if known else ""
    return Finding("classes", f"{found['accuracy']:.0%} of samples are taken for the class that was asked for{beside}.")


def _signal(result: Mapping[str, Any]) -> Finding | None:
    real, made = _median(result, "loudness_lufs", "real"), _median(result, "loudness_lufs", "generated")
    if real is None or made is None or abs(real - made) < 3:
        return None
    side = "softer" if made < real else "louder"
    return Finding("loudness", f"Samples are {abs(real - made):.0f} dB {side} than your sounds in the median.")


def _median(result: Mapping[str, Any], field: str, side: str) -> float | None:
    figures = result["signal"].get(field)
    return None if not figures else figures[side]["median"]
