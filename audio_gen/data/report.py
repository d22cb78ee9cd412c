"""The dataset report: the action for each file, and the reasons."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from audio_gen.audio.channels import MOST_DB
from audio_gen.data.measurement import Measurement
from audio_gen.errors import DataError
from audio_gen.hints import command
from audio_gen.text import one_line


class NothingUsableError(DataError):
    """A folder was read and has no usable sounds."""


Action = Literal["use", "repair", "leave_out"]
MIN_SEC = 0.01  # shorter sounds have less than one period of a low note; a 50 ms click is used
SILENT_PEAK = 1e-4  # -80 dBFS: dither and converter noise stay below
QUIET_PEAK = 0.01
LONG_SEC = 30.0
LEAD_SILENCE_SEC, TAIL_SILENCE_SEC = 0.5, 1.0  # longer silence is cut ..
KEPT_LEAD_SEC, KEPT_TAIL_SEC = 0.05, 0.25  # .. to this


@dataclass(frozen=True)
class FileReport:
    """One file of the folder.

    Attributes:
        path: Its name within the folder.
        file: Where it is.
        action: "use", "repair" (and use), or "leave_out".
        reasons: Reasons and notes for the user.
        size: In bytes (0 if it was not opened).
        mtime_ns: Its modification time.
        measurement: Measurement of its sound; None if it cannot be read.
        link_to: The file of the folder that this is a link to, or None.
        inode: Its inode number; 0 if there is none.
        ctime_ns: Its status change time; 0 if that is too recent to be reliable.
        bytes_hash: Hash of its bytes; empty if not computed.
    """

    path: str
    file: Path
    action: Action
    reasons: list[str]
    size: int
    mtime_ns: int
    measurement: Measurement | None
    link_to: str | None = None
    inode: int = 0
    ctime_ns: int = 0
    bytes_hash: str = ""

    @property
    def stamp(self) -> tuple[int, int, int, int]:
        """Files with equal stamps are unchanged; with different stamps their bytes decide."""
        return self.size, self.mtime_ns, self.inode, self.ctime_ns

    def is_there(self) -> bool:
        """Whether size, time and inode of the file are unchanged."""
        try:
            about = self.file.stat()
        except OSError:
            return False
        return (about.st_size, about.st_mtime_ns, about.st_ino) == (self.size, self.mtime_ns, self.inode)

    def to_json(self, channels: int = 1) -> dict[str, Any]:
        """The public form, with the peak of a cache of 1 or 2 channels."""
        m = self.measurement and self.measurement.of_channels(channels)
        about: dict[str, Any] = {}
        if m is not None:
            about = {
                "sample_rate": m.sample_rate,
                "channels": m.channels,
                "duration_sec": round(m.duration_sec, 4),
                "format": m.format,
                "subtype": m.subtype,
                "peak": round(m.peak, 6),
                "content_hash": m.content_hash,
            }
            about |= {"width_db": m.stereo.width_db} if m.stereo else {}
        return {"path": self.path, "action": self.action, "reasons": self.reasons, "bytes": self.size, **about}


@dataclass(frozen=True)
class DatasetReport:
    """All audio files of a folder.

    Attributes:
        folder: The folder.
        files: One entry for each file named as audio, sorted by name.
        ignored: Number of other files.
        notes: Notes on the whole folder, such as skipped runs in it.
        channels: 1 or 2: the channels in which the files are used.
        to: The second folder, whose sounds are a second domain; see `audio_gen.data.domains`.
    """

    folder: Path
    files: list[FileReport]
    ignored: int
    notes: list[str] = field(default_factory=list)
    channels: int = 1
    to: Path | None = None

    @property
    def usable(self) -> list[FileReport]:
        """The usable files, without links to other files of the folder."""
        return [f for f in self.files if f.action != "leave_out" and f.link_to is None]

    @property
    def left_out(self) -> list[FileReport]:
        """The skipped files."""
        return [f for f in self.files if f.action == "leave_out"]

    def summary(self) -> dict[str, Any]:
        """Counts and totals."""
        actions = Counter(f.action for f in self.files)
        measured = [f.measurement for f in self.usable if f.measurement]
        lengths = [m.duration_sec for m in measured]
        return {
            "files": len(self.files),
            **{action: actions[action] for action in ("use", "repair", "leave_out")},
            "ignored": self.ignored,
            "clips": len(self.usable),
            "duration_sec": round(sum(lengths), 3),
            "shortest_sec": round(min(lengths, default=0.0), 4),
            "longest_sec": round(max(lengths, default=0.0), 3),
            "sample_rates": _counts(m.sample_rate for m in measured),
            "channels": _counts(m.channels for m in measured),
            "duplicates": len(measured) - len({m.sound(self.channels) for m in measured}),
            "commonest_reason_left_out": self.commonest_reason(),
        }

    def require_usable(self, listed: bool = False) -> None:
        """Raise if a folder has no usable sounds.

        Args:
            listed: The user sees the list of reasons; otherwise the message names the command for it.

        Raises:
            NothingUsableError: All files are skipped; the message has the commonest reason.
        """
        if not self.usable:
            raise NothingUsableError(
                f"{one_line(self.folder)}: none of its {len(self.files)} audio files can be used, most often because: "
                f"{self.commonest_reason()}"
                + ("" if listed else f"; run `{command('inspect', self.folder)}` for the list")
            )

    def commonest_reason(self) -> str | None:
        """The commonest reason of skipped files."""
        reasons = Counter(f.reasons[0] for f in self.left_out)
        return reasons.most_common(1)[0][0] if reasons else None

    def to_json(self) -> dict[str, Any]:
        """The public form: {"files": [..], "summary": {..}}."""
        return {"files": [f.to_json(self.channels) for f in self.files], "summary": self.summary()}


def _counts(values: Any) -> dict[str, int]:
    return {str(value): count for value, count in sorted(Counter(values).items())}


def decide(name: str, m: Measurement, channels: int = 1) -> tuple[Action, list[str]]:
    """Decide how a file is used.

    Args:
        name: Its path within the folder.
        m: Measurement of its sound.
        channels: 1 to mix it to mono, 2 to keep left and right where they differ.

    Returns:
        The action, and its reasons and notes.
    """
    used = m.of_channels(channels)
    if nothing := _unusable(used):
        return "leave_out", [nothing]
    repairs = _repairs(used, m.stereo.dc if channels == 2 and m.stereo else (m.dc,))
    return ("repair" if repairs else "use"), repairs + _notes(name, used, channels)


def sound_extent(m: Measurement, trim_onset: bool = False) -> tuple[int, int]:
    """Frames start..stop to keep: long silence at both ends is cut.

    Args:
        m: Measurement of the file.
        trim_onset: Cut all silence at the start.
    """
    lead, tail = m.start / m.sample_rate, (m.frames - m.stop) / m.sample_rate
    start, stop = 0, m.frames
    if trim_onset:
        start = m.start
    elif lead > LEAD_SILENCE_SEC:
        start = m.start - int(KEPT_LEAD_SEC * m.sample_rate)
    if tail > TAIL_SILENCE_SEC:
        stop = m.stop + int(KEPT_TAIL_SEC * m.sample_rate)
    return start, stop


def _unusable(m: Measurement) -> str | None:
    if not m.frames:
        return "holds no samples"
    if m.duration_sec < MIN_SEC:
        return f"only {1000 * m.duration_sec:.3g} ms long: nothing shorter than {1000 * MIN_SEC:g} ms is used"
    if m.non_finite >= m.frames * m.channels:
        return "every sample is NaN or infinite"
    if m.peak < SILENT_PEAK:
        offset = f" at a constant {m.dc:+.2g}" if m.dc else ""
        return f"silence{offset} (peak {_db(m.peak)})"
    return None


def _repairs(m: Measurement, dc: Sequence[float]) -> list[str]:
    repairs = []
    if m.non_finite:
        repairs.append(f"{m.non_finite} NaN or infinite samples set to 0")
    if any(dc):
        sides = {f"{offset:+.2g}" for offset in dc}
        shown = sides.pop() if len(sides) == 1 else " (left) and ".join(f"{offset:+.2g}" for offset in dc) + " (right)"
        repairs.append(f"DC offset of {shown} removed")
    if m.channel is not None:
        repairs.append(f"its channels cancel each other by {_loss(m)}: only {_channel_name(m)} is used")
    if m.peak > 1:
        repairs.append(f"above full scale (peak {m.peak:.3g}): scaled down to 1")
    start, stop = sound_extent(m)
    if start:
        repairs.append(f"{start / m.sample_rate:.1f} s of silence at its start cut")
    if stop < m.frames:
        repairs.append(f"{(m.frames - stop) / m.sample_rate:.1f} s of silence at its end cut")
    return repairs


def _notes(name: str, m: Measurement, channels: int) -> list[str]:
    notes = [m.header_note] if m.header_note else []
    if named := _other_format(name, m.format):
        notes.append(named)
    if channels == 2 and (m.stereo or m.channels == 2):  # stereo as it is, or two equal channels
        notes += ["5.1 folded to stereo: centre and surrounds at -3 dB, no LFE"] if m.channels > 2 else []
    elif m.silent_channels:
        notes.append(f"{m.silent_channels} of {m.channels} channels silent, which makes the mono mix quieter")
    elif m.channels > 1 and m.channel is None:
        mixed = "stereo mixed to mono" if m.channels == 2 else f"{m.channels} channels mixed to mono"
        notes.append(
            f"{mixed}: it loses {m.loss_db:.1f} dB, since its channels partly cancel" if m.loss_excess else mixed
        )
    if m.clip_runs:
        notes.append(f"clipped in {m.clip_runs} places")
    if m.peak < QUIET_PEAK:
        notes.append(f"very quiet (peak {_db(m.peak)})")
    start, stop = sound_extent(m)
    if stop - start > LONG_SEC * m.sample_rate:
        notes.append(f"long ({(stop - start) / m.sample_rate:.0f} s): training takes crops of it at random")
    return notes


def _loss(m: Measurement) -> str:
    """The amount and the place of the cancellation of a file's channels."""
    amount = "60 dB or more" if m.loss_db >= MOST_DB else f"{m.loss_db:.0f} dB"
    begin, end = m.loss_begin / m.sample_rate, m.loss_end / m.sample_rate
    if m.loss_end < m.frames:
        return f"{amount} from {begin:.2f} to {end:.2f} s"
    return f"{amount} from {begin:.2f} s on" if m.loss_begin else amount


def _channel_name(m: Measurement) -> str:
    assert m.channel is not None
    return ("the left channel", "the right channel")[m.channel] if m.channels == 2 else f"channel {m.channel + 1}"


def _other_format(name: str, found: str) -> str | None:
    suffix = name.rpartition(".")[2].lower()
    if suffix in ("wav", "wave", "flac", "mp3") and (found in ("WAV", "WAVEX", "RF64")) != suffix.startswith("wav"):
        return f"{found} named .{suffix}"
    return None


def _db(peak: float) -> str:
    return f"{20 * math.log10(peak):.0f} dBFS" if peak else "0"
