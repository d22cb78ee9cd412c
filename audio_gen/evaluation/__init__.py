"""Evaluation of generated clips, and reports.

The measures are pure functions on embeddings (N, D): `from audio_gen.evaluation import kad, prdc, load_embedding`.
"""

from importlib import import_module
from typing import Any

_HOMES = {
    "distances": ("kad", "kad_estimate", "kad_interval", "kad_floor", "frechet", "fad", "fad_infinity"),
    "neighbours": ("prdc", "ndb", "nearest"),
    "novelty": ("nearness", "diversity"),
    "probe": ("class_probe",),
    "embeddings": ("load_embedding",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}
__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    """Import a measure, and torch with it, on first use."""
    if name in _HOME_OF:
        return getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
