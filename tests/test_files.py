"""Files are whole or as they were."""

import os
from pathlib import Path

import pytest

from audio_gen import files
from audio_gen.errors import OutputError
from audio_gen.files import LEFTOVER, all_at_home, write_atomic, write_text


def test_a_file_that_another_program_has_open_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Windows, where a rename over an open file is refused."""
    refusals, replace = [0], os.replace

    def busy(source: Path, target: Path) -> None:
        refusals[0] += 1
        if refusals[0] < 4:
            raise PermissionError(13, "Permission denied")
        replace(source, target)

    monkeypatch.setattr(files, "BUSY_TRIES", 5)
    monkeypatch.setattr(files, "BUSY_SEC", 0.0)
    monkeypatch.setattr(os, "replace", busy)
    write_text(tmp_path / "a.txt", "new")
    assert (tmp_path / "a.txt").read_text() == "new" and refusals == [4]
    refusals[0] = -100
    with pytest.raises(OutputError, match=r"a\.txt: cannot be written"):
        write_text(tmp_path / "a.txt", "newer")
    assert (tmp_path / "a.txt").read_text() == "new" and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("stem", ["\N{GRINNING FACE}" * 60, "x" * 240, "a.b"])
def test_temporary_names_fit_and_are_known(tmp_path: Path, stem: str) -> None:
    seen = write_atomic(tmp_path / f"{stem}.txt", lambda p: p.write_text("x") and p.name)
    assert LEFTOVER.fullmatch(seen) and len(os.fsencode(seen)) < 200
    assert [path.name for path in tmp_path.iterdir()] == [f"{stem}.txt"]


def test_home_is_found_in_paths_alone_and_in_lists_but_not_in_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert all_at_home((Path("~/a"), "~/b", 3)) == (tmp_path / "a", "~/b", 3)
    assert all_at_home([[Path("~/a")]]) == [[tmp_path / "a"]]
    assert all_at_home(Path("~/a")) == tmp_path / "a" and all_at_home(None) is None
