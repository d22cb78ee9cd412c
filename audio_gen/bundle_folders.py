"""Which folders of a run are bundles, and what these tell of their training; read without torch."""

from pathlib import Path
from typing import Any

from audio_gen.files import MalformedError, read_json

CONFIG_NAME = "config.json"
BUNDLE_NAME, LAST_NAME = "bundle", "bundle-last"  # in a run's folder: the best step, and the last where it is another
OLD_BEST_NAME = "bundle-best"  # of earlier versions, whose `bundle` was always the last step


def bundle_folder(path: Path) -> Path:
    """The folder of a bundle: `path` itself, or the bundle of the run there, which is that of its best step."""
    if (path / CONFIG_NAME).is_file():
        return path
    return path / (OLD_BEST_NAME if (path / OLD_BEST_NAME / CONFIG_NAME).is_file() else BUNDLE_NAME)


def best_and_last(run: Path) -> dict[str, dict[str, Any]]:
    """What a run's bundles tell of their training, by their names: the best step, then the last if it is another."""
    old = (run / OLD_BEST_NAME / CONFIG_NAME).is_file()
    found = {}
    for name in (OLD_BEST_NAME, BUNDLE_NAME) if old else (BUNDLE_NAME, LAST_NAME):
        try:
            config = read_json(run / name / CONFIG_NAME)
        except (OSError, MalformedError):
            continue
        if isinstance(config, dict):
            found[name] = _training(config.get("training"))
    return found


def _training(values: Any) -> dict[str, Any]:
    """What a bundle tells of its training, but for what is no figure."""
    told = values if isinstance(values, dict) else {}
    known: dict[str, type] = {"steps": int, "minutes": int | float, "figure": int | float | None}  # type: ignore[dict-item]
    return {
        key: value for key, value in told.items()
        if key in known and isinstance(value, known[key]) and not isinstance(value, bool)
    }  # fmt: skip
