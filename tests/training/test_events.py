"""Event files: TensorBoard reads them, and a disk that is full for a while costs no more than what it did not take."""

from itertools import count
from pathlib import Path

import pytest

from audio_gen.errors import OutputError
from audio_gen.training import metrics
from audio_gen.training.metrics import EventFile, MetricsLog, read_metrics


def scalars(folder: Path, key: str) -> list[tuple[int, float]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return [(event.step, event.value) for event in events.Scalars(key)] if key in events.Tags()["scalars"] else []


def test_tensorboard_reads_what_was_written_and_a_resumed_run_hides_what_it_repeats(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "_numbers", count(9))  # TensorBoard reads files by the order of their names
    first = MetricsLog(tmp_path, 0)
    for step in (1, 2, 3):
        first.write(step, {"loss/mel": step / 2, "nan": float("nan")})
    first.close()
    second = MetricsLog(tmp_path, 2)
    second.write(3, {"loss/mel": 8.0})
    second.close()
    assert scalars(tmp_path / "tensorboard", "loss/mel") == [(1, 0.5), (2, 1.0), (3, 8.0)]
    assert not scalars(tmp_path / "tensorboard", "nan")
    assert [line.get("loss/mel") for line in read_metrics(tmp_path)] == [0.5, 1.0, 8.0]


class FullForAWhile:
    """A file that takes a part of its second and third record, and says so once by a count and once by an error."""

    def __init__(self, file) -> None:
        self.file, self.records = file, 0

    def write(self, data: bytes) -> int:
        self.records += 1
        if self.records == 2:
            return self.file.write(data[:7])
        if self.records == 3:
            self.file.write(data[:9])
            raise OSError(28, "No space left on device")
        return self.file.write(data)

    def __getattr__(self, name: str):
        return getattr(self.file, name)


def test_a_full_disk_costs_its_records_alone(tmp_path: Path) -> None:
    events = EventFile(tmp_path, 1)
    events._file = FullForAWhile(events._file)  # type: ignore[assignment]
    for step in (1, 2, 3, 4):
        events.write(step, {"a": float(step)})
    events.close()
    assert scalars(tmp_path, "a") == [(1, 1.0), (4, 4.0)]


def test_a_file_in_the_way_is_told(tmp_path: Path) -> None:
    (tmp_path / "tensorboard").write_text("mine")
    with pytest.raises(OutputError, match="tensorboard: cannot be written"):
        MetricsLog(tmp_path, 0)
    assert (tmp_path / "tensorboard").read_text() == "mine"
