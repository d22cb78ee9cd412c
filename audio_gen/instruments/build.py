"""Instruments out of a model: a drum on a key, or the notes of one seed over the keyboard."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from audio_gen.audio.resample import resample
from audio_gen.errors import ConfigError, DataError
from audio_gen.generation.distinct import draw_distinct
from audio_gen.generation.finish import SILENT, Finish, finish
from audio_gen.generation.operations.sample import note_name, stems_of
from audio_gen.generation.pipeline import Pipeline
from audio_gen.instruments.drum_keys import Drum, choke_group, drum_keys
from audio_gen.instruments.levels import attack_sec, centroid_hz, even, loudness_of
from audio_gen.instruments.model_notes import ModelNotes, Played
from audio_gen.instruments.prolong import prolonged
from audio_gen.instruments.sustain_loop import SustainLoop, played, rescaled, sustain_loop
from audio_gen.instruments.tuning import measured_cents, shifted
from audio_gen.instruments.zones import Instrument, Zone, key_ranges, velocity_ranges
from audio_gen.midi.general_midi import DRUMS
from audio_gen.midi.score import pitch_to_hz
from audio_gen.reporter import Advance, Reporter
from audio_gen.text import one_line

OCTAVE_CENTS, FARTHEST_CENTS = 1200, 70  # a note further from its pitch, octaves aside, is left out
RETUNED_CENTS = 1.0  # smaller deviations stay
UNSURE_CENTS = 8.0  # a tuned note that still measures further off has no clear pitch
AT_ONCE = 16
LONGEST_HELD_SEC = 12.0  # that is rendered; longer notes loop
RELEASE_SEC = 0.3  # rendered after the end of a note
LOST_DB = 9.0  # by which a take that the model missed is softer
LOOPED_SHARE = 0.5  # of an instrument's sounds that have a steady part, for it to be held
HeldSec = Callable[[int, int], float]
AS_RENDERED = Finish(normalize="none", bits="float")


def drum_kit(
    pipeline: Pipeline, name: str, *, classes: Sequence[str | None], per_class: int, layers: int, takes: int, seed: int,
    temperature: float, reporter: Reporter,
) -> Instrument:  # fmt: skip
    """A kit with so many different sounds of each class.

    Args:
        pipeline: A model of clips.
        name: Of the kit.
        classes: Its classes; None for a model without.
        per_class: Sounds of each class.
        layers: Layers of velocity.
        takes: Takes of each layer.
        seed: The first seed of each class.
        temperature: See `Pipeline.sample`.
        reporter: Gets progress, and notes on sounds that are missing.
    """
    sounds: list[tuple[str | None, int]] = []
    stems: list[str] = []
    for class_name in classes:
        found = draw_distinct(pipeline, per_class, seed, class_name=class_name, temperature=temperature)
        if found.shortage is not None:
            reporter.note(f"{one_line(class_name or name)}: {found.shortage}")
        sounds += [(class_name, one) for one in found.seeds]
        stems += stems_of(pipeline, found.latents.conditions, found.seeds, folders=True)
    velocities = velocity_ranges(layers)
    rate = pipeline.spec.sample_rate
    first: list[Tensor] = []
    rendered: list[list[Tensor]] = []
    lost = 0
    with reporter.progress("Rendering", len(sounds) * layers * takes, "sounds") as advance:
        for class_name, one in sounds:
            notes = ModelNotes(pipeline, seed=one, class_name=class_name, temperature=temperature)
            asked = [Played(None, _velocity(pipeline, keys), take) for keys in velocities for take in range(takes)]
            made = _rendered(notes, asked, advance)
            rendered.append(without_lost_takes(made, takes, rate))
            lost += sum(kept is not wav for kept, wav in zip(rendered[-1], made, strict=True))
            first.append(rendered[-1][-takes])  # the loudest layer's first take
    if lost:
        reporter.note(
            f"{name}: {lost} of {len(sounds) * layers * takes} takes are far too soft; the first take plays instead"
        )
    drums = [
        Drum(class_name, wav.shape[-1] / rate, centroid_hz(wav, rate), attack_sec(wav, rate))
        for (class_name, _), wav in zip(sounds, first, strict=True)
    ]
    zones = []
    for i, (key, stem) in enumerate(zip(drum_keys(drums), stems, strict=True)):
        if key is None or float(first[i].abs().max()) < SILENT:
            reporter.note(f"{stem}: {'silent' if key is not None else 'no key is left for it'}; left out")
            continue
        levelled = iter(even(rendered[i], rate))
        for layer, keys in enumerate(velocities):
            for take in range(takes):
                zones.append(
                    Zone(
                        f"{stem}{_suffix(layer, layers, take, takes)}",
                        next(levelled),
                        rate,
                        key,
                        (key, key),
                        velocities=keys,
                        take=take,
                        takes=takes,
                        class_name=sounds[i][0],
                        choke=choke_group(key),
                        pitched=False,
                        label=f"{stem.rpartition('/')[2]} ({DRUMS[key][0]})" if key in DRUMS else stem,
                    )
                )
    if not zones:
        raise DataError(f"{name}: the model's sounds are silent; train it longer")
    return Instrument(name, tuple(zones), drums=True)


def pitched_instrument(
    pipeline: Pipeline, *, class_name: str | None, roots: Sequence[int], layers: int, takes: int, seed: int,
    temperature: float, reporter: Reporter, held_sec: HeldSec | None = None,
) -> Instrument:  # fmt: skip
    """One seed of a model over the keyboard; see `drum_kit` for the rest.

    Each note is tuned by its measured pitch, and brought to the loudness of the others. Notes without a clear pitch are
    left out, and their neighbours play their keys; if all are, all stay as they are.

    Args:
        roots: Pitches of the zones, ascending.
        held_sec: Returns how long the notes of a root and a layer are held, at most; those that no note needs, at 0,
            are as long as the model's clips. None is for a kit, whose notes are as long as these and loop.
    """
    notes = ModelNotes(pipeline, seed=seed, class_name=class_name, temperature=temperature)
    name = f"{stems_of(pipeline, pipeline.vocabulary.requested(notes.class_name), [seed])[0]}"
    velocities, rate = velocity_ranges(layers), pipeline.spec.sample_rate
    asked = [
        Played(float(root), _velocity(pipeline, keys), take)
        for root in roots for keys in velocities for take in range(takes)
    ]  # fmt: skip
    lengths = [
        0.0 if held_sec is None else min(held_sec(root, layer), LONGEST_HELD_SEC)
        for root in roots for layer in range(layers) for _ in range(takes)
    ]  # fmt: skip
    with reporter.progress(f"Rendering {name}", len(asked), "notes") as advance:
        wavs = _rendered(notes, asked, advance, lengths)
    tuned = [tuned_to(wav, rate, one.pitch or 0.0) for wav, one in zip(wavs, asked, strict=True)]
    each = layers * takes
    kept: list[int] = []
    chosen: list[tuple[Tensor, float]] = []
    for i, root in enumerate(roots):
        group = tuned[i * each : (i + 1) * each]
        if any(one is None for one in group):
            continue
        kept.append(root)
        chosen += [one for one in group if one is not None]
    lost = [note_name(root) for root in roots if root not in kept]
    if not kept:  # a bell, or a model that needs more training
        kept, chosen = list(roots), [(wav, 0.0) for wav in wavs]
        reporter.note(f"{name}: none of its notes has a clear pitch; they are not tuned")
    elif lost:
        plays = "the neighbouring notes play their keys"
        reporter.note(f"{name}: {', '.join(lost)} {'has' if len(lost) == 1 else 'have'} no clear pitch; {plays}")
    f0s_hz = [pitch_to_hz(kept[i // each] + cents / 100) for i, (_, cents) in enumerate(chosen)]
    looped = looped_alike([wav for wav, _ in chosen], rate, f0s_hz, only_long=held_sec is not None)
    held = [wav if loop is None else played(wav, loop, rate) for wav, loop in looped]
    levelled = even([wav for wav, _ in looped], rate, held)
    zones = []
    for i, (root, keys) in enumerate(zip(kept, key_ranges(kept), strict=True)):
        for layer, range_ in enumerate(velocities):
            for take in range(takes):
                at = i * each + layer * takes + take
                zones.append(
                    Zone(
                        f"{name}/{name}-{note_name(root)}{_suffix(layer, layers, take, takes)}",
                        levelled[at],
                        rate,
                        root,
                        keys,
                        cents=chosen[at][1],
                        velocities=range_,
                        take=take,
                        takes=takes,
                        loop=looped[at][1],
                        class_name=notes.class_name,
                        label=f"{name} {note_name(root)}",
                    )
                )
    return Instrument(name, tuple(zones), drums=False)


def without_lost_takes(wavs: Sequence[Tensor], takes: int, sample_rate: int) -> list[Tensor]:
    """Sounds in groups of takes, with a take that is far softer than the first one of its group replaced by that."""
    found: list[Tensor] = []
    for i, wav in enumerate(wavs):
        first = wavs[i - i % takes]
        lost = (
            loudness_of(wav, sample_rate) < loudness_of(first, sample_rate) - LOST_DB or float(wav.abs().max()) < SILENT
        )
        found.append(first if lost else wav)
    return found


def looped_alike(
    wavs: Sequence[Tensor], sample_rate: int, f0s_hz: Sequence[float], *, only_long: bool = False
) -> list[tuple[Tensor, SustainLoop | None]]:
    """Sounds (C, T) with their loops: most of an instrument's sounds have one, or none has.

    Where most have one, a looser rule finds one for the others, so that all can be held. With `only_long`, sounds that
    are as long as the notes that they play get none.
    """
    if only_long:
        long = [wav.shape[-1] >= LONGEST_HELD_SEC * sample_rate for wav in wavs]
        found = [
            sustain_loop(wav, sample_rate, f0_hz) if one else None
            for wav, f0_hz, one in zip(wavs, f0s_hz, long, strict=True)
        ]
        return [one or (wav, None) for wav, one in zip(wavs, found, strict=True)]
    found = [sustain_loop(wav, sample_rate, f0_hz) for wav, f0_hz in zip(wavs, f0s_hz, strict=True)]
    if sum(one is not None for one in found) < LOOPED_SHARE * len(found):
        return [(wav, None) for wav in wavs]
    result: list[tuple[Tensor, SustainLoop | None]] = []
    for wav, f0_hz, one in zip(wavs, f0s_hz, found, strict=True):
        result.append(one or sustain_loop(wav, sample_rate, f0_hz, loose=True) or (wav, None))
    return result


def tuned_to(wav: Tensor, sample_rate: int, pitch: float) -> tuple[Tensor, float] | None:
    """A note (C, T) at its pitch, with the cents that it is still above; None if it has no clear pitch.

    An octave more or less counts as its pitch: organs and strings sound in several octaves at once.
    """
    cents = off_cents(wav, sample_rate, pitch)
    if cents is None or abs(cents) > FARTHEST_CENTS:
        return None
    if abs(cents) < RETUNED_CENTS:
        return wav, cents
    moved = shifted(wav, sample_rate, -cents / 100)
    left = off_cents(moved, sample_rate, pitch)
    return None if left is None or abs(left) > UNSURE_CENTS else (moved, left)


def off_cents(wav: Tensor, sample_rate: int, pitch: float) -> float | None:
    """`measured_cents`, octaves aside."""
    cents = measured_cents(wav, sample_rate, pitch)
    return None if cents is None else (cents + OCTAVE_CENTS / 2) % OCTAVE_CENTS - OCTAVE_CENTS / 2


def roots_of(pipeline: Pipeline, wanted: tuple[int, int, int] | None, step: int = 3) -> list[int]:
    """The pitches of zones: from, to and step; None is the model's whole range.

    Raises:
        ConfigError: They are outside the pitches that the model learned.
    """
    low, high = ModelNotes.range_of(pipeline)
    first, last, step = wanted or (low, high, step)
    if first < low or last > high:
        raise ConfigError(
            f"--pitch {first}:{last}:{step}: the model learned MIDI {low} to {high}; give a range within it"
        )
    roots = list(range(first, last + 1, step))
    return roots if last - roots[-1] < step else [*roots, last]


def _velocity(pipeline: Pipeline, keys: tuple[int, int]) -> float:
    """The velocity that a layer is rendered at: the middle of a learned one, otherwise the top, which is not darker."""
    known = pipeline.vocabulary.velocity_range
    return float(keys[1]) if known is None else min(max((keys[0] + keys[1]) / 2, known[0]), known[1])


def _rendered(
    notes: ModelNotes, asked: Sequence[Played], advance: Advance, held_sec: Sequence[float] = ()
) -> list[Tensor]:
    """Notes from 1 ms before their onset to their end; longer than the model's clips where they are held longer."""
    pipeline, found = notes.pipeline, []
    rate = pipeline.spec.sample_rate
    for first in range(0, len(asked), AT_ONCE):
        some = asked[first : first + AT_ONCE]
        mels = list(notes.mels(some))
        for i, sec in enumerate(held_sec[first : first + AT_ONCE]):
            if sec > pipeline.duration_sec - RELEASE_SEC:
                mels[i] = _held(pipeline, mels[i], sec, seed=notes.seed + first + i)
        wavs: list[Tensor | None] = [None] * len(some)
        for length in {mel.shape[-1] for mel in mels}:
            rows = [i for i, mel in enumerate(mels) if mel.shape[-1] == length]
            for i, wav in zip(rows, pipeline.vocode(torch.stack([mels[i] for i in rows])), strict=True):
                wavs[i] = finish(wav, rate, AS_RENDERED).wav
        found += [wav for wav in wavs if wav is not None]
        advance(len(some))
    return found


def _held(pipeline: Pipeline, mel: Tensor, sec: float, seed: int) -> Tensor:
    """A log-mel (M, L) that is held for a time, rounded up to quarters of a second so that equal lengths are common."""
    spec = pipeline.spec
    samples = pipeline.preroll + math.ceil(4 * (sec + RELEASE_SEC)) / 4 * spec.sample_rate
    frames = math.ceil(samples / spec.hop_length)
    return prolonged(mel, spec.n_mels, frames, spec.frame_rate, pipeline.codec.mel_floor, seed)


def _suffix(layer: int, layers: int, take: int, takes: int) -> str:
    """What tells the sounds of a key apart in file names: the layer from soft to loud, and the take."""
    return (f"-v{layer + 1}" if layers > 1 else "") + (f"-rr{take + 1}" if takes > 1 else "")


def in_rate(instrument: Instrument, rate: int | None) -> Instrument:
    """An instrument at another sample rate in Hz; None keeps it."""

    def moved(zone: Zone) -> Zone:
        assert rate is not None
        wav, loop = resample(zone.wav, zone.sample_rate, rate), zone.loop
        if loop is not None:
            wav, loop = rescaled(wav, loop, rate / zone.sample_rate)
        return replace(zone, wav=wav, sample_rate=rate, loop=loop)

    if rate is None:
        return instrument
    return replace(instrument, zones=tuple(map(moved, instrument.zones)))
