"""The command line as a user meets it: help at once, and one line for what can be mended."""

import errno
import functools
import importlib
import inspect
import signal
import subprocess
import sys
import types
import typing
from pathlib import Path
from typing import Annotated

import pytest
import typer

from audio_gen import __version__
from audio_gen.cli import app, common, options
from audio_gen.errors import DataError, OutputError
from audio_gen.generation.outputs import check_out


def test_help_lists_every_command(run_cli) -> None:
    result = run_cli("--help")
    assert result.returncode == 0 and not result.stderr
    for name, line in app.COMMANDS.items():
        assert f"  {name}" in result.stdout and line in result.stdout
    assert run_cli().stdout == result.stdout


def test_version(run_cli) -> None:
    result = run_cli("--version")
    assert (result.returncode, result.stdout) == (0, f"audio-gen {__version__}\n")


@pytest.mark.parametrize("args", [["smaple"], ["--hlep"]])
def test_a_typo_is_told_in_one_line_with_the_nearest(run_cli, args: list[str]) -> None:
    result = run_cli(*args)
    assert result.returncode == 2 and not result.stdout
    assert len(result.stderr.splitlines()) == 1 and result.stderr.startswith("error: ")
    assert ("sample" if args == ["smaple"] else "--help") in result.stderr


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from audio_gen.cli.app import run; run(['--help'])\n"
        "heavy = {'torch', 'numpy', 'librosa', 'soundfile', 'rich', 'pydantic'} & set(sys.modules)\n"
        "sys.exit(', '.join(heavy) or 0)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("name", app.COMMANDS)
def test_every_command_of_the_table_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run([name, "--help"]) == 0
    assert f"Usage: audio-gen {name} " in capsys.readouterr().out


@pytest.fixture
def demo(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """A command "demo" in a module made here; it raises what the test puts under "raises"."""
    state: dict[str, object] = {}

    def demo_command(
        files: Annotated[list[Path], typer.Argument()],
        seed: options.SeedOption = 0,
        json_output: options.JsonOption = False,
    ) -> None:
        """Do a demo."""
        state.update(files=files, seed=seed, json_output=json_output)
        if isinstance(state.get("raises"), BaseException):
            raise state["raises"]

    module = types.ModuleType("audio_gen.cli.demo")
    module.demo_command = demo_command
    monkeypatch.setitem(sys.modules, "audio_gen.cli.demo", module)
    monkeypatch.setitem(app.COMMANDS, "demo", "Do a demo.")
    return state


def test_a_command_gets_its_arguments(demo: dict[str, object]) -> None:
    assert app.run(["demo", "a.wav", "--seed", "7", "--json", "--", "-rf.wav"]) == 0
    assert demo == {"files": [Path("a.wav"), Path("-rf.wav")], "seed": 7, "json_output": True}


@pytest.mark.parametrize("name", [name for name in app.COMMANDS if name != "settings"])  # takes no path
def test_home_is_found_in_every_path_of_every_command(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Each parameter that takes paths gets ~/x; what the command does is cut out."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    python = name.replace("-", "_")
    module = importlib.import_module(f"audio_gen.cli.{python}")
    seen: dict[str, object] = {}
    function = getattr(module, f"{python}_command")
    spy = functools.wraps(function)(lambda **values: seen.update(values))
    monkeypatch.setattr(module, f"{python}_command", spy)
    hints = {key: str(hint) for key, hint in typing.get_type_hints(function).items()}
    options = inspect.signature(function).parameters
    line = []
    for key, hint in hints.items():
        about = typing.get_args(typing.get_type_hints(function, include_extras=True)[key])
        info = next((part for part in about if hasattr(part, "param_decls")), None)
        needed = options[key].default is inspect.Parameter.empty if key in options else False
        if info is None or not ("Path" in hint or needed):
            continue
        text = "~/x" if "Path" in hint else "x"
        named = [part for part in (info.default, *(info.param_decls or ())) if str(part).startswith("--")]
        if "tuple" in hint:
            line += [named[0], text, text, text]
        else:
            line += [f"{named[0]}={text}" if named else text]
    assert app.run([name, *line]) == 0
    paths = [key for key, hint in hints.items() if "Path" in hint]
    assert paths
    for key in paths:
        assert seen[key] in (tmp_path / "x", [tmp_path / "x"], (tmp_path / "x",) * 3), key


def test_an_unknown_user_is_a_name_like_any_other(demo: dict[str, object]) -> None:
    assert app.run(["demo", "~nobody-of-this-name/a.wav"]) == 0
    assert demo["files"] == [Path("~nobody-of-this-name/a.wav")]


@pytest.mark.parametrize(
    ("raised", "status", "line"),
    [
        (DataError("folder 'x  y' holds\nno sound; add some"), 2, "error: folder 'x  y' holds no sound; add some"),
        (OSError(errno.ENOSPC, "full", "/a/b.wav"), 2, "error: /a/b.wav: the disk is full; free some space or choose"),
        (PermissionError(errno.EACCES, "no", "/a"), 2, "error: /a: permission denied; change its permissions"),
        (MemoryError(), 2, "error: out of memory; use a smaller batch"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (typer.Exit(1), 1, ""),
    ],
)
def test_what_a_user_can_mend_is_one_line(demo, capsys, raised: BaseException, status: int, line: str) -> None:
    demo["raises"] = raised
    assert app.run(["demo", "a.wav"]) == status
    error = capsys.readouterr().err
    assert error.startswith(line) and error.count("\n") == (1 if line else 0)


@pytest.mark.parametrize(
    "bug", [ValueError("bug"), FileNotFoundError(errno.ENOENT, "no name"), OSError("plain"), EOFError()]
)
def test_a_bug_keeps_its_traceback(demo, bug: Exception) -> None:
    demo["raises"] = bug
    with pytest.raises(type(bug)):
        app.run(["demo", "a.wav"])


@pytest.mark.parametrize(
    "args", [["demo"], ["demo", "a", "--seed", "-1"], ["demo", "a", "--seed", "x"], ["demo", "a", "--sed"]]
)
def test_wrong_usage_is_one_line(demo, capsys, args: list[str]) -> None:
    assert app.run(args) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert "see 'audio-gen demo --help'" in error


def test_a_closed_pipe_is_silent() -> None:
    code = (
        "import sys, types; from audio_gen.cli import app\n"
        "def demo_command():\n    for i in range(100000): print(i)\n"
        "sys.modules['audio_gen.cli.demo'] = types.SimpleNamespace(demo_command=demo_command)\n"
        "app.COMMANDS['demo'] = ''; sys.argv = ['audio-gen', 'demo']; app.main()"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == 141


def test_an_interrupt_is_one_line() -> None:
    code = (
        "import signal, sys, types, time; from audio_gen.cli import app\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell's background job ignores it
        "def demo_command():\n    print('ready', flush=True); time.sleep(60)\n"
        "sys.modules['audio_gen.cli.demo'] = types.SimpleNamespace(demo_command=demo_command)\n"
        "app.COMMANDS['demo'] = ''; sys.argv = ['audio-gen', 'demo']; app.main()"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=20)
    assert (process.returncode, error) == (130, "interrupted\n")


@pytest.mark.skipif(sys.platform == "win32", reason="a folder in use stays there")
def test_a_folder_that_was_deleted_is_told(tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    for line in (["inspect", "."], ["status", str(tmp_path)]):
        assert app.run(line) == 2
        assert capsys.readouterr().err == (
            "error: the folder that this command is in was deleted; change to another one\n"
        )


def test_check_out(tmp_path: Path) -> None:
    out = tmp_path / "a" / "b"
    assert check_out(out) == out and out.is_dir()
    (out / "seed-0000.wav").touch()
    assert check_out(out, ["seed-0001.wav"]) == out
    for names in (None, ["seed-0001.wav", "seed-0000.wav"]):
        with pytest.raises(OutputError, match=r"seed-0000\.wav already; .*--force"):
            check_out(out, names)
        assert check_out(out, names, force=True) == out
    assert check_out(tmp_path / "new", ["seed-0000.wav"]).is_dir()
    with pytest.raises(OutputError, match="a file is in the way"):
        check_out(out / "seed-0000.wav", force=True)


def test_json_goes_out_alone(capsys: pytest.CaptureFixture[str]) -> None:
    common.say("hello", json_output=True)
    common.emit_json({"path": "a\udcff.wav"})
    common.say("bye")
    captured = capsys.readouterr()
    assert captured.err == "hello\n"
    assert captured.out == '{\n  "path": "a\\udcff.wav"\n}\nbye\n'
    with pytest.raises(ValueError, match="JSON"):
        common.emit_json({"x": float("nan")})


class Clock:
    """A clock that moves when told."""

    now_sec = 0.0

    def monotonic(self) -> float:
        return self.now_sec


@pytest.mark.parametrize(
    ("step_sec", "lines"),
    [
        (0.05, []),
        (0.5, ["encode: 10 files in 5 s (2 files/s)"]),
        (
            3.0,
            [
                "encode: 4/10 files, 0.333 files/s, 18 s left",
                "encode: 8/10 files, 0.333 files/s, 6 s left",
                "encode: 10 files in 30 s (0.333 files/s)",
            ],
        ),
    ],
)
def test_progress_in_plain_lines(monkeypatch, capsys, step_sec: float, lines: list[str]) -> None:
    clock = Clock()
    monkeypatch.setattr(common, "time", clock)
    with common.Console().progress("encode", 10, "files") as advance:
        for _ in range(10):
            clock.now_sec += step_sec
            advance()
    captured = capsys.readouterr()
    assert captured.err.splitlines() == lines and captured.out == ""


def test_progress_on_a_terminal_is_a_bar(monkeypatch, capsys) -> None:
    clock = Clock()
    monkeypatch.setattr(common, "time", clock)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with common.Console().progress("encode [x]", 3, "files") as advance:
        for _ in range(3):
            clock.now_sec += 1.5
            advance()
    error = capsys.readouterr().err
    assert "encode [x]" in error and "3/3" in error and "0.667 files/s" in error
