"""What requests for instruments share: the files that they write, and how models are loaded."""

from pydantic import field_validator

from audio_gen.generation.finish import SUBTYPES
from audio_gen.request import Request
from audio_gen.text import shortened

LOWEST_RATE, HIGHEST_RATE = 8000, 192_000
MOST_SEED = 2**62  # more than any user counts to, and room for the seeds that follow


class WavRequest(Request):
    """Base of requests that write WAVs of a model's sounds."""

    temperature: float = 1.0
    """0: the most typical sounds; 1: the model's whole variety."""
    bits: str = "24"
    """16 (with dither), 24 or float."""
    rate: int | None = None
    """Sample rate in Hz; None is that of the models and kits, or of the track."""

    @field_validator("bits")
    @classmethod
    def _check_bits(cls, bits: str) -> str:
        if bits not in SUBTYPES:
            raise ValueError(f"{shortened(bits)} is unknown; use {', '.join(SUBTYPES)}")
        return bits

    @field_validator("rate")
    @classmethod
    def _check_rate(cls, rate: int | None) -> int | None:
        if rate is not None and not LOWEST_RATE <= rate <= HIGHEST_RATE:
            raise ValueError(f"{rate} must be between {LOWEST_RATE} and {HIGHEST_RATE} Hz; try 44100")
        return rate


class PlayedRequest(WavRequest):
    """Base of requests that load runs and kits themselves."""

    vocoder: str | None = None
    """See `load_vocoder`."""
    device: str = "auto"
    """Where to compute."""
    force: bool = False
    """Replace existing files."""
