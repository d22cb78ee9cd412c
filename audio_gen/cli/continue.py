"""`audio-gen continue`: what follows after a sound."""

from audio_gen.cli import options as o
from audio_gen.cli.common import Console, command_line, emit_json, load, say, sources


def continue_command(
    run: o.RunArgument, files: o.FilesArgument, out: o.OutOption, duration: o.AddedOption = 20.0,
    count: o.ContinuationsOption = 1, seed: o.SeedOption = 0, class_name: o.ClassOption = None,
    temperature: o.TemperatureOption = 1.0, normalize: o.NormalizeOption = None, bits: o.BitsOption = "24",
    rate: o.RateOption = None, channels: o.MixOption = None, vocoder: o.VocoderOption = None,
    device: o.DeviceOption = "auto", force: o.ForceOption = False, json_output: o.JsonOption = False,
) -> None:  # fmt: skip
    """Continue sounds with a sequence model; each file holds the sound and what follows.

    The sound itself stays as it is until 40 ms before the join, and keeps its level. At most its last seconds decide.
    """
    from audio_gen.generation.operations.continuation import ContinueRequest, continue_sounds

    request = ContinueRequest(
        files=files, duration_sec=duration, count=count, seed=seed, class_name=class_name, temperature=temperature,
        normalize=normalize, bits=bits, rate=rate, channels=channels, force=force, command=command_line())  # fmt: skip
    clips = continue_sounds(load(run, vocoder, device), request)
    saved = clips.save(out, force=force, reporter=Console())
    if json_output:
        files_made = [{"path": str(s.path), "join_sec": s.provenance["join_sec"]} for s in saved]
        return emit_json({"files": files_made, **sources(clips.pipeline)})
    last = "" if len(saved) == 1 else f" to {saved[-1].path.name}"
    where = "" if len(saved) == 1 else f"each of {len(saved)} sounds in "
    say(f"{duration:g} s added to {where}{out}: {saved[0].path.name}{last}")
    for line in clips.summary(saved):
        say(line)
