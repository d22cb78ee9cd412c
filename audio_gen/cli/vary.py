"""`audio-gen vary`: generate variations of a clip."""

from audio_gen.cli import options as o
from audio_gen.cli.common import Console, command_line, emit_json, load, say, sources
from audio_gen.text import one_line


def vary_command(
    clip: o.ClipArgument,
    out: o.OutOption,
    amount: o.AmountOption = 0.3,
    count: o.VariationsOption = 4,
    run: o.ClipRunOption = None,
    seed: o.SeedOption = 0,
    temperature: o.TemperatureOption = 1.0,
    keep_attack: o.KeepAttackOption = None,
    normalize: o.NormalizeOption = None,
    bits: o.BitsOption = "24",
    rate: o.RateOption = None,
    tail: o.TailOption = None,
    length: o.LengthOption = "sound",
    channels: o.MixOption = None,
    vocoder: o.VocoderOption = None,
    device: o.DeviceOption = "auto",
    force: o.ForceOption = False,
    json_output: o.JsonOption = False,
) -> None:
    """Generate variations of a clip; its class and pitch are kept."""
    from audio_gen.generation.operations.vary import VaryRequest, model_of, vary

    request = VaryRequest(
        clip=clip, amount=amount, count=count, seed=seed, temperature=temperature, keep_attack=keep_attack,
        normalize=normalize, bits=bits, rate=rate, tail_db=tail, length=length, channels=channels,
        command=command_line(),
    )  # fmt: skip
    pipeline = load(model_of(clip, run), vocoder, device)
    clips = vary(pipeline, request)
    saved = clips.save(out, force=force, reporter=Console())
    if json_output:
        files = [{"path": str(one.path), "seed": one.provenance["seed"]} for one in saved]
        emit_json({"files": files, **sources(pipeline)})
    else:
        names = saved[0].path.name if count == 1 else f"{saved[0].path.name} to {saved[-1].path.name}"
        say(f"{count} variation{'s' * (count > 1)} of {one_line(clip)} in {out}: {names}")
    for line in clips.summary(saved):
        say(line, json_output=json_output)
