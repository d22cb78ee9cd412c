"""Choose a vocoder for a folder: `small`, `griffinlim`, or `small` fine-tuned on the folder."""

import json
from pathlib import Path
from typing import NamedTuple

import torch

from audio_gen.artefacts.bundle import load_bundle, shipped
from audio_gen.audio.distance import QUIET, at_peak, mrmel
from audio_gen.audio.mel import MelSpec
from audio_gen.data.store import Cache
from audio_gen.models.registry import VOCODER, parts_of
from audio_gen.training.events import Ended, Event, Listener
from audio_gen.training.tasks.run import train_run
from audio_gen.vocoding.load import CLASSICAL, NETWORK, default_vocoder, load_vocoder, speaks
from audio_gen.vocoding.long import copy_synthesis
from audio_gen.vocoding.vocoder import Vocoder

SHARE = 0.2  # of the time that the model is trained for
PROBE_SHARE = 0.04  # of that time: a short tuning, which decides whether a longer one follows
SETTINGS = ("train.lr=2e-4", "loss.sizes=2", "train.validations=0", "train.previews=0")
BETTER = 0.99  # of the default's distance; smaller gains are chance
PROMISING = 0.995  # of the best untuned distance that a probe must reach
MOST_FILES, FILE_SEC, FEWEST_FILES = 32, 2.0, 3  # held-out files to compare on


class Choice(NamedTuple):
    """A chosen vocoder.

    Attributes:
        vocoder: Its name or run; None for the default one.
        about: The reason, in one sentence.
        saved_min: Minutes of tuning that were not used.
    """

    vocoder: str | None
    about: str
    saved_min: float


class Training:
    """Forwards the events of trainings, and remembers an early stop."""

    def __init__(self, on_event: Listener) -> None:
        """Pass events to `on_event`."""
        self._on_event = on_event
        self.stopped_by: str | None = None

    def __call__(self, event: Event) -> None:
        """Take one event."""
        if isinstance(event, Ended):
            self.stopped_by = event.stopped_by
        self._on_event(event)


def chosen_vocoder(
    cache: Cache, spec: MelSpec, run: Path, *, minutes: float, seed: int, device: str, force: bool,
    training: Training,
) -> Choice:  # fmt: skip
    """Choose the vocoder with the smallest distance on held-out clips, and fine-tune the shipped one if that helps.

    A short tuning comes first. A long one follows only if the short one is closer than every untuned vocoder.

    Args:
        cache: The sounds; its held-out files decide.
        spec: The model's mel; of stereo, the vocoder makes the mid.
        run: The vocoder's run; an unfinished one resumes. The short tuning's is next to it.
        minutes: Training time of the model.
        seed: Seed of the training.
        device: Where to compute.
        force: Move earlier runs aside.
        training: Gets the events; after an early stop no other training starts.

    Returns:
        The vocoder, the reason, and the unused time.
    """
    spec = spec.mono
    usual = default_vocoder(spec)
    if (held_out := len(cache.split("val"))) < FEWEST_FILES:
        text = f"{held_out} held-out files are too few to choose a vocoder by, so {usual} is used."
        return Choice(None, text, SHARE * minutes)
    choices = {name: name for name in dict.fromkeys((usual, CLASSICAL))}
    distances = {name: _distance(load_vocoder(choice, spec), cache) for name, choice in choices.items()}
    target, spent = PROMISING * min(distances.values()), 0.0
    short, long = PROBE_SHARE * minutes, (SHARE - PROBE_SHARE) * minutes
    for name, length, place in (
        (f"{NETWORK} after a short tuning", short, run.with_name(f"{run.name}-probe")),
        (f"{NETWORK} trained on these sounds for {long:.1f} minutes", long, run),
    ):
        if speaks(NETWORK, spec) != spec or (spent and min(distances.values()) > target):
            break
        train_run(
            cache.path, place, model="vocoder", init=Path(NETWORK), minutes=length, seed=seed, device=device,
            overrides=[*SETTINGS, *_shape(NETWORK, spec)], force=force, on_event=training,
        )  # fmt: skip
        if training.stopped_by:
            break
        choices[name], spent = str(place), spent + length
        distances[name] = _distance(load_vocoder(str(place), spec), cache)
    best = min(distances, key=lambda name: distances[name])
    if distances[best] > BETTER * distances[usual]:
        best = usual
    text = ", ".join(f"{name} {distance:.3f}" for name, distance in distances.items())
    compared = min(held_out, MOST_FILES)
    found = f"mrmel of {compared} held-out files: {text}. Chosen vocoder: {best}."
    return Choice(None if best == usual else choices[best], found, SHARE * minutes - spent)


def _shape(name: str, spec: MelSpec) -> list[str]:
    """Settings for a run with the mel and network of the shipped vocoder of that name."""
    folder = shipped(name)
    assert folder
    network = parts_of(load_bundle(folder))[VOCODER]
    args = {key: value for key, value in network.args.items() if key not in spec.to_dict()}
    return [f"mel={json.dumps(spec.to_dict())}", *(f"net.{key}={value}" for key, value in args.items())]


def _distance(vocoder: Vocoder, cache: Cache) -> float:
    """Mean `mrmel` between held-out clips and their copy-synthesis."""
    found, samples = [], round(FILE_SEC * vocoder.spec.sample_rate)
    for clip in cache.split("val")[:MOST_FILES]:
        wav = torch.from_numpy(cache.read(clip, 0, min(samples, clip.samples)))[None, None]
        if float(wav.abs().max()) > QUIET:
            wav = at_peak(wav)
            found.append(mrmel(wav[0, 0], copy_synthesis(vocoder, wav[0])[0], vocoder.spec.sample_rate))
    return sum(found) / max(1, len(found))
