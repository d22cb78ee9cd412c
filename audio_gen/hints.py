"""Commands in messages, quoted for pasting into a shell."""

import shlex
from pathlib import Path


def command(*words: str | Path | float) -> str:
    """A command line of this program, quoted where a name needs it: audio-gen sample 'my run' --out clips.

    Args:
        words: What follows the program's name. A word in capitals stands for what is not known here.
    """
    return shlex.join(["audio-gen", *map(str, words)])


def next_command(run: Path, folder: Path, model: str) -> str:
    """What to try first with a run that was trained on a folder."""
    if model == "vocoder":
        sound = next(iter(sorted(folder.rglob("*.wav"))), "FILE")
        return command("vocode", sound, "--vocoder", run, "--out", "copies")
    return command("sample", run, "-n", 16, "--out", "clips")
