"""`audio-gen encode`: sound files to latents."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from audio_gen.cli import options as o
from audio_gen.cli.common import Console, command_line, emit_json, load, say, sources

if TYPE_CHECKING:
    from audio_gen.generation.clip import Saved
    from audio_gen.generation.pipeline import Pipeline


def encode_command(
    run: o.RunArgument,
    files: o.FilesArgument,
    out: o.OutOption,
    steps: o.SearchOption = None,
    class_name: o.ClassOption = None,
    pitch: o.PitchOption = None,
    vocoder: o.VocoderOption = None,
    device: o.DeviceOption = "auto",
    force: o.ForceOption = False,
    json_output: o.JsonOption = False,
) -> None:
    """Find the latents of sound files, and report the remaining distance.

    NAME.encoded.wav is the model's version of a file. Its JSON holds the latent, so `vary` and `interpolate --from
    NAME.encoded.wav` need no search. Give --class and --pitch for files whose name, folder and sound do not show them.
    """
    from audio_gen.generation.operations.encode import STEPS, EncodeRequest, encode
    from audio_gen.generation.outputs import sound_files

    files, limit = sound_files(files), STEPS if steps is None else steps
    request = EncodeRequest(files=files, steps=limit, class_name=class_name, pitch=pitch, command=command_line())
    pipeline = load(run, vocoder, device)
    saved = encode(pipeline, request).save(out, force=force, reporter=Console())
    show_scores(pipeline, files, saved, json_output)


def show_scores(pipeline: "Pipeline", files: Sequence[Path], saved: "Sequence[Saved]", json_output: bool) -> None:
    """Print the distance of each file to the model's version, as a table or as JSON."""
    from audio_gen.generation.operations.encode import score_lines, scores

    if json_output:
        return emit_json({**scores(files, saved), **sources(pipeline)})
    for line in score_lines(files, saved):
        say(line)
