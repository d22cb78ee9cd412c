"""`audio-gen beat`: loops of drums."""

from audio_gen.cli import options as o
from audio_gen.cli.common import Console, command_line, emit_json, say


def beat_command(
    source: o.BeatSourceArgument, out: o.OutOption, bpm: o.BeatTempoOption = None, bars: o.LoopBarsOption = 4,
    style: o.StyleOption = "four", swing: o.SwingOption = None, count: o.LoopCountOption = 8, seed: o.SeedOption = 0,
    kit_seed: o.KitSeedOption = 0, stems: o.StemsOption = False, temperature: o.TemperatureOption = 1.0,
    bits: o.BitsOption = "24", rate: o.RateOption = None, vocoder: o.VocoderOption = None,
    device: o.DeviceOption = "auto", force: o.ForceOption = False, json_output: o.JsonOption = False,
) -> None:  # fmt: skip
    """Write loops of drums at an exact tempo, with the sounds of a run or a kit: WAV and MIDI.

    Styles: four, disco, rock, break, dnb, trap, boombap, dembow, bossa, halftime, waltz, and learned:FOLDER, which
    learns from the loops in a folder.
    """
    from audio_gen.instruments.beat import BeatRequest, beat

    request = BeatRequest(
        source=source, out=out, bpm=bpm, bars=bars, style=style, swing=swing, count=count, seed=seed, kit_seed=kit_seed,
        stems=stems, temperature=temperature, bits=bits, rate=rate, vocoder=vocoder, device=device, force=force,
        command=command_line(),
    )  # fmt: skip
    done = beat(request, Console())
    if json_output:
        return emit_json({"files": [str(path) for path in done.paths], "stems": [str(path) for path in done.stems],
                          "bpm": done.bpm, "duration_sec": done.duration_sec})  # fmt: skip
    last = "" if len(done.paths) == 1 else f" to {done.paths[-1].name}"
    what = f"{len(done.paths)} loop{'s' * (len(done.paths) > 1)}"
    say(f"{what} of {done.duration_sec:.4g} s at {done.bpm:g} bpm in {out}: {done.paths[0].name}{last}, with MIDI")
