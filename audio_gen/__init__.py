"""audio_gen: learn sounds from a folder of WAVs; sample and interpolate them."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from audio_gen.threads import wait_asleep

if TYPE_CHECKING:
    from audio_gen.api import evaluate, interpolate, quickstart, sample, train
    from audio_gen.generation.pipeline import Pipeline

# An exception to "no side effects on import": OpenMP reads it when torch is imported, and any module may do that next.
wait_asleep()

__version__ = "0.1.0"
__all__ = ["Pipeline", "__version__", "evaluate", "interpolate", "quickstart", "sample", "train"]


def __getattr__(name: str) -> Any:
    """Import a public name, and torch with it, when it is first asked for: the command line's help needs none."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("audio_gen.generation.pipeline" if name == "Pipeline" else "audio_gen.api"), name)
