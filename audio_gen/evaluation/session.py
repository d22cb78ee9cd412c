"""The sets of clips that `evaluate` compares, and where they come from."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from audio_gen.artefacts.reference import is_reference
from audio_gen.artefacts.sidecar import read_labels
from audio_gen.audio.channels import mono
from audio_gen.audio.io import write_wav
from audio_gen.audio.onset import amplitude
from audio_gen.audio.resample import resample
from audio_gen.audio.stereo import STEREO_BANDS
from audio_gen.data.labels import Label
from audio_gen.data.store import Cache
from audio_gen.evaluation.clip_features import ClipFeatures, describe_clips
from audio_gen.evaluation.clips import ClipSet, SoundClip, cache_clips, find_clips
from audio_gen.evaluation.compare import Sets, halve, noise_clips
from audio_gen.evaluation.copies import EmbeddingDistance
from audio_gen.evaluation.embeddings.base import Embedding
from audio_gen.evaluation.embeddings.store import EmbeddingStore
from audio_gen.evaluation.long_sound import LongSound
from audio_gen.evaluation.pitch import measure_pitch
from audio_gen.evaluation.reference_set import load_reference
from audio_gen.evaluation.repetition import MIN_SOUNDS
from audio_gen.evaluation.sequences import LongSets, are_long, over_time
from audio_gen.evaluation.stereo import both_stereo
from audio_gen.generation.clip_file import describe
from audio_gen.generation.finish import AS_MODELLED
from audio_gen.generation.operations.common import rendered
from audio_gen.generation.pipeline import Pipeline
from audio_gen.generation.search import encode_sound
from audio_gen.generation.sequence import encode_sound as encode_sequence
from audio_gen.generation.sequence import generate_long, sound_blocks
from audio_gen.reporter import SILENT, Reporter, stages
from audio_gen.vocoding.long import copy_synthesis
from audio_gen.vocoding.stereo import StereoVocoder
from audio_gen.vocoding.vocoder import Vocoder

COPIES, NOISES, PITCHES = 200, 100, 100  # clips at most, enough for sets that only show the scale
GENERATED_PITCHES = 256  # a share of this many clips is known to 3 %
LONG_SAMPLE_SEC = 60.0
SEARCH_STEPS = 60  # for the latent of a clip, in a model without an encoder


@dataclass
class Session:
    """Collects the sets of clips that one evaluation compares.

    Attributes:
        embedding: Embedding that compares clips.
        embed: The embedding with its store on disk.
        pipeline: The evaluated run, if any.
        vocoder: The vocoder of copy-synthesis, if any.
        cache: The cache of the run, if it still exists.
        reporter: Gets notes and progress.
        command: The command line, for sidecars.
        stereo: Whether left, right and side are compared too; None if the run's model decides.
        clips: Clips by title, of each set with audio.
        sounds: Whole sounds of the real and the generated set, if there is audio.
    """

    embedding: Embedding
    embed: EmbeddingStore
    pipeline: Pipeline | None = None
    vocoder: Vocoder | None = None
    cache: Cache | None = None
    reporter: Reporter = SILENT
    command: str = "Session()"
    stereo: bool | None = None
    clips: dict[str, dict[str, SoundClip]] = field(default_factory=dict)
    sounds: dict[str, list[LongSound]] = field(default_factory=dict)

    @property
    def clip_sec(self) -> float | None:
        """Seconds used of every file: the model's length, if there is a model with clips of one length."""
        return self.pipeline.duration_sec if self.pipeline and not self.pipeline.is_sequence else None

    @property
    def in_stereo(self) -> bool:
        """Whether clips are compared in stereo, if they are stereo."""
        return self.stereo if self.stereo is not None else self.pipeline is not None and self.pipeline.spec.channels > 1

    def describe(
        self,
        name: str,
        clips: Sequence[SoundClip],
        left_out: Sequence[tuple[str, str]] = (),
        *,
        workers: int = 2,
        stored: bool = True,
    ) -> ClipFeatures:
        """Compute the features of clips, with progress."""
        self.clips[name] = {clip.title: clip for clip in clips}
        with self.reporter.progress(f"Embedding {name}", len(clips), "clips") as advance:
            return describe_clips(
                name, clips, self.embedding, self.embed if stored else None, left_out=left_out, advance=advance,
                workers=workers, views=stored, parts=self.in_stereo,
            )  # fmt: skip

    def real(self, place: Path, labels: str) -> ClipFeatures:
        """The real clips, from a folder, a cache or a reference file."""
        if is_reference(place):
            spec = self.pipeline.spec if self.pipeline else None
            self.clips["real"] = {}
            found = load_reference(place, self.embedding, clip_sec=self.clip_sec, mel=spec)
            return replace(found, name="real")
        with stages(self.reporter) as show_stage:
            found_clips = find_clips(place, clip_sec=self.clip_sec, labels=labels, progress=show_stage)
        self._note(found_clips)
        self.sounds["real"] = found_clips.sounds
        return self.describe("real", found_clips.clips, found_clips.left_out)

    def generated(self, folder: Path) -> ClipFeatures:
        """The clips to evaluate, at the model's level.

        Class, pitch and applied gain come from the sidecars.
        """

        known, gains = {}, {}
        for wav in folder.rglob("*.wav"):
            about = read_labels(wav)
            if about is not None:
                name = wav.relative_to(folder).as_posix()
                known[name], gains[name] = Label(about.get("class"), about.get("pitch")), about["gain_db"]
        with stages(self.reporter) as show_stage:
            found = find_clips(folder, clip_sec=self.clip_sec, known=known, progress=show_stage, generated=True)
        self._note(found)
        self.sounds["generated"] = [one.louder(-gains.get(one.title, 0.0)) for one in found.sounds]
        clips = [_levelled(clip, -gain) if (gain := gains.get(clip.group)) else clip for clip in found.clips]
        return self.describe("generated", clips, found.left_out)

    def sample(self, folder: Path, count: int, seed: int) -> None:
        """Generate clips with the run."""
        assert self.pipeline is not None
        pipeline, seeds = self.pipeline, range(seed, seed + count)
        points = pipeline.latents(seeds)
        names = [f"seed-{number:04d}" for number in seeds]

        def about(i: int) -> dict[str, Any]:
            return describe(pipeline, points[i], command=self.command, seed=seeds[i], temperature=1.0)

        with self.reporter.progress("Sampling", count, "clips") as advance:
            for clip in rendered(pipeline, points, names, about, AS_MODELLED):
                clip.save(folder / f"{clip.name}.wav", overwrite=True)
                advance(1)

    def sample_long(self, folder: Path, count: int, seed: int) -> None:
        """Generate sounds of a minute with the run, a model of sequences."""
        assert self.pipeline is not None
        with self.reporter.progress("Sampling", count, "sounds") as advance:
            for number in range(seed, seed + count):
                wav = generate_long(self.pipeline, LONG_SAMPLE_SEC, number)
                write_wav(folder / f"seed-{number:04d}.wav", wav, self.pipeline.spec.sample_rate)
                advance(1)

    def over_time(self, seed: int) -> dict[str, Any] | None:
        """Measures over time of the generated sounds; None if they are short, or the real ones are not available."""
        generated, real = self.sounds["generated"], self.sounds.get("real", [])
        if not are_long(generated) or not real:
            return None
        sets = LongSets(generated, real, real)
        if self.cache is not None:
            train = [LongSound.of_cache(self.cache, clip) for clip in self.cache.split("train")]
            known = {one.content_hash for one in train}
            held_out = [one for one in real if one.content_hash is not None and one.content_hash not in known]
            sets = LongSets(generated, held_out if len(held_out) >= MIN_SOUNDS else real, train, held_out)
        return over_time(sets, self.embedding.sample_rate, self.embed, seed=seed, reporter=self.reporter)

    def gather(self, real: ClipFeatures, folder: Path, seed: int) -> Sets:
        """Collect the sets of an evaluation: the clips, and versions of real clips for scale."""
        generated = self.generated(folder)
        is_training = self.is_training(real)
        halves, held_out = halve(real, is_training, seed)
        second = real.pick(halves[1])
        renders_stereo = self.pipeline is None or self.pipeline.spec.channels == 2
        stereo = renders_stereo and both_stereo(real, generated)
        return Sets(
            real, generated, halves, held_out, train=self.train(real, is_training), copies=self.copies(second, stereo),
            rebuilt=self.rebuilt(second, stereo), noise=self.noise(real),
        )  # fmt: skip

    def is_training(self, real: ClipFeatures) -> list[bool | None]:
        """Whether each real clip is a training clip; None if unknown."""
        if self.cache is None:
            return [None] * len(real)
        train = {clip.content_hash for clip in self.cache.split("train")}
        return [None if known is None else known in train for known in real.hashes]

    def train(self, real: ClipFeatures, is_training: Sequence[bool | None]) -> ClipFeatures | None:
        """The training clips: rows of `real` if it contains all of them, otherwise from the run's cache."""
        if self.cache is None:
            return None
        wanted = {clip.content_hash for clip in self.cache.split("train")}
        if wanted <= {known for known in real.hashes if known}:
            return real.pick([i for i, known in enumerate(is_training) if known], "training clips")
        clips = [part for clip in self.cache.split("train") for part in cache_clips(self.cache, clip, self.clip_sec)]
        return self.describe("training clips", clips)

    def embedding_distance(self, generated: ClipFeatures, train: ClipFeatures) -> EmbeddingDistance | None:
        """Embedding distance of a generated and a training clip; None if audio is missing."""
        sides = [self.clips.get(one.name) or self.clips.get("real", {}) for one in (generated, train)]
        if not all(
            title in clips for one, clips in zip((generated, train), sides, strict=True) for title in one.titles
        ):
            return None
        rate = self.embedding.sample_rate

        def load(side: int, one: ClipFeatures, row: int) -> Tensor:
            wav, own_rate = sides[side][one.titles[row]].load()
            return resample(wav[None], own_rate, rate)[0]

        return EmbeddingDistance(self.embed, partial(load, 0, generated), partial(load, 1, train), rate, train.vectors)

    def copies(self, second: ClipFeatures, stereo: bool = False) -> ClipFeatures | None:
        """Copy-synthesis of real clips."""
        if self.vocoder is None or not self.clips["real"] or not len(second):
            return None
        return self.describe("copy-synthesis", self._through(second, self._copy, stereo), workers=1, stored=False)

    def rebuilt(self, second: ClipFeatures, stereo: bool = False) -> ClipFeatures | None:
        """Reconstructions of real clips."""
        if self.pipeline is None or not self.clips["real"] or not len(second):
            return None
        return self.describe("reconstruction", self._through(second, self._rebuild, stereo), workers=1, stored=False)

    def noise(self, real: ClipFeatures) -> ClipFeatures:
        """White noise, in clips as long as the real ones."""
        count = min(NOISES, max(10, len(real)))
        length_sec = float(np.nanmedian(real.signal["length_sec"]))
        return self.describe("white noise", noise_clips(count, length_sec, self.embedding.sample_rate), stored=False)

    def pitch(self, sets: Sequence[ClipFeatures | None], method: str) -> dict[str, Any]:
        """Pitch figures of each set that has labelled or requested pitches."""
        jobs = []
        for one in sets:
            wanted = [(t, p) for t, p in zip(one.titles, one.pitches, strict=True) if p is not None] if one else []
            if one and wanted and self.clips.get(one.name):
                most = GENERATED_PITCHES if one.name == "generated" else PITCHES
                jobs.append((one.name, wanted[:: max(1, len(wanted) // most)][:most]))
        found: dict[str, Any] = {}
        with self.reporter.progress("Estimating pitches", sum(len(wanted) for _, wanted in jobs), "clips") as advance:
            for name, wanted in jobs:
                loaded = [self.clips[name][title].load() for title, _ in wanted]
                found[name.replace("-", "_")] = measure_pitch(loaded, [p for _, p in wanted], method=method)
                advance(len(wanted))
        return found

    def _through(
        self, second: ClipFeatures, process: Callable[[SoundClip, bool], Tensor], stereo: bool
    ) -> list[SoundClip]:
        """At most 200 of the clips, evenly spaced, each processed when it is loaded."""
        rate = self.vocoder.spec.sample_rate if self.vocoder else 0
        titles = second.titles[:: max(1, -(-len(second.titles) // COPIES))]
        done = lru_cache(maxsize=1)(lambda clip: process(clip, stereo))  # loaded as mono, then in stereo

        def sent(clip: SoundClip) -> SoundClip:
            both = (lambda: (done(clip), rate)) if stereo else None
            return replace(clip, load=lambda: (mono(done(clip)), rate), load_stereo=both)

        return [sent(self.clips["real"][title]) for title in titles]

    def _copy(self, clip: SoundClip, stereo: bool) -> Tensor:
        assert self.vocoder is not None
        vocoder = self.vocoder
        wav = _at_rate(clip, vocoder.spec.sample_rate, stereo)
        if self.pipeline is not None and not self.pipeline.is_sequence:
            return self.pipeline.vocode(self.pipeline.mel(wav)[None])[0]
        if stereo and vocoder.spec.channels == 1:
            vocoder = StereoVocoder(vocoder, vocoder.spec.with_stereo(STEREO_BANDS))
        return copy_synthesis(vocoder, wav)

    def _rebuild(self, clip: SoundClip, stereo: bool) -> Tensor:
        assert self.pipeline is not None
        wav = _at_rate(clip, self.pipeline.spec.sample_rate, stereo)
        if self.pipeline.is_sequence:
            z = encode_sequence(self.pipeline, wav)
            return torch.cat(list(sound_blocks(self.pipeline, iter([z]), wav.shape[-1])), dim=1)
        point = encode_sound(self.pipeline, wav, clip.class_name, clip.pitch, steps=SEARCH_STEPS)
        return self.pipeline.vocode(self.pipeline.decode(point))[0]

    def _note(self, found: ClipSet) -> None:
        for note in found.notes:
            self.reporter.note(f"note: {note}")


def _levelled(clip: SoundClip, gain_db: float) -> SoundClip:
    """A clip with a gain."""

    def louder(load: Callable[[], tuple[Tensor, int]]) -> Callable[[], tuple[Tensor, int]]:
        def loaded() -> tuple[Tensor, int]:
            wav, sample_rate = load()
            return wav * amplitude(gain_db), sample_rate

        return loaded

    both = None if clip.load_stereo is None else louder(clip.load_stereo)
    return replace(clip, load=louder(clip.load), load_stereo=both)


def _at_rate(clip: SoundClip, sample_rate: int, stereo: bool) -> Tensor:
    """A clip as wav (1, T), or (2, T) if it has two channels and `stereo` is set, at a sample rate."""
    if stereo and clip.load_stereo is not None:
        wav, own_rate = clip.load_stereo()
        return resample(wav, own_rate, sample_rate)
    wav, own_rate = clip.load()
    return resample(wav[None], own_rate, sample_rate)
