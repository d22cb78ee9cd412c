"""`audio-gen reconstruct`: clips through a trained model and back."""

from audio_gen.cli import options as o
from audio_gen.cli.common import Console, command_line, load, say
from audio_gen.cli.encode import show_scores


def reconstruct_command(
    run: o.RunArgument,
    files: o.FilesArgument,
    out: o.OutOption,
    copy_synthesis: o.CopyOption = False,
    keep_residual: o.ResidualOption = False,
    class_name: o.ClassOption = None,
    pitch: o.PitchOption = None,
    channels: o.MixOption = None,
    vocoder: o.VocoderOption = None,
    device: o.DeviceOption = "auto",
    force: o.ForceOption = False,
    json_output: o.JsonOption = False,
) -> None:
    """Send files through a trained model and back, and report the distance.

    Give --class and --pitch for files whose name, folder and sound do not show them.
    """
    from audio_gen.generation.operations.encode import EncodeRequest, reconstruct
    from audio_gen.generation.outputs import sound_files

    files = sound_files(files)
    request = EncodeRequest(
        files=files, class_name=class_name, pitch=pitch, copy_synthesis=copy_synthesis, keep_residual=keep_residual,
        channels=channels, command=command_line(),
    )  # fmt: skip
    pipeline = load(run, vocoder, device)
    clips = reconstruct(pipeline, request)
    saved = clips.save(out, force=force, reporter=Console())
    show_scores(pipeline, files, saved[:: 1 + copy_synthesis], json_output)
    for line in clips.summary(saved):
        say(line, json_output=json_output)
