"""`audio-gen reconstruct`: clips through a trained model and back."""

from pathlib import Path
from typing import Annotated

import typer

from audio_gen.cli.clips import ClassOption, PitchOption, RunArgument
from audio_gen.cli.common import DeviceOption, ForceOption, JsonOption, OutOption, VocoderOption


def reconstruct_command(
    run: RunArgument,
    files: Annotated[list[Path], typer.Argument(help="Sound files.")],
    out: OutOption,
    copy_synthesis: Annotated[
        bool, typer.Option("--copy-synthesis", help="Also write NAME.copy.wav: the real mel through the vocoder alone.")
    ] = False,
    class_name: ClassOption = None,
    pitch: PitchOption = None,
    vocoder: VocoderOption = "griffinlim",
    device: DeviceOption = "auto",
    force: ForceOption = False,
    json_output: JsonOption = False,
) -> None:
    """Send clips through a trained model and back, and tell how near they come.

    --class and --pitch are for files whose name, folder and sound do not tell.
    """
    from audio_gen.audio.io import one_line
    from audio_gen.cli.clips import command_line, output_stems, with_sidecars
    from audio_gen.cli.common import check_out, emit_json, progress, say
    from audio_gen.generation.inputs import encode_file, log_mel_l1
    from audio_gen.generation.pipeline import Pipeline
    from audio_gen.generation.sidecar import describe, write_clip

    kinds = ("recon", "copy") if copy_synthesis else ("recon",)
    stems = output_stems(files)
    pipeline = Pipeline.load(run, vocoder=vocoder, device=device)
    check_out(out, with_sidecars(f"{stem}.{kind}" for stem in stems for kind in kinds), force=force)
    rows = []
    # All files are read before any is written, so that a wrong name costs no half-done work.
    encoded = [encode_file(pipeline, file, class_name=class_name, pitch=pitch) for file in files]
    for note in (e.note for e in encoded if e.note):
        say(note, json_output=True)
    with progress("Reconstructing", len(files), "files") as advance:
        for stem, e in zip(stems, encoded, strict=True):
            made = pipeline.decode(e.latents)
            for kind, mel in zip(kinds, (made, e.mel[None]), strict=False):
                source = {"source": one_line(e.path), "kind": kind}
                about = describe(pipeline, e.latents, command=command_line(), more=source)
                write_clip(out / f"{stem}.{kind}.wav", pipeline.vocode(mel)[0], about)
            rows.append({"file": str(e.path), "out": str(out / f"{stem}.recon.wav"), "class": about["class"],
                         "pitch": about["pitch"], "mel_l1": log_mel_l1(e.mel, made[0], e.frames)})  # fmt: skip
            advance(1)
    mean = sum(row["mel_l1"] for row in rows) / len(rows)
    if json_output:
        emit_json({"files": rows, "mel_l1": mean, "bundle": pipeline.digest, "vocoder": pipeline.vocoder.name})
        return
    say("log-mel L1 in nats, over the frames of sound:")
    for row, e in zip(rows, encoded, strict=True):
        say(f"{row['mel_l1']:7.3f}  {one_line(e.path)}")
    if len(rows) > 1:
        say(f"{mean:7.3f}  mean of {len(rows)}")
