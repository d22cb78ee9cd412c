"""Count the functions and modules of audio_gen that four calls cross: a WAV, a batch, a seed, a training step.

Usage: python recipes/training_benchmark/crossed.py [--list]
"""

import argparse
import contextlib
import importlib
import inspect
import os
import pkgutil
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import numpy as np
import soundfile

PACKAGE = Path(importlib.import_module("audio_gen").__file__ or "").parent
STEP = "audio_gen.training.step:Updater.step"
NO_FUNCTIONS = ("<module>", "<lambda>", "<genexpr>", "<listcomp>", "<dictcomp>", "<setcomp>", "<cell>")


class Crossed:
    """The functions of the package that are called while it is active, on all threads."""

    def __init__(self) -> None:
        """Count nothing yet."""
        self.codes: set[CodeType] = set()

    def _profile(self, frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(str(PACKAGE)):
            self.codes.add(frame.f_code)

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        """Count the functions that are called inside."""
        threading.setprofile(self._profile)
        sys.setprofile(self._profile)
        try:
            yield
        finally:
            sys.setprofile(None)
            threading.setprofile(None)

    def names(self) -> list[str]:
        """`module:function` of each, sorted."""
        functions = [code for code in self.codes if code.co_flags & inspect.CO_OPTIMIZED]  # no class bodies
        named = [code for code in functions if code.co_name not in NO_FUNCTIONS]
        return sorted(f"{Path(c.co_filename).relative_to(PACKAGE).as_posix()}:{c.co_qualname}" for c in named)


def main() -> None:
    """Generate four sounds and a run of two steps, and print a line for each way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--list", action="store_true", help="Name each function.")
    parser.add_argument("--step", default=STEP, help="The method that trains a step. [default: %(default)s]")
    options = parser.parse_args()
    import_all()
    with tempfile.TemporaryDirectory() as place:
        for name, crossed in ways(Path(place), options.step):
            names = crossed.names()
            print(f"{name}: {len(names)} functions of {len({n.partition(':')[0] for n in names})} modules")
            if options.list:
                print("\n".join(f"    {one}" for one in names))


def import_all() -> None:
    """Import every module of the package, so that what runs at import is not counted."""
    for module in pkgutil.walk_packages([str(PACKAGE)], "audio_gen."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)


def ways(place: Path, step: str) -> Iterator[tuple[str, Crossed]]:
    """Go each way once; yields its name and its functions."""
    from audio_gen.audio.mel import MelFrontEnd, MelSpec
    from audio_gen.cli.app import run
    from audio_gen.data.dataset import ClipDataset
    from audio_gen.data.store import Cache

    folder = place / "sounds"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(4):
        fading = np.exp(-np.arange(44100) / 4000) * rng.normal(size=44100) * 0.2
        soundfile.write(folder / f"{i}.wav", fading, 44100)

    cached = Crossed()
    with quiet(), cached.active():
        run(["preprocess", str(folder), "--out", str(place / "cache")])
    yield "a folder of WAVs to a cache (preprocess)", cached
    batched, spec = Crossed(), MelSpec.preset("44khz_128band_512x")
    with batched.active():
        data = ClipDataset(Cache.open(place / "cache"), split="train", segment_samples=spec.samples(64), seed=0)
        MelFrontEnd(spec)(data.batch(0, 2).wav)
    yield "a cached clip to a log-mel batch", batched

    stepped = Crossed()
    with only(step, stepped), quiet():
        run(["train", str(folder), "--run", str(place / "run"), "--model", "gan", "--steps", "2", "--device", "cpu"])
    yield "a step of the GAN", stepped
    sampled = Crossed()
    with quiet(), sampled.active():
        run(["sample", str(place / "run"), "-n", "1", "--out", str(place / "clips"), "--device", "cpu"])
    yield "a seed to a written WAV (sample)", sampled


@contextlib.contextmanager
def only(step: str, crossed: Crossed) -> Iterator[None]:
    """Count inside calls of one method alone, `module:Class.method`."""
    module, _, path = step.partition(":")
    owner, name = path.split(".")
    cls = getattr(importlib.import_module(module), owner)
    whole: Callable[..., Any] = getattr(cls, name)

    def counted(*args: Any, **kwargs: Any) -> Any:
        with crossed.active():
            return whole(*args, **kwargs)

    setattr(cls, name, counted)
    try:
        yield
    finally:
        setattr(cls, name, whole)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Discard what commands print."""
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        yield


if __name__ == "__main__":
    main()
