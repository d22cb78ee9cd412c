"""`audio-gen preprocess`: a folder of sounds as a cache that trains fast."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from audio_gen.artefacts.folders import CacheFolder
from audio_gen.cli.common import GeneratedOption, JsonOption, say
from audio_gen.config import DEFAULT_MEL, DataSettings, build
from audio_gen.hints import command

if TYPE_CHECKING:
    from audio_gen.data.cache import Cache

DATA = DataSettings()


def preprocess_command(
    folder: Annotated[Path, typer.Argument(help="A folder of sounds; it is only read.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The cache; one that is there is brought up to date.")],
    mel: Annotated[str, typer.Option("--mel", help="Mel preset; it decides the sample rate.")] = DEFAULT_MEL,
    labels: Annotated[
        str, typer.Option("--labels", help="auto, folders, names, none, or a CSV or NSynth JSON file.")
    ] = DATA.labels,
    pattern: Annotated[
        str | None, typer.Option("--pattern", help="Regular expression for class, pitch, velocity in file names.")
    ] = None,
    pitch: Annotated[
        str, typer.Option("--pitch", help="names, auto (estimates what no label gives), or none.")
    ] = DATA.pitch,
    trim_onset: Annotated[
        bool, typer.Option("--trim-onset", help="Cut the silence before every sound.")
    ] = DATA.trim_onset,
    val_fraction: Annotated[
        float, typer.Option("--val-fraction", help="Share kept back for validation.")
    ] = DATA.val_fraction,
    group_pattern: Annotated[
        str | None, typer.Option("--group-pattern", help="Files with the same text in its ( ) stay on one side.")
    ] = None,
    generated: GeneratedOption = False,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Files read at the same time.")] = 2,
    shards: Annotated[
        str | None,
        typer.Option("--shards", help="FOLDER is a cache: copy its samples into shards here, inside OUT or at a URL."),
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Read a folder once into a cache that trains fast."""
    from audio_gen.audio.mel import MelSpec
    from audio_gen.cli.stages import stage_progress
    from audio_gen.data.cache import build_cache
    from audio_gen.data.report import NothingUsableError

    if shards is not None:
        from audio_gen.data.sharding import shard_cache

        count = shard_cache(folder, out, shards)
        if json_output:
            from audio_gen.cli.common import emit_json

            return emit_json({"cache": str(out), "shards": count, "place": shards})
        return say(f"{out}: {count} shards at {shards}")
    given = {
        "labels": labels, "pattern": pattern, "pitch": pitch, "trim_onset": trim_onset, "val_fraction": val_fraction,
        "group_pattern": group_pattern,
    }  # fmt: skip
    data = build(DataSettings, given)
    sample_rate = MelSpec.preset(mel).sample_rate
    try:
        with stage_progress() as progress:
            cache = build_cache(
                folder,
                out,
                sample_rate=sample_rate,
                data=data,
                progress=progress,
                workers=workers,
                generated=generated,
            )
    except NothingUsableError as e:
        say(f"error: {e}", json_output=True)
        raise typer.Exit(1) from e
    _show(cache, folder, json_output)


def _show(cache: "Cache", folder: Path, json_output: bool) -> None:
    summary = cache.report["summary"]
    if json_output:
        from audio_gen.cli.common import emit_json

        emit_json({"cache": str(cache.path), "sample_rate": cache.sample_rate, "classes": cache.classes, **summary})
        return
    say(
        f"{cache.path}: {len(cache.clips)} clips at {cache.sample_rate} Hz ({summary['train_clips']} to train on, "
        f"{summary['val_clips']} to validate on), {len(cache.classes)} classes; {summary['leave_out']} files left out"
    )
    for note in summary["notes"]:
        say(note)
    if summary["leave_out"]:
        say(f"why: {command('inspect', folder)}, or {CacheFolder(cache.path).dataset_report}")
