"""What to do with a trained run, as commands that can be pasted."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from audio_gen.hints import command

if TYPE_CHECKING:
    from audio_gen.evaluation.report import Section


def next_command(run: Path, folder: Path, model: str) -> str:
    """What to try first with a run that was trained on a folder."""
    if model == "vocoder":
        sound = next(iter(sorted(folder.rglob("*.wav"))), "FILE")
        return command("vocode", sound, "--vocoder", run, "--out", "copies")
    return command("sample", run, "-n", 16, "--out", "clips")


def how_to_go_on(
    run: Path, model: str, source: Path, made: Path, sounds: Sequence[Path], vocoder: str | None
) -> "Section":
    """The last part of a quickstart's report.

    Args:
        run: The run.
        model: Its kind.
        source: What it was trained on.
        made: A clip that was made.
        sounds: Some of the user's own.
        vocoder: That the report's clips went through; None is the default.
    """
    from audio_gen.evaluation.report import Section

    first, second = [*(path for path in sounds if path.is_file()), made, made][:2]
    ends, voice = ("--from", first, "--to", second), ("--vocoder", vocoder) if vocoder else ()
    return Section(
        "How to go on",
        ["More clips, variations of one, the way between two of your own sounds, and a longer training:"],
        commands=[
            command("sample", run, "-n", 64, "--seed", 100, *voice, "--out", "more"),
            command("vary", made, "--amount", 0.3, *voice, "--out", "variations"),
            command("interpolate", run, *ends, "--steps", 8, "--morph", "4s", *voice, "--out", "between"),
            command("train", source, "--model", model, "--minutes", 60, "--run", "runs/longer"),
        ],
    )
