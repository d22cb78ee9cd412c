"""What `quickstart` makes once a model is trained: clips, moves, reconstructions, and a report with all of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from audio_gen.data.store import Cache, Clip
    from audio_gen.evaluation.report import Section, Sound
    from audio_gen.generation.latents import Latents
    from audio_gen.generation.pipeline import Pipeline

SAMPLES, STEPS, RECONSTRUCTIONS, MORPH_SEC = 16, 8, 6, 4.0
JUDGED = 64  # samples that are made to be judged, and not kept
NEARNESS = {"close": "to", "copy": "of"}
STEPS_HEARD = (0, 2, 5, 7)
# Of the report's curves: the axis, what to know of it, and metrics by name.
CURVES = {
    "vae": ("log-mel L1, nats", "", {"training (mel loss)": "loss/mel", "kept-out files": "val/mel_l1"}),
    "gan": (
        "loss",
        "Near 0.69 neither side of the game wins. It is no measure of quality, which stands below.",
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
    about_vocoder: str | None = None,
) -> dict[str, Any]:
    """Make clips with a trained run and write the report about them.

    Args:
        run: The run.
        out: Folder for the clips; those of an earlier showcase are replaced.
        report: The HTML file.
        source: The folder that was trained on.
        source_name: What the report calls it.
        seed: Of the first sample.
        vocoder: See `load_vocoder`.
        about_vocoder: What the report says of how it was chosen.
        device: Where to compute.

    Returns:
        Counts and scores, for JSON.
    """
    from audio_gen.artefacts.folders import CacheFolder, QuickstartFolder, RunFolder
    from audio_gen.cli.common import progress
    from audio_gen.cli.next_steps import how_to_go_on
    from audio_gen.config import read_yaml
    from audio_gen.data.store import Cache
    from audio_gen.evaluation.report import write_report
    from audio_gen.generation.pipeline import Pipeline
    from audio_gen.text import one_line

    cache = Cache.open(RunFolder(run).cache if CacheFolder(RunFolder(run).cache).exists() else source)
    pipeline, places = Pipeline.load(run, vocoder=vocoder, device=device), QuickstartFolder(out)
    held_out = _varied(cache.split("val"), RECONSTRUCTIONS)
    with progress("Making clips", SAMPLES + 2 * (STEPS + 1) + 2 * len(held_out), "clips") as advance:
        samples, latents, paths = _samples(pipeline, run, places.samples, seed, advance)
        rebuilt, score = _reconstructions(pipeline, cache, held_out, places.reconstructions, advance)
        moves = [_between_samples(pipeline, latents, paths, places.between_samples, advance)]
        if len(held_out) > 1:
            moves.insert(0, _between_sounds(pipeline, cache, held_out, places.between_sounds, advance))
    sentences, judged_sections, figures = _judged(pipeline, cache, run, seed + SAMPLES)
    model: str = read_yaml(RunFolder(run).settings)["model"]
    training = next(iter(RunFolder(run).best_and_last().values()), {})
    summary = cache.report["summary"]
    write_report(
        report,
        title=f"New sounds from {source_name}",
        intro=[
            f"A {model.upper()} learned from {summary['clips']} files ({summary['duration_sec'] / 60:.1f} minutes of "
            f"sound) in {training.get('minutes', 0):.1f} minutes and {training.get('steps', 0)} steps. A clip "
            f"of up to {pipeline.duration_sec:.1f} s is {pipeline.model.latent_dim} numbers to it.",
            f"The model makes log-mel spectrograms; the vocoder {pipeline.vocoder.name} turned them into sound.",
            *([about_vocoder] if about_vocoder else []),
            *sentences,
        ],
        sections=[
            samples, rebuilt, *moves, _training(run, model), *judged_sections, *_dataset(cache),
            how_to_go_on(run, model, source, paths[0], [source / clip.path for clip in held_out], vocoder),
        ],
    )  # fmt: skip
    return {
        "samples": len(paths),
        "held_out": [one_line(clip.path) for clip in held_out],
        "mel_l1": score,
        "vocoder": pipeline.vocoder.name,
        "bundle": pipeline.digest,
        "evaluation": figures,
    }


def _varied(clips: "Sequence[Clip]", count: int) -> "list[Clip]":
    """Some clips, of as many classes as there are: one of each class, then a second of each, and so on."""
    seen: dict[str | None, int] = {}
    ranked = []
    for i, clip in enumerate(clips):
        seen[clip.class_name] = seen.get(clip.class_name, 0) + 1
        ranked.append((seen[clip.class_name], i, clip))
    return [clip for _, _, clip in sorted(ranked, key=lambda rank: rank[:2])[:count]]


def _samples(
    pipeline: "Pipeline", run: Path, out: Path, seed: int, advance: Any
) -> "tuple[Section, Latents, list[Path]]":
    """New clips that differ, spread over the classes; their points and their files."""
    from audio_gen.cli.clips import clip_stems, command_line, write_clips
    from audio_gen.cli.originals import newness, originals_of
    from audio_gen.evaluation.report import Section
    from audio_gen.generation.clip_file import describe
    from audio_gen.generation.distinct import draw_distinct
    from audio_gen.generation.latents import Latents

    names = (pipeline.conditions.classes or (None,))[:SAMPLES]
    counts = [len(range(i, SAMPLES, len(names))) for i in range(len(names))]
    drawn = [draw_distinct(pipeline, n, seed, class_name=name) for name, n in zip(names, counts, strict=True)]
    # One of each class after the other.
    turns = sorted((turn, i) for i, some in enumerate(drawn) for turn in range(len(some.seeds)))
    points = Latents.join([drawn[i].latents[turn] for turn, i in turns])
    seeds = [drawn[i].seeds[turn] for turn, i in turns]
    about = [
        describe(pipeline, points[i], command=command_line(), seed=s, temperature=1.0) for i, s in enumerate(seeds)
    ]
    paths = [out / f"{stem}.wav" for stem in clip_stems(pipeline, points, seeds)]
    compare = originals_of(run, pipeline)
    _, matches = write_clips(pipeline, points, paths, about.__getitem__, advance, compare=compare)
    advance(SAMPLES - len(paths))
    told = [f"They are in {out.name}/."]
    if compare:
        told.append(f"Of these, {newness(matches, [path.name for path in paths], compare.real_share())}.")
    titles = [path.stem for path in paths]
    for i, match in enumerate(matches):
        titles[i] += ": new" if match.verdict == "new" else f": {match.verdict} {NEARNESS[match.verdict]} {match.file}"
    return Section("New sounds", told, _heard(titles, paths)), points, paths


def _reconstructions(
    pipeline: "Pipeline", cache: "Cache", clips: "Sequence[Clip]", out: Path, advance: Any
) -> "tuple[Section, float]":
    """Real clips beside what the model makes of them, and beside a sample of the same class."""
    from audio_gen.audio.io import write_wav
    from audio_gen.audio.picture import spectrogram_png
    from audio_gen.evaluation.report import Section, Sound
    from audio_gen.generation.inversion import log_mel_l1

    rate, sounds, columns, errors = pipeline.spec.sample_rate, [], [], []
    for i, clip in enumerate(clips):
        real, wav = _encoded(pipeline, cache, clip)
        made = pipeline.decode(real)
        drawn = pipeline.decode(pipeline.latents([i], class_name=pipeline.conditions.class_name(int(real.class_id[0]))))
        mel = pipeline.mel(wav)
        sounding = wav.shape[-1] - pipeline.begin(wav) + pipeline.preroll
        errors.append(log_mel_l1(mel, made[0], min(-(-sounding // pipeline.spec.hop_length), mel.shape[1])))
        voices = {
            "real": wav,
            "vocoder alone": pipeline.vocode(mel[None])[0],
            "reconstructed": pipeline.vocode(made)[0],
        }
        for kind, voice in voices.items():
            sounds.append(Sound(f"{clip.path}: {kind}", voice, rate))
            write_wav(out / f"{i}-{kind.replace(' ', '-')}.wav", voice, rate)
        columns += [(f"{clip.path} real", mel), ("reconstructed", made[0]), ("sampled", drawn[0])]
        advance(2)
    score = sum(errors) / len(errors)
    kept_out = any(clip.split == "val" for clip in clips)
    text = [
        f"{'Files kept out of training' if kept_out else 'Too few files to keep any out: files of the training'}, sent "
        f"through the model and back: log-mel L1 {score:.2f} nats (0 is perfect). What the vocoder alone loses can "
        "be heard in between.",
    ]
    picture = spectrogram_png(columns, spec=pipeline.spec)
    about = "Spectrograms of real clips, their reconstructions, and samples of the same class"
    return Section("Real beside reconstructed beside sampled", text, sounds, picture, about), score


def _judged(
    pipeline: "Pipeline", cache: "Cache", run: Path, seed: int
) -> "tuple[list[str], list[Section], dict[str, Any] | None]":
    """The verdict on more samples, as sentences, as parts of the report, and as figures."""
    from audio_gen.cli.common import say
    from audio_gen.cli.evaluating import Evaluation
    from audio_gen.cli.judging import gather, judged, samples_folder
    from audio_gen.errors import AudioGenError
    from audio_gen.evaluation.embeddings import load_embedding
    from audio_gen.evaluation.embeddings.store import EmbeddingStore
    from audio_gen.evaluation.report.sections import evaluation_sections, sentences_of

    try:
        embedding = load_embedding(device=pipeline.device)
    except AudioGenError as e:
        return [f"The samples were not evaluated: {e}"], [], None
    job = Evaluation(embedding, EmbeddingStore(embedding, tell=say), pipeline, pipeline.vocoder, cache)
    with samples_folder(None) as folder:
        job.sample(folder, JUDGED, seed)
        sets = gather(job, job.real(cache.path, "auto"), folder, seed)
        result = judged(job, sets, "pyin", seed, run)
        return sentences_of(result), evaluation_sections(sets, result, job.clips), result


def _between_sounds(
    pipeline: "Pipeline", cache: "Cache", clips: "Sequence[Clip]", out: Path, advance: Any
) -> "Section":
    ends = (_encoded(pipeline, cache, clips[0])[0], _encoded(pipeline, cache, clips[1])[0])
    return _move(pipeline, "From one real sound to another", ends, (clips[0].path, clips[1].path), out, advance)


def _between_samples(
    pipeline: "Pipeline", latents: "Latents", paths: Sequence[Path], out: Path, advance: Any
) -> "Section":
    last = min(1, len(paths) - 1)
    ends, names = (latents[0], latents[last]), (paths[0].stem, paths[last].stem)
    return _move(pipeline, "From one new sound to another", ends, names, out, advance)


def _move(
    pipeline: "Pipeline", title: str, ends: "tuple[Latents, Latents]", names: tuple[str, str], out: Path, advance: Any
) -> "Section":
    import torch

    from audio_gen.audio.picture import spectrogram_png
    from audio_gen.cli.clips import write_morph, write_steps
    from audio_gen.evaluation.report import Section
    from audio_gen.generation.interpolate import decode_between
    from audio_gen.text import one_line

    names = one_line(names[0]), one_line(names[1])
    paths = write_steps(pipeline, ends, names, out, STEPS, advance)
    morph = out / "morph.wav"
    write_morph(pipeline, ends, names, morph, MORPH_SEC)
    advance(1)
    mels = decode_between(pipeline, *ends, torch.linspace(0, 1, STEPS))
    picture = spectrogram_png([(f"step {i}", mel) for i, mel in enumerate(mels)], spec=pipeline.spec, per_row=4)
    heard = _heard(
        [*(f"step {i} of {STEPS - 1}" for i in STEPS_HEARD), f"one sound that moves, {MORPH_SEC:g} s"],
        [*(paths[i] for i in STEPS_HEARD), morph],
    )
    text = [f"{names[0]} to {names[1]} in {STEPS} steps, all of them in {out.name}/."]
    return Section(title, text, heard, picture, f"Spectrograms of {STEPS} steps from {names[0]} to {names[1]}")


def _training(run: Path, model: str) -> "Section":
    """The curves of a run."""
    from audio_gen.evaluation.report import Section
    from audio_gen.training.metrics import read_metrics

    lines, (axis, text, shown) = read_metrics(run), CURVES[model]
    curves = {name: [(line["step"], line[key]) for line in lines if key in line] for name, key in shown.items()}
    return Section("How it learned", [text] if text else [], curves=curves, axes=("steps", axis))


def _dataset(cache: "Cache") -> "list[Section]":
    from audio_gen.evaluation.report import Section

    summary = cache.report["summary"]
    files = [f for f in cache.report["files"] if f["reasons"]]
    order = ("leave_out", "repair", "use")
    files.sort(key=lambda f: (order.index(f["action"]), f["path"]))
    text = (
        f"{summary['files']} audio files: {summary['use']} used as they are, {summary['repair']} repaired and used, "
        f"{summary['leave_out']} left out. {summary.get('val_clips', 0)} were kept out of training."
    )
    rows = [["File", "What was done", "Why"]]
    rows += [[f["path"], f["action"].replace("_", " "), "; ".join(f["reasons"])] for f in files]
    return [Section("What was in the folder", [text, *summary.get("notes", [])], table=rows if files else ())]


def _encoded(pipeline: "Pipeline", cache: "Cache", clip: "Clip") -> "tuple[Latents, Tensor]":
    """The latent of a clip and its sound (1, T), which begins where the model's clip of it does."""
    import torch

    most = pipeline.samples + cache.sample_rate  # with the silence before the sound
    wav = torch.from_numpy(cache.read(clip, 0, min(clip.samples, most)))[None]
    wav = wav[:, max(0, pipeline.begin(wav)) :][:, : pipeline.samples]
    conditions = pipeline.conditions
    condition = conditions.known_class([clip.class_name]), conditions.known_pitch([clip.pitch])
    return pipeline.encode(pipeline.mel(wav), *condition), wav


def _heard(titles: Sequence[str], paths: Sequence[Path]) -> "list[Sound]":
    """Players for WAVs that were written."""
    from audio_gen.audio.io import read_wav
    from audio_gen.evaluation.report import Sound

    return [Sound(title, *read_wav(path)) for title, path in zip(titles, paths, strict=True)]
