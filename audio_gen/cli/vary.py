"""`audio-gen vary`: variations of a clip that was made before."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from audio_gen.cli.clips import (
    BitsOption,
    LengthOption,
    NormalizeOption,
    RateOption,
    TailOption,
    TemperatureOption,
)
from audio_gen.cli.common import DeviceOption, ForceOption, JsonOption, OutOption, SeedOption, VocoderOption

if TYPE_CHECKING:
    from audio_gen.artefacts.sidecar import Sidecar


def vary_command(
    clip: Annotated[Path, typer.Argument(help="A WAV with its JSON beside it; or any sound, with --run.")],
    out: OutOption,
    amount: Annotated[float, typer.Option("--amount", help="0: the same clip; 1: a new one.")] = 0.3,
    count: Annotated[int, typer.Option("-n", "--count", min=1, help="How many variations.")] = 4,
    run: Annotated[
        Path | None, typer.Option("--run", help="The run or bundle, where the clip's JSON does not lead to it.")
    ] = None,
    seed: SeedOption = 0,
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
    """Make variations of a clip that was made before; its class and pitch are held."""
    from audio_gen.artefacts.sidecar import read_sidecar, sidecar_path
    from audio_gen.cli.claims import claimed
    from audio_gen.cli.clips import command_line, output_stems, with_sidecars, write_clips
    from audio_gen.cli.common import emit_json, open_run, progress, say
    from audio_gen.errors import DataError
    from audio_gen.generation.clip_file import describe
    from audio_gen.generation.finish import Finish
    from audio_gen.generation.inputs import starting_point
    from audio_gen.generation.vary import vary
    from audio_gen.text import one_line

    how = Finish(normalize=normalize, bits=bits, rate=rate, tail_db=tail, length=length)  # type: ignore[arg-type]
    if not clip.is_file():
        raise DataError(f"{one_line(clip)}: no such file; check the path")
    sidecar = read_sidecar(clip)
    if sidecar is None and run is None:
        name = one_line(sidecar_path(clip))
        raise DataError(
            f"{name}: is missing, so nothing tells how the clip was made; name a run with --run to encode it"
        )
    where = run or _bundle_of(clip, sidecar)
    pipeline = open_run(where, vocoder=vocoder, device=device)
    point, notes = starting_point(pipeline, clip)
    seeds = range(seed, seed + count)
    points = vary(pipeline, point, amount, seeds, temperature)
    stems = [f"{output_stems([clip])[0]}-vary-{i:02d}" for i in range(count)]
    if amount == 0 and count > 1:
        notes.append(f"--amount 0: all {count} are the same clip; a larger amount, such as 0.3, makes them differ")

    source = {"source": one_line(clip), "amount": amount}

    def about(i: int) -> dict[str, Any]:
        return describe(pipeline, points[i], command=command, seed=seeds[i], temperature=temperature, more=source)

    paths = [out / f"{stem}.wav" for stem in stems]
    names, command = with_sidecars(stems), command_line()
    with claimed(out, names, command=command, bundle=pipeline.digest, force=force):
        for note in notes:
            say(note, json_output=True)
        with progress("Varying", count, "clips") as advance:
            write_clips(pipeline, points, paths, about, advance, how=how)
    if json_output:
        files = [{"path": str(path), "seed": number} for path, number in zip(paths, seeds, strict=True)]
        emit_json({"files": files, "bundle": pipeline.digest, "vocoder": pipeline.vocoder.name})
    else:
        say(f"{count} variations of {one_line(clip)} in {out}: {stems[0]}.wav to {stems[-1]}.wav")


def _bundle_of(clip: Path, sidecar: "Sidecar | None") -> Path:
    from audio_gen.errors import CheckpointError
    from audio_gen.text import one_line

    assert sidecar is not None
    if not sidecar.bundle_path.is_dir():
        raise CheckpointError(
            f"{one_line(clip)}: its bundle is no longer at {one_line(sidecar.bundle_path)}; name it with --run"
        )
    return sidecar.bundle_path
