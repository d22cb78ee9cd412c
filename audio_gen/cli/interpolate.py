"""`audio-gen interpolate`: from one sound to another."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from audio_gen.cli.clips import (
    BitsOption,
    ClassOption,
    LengthOption,
    NormalizeOption,
    RateOption,
    RunArgument,
    TailOption,
    TemperatureOption,
)
from audio_gen.cli.common import DeviceOption, ForceOption, JsonOption, OutOption, VocoderOption

if TYPE_CHECKING:
    from audio_gen.generation.latents import Latents
    from audio_gen.generation.pipeline import Pipeline

SEED_PREFIX = "seed:"


def interpolate_command(
    run: RunArgument,
    start: Annotated[str, typer.Option("--from", help="A sound file, or seed:N, which is what `sample` makes of N.")],
    end: Annotated[str, typer.Option("--to", help="A sound file, or seed:N.")],
    out: OutOption,
    steps: Annotated[int, typer.Option("--steps", min=0, help="Clips from end to end, both included.")] = 8,
    morph: Annotated[
        str | None, typer.Option("--morph", help="Also one sound of this length that moves: 4s, 500ms.")
    ] = None,
    layers: Annotated[
        str | None,
        typer.Option(
            "--layers", help="Move only these layers of a GAN: coarse, fine, or such as 2-4; 0 is the coarsest."
        ),
    ] = None,
    attack: Annotated[
        str | None,
        typer.Option("--attack", help="Keep the attack of --from for this long, and move only the tail: 60ms."),
    ] = None,
    class_name: ClassOption = None,
    pitch: Annotated[float | None, typer.Option("--pitch", help="Hold this MIDI pitch while the timbre moves.")] = None,
    temperature: TemperatureOption = 1.0,
    normalize: NormalizeOption = "peak",
    bits: BitsOption = "24",
    rate: RateOption = None,
    tail: TailOption = 60.0,
    length: LengthOption = "sound",
    vocoder: VocoderOption = None,
    device: DeviceOption = "auto",
    force: ForceOption = False,
    json_output: JsonOption = False,
) -> None:
    """Move from one sound to another in steps, and as one morph.

    A file's class and pitch are those that its name or folder tells; else the pitch is the one that is heard, and the
    class that of --class. A clip that the same model made is taken as its JSON has it. Without --pitch the pitch moves
    too; with --layers all but these layers, and class and pitch, stay those of --from.
    """
    from audio_gen.cli.claims import claimed
    from audio_gen.cli.clips import command_line, step_stems, with_sidecars, write_morph, write_steps
    from audio_gen.cli.common import emit_json, open_run, progress, say
    from audio_gen.errors import ConfigError
    from audio_gen.generation.finish import Finish
    from audio_gen.generation.interpolate import parse_duration
    from audio_gen.generation.layers import mix_layers, parse_layers

    if steps == 1 or (steps == 0 and morph is None):
        raise ConfigError(f"--steps {steps}: must be at least 2, or 0 with --morph; try 8")
    duration_sec = None if morph is None else parse_duration(morph)
    attack_sec = 0.0 if attack is None else parse_duration(attack)
    how = Finish(normalize=normalize, bits=bits, rate=rate, tail_db=tail, length=length)  # type: ignore[arg-type]
    pipeline = open_run(run, vocoder=vocoder, device=device)
    pipeline.conditions.class_id(class_name)  # a wrong one is told even where neither end needs it
    pipeline.conditions.pitch(pitch)
    moved = None if layers is None else parse_layers(layers, pipeline.layers)
    (first, notes), (last, more_notes) = (
        _endpoint(pipeline, text, class_name, pitch, temperature) for text in (start, end)
    )
    pair, notes = (first.with_pitch(pitch), last.with_pitch(pitch)), [*notes, *more_notes]
    if moved is not None:
        pair = pair[0], mix_layers(*pair, moved, pipeline.layers)
    stems = [*(step_stems(steps) if steps else ()), *(["morph"] if duration_sec else ())]
    names = _name(start), _name(end)
    paths: list[Path] = []
    with (
        claimed(out, with_sidecars(stems), command=command_line(), bundle=pipeline.digest, force=force),
        progress("Interpolating", steps + (duration_sec is not None), "clips") as advance,
    ):
        for note in notes:
            say(note, json_output=True)
        if steps:
            paths += write_steps(pipeline, pair, names, out, steps, advance, attack_sec, how)
        if duration_sec is not None:
            paths.append(out / "morph.wav")
            write_morph(pipeline, pair, names, paths[-1], duration_sec, attack_sec, how)
            advance(1)
    if json_output:
        files = [str(path) for path in paths]
        emit_json({"files": files, "notes": notes, "bundle": pipeline.digest, "vocoder": pipeline.vocoder.name})
    else:
        say(f"from {names[0]} to {names[1]} in {out}: " + ", ".join(_ranges(stems)))


def _endpoint(
    pipeline: "Pipeline", text: str, class_name: str | None, pitch: float | None, temperature: float
) -> "tuple[Latents, list[str]]":
    """The latent of an end, and what happened to its file."""
    from audio_gen.errors import ConfigError
    from audio_gen.files import at_home
    from audio_gen.generation.inputs import starting_point

    if not text.startswith(SEED_PREFIX):
        return starting_point(pipeline, at_home(text), class_name=class_name, pitch=pitch)
    number = text.removeprefix(SEED_PREFIX)
    if not number.isdecimal():
        raise ConfigError(f"{text}: after seed: must come a whole number; try seed:3")
    drawn = pipeline.latents([int(number)], class_name=class_name, pitch=pitch, temperature=temperature)
    return drawn, []


def _name(text: str) -> str:
    from audio_gen.text import one_line

    return one_line(text)


def _ranges(stems: list[str]) -> list[str]:
    steps = [stem for stem in stems if stem != "morph"]
    shown = [f"{steps[0]}.wav to {steps[-1]}.wav"] if steps else []
    return [*shown, "morph.wav"] if "morph" in stems else shown
