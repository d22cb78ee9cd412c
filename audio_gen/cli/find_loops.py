"""`audio-gen find-loops`: the best seamless loops in sound files."""

from audio_gen.cli import options as o
from audio_gen.cli.common import Console, command_line, emit_json, say


def find_loops_command(
    files: o.FilesArgument,
    out: o.OutOption,
    count: o.LoopsOption = 8,
    bpm: o.LoopBpmOption = None,
    bars: o.BarsOption = None,
    min_sec: o.ShortestOption = 1.0,
    max_sec: o.LongestOption = 16.0,
    force: o.ForceOption = False,
    json_output: o.JsonOption = False,
) -> None:
    """Find the best seamless loops in sound files of any length.

    Each loop is a WAV with the channels and the rate of its file, and a JSON with its place, tempo and seam.
    """
    from audio_gen.generation.operations.find_loops import FindLoopsRequest, find_loops

    request = FindLoopsRequest(
        files=files, out=out, count=count, bpm=bpm, bars=bars, min_sec=min_sec, max_sec=max_sec, force=force,
        command=command_line(),
    )  # fmt: skip
    done = find_loops(request, Console())
    if json_output:
        return emit_json(done.to_json())
    for line in done.lines():
        say(line)
