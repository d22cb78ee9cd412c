"""The output of `quickstart`: clips, interpolations, reconstructions, and the report."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from audio_gen.artefacts.folders import CacheFolder, QuickstartFolder, RunFolder
from audio_gen.audio.io import read_wav, write_wav
from audio_gen.audio.picture import spectrogram_png
from audio_gen.config import read_yaml
from audio_gen.data.store import Cache, Clip
from audio_gen.errors import AudioGenError
from audio_gen.evaluation.embeddings import load_embedding
from audio_gen.evaluation.embeddings.store import EmbeddingStore
from audio_gen.evaluation.evaluate import evaluated_figures, samples_folder
from audio_gen.evaluation.report import Section, Sound, write_report
from audio_gen.evaluation.report.sections import evaluation_sections, sentences_of
from audio_gen.evaluation.session import Session
from audio_gen.generation.clip_file import describe
from audio_gen.generation.distinct import draw_distinct
from audio_gen.generation.finish import Finish
from audio_gen.generation.interpolate import PathBetween
from audio_gen.generation.inversion import log_mel_l1
from audio_gen.generation.latents import Latents
from audio_gen.generation.operations.common import rendered
from audio_gen.generation.operations.interpolate import InterpolateRequest, clips_between
from audio_gen.generation.operations.sample import clip_stems
from audio_gen.generation.originals import Match, novelty_line, originals_of
from audio_gen.generation.pipeline import Pipeline
from audio_gen.generation.search import encode_sound, for_each, sound_frames
from audio_gen.generation.source import Source
from audio_gen.hints import command
from audio_gen.reporter import Advance, Reporter
from audio_gen.text import one_line
from audio_gen.training.metrics import read_metrics

SAMPLES, STEPS, RECONSTRUCTIONS, MORPH_SEC = 16, 8, 6, 4.0
EVALUATED = 64  # samples that are generated for the evaluation only
NEARNESS = {"close": "to", "copy": "of"}
PLAYED_STEPS = (0, 2, 5, 7)
# Curves of the report: the axis, a text, and metrics by name.
CURVES = {
    "vae": ("log-mel L1, nats", "", {"training (mel loss)": "loss/mel", "held-out files": "val/mel_l1"}),
    "gan": (
        "loss",
        "Around 0.69 generator and discriminators are balanced. Losses do not measure quality; the figures below do.",
        {"discriminators": "loss/adv_d", "generator": "loss/adv_g"},
    ),
}


def make_showcase(
    run: Path,
    out: Path,
    report: Path,
    *,
    source: Path,
    source_name: str,
    seed: int,
    vocoder: str | None,
    device: str,
    origin: str,
    reporter: Reporter,
    about_vocoder: str | None = None,
) -> dict[str, Any]:
    """Generate clips with a trained run and write the report about them.

    Args:
        run: The run.
        out: Folder for the clips; those of an earlier showcase are replaced.
        report: The HTML file.
        source: The training folder.
        source_name: Its name in the report.
        seed: Seed of the first sample.
        vocoder: See `load_vocoder`.
        about_vocoder: A sentence on the choice of the vocoder.
        device: Where to compute.
        origin: The command line or request, for sidecars.
        reporter: Gets notes and progress.

    Returns:
        Counts and scores, for JSON.
    """
    cache = Cache.open(RunFolder(run).cache if CacheFolder(RunFolder(run).cache).exists() else source)
    pipeline, places = Pipeline.load(run, vocoder=vocoder, device=device), QuickstartFolder(out)
    chosen = _varied(cache.split("val"), RECONSTRUCTIONS)
    held_out = for_each(pipeline, lambda i: _encoded(pipeline, cache, chosen[i]), len(chosen))
    total = SAMPLES + 2 * (STEPS + 1) + 2 * len(held_out)
    with reporter.progress("Generating clips", total, "clips") as advance:
        samples, points, paths = _samples(pipeline, places.samples, seed, origin, advance)
        rebuilt, score = _reconstructions(pipeline, held_out, places.reconstructions, advance)
        last, moves = min(1, len(paths) - 1), []
        if len(held_out) > 1:
            one, other = held_out[:2]
            ends, names = (one.latents, other.latents), (one.clip.path, other.clip.path)
            moves.append(("From one real sound to another", ends, names, places.between_sounds))
        ends, names = (points[0], points[last]), (paths[0].stem, paths[last].stem)
        moves.append(("From one new sound to another", ends, names, places.between_samples))
        moved = [_move(pipeline, *move, origin, advance) for move in moves]
    sentences, evaluation, figures = _evaluated(pipeline, cache, run, seed + SAMPLES, origin, reporter)
    model: str = read_yaml(RunFolder(run).settings)["model"]
    training = next(iter(RunFolder(run).best_and_last().values()), {})
    summary = cache.report["summary"]
    write_report(
        report,
        title=f"New sounds from {source_name}",
        intro=[
            f"A {model.upper()} trained on {summary['clips']} files ({summary['duration_sec'] / 60:.1f} minutes of "
            f"sound) in {training.get('minutes', 0):.1f} minutes and {training.get('steps', 0)} steps. A clip "
            f"of up to {pipeline.duration_sec:.1f} s is {pipeline.codec.latent.dim} numbers to it.",
            f"The model generates log-mel spectrograms; the vocoder {pipeline.vocoder.name} turns them into sound.",
            *([about_vocoder] if about_vocoder else []),
            *sentences,
        ],
        sections=[
            samples, rebuilt, *moved, _training(run, model), *evaluation, *_dataset(cache),
            _next_steps(run, model, source, paths[0], [source / one.clip.path for one in held_out], vocoder),
        ],
    )  # fmt: skip
    return {
        "samples": len(paths),
        "held_out": [one_line(one.clip.path) for one in held_out],
        "mel_l1": score,
        "vocoder": pipeline.vocoder.name,
        "bundle": pipeline.digest,
        "evaluation": figures,
    }


def _varied(clips: Sequence[Clip], count: int) -> list[Clip]:
    """Clips of many classes: one of each class, then a second of each, and so on."""
    seen: dict[str | None, int] = {}
    ranked = []
    for i, clip in enumerate(clips):
        seen[clip.class_name] = seen.get(clip.class_name, 0) + 1
        ranked.append((seen[clip.class_name], i, clip))
    return [clip for _, _, clip in sorted(ranked, key=lambda rank: rank[:2])[:count]]


@dataclass(frozen=True)
class Encoded:
    """A clip of the cache as the model sees it.

    Attributes:
        clip: The clip.
        wav: (C, T), from the start of the model's clip, in the model's channels.
        latents: Its latent, a set of one.
    """

    clip: Clip
    wav: Tensor
    latents: Latents


def _encoded(pipeline: Pipeline, cache: Cache, clip: Clip) -> Encoded:
    most = pipeline.samples + cache.sample_rate  # with the silence before the sound
    read = cache.read_channels if pipeline.spec.channels > 1 else cache.read
    wav = torch.from_numpy(np.atleast_2d(read(clip, 0, min(clip.samples, most)))).expand(pipeline.spec.channels, -1)
    wav = wav[:, max(0, pipeline.begin(wav)) :][:, : pipeline.samples]
    return Encoded(clip, wav, encode_sound(pipeline, wav, clip.class_name, clip.pitch))


def _samples(
    pipeline: Pipeline, out: Path, seed: int, origin: str, advance: Advance
) -> tuple[Section, Latents, list[Path]]:
    """New clips without duplicates, of many classes; returns the section, their points and their files."""
    names = (pipeline.vocabulary.classes or (None,))[:SAMPLES]
    counts = [len(range(i, SAMPLES, len(names))) for i in range(len(names))]
    drawn = [draw_distinct(pipeline, n, seed, class_name=name) for name, n in zip(names, counts, strict=True)]
    # In turn one of each class.
    turns = sorted((turn, i) for i, some in enumerate(drawn) for turn in range(len(some.seeds)))
    points = Latents.join([drawn[i].latents[turn] for turn, i in turns])
    seeds = [drawn[i].seeds[turn] for turn, i in turns]

    def about(i: int) -> dict[str, Any]:
        return describe(pipeline, points[i], command=origin, seed=seeds[i], temperature=1.0)

    compare, stems, saved = originals_of(pipeline), clip_stems(pipeline, points, seeds), []
    for clip in rendered(pipeline, points, stems, about, Finish(), compare=compare):
        saved.append(clip.save(out / f"{clip.name}.wav", overwrite=True))
        advance(1)
    advance(SAMPLES - len(saved))
    paths, text = [one.path for one in saved], [f"They are in {out.name}/."]
    matches = [Match(**one.provenance["original"]) for one in saved] if compare else []
    if compare:
        text.append(f"Of these, {novelty_line(matches, [path.name for path in paths], compare.real_share())}.")
    titles = [path.stem for path in paths]
    for i, match in enumerate(matches):
        titles[i] += ": new" if match.verdict == "new" else f": {match.verdict} {NEARNESS[match.verdict]} {match.file}"
    return Section("New sounds", text, _players(titles, paths)), points, paths


def _reconstructions(
    pipeline: Pipeline, held_out: Sequence[Encoded], out: Path, advance: Advance
) -> tuple[Section, float]:
    """Real clips, their reconstructions, and a sample of the same class."""
    rate, n_mels, sounds, columns, errors = pipeline.spec.sample_rate, pipeline.spec.n_mels, [], [], []
    for i, one in enumerate(held_out):
        decoded, path = pipeline.decode(one.latents), one.clip.path
        class_name = pipeline.vocabulary.labels(one.latents.conditions)["class"]
        drawn = pipeline.decode(pipeline.latents([i], class_name=class_name))
        mel = pipeline.mel(one.wav)
        errors.append(log_mel_l1(mel[:n_mels], decoded[0, :n_mels], sound_frames(pipeline, one.wav)))
        voices = {
            "real": one.wav,
            "vocoder alone": pipeline.vocode(mel[None])[0],
            "reconstructed": pipeline.vocode(decoded)[0],
        }
        for kind, voice in voices.items():
            sounds.append(Sound(f"{path}: {kind}", voice, rate))
            write_wav(out / f"{i}-{kind.replace(' ', '-')}.wav", voice, rate)
        columns += [(f"{path} real", mel), ("reconstructed", decoded[0]), ("sampled", drawn[0])]
        advance(2)
    score = sum(errors) / len(errors)
    held_out_files = any(one.clip.split == "val" for one in held_out)
    text = [
        f"{'Held-out files' if held_out_files else 'Training files (too few files to hold any out)'}, sent through the "
        f"model and back: log-mel L1 {score:.2f} nats (0 is perfect). The copy-synthesis in between shows the loss of "
        f"the vocoder alone.",
    ]
    picture = spectrogram_png(columns, spec=pipeline.spec)
    about = "Spectrograms of real clips, their reconstructions, and samples of the same class"
    return Section("Real, reconstructed, sampled", text, sounds, picture, about), score


def _evaluated(
    pipeline: Pipeline, cache: Cache, run: Path, seed: int, origin: str, reporter: Reporter
) -> tuple[list[str], list[Section], dict[str, Any] | None]:
    """The verdict on more samples: its sentences, sections of the report, and figures."""
    try:
        embedding = load_embedding(device=pipeline.device)
    except AudioGenError as e:
        return [f"The samples were not evaluated: {e}"], [], None
    store = EmbeddingStore(embedding, note=reporter.note)
    job = Session(embedding, store, pipeline, pipeline.vocoder, cache, reporter, origin)
    with samples_folder(None) as folder:
        job.sample(folder, EVALUATED, seed)
        sets = job.gather(job.real(cache.path, "auto"), folder, seed)
        result = evaluated_figures(job, sets, "pyin", seed, run)
        return sentences_of(result), evaluation_sections(sets, result, job.clips), result


def _move(
    pipeline: Pipeline, title: str, ends: tuple[Latents, Latents], called: tuple[str, str], out: Path, origin: str,
    advance: Advance,
) -> Section:  # fmt: skip
    """An interpolation between two sounds, in steps and as a morph."""
    names = one_line(called[0]), one_line(called[1])
    request = InterpolateRequest(start=names[0], end=names[1], steps=STEPS, morph=f"{MORPH_SEC}s", command=origin)
    paths = []
    first, last = (Source.exact(pipeline, end) for end in ends)
    for clip in clips_between(pipeline, (first, last), request):
        paths.append(clip.save(out / f"{clip.name}.wav", overwrite=True).path)
        advance(1)
    between = PathBetween(pipeline, first, last)
    mels = between.mel(between.steps(STEPS)[0])
    picture = spectrogram_png([(f"step {i}", mel) for i, mel in enumerate(mels)], spec=pipeline.spec, per_row=4)
    players = _players(
        [*(f"step {i} of {STEPS - 1}" for i in PLAYED_STEPS), f"one morphing sound, {MORPH_SEC:g} s"],
        [*(paths[i] for i in PLAYED_STEPS), paths[-1]],
    )
    text = [f"{names[0]} to {names[1]} in {STEPS} steps, all of them in {out.name}/."]
    return Section(title, text, players, picture, f"Spectrograms of {STEPS} steps from {names[0]} to {names[1]}")


def _training(run: Path, model: str) -> Section:
    """The curves of a run."""
    lines, (axis, text, shown) = read_metrics(run), CURVES[model]
    curves = {name: [(line["step"], line[key]) for line in lines if key in line] for name, key in shown.items()}
    return Section("Training", [text] if text else [], curves=curves, axes=("steps", axis))


def _dataset(cache: Cache) -> list[Section]:
    summary = cache.report["summary"]
    files = [f for f in cache.report["files"] if f["reasons"]]
    order = ("leave_out", "repair", "use")
    files.sort(key=lambda f: (order.index(f["action"]), f["path"]))
    text = (
        f"{summary['files']} audio files: {summary['use']} used as they are, {summary['repair']} repaired and used, "
        f"{summary['leave_out']} skipped. {summary.get('val_clips', 0)} were held out of training."
    )
    rows = [["File", "What was done", "Why"]]
    rows += [[f["path"], f["action"].replace("_", " "), "; ".join(f["reasons"])] for f in files]
    return [Section("Files of the folder", [text, *summary.get("notes", [])], table=rows if files else ())]


def _players(titles: Sequence[str], paths: Sequence[Path]) -> list[Sound]:
    """Players of WAV files."""
    return [Sound(title, *read_wav(path, channels=None)) for title, path in zip(titles, paths, strict=True)]


def _next_steps(
    run: Path, model: str, source: Path, decoded: Path, sounds: Sequence[Path], vocoder: str | None
) -> Section:
    """The last part of a quickstart's report.

    Args:
        run: The run.
        model: Its kind.
        source: Its training folder.
        made: A generated clip.
        sounds: Some of the user's sounds.
        vocoder: The vocoder of the report's clips; None is the default.
    """
    first, second = [*(path for path in sounds if path.is_file()), decoded, decoded][:2]
    ends, voice = ("--from", first, "--to", second), ("--vocoder", vocoder) if vocoder else ()
    return Section(
        "Next steps",
        ["More clips, variations of one, an interpolation between two of your sounds, and a longer training:"],
        commands=[
            command("sample", run, "-n", 64, "--seed", 100, *voice, "--out", "more"),
            command("vary", decoded, "--amount", 0.3, *voice, "--out", "variations"),
            command("interpolate", run, *ends, "--steps", 8, "--morph", "4s", *voice, "--out", "between"),
            command("train", source, "--model", model, "--minutes", 60, "--run", "runs/longer"),
        ],
    )
