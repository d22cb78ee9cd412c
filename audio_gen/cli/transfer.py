"""`audio-gen transfer`: sounds in the timbre of other sounds."""

from audio_gen.cli import options as o
from audio_gen.cli.common import Console, command_line, emit_json, say, sources


def transfer_command(
    files: o.TransferFilesArgument, out: o.OutOption, to: o.TargetOption = None, method: o.MethodOption = None,
    class_name: o.SoundClassOption = None, keep: o.KeepOption = None, mix: o.DryWetOption = 1.0,
    start: o.AmountFromOption = 1.0, end: o.AmountToOption = 1.0, octaves: o.OctavesOption = None,
    levels: o.LevelsOption = True, normalize: o.SourceLevelOption = None, bits: o.BitsOption = "24",
    rate: o.SourceRateOption = None, channels: o.MixOption = None, vocoder: o.VocoderOption = None,
    device: o.DeviceOption = "auto", force: o.ForceOption = False, json_output: o.JsonOption = False,
) -> None:  # fmt: skip
    """Play sounds in the timbre of the sounds in a folder, or of a run that was trained to transfer.

    Each result is as long and as loud as its sound, at its sample rate. Without a run, nothing is trained.
    """
    from audio_gen.generation.operations.transfer import TransferRequest, transfer

    request = TransferRequest(
        files=files, to=to, method=method, keep=None if keep is None else [one.strip() for one in keep.split(",")],
        class_name=class_name, mix=mix, start=start, end=end, octaves=octaves, levels=levels, normalize=normalize,
        bits=bits, rate=rate, channels=channels, vocoder=vocoder, device=device, command=command_line(),
    )  # fmt: skip
    console = Console()
    clips = transfer(request, console)
    saved = clips.save(out, force=force, reporter=console)
    if json_output:
        rows = [{"path": str(s.path), "notes": s.provenance.get("notes", [])} for s in saved]
        return emit_json({"files": rows, "method": clips.pipeline.kind, **sources(clips.pipeline)})
    last = "" if len(saved) == 1 else f" to {saved[-1].path.name}"
    say(f"{len(saved)} sound{'s' * (len(saved) > 1)} by {clips.pipeline.kind} in {out}: {saved[0].path.name}{last}")
    for line in clips.summary(saved):
        say(line)
