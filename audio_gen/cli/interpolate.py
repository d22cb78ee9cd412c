"""`audio-gen interpolate`: from one sound to another, or between four."""

from collections.abc import Sequence

from audio_gen.cli import options as o
from audio_gen.cli.common import Console, command_line, emit_json, load, say, sources
from audio_gen.text import one_line


def interpolate_command(
    run: o.RunArgument, out: o.OutOption, start: o.FromOption = None, end: o.ToOption = None,
    corner: o.CornerOption = None, steps: o.StepsOption = 8, morph: o.MorphOption = None,
    morph_kind: o.MorphKindOption = "auto", bpm: o.BpmOption = 120.0, hits: o.HitsOption = "1/16",
    layers: o.LayersOption = None, attack: o.AttackOption = None, keep_attack: o.KeepAttackOption = None,
    class_name: o.ClassOption = None, pitch: o.FixedPitchOption = None, temperature: o.TemperatureOption = 1.0,
    normalize: o.NormalizeOption = None, bits: o.BitsOption = "24", rate: o.RateOption = None,
    tail: o.TailOption = None, length: o.LengthOption = "sound", channels: o.MixOption = None,
    vocoder: o.VocoderOption = None, device: o.DeviceOption = "auto", force: o.ForceOption = False,
    json_output: o.JsonOption = False,
) -> None:  # fmt: skip
    """Move from one sound to another in steps, and as one morph; or fill a grid between four sounds.

    Steps are equally far apart. Class and pitch of a file come from its name or folder; otherwise the pitch is
    estimated and the class is --class. Without --pitch the pitch moves too. With --layers only these layers move.
    Sounds of a sequence model have no pitch, attack, layers, tail or hits to set; their morph goes on as long as asked.
    """
    from audio_gen.generation.operations.interpolate import InterpolateRequest, interpolate

    request = InterpolateRequest(
        start=start, end=end, corners=corner, steps=steps, morph=morph, morph_kind=morph_kind, bpm=bpm, hits=hits,
        layers=layers, attack=attack, keep_attack=keep_attack, class_name=class_name, pitch=pitch,
        temperature=temperature, normalize=normalize, bits=bits, rate=rate, tail_db=tail, length=length,
        channels=channels, command=command_line())  # fmt: skip
    clips = interpolate(load(run, vocoder, device), request)
    saved = clips.save(out, force=force, reporter=Console())
    if json_output:
        return emit_json({"files": [str(one.path) for one in saved], "notes": clips.notes, **sources(clips.pipeline)})
    ends = ("between ", ", ") if corner else ("from ", " to ")
    say(f"{ends[0]}{ends[1].join(map(one_line, request.sounds))} in {out}: {_ranges(clips.names)}")


def _ranges(names: Sequence[str]) -> str:
    morphs, steps = names[-1:] if names[-1] == "morph" else [], [name for name in names if name != "morph"]
    return ", ".join([*([f"{steps[0]}.wav to {steps[-1]}.wav"] if steps else []), *(f"{name}.wav" for name in morphs)])
