"""`audio-gen accompany`: drums and bass to a track."""

from audio_gen.cli import options as o
from audio_gen.cli.common import Console, command_line, emit_json, say


def accompany_command(
    track: o.TrackArgument, out: o.OutOption, drums: o.WithOption, bass: o.BassOption = None,
    style: o.DrumStyleOption = None, bpm: o.TrackTempoOption = None, seed: o.SeedOption = 0,
    kit_seed: o.KitSeedOption = 0, level: o.PartLevelOption = 0.0, temperature: o.TemperatureOption = 1.0,
    bits: o.BitsOption = "24", rate: o.SourceRateOption = None, vocoder: o.VocoderOption = None,
    device: o.DeviceOption = "auto", force: o.ForceOption = False, json_output: o.JsonOption = False,
) -> None:  # fmt: skip
    """Add drums and bass to a track, on its own beats and chords: a mix, stems and MIDI.

    Where the track is soft there are few drums, and where it is silent none.
    """
    from audio_gen.instruments.accompany import AccompanyRequest, accompany

    request = AccompanyRequest(
        track=track, out=out, drums=drums, bass=bass, style=style, bpm=bpm, seed=seed, kit_seed=kit_seed,
        level_db=level, temperature=temperature, bits=bits, rate=rate, vocoder=vocoder, device=device, force=force,
        command=command_line(),
    )  # fmt: skip
    done = accompany(request, Console())
    found = done.track
    if json_output:
        chords = [None if one is None else one.name for one in found.chords]
        return emit_json({
            "mix": str(done.mix), "stems": [str(path) for path in done.stems], "midi": str(done.midi), "bpm": found.bpm,
            "key": found.key.name, "beats_sec": [round(float(at), 4) for at in found.beats_sec], "chords": chords,
            "density": [int(x) for x in found.density],
        })  # fmt: skip
    counts = ", ".join(f"{len(notes)} notes of {name}" for name, notes in done.notes.items())
    say(f"{done.mix}: {found.bpm:.1f} bpm, key of {found.key.name}, {len(found.density)} beats; {counts}")
    say(f"stems {', '.join(path.name for path in done.stems)} and {done.midi.name} are beside it")
