"""`audio-gen directions`: latent directions that change one property of a sound."""

from audio_gen.cli import options as o
from audio_gen.cli.common import Console, command_line, emit_json, load, say
from audio_gen.hints import command
from audio_gen.text import one_line


def directions_command(
    run: o.RunArgument,
    count: o.DirectionsCountOption = 512,
    seed: o.SeedOption = 0,
    out: o.DirectionsOutOption = None,
    device: o.DeviceOption = "auto",
    force: o.ForceOption = False,
    json_output: o.JsonOption = False,
) -> None:
    """Find latent directions for brightness, length, noisiness ..

    `sample --move NAME=AMOUNT` moves each clip by that many units and holds the other descriptors. The table says what
    a unit is.
    """
    from audio_gen.generation.operations import directions as operation

    request = operation.DirectionsRequest(count=count, seed=seed, out=out, force=force, command=command_line())
    pipeline = load(run, device=device)
    path, found = operation.directions(pipeline, request, Console())
    if json_output:
        emit_json(operation.directions_json(path, found))
        return
    for fact in found.facts:
        say(operation.direction_line(fact))
    other = ("--directions", out) if out else ()
    say(f"Written to {one_line(path)}; try")
    say(f"  {command('sample', run, *other, '--move', f'{operation.strongest(found)}=+1.5', '--out', 'moved')}")
