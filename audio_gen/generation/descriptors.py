"""Descriptors of a clip, computed from its log-mel without a vocoder."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from audio_gen.audio.mel import DB_PER_NAT, MelSpec
from audio_gen.audio.stereo import side_share_db
from audio_gen.models.pitch_axis import hz_to_mel, mel_to_hz

ATTACK_FROM, ATTACK_TO = 0.1, 0.5  # of the peak's amplitude; a sustained sound may reach 0.9 at any time
END_BELOW_PEAK = 0.01  # -40 dB
FLATNESS_BANDS = 16  # with wide windows every dark sound measures as a tone
SILENT_AMPLITUDE = 1e-4  # -80 dB
LEAST_WIDTH = 1e-3  # of the side's energy, relative to that of the mid: less is inaudible
LEAST_POWER = 1e-24  # so that gradients stay finite where a frame is silent


@dataclass(frozen=True)
class Descriptor:
    """A named figure of a clip.

    Attributes:
        unit: Its unit.
        least: The smallest audible spread over many clips.
        step: A move by +1 changes it by this much.
        reading: The unit in which people read it: Hz, ms or dB.
        meaning: The figure in the field's words.
    """

    unit: str
    least: float
    step: float
    reading: str
    meaning: str

    def read(self, value: float) -> float:
        """A value as people read it; octaves are above 1 kHz or 1 s."""
        return value if self.unit == "dB" else 1000 * 2**value

    def amount(self, change: float) -> str:
        """A change in words: octaves of a frequency, the factor of a time, or dB."""
        if self.reading == "ms":
            return f"x {2**change:.2f}"
        return f"{change:+.2f} octaves" if self.reading == "Hz" else f"{change:+.1f} dB"

    def size(self, change: float) -> str:
        """The size of a change in words: dB, or per cent of a frequency or a time."""
        return f"{change:.1f} dB" if self.unit == "dB" else f"{2**change - 1:.0%}"


# Times and frequencies are perceived as ratios, so both are in octaves: +1 is twice as long, or as high.
DESCRIPTORS = {
    "brightness": Descriptor("octaves", 0.01, 0.25, "Hz", "spectral centroid"),
    "attack": Descriptor("octaves", 0.02, 0.5, "ms", "attack time"),
    "noisiness": Descriptor("dB", 0.05, 3.0, "dB", "spectral flatness"),
    "length": Descriptor("octaves", 0.02, 0.5, "ms", "length"),
    "loudness": Descriptor("dB", 0.05, 3.0, "dB", "level before files are normalised"),
    "width": Descriptor("dB", 0.5, 3.0, "dB", "level of the side relative to the mid"),
}
WIDTH = "width"  # the last one, of stereo models only
MONO_NAMES = [name for name in DESCRIPTORS if name != WIDTH]


def descriptors_of(spec: MelSpec) -> dict[str, Descriptor]:
    """The descriptors of a model with this mel: 5, or 6 for stereo."""
    return {name: one for name, one in DESCRIPTORS.items() if name != WIDTH or spec.stereo_bands}


def steps_of(spec: MelSpec) -> Tensor:
    """Their steps (N,)."""
    return torch.tensor([descriptor.step for descriptor in descriptors_of(spec).values()])


def describe_mel(mel: Tensor, spec: MelSpec, mel_floor: float) -> Tensor:
    """Measure clips.

    Brightness is the centroid of the amplitudes over the mel axis, in octaves above 1 kHz; attack the time from 10 to
    50 % of the peak's amplitude, in octaves above 1 s; noisiness the flatness of the power within 16 neighbouring
    bands, in dB, where 0 is noise; length the time from the onset until the level stays 40 dB below the peak, in
    octaves above 1 s; loudness the mean power over the whole clip, in dB; width, of stereo, the energy of the side
    relative to that of the mid, in dB from -30.

    Args:
        mel: Log-mel (B, M, L), natural log of amplitudes; with rows of stereo if `spec` has them.
        spec: Its mel.
        mel_floor: Values at or below it are silence.

    Returns:
        (B, 5) or (B, 6) in the order of DESCRIPTORS, differentiable; NaN throughout for a silent clip.

    Source: log attack time, centroid and flatness as in Peeters 2004.
    """
    image, mel = mel, mel[:, : spec.n_mels]
    amplitude = torch.where(mel > mel_floor, mel.exp(), 0.0)
    envelope = amplitude.square().mean(1).clamp(min=LEAST_POWER).sqrt()  # (B, M, L) -> (B, L)
    onset, attack, end = (frames / spec.frame_rate for frames in _times(envelope))
    figures = {
        "brightness": _brightness(amplitude, spec),
        "attack": attack.log2(),
        "noisiness": _noisiness(mel.clamp(min=mel_floor), amplitude),
        "length": (end - onset).log2(),
        "loudness": DB_PER_NAT * envelope.square().mean(1).sqrt().log(),
    }
    if spec.stereo_bands:
        figures[WIDTH] = 10 * torch.log10(10 ** (side_share_db(image, spec) / 10) + LEAST_WIDTH)
    silent = envelope.amax(1) < SILENT_AMPLITUDE
    table = torch.stack([figures[name] for name in descriptors_of(spec)], dim=1)
    return table.masked_fill(silent[:, None], math.nan)


def _brightness(amplitude: Tensor, spec: MelSpec) -> Tensor:
    assert spec.f_max is not None
    low, high = hz_to_mel(torch.tensor([spec.f_min, spec.f_max])).tolist()
    centres = torch.linspace(low, high, spec.n_mels + 2)[1:-1]
    weight = amplitude.sum(2)  # (B, M, L) -> (B, M)
    return (mel_to_hz(weight @ centres / weight.sum(1)) / 1000).log2()


def _noisiness(mel: Tensor, amplitude: Tensor) -> Tensor:
    size = min(FLATNESS_BANDS, mel.shape[1])
    step = max(1, size // 2)
    mel, amplitude = (x.unfold(1, size, step) for x in (mel, amplitude))  # (B, M, L) -> (B, windows, L, size)
    flatness_db = DB_PER_NAT * mel.mean(-1) - DB_PER_NAT / 2 * (
        torch.logsumexp(2 * mel, dim=-1) - math.log(size)
    )  # fmt: skip
    weight = amplitude.square().mean(-1).clamp(min=LEAST_POWER).sqrt()
    return (flatness_db * weight).sum((1, 2)) / weight.sum((1, 2))


def _times(envelope: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Onset, duration of the attack, and end of amplitudes (B, L): each (B,) in frames, read between frames."""
    # Silence around the clip, so that a sound that fills it has a measurable rise and fall.
    padded = torch.nn.functional.pad(envelope, (1, 1))
    peak = padded.amax(1, keepdim=True)
    frame = torch.arange(padded.shape[1])
    top = (padded >= ATTACK_TO * peak).int().argmax(1)
    below = (padded < ATTACK_FROM * peak) & (frame < top[:, None])
    last = torch.where(padded >= END_BELOW_PEAK * peak, frame, 0).amax(1)
    onset = _crossing(padded, torch.where(below, frame, 0).amax(1), ATTACK_FROM * peak)
    return onset, _crossing(padded, top - 1, ATTACK_TO * peak) - onset, _crossing(padded, last, END_BELOW_PEAK * peak)


def _crossing(envelope: Tensor, frame: Tensor, level: Tensor) -> Tensor:
    """Frames (B,), interpolated after `frame` (B,), at which envelope (B, L) crosses level (B, 1)."""
    frame = frame.clamp(0, envelope.shape[1] - 2)
    before, after = (envelope.gather(1, at[:, None]) for at in (frame, frame + 1))
    return frame + ((level - before) / (after - before))[:, 0]
