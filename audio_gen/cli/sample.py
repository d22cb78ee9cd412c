"""`audio-gen sample`: generate clips with a trained model."""

from typing import TYPE_CHECKING

from audio_gen.cli import options as o
from audio_gen.cli.common import Console, command_line, emit_json, load, say, sources

if TYPE_CHECKING:
    from pathlib import Path

    from audio_gen.generation.clip import Clips, Saved


def sample_command(
    run: o.RunArgument, out: o.OutOption, count: o.CountOption = None, seed: o.SeedOption = 0,
    class_name: o.ClassOption = None, pitch: o.PitchOption = None, velocity: o.VelocityOption = None,
    temperature: o.TemperatureOption = 1.0, move: o.MoveOption = None, directions: o.DirectionsOption = None,
    per_class: o.PerClassOption = None, every_seed: o.EverySeedOption = False, normalize: o.NormalizeOption = None,
    bits: o.BitsOption = "24", rate: o.RateOption = None, tail: o.TailOption = None, length: o.LengthOption = "sound",
    channels: o.MixOption = None, grid: o.GridOption = False, batch: o.BatchOption = 16,
    duration: o.DurationOption = None,
    vocoder: o.VocoderOption = None, device: o.DeviceOption = "auto", force: o.ForceOption = False,
    json_output: o.JsonOption = False,
) -> None:  # fmt: skip
    """Generate clips with a trained model, without duplicates.

    Seeds are tried from SEED on; a seed that sounds like an earlier one is skipped. A clip is named after its class,
    its note and its seed; its JSON file records how to generate it again. A sequence model makes sounds of --duration.
    """
    from audio_gen.generation.operations.sample import SampleRequest, sample

    request = SampleRequest(
        count=count, seed=seed, class_name=class_name, pitch=pitch, velocity=velocity, temperature=temperature,
        directions=directions, moves=move or [], per_class=per_class, every_seed=every_seed,  # type: ignore[arg-type]
        normalize=normalize, bits=bits, rate=rate, tail_db=tail, length=length, channels=channels,
        grid=grid, batch=batch, duration_sec=duration, force=force, command=command_line())  # fmt: skip
    clips = sample(load(run, vocoder, device), request)
    _show(clips, clips.save(out, force=force, reporter=Console()), out, json_output)


def _show(clips: "Clips", saved: "list[Saved]", out: "Path", json_output: bool) -> None:
    from audio_gen.generation.grid import grid_note
    from audio_gen.generation.operations.sample import ends_note

    if json_output:
        keys = ("seed", "class", "pitch", "velocity", "moved", "original")
        files = [
            {"path": str(s.path), **{key: s.provenance[key] for key in keys if key in s.provenance}} for s in saved
        ]
        emit_json({"files": files, "pictures": [str(out / name) for name in clips.pictures], "notes": clips.notes,
                   **sources(clips.pipeline)})  # fmt: skip
        return
    first, last, count = clips.names[0], clips.names[-1], len(saved)
    named = f"{first}.wav" if count == 1 else f"{first}.wav, {'' if count < 3 else '.. '}{last}.wav"
    shown = [named, *([grid_note(count)] if clips.pictures else [])]
    say(f"{count} {'clip' if count == 1 else 'clips'} in {out}: {', '.join(shown)}; {ends_note(clips.pipeline, saved)}")
    for line in clips.summary(saved):
        say(line)
