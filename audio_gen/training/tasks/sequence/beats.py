"""Whether a sequence model is conditioned on beats: if most of its sounds have a steady one."""

import numpy as np

from audio_gen.data.store import Cache
from audio_gen.data.tempo import clip_beats
from audio_gen.training.tasks.sequence.settings import SequenceConfig
from audio_gen.training.tasks.settings import RunConfig

MEASURED_CLIPS = 16
LEAST_SHARE = 0.5


def choose(settings: RunConfig, cache: Cache) -> tuple[RunConfig, str | None]:
    """Settings with a decision in place of `prior.beats` "auto", and a note on it."""
    if not isinstance(settings, SequenceConfig) or settings.prior.beats != "auto":
        return settings, None
    if settings.prior.kind != "flow":  # the others have no such condition
        return settings.model_copy(update={"prior": settings.prior.model_copy(update={"beats": False})}), None
    numbers = cache.numbers("train")
    some = numbers[np.linspace(0, len(numbers) - 1, min(len(numbers), MEASURED_CLIPS)).round().astype(int)]
    share = float(np.mean([clip_beats(cache, cache.clips[number]).steady for number in some.tolist()]))
    beats = share >= LEAST_SHARE
    use = "loops take the tempo that is asked for" if beats else "tempo is no condition"
    prior = settings.prior.model_copy(update={"beats": beats})
    return settings.model_copy(update={"prior": prior}), f"{share:.0%} of the sounds have a steady beat: {use}"
