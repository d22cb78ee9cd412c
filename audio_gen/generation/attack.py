"""The attack of a file in front of a generated sound: the first milliseconds of its samples, cross-faded."""

from pathlib import Path

import torch
from torch import Tensor

from audio_gen.audio.onset import amplitude, has_onset, loudest, onset
from audio_gen.errors import AudioFileError, ConfigError
from audio_gen.generation.interpolate import parse_duration
from audio_gen.text import one_line

LONGEST_SEC = 0.1
FADE_SEC = 0.005  # from the attack to the generated sound
SHIFT_SEC = 0.005  # the generated sound moves by this much at most, to fit the phase of the attack
MAX_GAIN_DB = 12.0
QUIET = 1e-6


def parse_attack(text: str | None) -> float:
    """Seconds of the attack that is kept, from "15ms"; 0 for None.

    Raises:
        ConfigError: It is not a duration, or longer than 100 ms.
    """
    if text is None:
        return 0.0
    wrong = ConfigError(f"--keep-attack {text}: must be a duration of at most {1000 * LONGEST_SEC:g} ms; try 15ms")
    try:
        attack_sec = parse_duration(text)
    except ConfigError:
        raise wrong from None
    if attack_sec > LONGEST_SEC:
        raise wrong
    return attack_sec


def check_attack(wav: Tensor, sample_rate: int, attack_sec: float, name: Path | str) -> None:
    """Refuse a sound whose attack cannot be kept.

    Args:
        wav: Its samples (C, T).
        sample_rate: In Hz.
        attack_sec: Length of the attack.
        name: Its name in messages.

    Raises:
        AudioFileError: It has no onset, or ends within the attack and the crossfade.
    """
    x = loudest(wav.numpy())
    if not has_onset(x, sample_rate):
        raise AudioFileError(f"{one_line(name)}: has no onset, so there is no attack to keep; remove --keep-attack")
    sound_sec = (len(x) - onset(x, sample_rate)) / sample_rate
    if sound_sec < attack_sec + FADE_SEC:
        most = int(1000 * (sound_sec - FADE_SEC))
        raise AudioFileError(
            f"--keep-attack {1000 * attack_sec:g}ms: {one_line(name)} is only {1000 * sound_sec:.0f} ms long; "
            + (f"try {min(15, most)}ms" if most > 0 else "remove --keep-attack")
        )


def with_attack_of(wav: Tensor, source: Tensor, sample_rate: int, attack_sec: float) -> Tensor:
    """A generated sound with the attack of another, at the level of the generated one.

    Both onsets are aligned. The generated sound is shifted by up to 5 ms, and inverted if that fits better, because a
    vocoder chooses the phase freely. The gains of the crossfade keep the power of signals with the correlation that is
    left, so they add up to 1 where the two are equal. Both channels get the same shift, sign and gains.

    Args:
        wav: The generated sound (C, T).
        source: Samples (C, S) of the sound whose attack is kept; see `check_attack`.
        sample_rate: Of both, in Hz.
        attack_sec: Length of the attack, from the onset.

    Returns:
        (C, T).
    """
    at, start = (onset(loudest(x.numpy()), sample_rate) for x in (wav, source))
    attack, fade, shift = (round(sec * sample_rate) for sec in (attack_sec, FADE_SEC, SHIFT_SEC))
    lead = min(at, start)
    kept = source[:, start - lead : start + attack + fade]
    ends = lead + attack + fade
    generated = torch.nn.functional.pad(wav[:, at - lead :], (0, max(0, ends + shift - (wav.shape[-1] - at + lead))))
    kept = kept * _gain(kept, generated[:, :ends])
    # A part twice as long as the crossfade decides on the shift, since the crossfade holds little of a low tone.
    span = slice(max(0, ends - 2 * fade), ends)
    delay, sign = _best_fit(generated, kept[:, span], span.start, shift)
    fitted = sign * generated[:, delay + ends - fade : delay + ends]
    ramp = 0.5 - 0.5 * torch.cos(torch.pi * (torch.arange(fade) + 0.5) / fade)
    alike = float(torch.cosine_similarity(fitted.flatten(), kept[:, -fade:].flatten(), dim=0).clamp(0, 1))
    power = (ramp.square() + (1 - ramp).square() + 2 * alike * ramp * (1 - ramp)).sqrt()
    mixed = (ramp * fitted + (1 - ramp) * kept[:, -fade:]) / power
    tail = sign * generated[:, delay + ends :]
    result = torch.cat([torch.zeros(len(wav), at - lead), kept[:, :-fade], mixed, tail], dim=1)
    return torch.nn.functional.pad(result, (0, max(0, wav.shape[-1] - result.shape[-1])))[:, : wav.shape[-1]]


def _gain(source: Tensor, generated: Tensor) -> float:
    """The factor that brings a part to the level of another."""
    ratio = float(generated.square().mean().sqrt() / source.square().mean().sqrt().clamp(min=QUIET))
    return min(max(ratio, amplitude(-MAX_GAIN_DB)), amplitude(MAX_GAIN_DB))


def _best_fit(generated: Tensor, part: Tensor, begin: int, shift: int) -> tuple[int, float]:
    """The delay in samples, and the sign, with which `generated` from `begin` on is most like a part (C, N)."""
    first = max(0, begin - shift)
    size = part.shape[1]
    windows = generated[:, first : begin + shift + size].unfold(1, size, 1)  # (C, delays, N)
    alike = torch.cosine_similarity(windows.transpose(0, 1).flatten(1), part.flatten()[None], dim=1)
    best = int(alike.abs().argmax())
    return first + best - begin, 1.0 if alike[best] >= 0 else -1.0
