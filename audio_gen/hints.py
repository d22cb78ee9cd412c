"""Commands in messages, quoted for pasting into a shell."""

import shlex
from pathlib import Path


def command(*words: str | Path | float) -> str:
    """A command line of this program, quoted if necessary: audio-gen sample 'my run' --out clips.

    Args:
        words: The words after the program's name; capitals mark placeholders.
    """
    return shlex.join(["audio-gen", *map(str, words)])


def next_command(run: Path, folder: Path, model: str) -> str:
    """The first command to try with a trained run."""
    if model == "vocoder":
        sound = next(iter(sorted(folder.rglob("*.wav"))), "FILE")
        return command("vocode", sound, "--vocoder", run, "--out", "copies")
    if model == "sequence":
        return command("sample", run, "--duration", 30, "--out", "sounds")
    if model in ("transfer", "cycle"):
        return command("transfer", run, "FILE", "--out", "transferred")
    return command("sample", run, "-n", 16, "--out", "clips")
