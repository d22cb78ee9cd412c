"""`audio-gen loop`: seamless loops of bars at a tempo."""

from audio_gen.cli import options as o
from audio_gen.cli.common import Console, command_line, emit_json, load, say, sources


def loop_command(
    run: o.RunArgument, out: o.OutOption, bars: o.LoopBarsOption = 4, bpm: o.TempoOption = 120.0,
    beats: o.BeatsOption = 4, count: o.LoopCountOption = 8, seed: o.SeedOption = 0, class_name: o.ClassOption = None,
    temperature: o.TemperatureOption = 1.0, normalize: o.NormalizeOption = None, bits: o.BitsOption = "24",
    rate: o.RateOption = None, channels: o.MixOption = None, vocoder: o.VocoderOption = None,
    device: o.DeviceOption = "auto", force: o.ForceOption = False, json_output: o.JsonOption = False,
) -> None:  # fmt: skip
    """Generate seamless loops with a sequence model: bars x beats x 60 / bpm seconds, exact to the sample."""
    from audio_gen.generation.operations.loop import LoopRequest, loop

    request = LoopRequest(
        bars=bars, bpm=bpm, beats=beats, count=count, seed=seed, class_name=class_name, temperature=temperature,
        normalize=normalize, bits=bits, rate=rate, channels=channels, command=command_line())  # fmt: skip
    clips = loop(load(run, vocoder, device), request)
    saved = clips.save(out, force=force, reporter=Console())
    if json_output:
        return emit_json({"files": [str(one.path) for one in saved], **sources(clips.pipeline)})
    last = "" if len(saved) == 1 else f" to {saved[-1].path.name}"
    what = "1 loop" if len(saved) == 1 else f"{len(saved)} loops"
    say(f"{what} of {request.duration_sec:.4g} s in {out}: {saved[0].path.name}{last}")
