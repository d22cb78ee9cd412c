"""`audio-gen preprocess`: a folder of sounds to a cache for fast training."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from audio_gen.cli import options as o
from audio_gen.cli.common import Console, emit_json, say
from audio_gen.config import DEFAULT_MEL, DataSettings, build

if TYPE_CHECKING:
    from audio_gen.data.store import Cache

DATA = DataSettings()
NUMBERS = {str(n): n for n in range(10)}


def preprocess_command(
    folder: o.FolderArgument,
    out: o.CacheOption,
    mel: o.MelOption = DEFAULT_MEL,
    labels: o.LabelsOption = DATA.labels,
    pattern: o.PatternOption = None,
    pitch: o.PitchesOption = DATA.pitch,
    channels: o.CacheChannelsOption = "auto",
    trim_onset: o.TrimOption = DATA.trim_onset,
    val_fraction: o.ValOption = DATA.val_fraction,
    group_pattern: o.GroupOption = None,
    generated: o.GeneratedOption = False,
    workers: o.WorkersOption = 2,
    shards: o.ShardsOption = None,
    midi: o.MidiPairsOption = False,
    json_output: o.JsonOption = False,
) -> None:
    """Read a folder once into a cache for fast training."""
    from audio_gen.audio.mel import MelSpec
    from audio_gen.data.cache import build_cache
    from audio_gen.data.report import NothingUsableError
    from audio_gen.reporter import stages

    if shards is not None:
        return _shard(folder, out, shards, json_output)
    options: dict[str, str | int | None] = {"labels": labels, "pattern": pattern, "group_pattern": group_pattern}
    options |= {"pitch": pitch, "trim_onset": trim_onset, "channels": NUMBERS.get(channels, channels)}
    data = build(DataSettings, {**options, "val_fraction": val_fraction})
    rate = MelSpec.preset(mel).sample_rate
    folder = _notes(folder, out) if midi else folder
    try:
        with stages(Console()) as progress:
            cache = build_cache(
                folder, out, sample_rate=rate, data=data, progress=progress, workers=workers, generated=generated
            )
    except NothingUsableError as e:
        say(f"error: {e}", json_output=True)
        raise typer.Exit(1) from e
    _report(cache, folder, json_output)


def _notes(folder: Path, out: Path) -> Path:
    """Cut the notes of recordings with MIDI files into a folder beside the cache; that folder."""
    from audio_gen.data.midi_notes import cut_notes
    from audio_gen.errors import OutputError
    from audio_gen.text import one_line

    out = out.resolve()
    if out.is_file():
        raise OutputError(f"{one_line(out)}: a file is in the way of the cache; choose another --out")
    found = cut_notes(folder, out.with_name(f"{out.name}-notes"), Console())
    text = f"{found.count} of {found.notes} notes of {found.pairs} recordings, those that sound alone"
    say(f"{text}, in {found.folder}", json_output=True)
    return found.folder


def _report(cache: "Cache", folder: Path, json_output: bool) -> None:
    from audio_gen.data.overview import cache_json, cache_overview

    if json_output:
        return emit_json(cache_json(cache))
    for line in cache_overview(cache, folder):
        say(line)


def _shard(cache: Path, out: Path, place: str, json_output: bool) -> None:
    from audio_gen.data.sharding import shard_cache

    count = shard_cache(cache, out, place)
    if json_output:
        emit_json({"cache": str(out), "shards": count, "place": place})
    else:
        say(f"{out}: {count} shards at {place}")
