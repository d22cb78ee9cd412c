"""`audio-gen kit`: a model as an instrument for samplers."""

from audio_gen.cli import options as o
from audio_gen.cli.common import Console, command_line, emit_json, load, say, sources


def kit_command(
    run: o.RunArgument, out: o.OutOption, formats: o.FormatsOption = "sfz", name: o.KitNameOption = None,
    classes: o.KitClassesOption = None, per_class: o.KitPerClassOption = None, pitch: o.ZonesOption = None,
    layers: o.VelocityLayersOption = 3, takes: o.RoundRobinOption = 2, seed: o.SeedOption = 0,
    temperature: o.TemperatureOption = 1.0, bits: o.BitsOption = "24", rate: o.RateOption = None,
    vocoder: o.VocoderOption = None, device: o.DeviceOption = "auto", force: o.ForceOption = False,
    json_output: o.JsonOption = False,
) -> None:  # fmt: skip
    """Write a model as a sampler kit: tuned, levelled and looped WAVs, and the files that samplers open.

    A model of drums gives a sound on each key, by General MIDI where class names allow. A model with pitches gives an
    instrument over the keyboard from one seed.
    """
    from audio_gen.instruments.kit import KitRequest, check_kit_out, kit

    request = KitRequest(
        formats=[one.strip() for one in formats.split(",")], name=name, classes=classes or [], per_class=per_class,
        pitch=pitch, layers=layers, takes=takes, seed=seed, temperature=temperature, bits=bits, rate=rate,
        command=command_line(),
    )  # fmt: skip
    check_kit_out(out, force=force)
    console = Console()
    pipeline = load(run, vocoder, device)
    made = kit(pipeline, request, console)
    saved = made.save(out, force=force, reporter=console)
    if json_output:
        return emit_json({"files": [str(path) for path in saved], **sources(pipeline)})
    for instrument in made.instruments:
        looped = sum(zone.loop is not None for zone in instrument.zones)
        loops = "" if instrument.drums else f", {looped} with a loop"
        roots = len({zone.root for zone in instrument.zones})
        where = f"{roots} {'keys' if instrument.drums else 'zones'}"
        say(f"{instrument.name}: {len(instrument.zones)} sounds on {where}{loops}")
    say(f"open {', '.join(path.name for path in saved)} in {out}; README.md there says with what")
