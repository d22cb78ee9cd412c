"""`audio-gen reconstruct`: clips through a trained model and back."""

from pathlib import Path
from typing import Annotated

import typer

from audio_gen.cli.clips import ClassOption, PitchOption, RunArgument
from audio_gen.cli.common import DeviceOption, ForceOption, JsonOption, OutOption, VocoderOption


def reconstruct_command(
    run: RunArgument,
    files: Annotated[list[Path], typer.Argument(help="Sound files, or folders of them.")],
    out: OutOption,
    copy_synthesis: Annotated[
        bool, typer.Option("--copy-synthesis", help="Also write NAME.copy.wav: the real mel through the vocoder alone.")
    ] = False,
    class_name: ClassOption = None,
    pitch: PitchOption = None,
    vocoder: VocoderOption = None,
    device: DeviceOption = "auto",
    force: ForceOption = False,
    json_output: JsonOption = False,
) -> None:
    """Send clips through a trained model and back, and tell how near they come.

    --class and --pitch are for files whose name, folder and sound do not tell.
    """
    from audio_gen.cli.claims import claimed
    from audio_gen.cli.clips import command_line, output_stems, sound_files, with_sidecars
    from audio_gen.cli.common import open_run
    from audio_gen.cli.encoding import encode_all, tell_scores, write_encoded

    kinds = ("recon", "copy") if copy_synthesis else ("recon",)
    files = sound_files(files)
    stems = output_stems(files)
    pipeline = open_run(run, vocoder=vocoder, device=device)
    names = with_sidecars(f"{stem}.{kind}" for stem in stems for kind in kinds)
    with claimed(out, names, command=command_line(), bundle=pipeline.digest, force=force):
        # All files are read before any is written, so that a wrong name costs no half-done work.
        encoded = encode_all(pipeline, files, class_name, pitch)
        rows = write_encoded(pipeline, encoded, stems, out, kinds)
    tell_scores(pipeline, rows, json_output=json_output)
