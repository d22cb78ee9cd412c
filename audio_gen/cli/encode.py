"""`audio-gen encode`: sounds to latents, to go on from."""

from pathlib import Path
from typing import Annotated

import typer

from audio_gen.cli.clips import ClassOption, PitchOption, RunArgument
from audio_gen.cli.common import DeviceOption, ForceOption, JsonOption, OutOption, VocoderOption

KIND = "encoded"


def encode_command(
    run: RunArgument,
    files: Annotated[list[Path], typer.Argument(help="Sound files, or folders of them.")],
    out: OutOption,
    steps: Annotated[
        int | None,
        typer.Option("--steps", min=0, help="Steps of a GAN's search, 200 at most if left out; a VAE has none."),
    ] = None,
    class_name: ClassOption = None,
    pitch: PitchOption = None,
    vocoder: VocoderOption = None,
    device: DeviceOption = "auto",
    force: ForceOption = False,
    json_output: JsonOption = False,
) -> None:
    """Find the latents of sounds, and tell how near the model comes to them.

    Each NAME.encoded.wav is what the model makes of a sound; the JSON beside it holds its latent, from which `vary` and
    `interpolate --from NAME.encoded.wav` go on at once. --class and --pitch are for files whose name, folder and sound
    do not tell.
    """
    from audio_gen.cli.claims import claimed
    from audio_gen.cli.clips import command_line, output_stems, sound_files, with_sidecars
    from audio_gen.cli.common import open_run
    from audio_gen.cli.encoding import encode_all, tell_scores, write_encoded

    files = sound_files(files)
    stems = output_stems(files)
    pipeline = open_run(run, vocoder=vocoder, device=device)
    names = with_sidecars(f"{stem}.{KIND}" for stem in stems)
    with claimed(out, names, command=command_line(), bundle=pipeline.digest, force=force):
        encoded = encode_all(pipeline, files, class_name, pitch, steps)
        rows = write_encoded(pipeline, encoded, stems, out, [KIND])
    tell_scores(pipeline, rows, json_output=json_output)
