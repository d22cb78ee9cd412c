"""`audio-gen play`: MIDI files with models and kits."""

from audio_gen.cli import options as o
from audio_gen.cli.common import Console, command_line, emit_json, say


def play_command(
    files: o.PlayFilesArgument, out: o.WavOutOption = None, map: o.MapOption = None, show_map: o.ShowMapOption = False,
    tracks: o.TracksOption = None, stems: o.StemsOption = False, outside: o.OutsideOption = "fold",
    temperature: o.TemperatureOption = 1.0, bits: o.BitsOption = "24", rate: o.RateOption = None,
    vocoder: o.VocoderOption = None, device: o.DeviceOption = "auto", force: o.ForceOption = False,
    json_output: o.JsonOption = False,
) -> None:  # fmt: skip
    """Play a MIDI file with runs and kits.

    Drums (channel 10) go to the first run of drums, all else to the first run with pitches; classes are chosen by the
    names of the programmes. --show-map prints the choice as YAML, to edit and give as --map.
    """
    from audio_gen.instruments.play import PlayRequest, play, shown_map

    request = PlayRequest(
        files=files, out=out, map=map, tracks=tracks or [], stems=stems, outside=outside, temperature=temperature,  # type: ignore[arg-type]
        bits=bits, rate=rate, vocoder=vocoder, device=device, force=force, command=command_line(),
    )  # fmt: skip
    console = Console()
    if show_map:
        return say(shown_map(request, console).rstrip(), lines=True)
    done = play(request, console)
    if json_output:
        return emit_json({
            "file": str(done.path), "stems": [str(path) for path in done.stems], "duration_sec": done.duration_sec,
            "notes": done.notes, "polyphony": done.polyphony, "parts": [plan.name for plan in done.plans],
        })  # fmt: skip
    stem_text = f", {len(done.stems)} stems in {done.stems[0].parent}" if done.stems else ""
    say(f"{done.path}: {done.duration_sec:.1f} s, {done.notes} notes, up to {done.polyphony} at once{stem_text}")
    for plan in done.plans:
        what = "" if plan.is_drums or plan.settings.class_name is None else f", {plan.settings.class_name}"
        seed = f", seed {plan.settings.seed}" if plan.source.pipeline is not None else ""
        say(f"  {plan.name}: {len(plan.notes)} notes by {plan.source.name}{what}{seed}")
