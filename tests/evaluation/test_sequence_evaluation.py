"""evaluate on folders of long sounds and on a sequence model: the section over time, in figures, words and report."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from audio_gen.evaluation import session
from audio_gen.evaluation.evaluate import Evaluated, EvaluateRequest, evaluate
from audio_gen.evaluation.report.over_time import drift_table_of, measures_table_of
from audio_gen.training.tasks.run import train_run
from tests.evaluation.test_sequences import RATE, piece
from tests.sounds import write
from tests.training.test_gan_task import CONFIGS


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real pieces; others; the real ones again; and the real ones as loops of two seconds."""
    place = tmp_path_factory.mktemp("pieces")
    for i in range(4):
        write(place / "real" / f"{i}.wav", piece(i, 24), RATE)
        write(place / "new" / f"{i}.wav", piece(10 + i, 24), RATE)
        write(place / "looped" / f"{i}.wav", np.tile(piece(i, 2), 12), RATE)
    return place


def judged(folders: Path, name: str, **more: object) -> Evaluated:
    return evaluate(
        EvaluateRequest(real=folders / "real", generated=folders / name, pitch="none", device="cpu", **more)
    )


def test_long_sounds_have_a_section_over_time(folders: Path, tmp_path: Path) -> None:
    result = judged(folders, "new", out=tmp_path / "out")
    found = result.figures["over_time"]
    assert found["n"] == {"generated": 4, "real": 4} and found["minutes"]["generated"] == pytest.approx(1.6)
    assert found["memorised"]["share"] < 0.2 and not found["memorised"]["held_out"]
    assert any(line.startswith("10 to 30 s ") for line in result.table())
    assert sum(finding["name"] == "memorisation" for finding in result.figures["verdict"]) == 1
    assert json.loads((tmp_path / "out/evaluation.json").read_text()) == result.figures
    assert "Over time" in (tmp_path / "out/report.html").read_text()


def test_loops_stall_and_copy_in_words(folders: Path) -> None:
    result = judged(folders, "looped")
    alarms = {finding["name"] for finding in result.figures["verdict"] if finding["alarm"]}
    assert {"stalls", "repeats", "memorisation"} <= alarms
    assert any("nearly the same as the 2 s before" in line for line in result.sentences())


def test_short_clips_have_none(folders: Path, tmp_path: Path) -> None:
    for i in range(3):
        write(tmp_path / f"{i}.wav", piece(20 + i, 2), RATE)
    result = judged(folders, str(tmp_path))
    assert "over_time" not in result.figures and len(result.table()) > 2
    assert not any("over time" in line for line in result.table())


def test_one_sound_has_one_figure_and_no_empty_cells(folders: Path, tmp_path: Path) -> None:
    write(tmp_path / "one.wav", piece(30, 22), RATE)
    result = judged(folders, str(tmp_path))
    for table in (drift_table_of(result.figures), measures_table_of(result.figures)):
        assert len(table) > 2 and all(cell.strip(", ") for row in table for cell in row)
        assert all("," not in row[1] for row in table[1:])


def test_a_sequence_model_is_sampled_for_a_minute_each(
    folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = train_run(
        folders / "real", tmp_path / "run", model="sequence", config_file=CONFIGS / "sequence" / "tiny.yaml",
        device="cpu",
    )  # fmt: skip
    monkeypatch.setattr(session, "LONG_SAMPLE_SEC", 14.0)
    result = judged(folders, str(run), out=tmp_path / "out", count=2, vocoder="griffinlim:2")
    lengths = [sf.info(path).duration for path in (tmp_path / "out/samples").glob("*.wav")]
    assert lengths == [14.0, 14.0]
    assert result.figures["over_time"]["n"]["generated"] == 2
    assert result.figures["reconstruction"]["n"] > 0 and result.figures["copy_synthesis"]["kad"] is not None
