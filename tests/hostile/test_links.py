"""Links and pipes in place of the files of a run: nothing outside is touched, and nothing waits for ever."""

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.hostile.conftest import FAST, Attempt

pytestmark = [pytest.mark.hostile, pytest.mark.skipif(os.name == "nt", reason="makes links and pipes as POSIX does")]

LONGEST_SEC = 60
SKIPPED = ("previews", "tensorboard")  # of each, one file is enough


def names_of(trained: Path) -> list[Path]:
    """The files of the run, the clips and the reference, within their folder."""
    found, seen = [], set()
    for path in sorted(trained.rglob("*")):
        name = path.relative_to(trained)
        if path.is_dir() or name.parts[0] in ("notes", "kept"):
            continue
        kind = next((part for part in SKIPPED if part in name.parts), None)
        if kind is None or (kind, path.suffix) not in seen:
            found.append(name)
            seen.add((kind, path.suffix))
    return found


class WaitedTooLongError(BaseException):
    """No Exception: nothing that is being tested may catch it."""


@contextmanager
def time_limit(seconds: int) -> Iterator[None]:
    def stop(*_: object) -> None:
        raise WaitedTooLongError(f"waited for more than {seconds} s")

    old = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, old)


def use_all(attempt: Attempt) -> list[str]:
    """What a user does with a run, one after the other; the errors."""
    return [
        attempt("train", "notes", "--run", "run", "--steps", "6", "--device", "cpu"),
        attempt("preprocess", "notes", "--out", "run/cache", "--mel", "22khz_80band_256x"),
        attempt("status", "run"),
        attempt("sample", "run", "-n", "2", "--out", "clips", "--force", *FAST),
        attempt("vary", "clips/" + next(Path("clips").rglob("*.wav")).relative_to("clips").as_posix(),
                "--run", "run", "-n", "1", "--out", "varied", "--force", *FAST),
        attempt("evaluate", "ref.safetensors", "clips", "--out", "judged", "--pitch", "none", "--force"),
        attempt("evaluate", "notes", "--save-reference", "ref.safetensors", "--pitch", "none", "--force"),
    ]  # fmt: skip


def test_nothing_is_written_through_a_link(
    trained: Path, tmp_path: Path, attempt: Attempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUDIO_GEN_CACHE", str(trained / "kept"))
    names = names_of(trained)
    assert len(names) > 15
    for kind in ("symbolic", "hard"):
        own, victims = tmp_path / kind, tmp_path / f"{kind} victims"
        shutil.copytree(trained, own, ignore=shutil.ignore_patterns("kept"))
        victims.mkdir()
        before = {}
        # All at once would hide one behind the other's refusal, so they come one at a time.
        for number, name in enumerate(names):
            victim, path = victims / str(number), own / name
            shutil.copy(trained / name, victim)
            before[victim] = victim.read_bytes()
            path.unlink(missing_ok=True)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(victim) if kind == "symbolic" else path.hardlink_to(victim)
            monkeypatch.chdir(own)
            with time_limit(LONGEST_SEC):
                use_all(attempt)
            changed = [names[int(victim.name)] for victim, data in before.items() if victim.read_bytes() != data]
            assert not changed, f"written through a {kind} link: {changed}"
            shutil.rmtree(own / "run")
            shutil.copytree(trained / "run", own / "run")


def test_nothing_waits_for_a_pipe(
    trained: Path, tmp_path: Path, attempt: Attempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUDIO_GEN_CACHE", str(trained / "kept"))
    for number, name in enumerate(names_of(trained)):
        own = tmp_path / str(number)
        shutil.copytree(trained, own, ignore=shutil.ignore_patterns("kept"))
        (own / name).unlink()
        os.mkfifo(own / name)
        monkeypatch.chdir(own)
        with time_limit(LONGEST_SEC):
            use_all(attempt)
        shutil.rmtree(own)


def test_pipes_links_and_depth_among_the_sounds(own: Path, attempt: Attempt, tmp_path: Path) -> None:
    notes = own / "notes"
    os.mkfifo(notes / "pipe.wav")
    os.mkfifo(notes / "labels.csv")
    (notes / "loop").symlink_to(notes)
    (notes / "up").symlink_to(own)
    (notes / "nothing.wav").symlink_to(tmp_path / "nowhere.wav")
    (notes / "device.wav").symlink_to("/dev/zero")
    deep = notes
    for _ in range(200):
        deep = deep / "a"
    deep.mkdir(parents=True)
    shutil.copy(notes / "note-00.wav", deep / "deep.wav")
    with time_limit(LONGEST_SEC):
        assert attempt("inspect", notes) == ""
        attempt("preprocess", notes, "--out", "new")
