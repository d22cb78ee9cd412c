"""Whether a folder is stereo: the choice of `data.channels`, and the notes on it."""

from collections.abc import Iterable
from statistics import median
from typing import Literal

from audio_gen.audio.channels import WIDTH_DB
from audio_gen.data.report import DatasetReport, FileReport

Channels = Literal["auto", 1, 2]
STEREO_SHARE = 0.2  # of the usable files: with more stereo files than that, `auto` is 2


def stereo_widths(files: Iterable[FileReport]) -> list[float]:
    """The widths in dB of the usable stereo files, those wider than `WIDTH_DB`."""
    usable = (f.measurement.stereo for f in files if f.action != "leave_out" and f.measurement and f.link_to is None)
    return [stereo.width_db for stereo in usable if stereo and stereo.width_db > WIDTH_DB]


def auto_channels(files: Iterable[FileReport]) -> int:
    """2 if more than a fifth of the usable files are stereo, otherwise 1."""
    files = [f for f in files if f.action != "leave_out" and f.link_to is None]
    return 2 if len(stereo_widths(files)) > STEREO_SHARE * len(files) else 1


def stereo_count(report: DatasetReport) -> str | None:
    """How many files are stereo, as the beginning of a sentence; None if there are none."""
    widths, count = stereo_widths(report.files), len(report.usable)
    if not widths:
        return None
    which = (
        "the only file is" if count == 1 else f"{len(widths)} of {count} files {'is' if widths[1:] == [] else 'are'}"
    )
    width = "median width" if widths[1:] else "width"
    return f"{which} stereo ({width} {round(median(widths))} dB)"


def folder_note(report: DatasetReport) -> list[str]:
    """The note of `inspect` on the choice of `data.channels`; none for a folder without stereo files."""
    found = stereo_count(report)
    if found is None:
        return []
    if report.channels == 2:
        return [f"{found}, so data.channels is 2"]
    return [f"{found}, so data.channels is 1 and they are mixed to mono; --set data.channels=2 keeps them"]


def cache_note(report: DatasetReport, wanted: Channels, kept: bool) -> list[str]:
    """The note of a cache on its channels; none for a mono cache of few stereo files.

    Args:
        report: The folder.
        wanted: The setting `data.channels`.
        kept: The channels are those of the existing cache.
    """
    found = stereo_count(report)
    if report.channels == 2:
        if found is None:
            return ["no file is stereo, so all clips are in the centre; data.channels=1 trains faster"]
        return [f"{found}, so data.channels is 2" if wanted == "auto" and not kept else f"{found}; data.channels is 2"]
    if kept and auto_channels(report.files) == 2:
        return [f"{found}; this cache was built in mono and stays so: `preprocess --channels 2` rebuilds it in stereo"]
    return []
