"""The `audio-gen` command: its table of commands, and its error messages.

Help reads the table; a command's module, and with it torch, is imported only when the command runs.
"""

import functools
import importlib
import os
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from audio_gen import __version__
from audio_gen.cli.streams import drop_output, prepare_streams
from audio_gen.errors import AudioGenError, DesertedError, is_out_of_memory, os_error_line
from audio_gen.files import all_at_home
from audio_gen.text import clipped, visible

# A command `name` is the function `name_command` in the module `audio_gen.cli.name`, with _ for each -.
COMMANDS = {
    "inspect": "List usable and skipped files of a folder, with reasons.",
    "preprocess": "Read a folder once into a cache for fast training.",
    "train": "Train a model on a folder or cache, or resume.",
    "settings": "List the settings of a training with their defaults.",
    "status": "Show progress and health of a run.",
    "prune": "Delete the checkpoints of a finished run.",
    "sample": "Generate clips with a trained model.",
    "continue": "Continue sounds with a model of sequences.",
    "loop": "Generate seamless loops of an exact length.",
    "kit": "Write a model as an instrument for samplers.",
    "play": "Play a MIDI file with models and kits.",
    "beat": "Write loops of drums at an exact tempo.",
    "accompany": "Add drums and bass to a track.",
    "transfer": "Play sounds in the timbre of other sounds.",
    "interpolate": "Move from one sound to another in steps, and as one morph.",
    "encode": "Find the latents of sound files.",
    "reconstruct": "Send files through a trained model and back.",
    "vocode": "Copy-synthesis: files to mel spectrograms and back.",
    "vary": "Generate variations of a clip.",
    "find-loops": "Find the best seamless loops in sound files.",
    "directions": "Find latent directions for brightness, length, noisiness ..",
    "evaluate": "Compare generated clips with real ones.",
    "quickstart": "Train on a folder and generate first clips in minutes.",
}

# Some versions of typer bundle click under another name; this is the class of usage errors in all of them.
UsageError: Any = typer.BadParameter.__base__

LONGEST_LINE = 960  # characters of an error, against long names in untrusted files


class LazyCommand(TyperCommand):
    """A name and a help line; the command is imported when it is called."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Import the command's module and let it read the arguments."""
        assert self.name is not None
        return load_command(self.name).make_context(info_name, args, parent=parent, **extra)


def load_command(name: str) -> Any:
    """Return the command `name`, built from the annotated function in its module."""
    python = name.replace("-", "_")
    module = importlib.import_module(f"audio_gen.cli.{python}")
    single = typer.Typer(add_completion=False, rich_markup_mode=None)
    single.command(name)(_with_home(getattr(module, f"{python}_command")))
    return typer.main.get_command(single)


def _with_home(function: Callable[..., None]) -> Callable[..., None]:
    """The function with `~` expanded in its paths, because a shell does not expand --out=~/clips."""

    @functools.wraps(function)
    def call(**values: Any) -> None:
        function(**{name: all_at_home(value) for name, value in values.items()})

    return call


def build() -> Any:
    """Return the group of all commands in the table; none of their modules is imported."""
    # Plain-text help avoids importing rich, which takes longer than everything else.
    settings = {"help_option_names": ["-h", "--help"]}
    app = typer.Typer(add_completion=False, rich_markup_mode=None, context_settings=settings)
    app.callback()(_root)
    for name, line in COMMANDS.items():
        app.command(name, cls=LazyCommand, help=line)(lambda: None)
    return typer.main.get_command(app)


def _show_version(requested: bool) -> None:
    if requested:
        typer.echo(f"audio-gen {__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Learn sounds from a folder of WAVs: train, sample, interpolate.

    To start: audio-gen quickstart
    """


def run(args: list[str]) -> int:
    """Run one command line; print user errors as one line on standard error.

    Args:
        args: The arguments, without the program's name; none means help.

    Returns:
        The exit status: 0 done, 1 (or another) by the command, 2 for an error that the user can fix, 130 interrupted,
        141 if the reader of a pipe has gone.
    """
    try:
        os.getcwd()
    except FileNotFoundError:  # libraries crash in a deleted folder, each in another way
        return _fail("the folder that this command is in was deleted; change to another one")
    try:
        with build().make_context("audio-gen", list(args) or ["--help"]) as context:
            context.command.invoke(context)
        sys.stdout.flush()
        return 0
    except typer.Exit as e:
        return e.exit_code
    except UsageError as e:
        return _fail(_usage_line(e))
    except AudioGenError as e:
        return _fail(str(e)) if _prints(e) else 2
    except (KeyboardInterrupt, typer.Abort):
        return _fail("interrupted", status=130, label="")
    except BrokenPipeError:
        drop_output()
        return 141
    except OSError as e:
        if (line := os_error_line(e)) is None:
            raise
        drop_output()
        return _fail(line)
    except Exception as e:
        if is_out_of_memory(e):
            return _fail("out of memory; use a smaller batch, shorter clips or --device cpu")
        raise


def _prints(error: AudioGenError) -> bool:
    """Whether this process prints the error: the main process of a run, or one that others deserted."""
    return os.environ.get("RANK", "0") == "0" or isinstance(error, DesertedError)


def main() -> None:
    """Run the command line of this process and exit."""
    prepare_streams()
    sys.exit(run(sys.argv[1:]))


def _fail(line: str, status: int = 2, label: str = "error: ") -> int:
    whole = visible(" ".join(part.strip() for part in line.splitlines()))
    try:
        print(label + clipped(whole, LONGEST_LINE), file=sys.stderr)
    except OSError:  # no reader; the status remains
        drop_output()
    return status


def _usage_line(error: Any) -> str:
    command = error.ctx.command_path if error.ctx else "audio-gen"
    return f"{error.format_message().rstrip('.')}; see '{command} --help'"
