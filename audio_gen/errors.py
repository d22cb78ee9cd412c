"""Errors that a user can fix. Each message is one line that names the value and the fix."""

import errno
import os

_OS_FIXES = {
    errno.ENOSPC: "the disk is full; free some space or choose another place",
    errno.EDQUOT: "the disk quota is used up; free some space or choose another place",
    errno.EACCES: "permission denied; change its permissions or choose another place",
    errno.EPERM: "not permitted; change its permissions or choose another place",
    errno.EROFS: "the file system is read-only; choose another place",
    errno.ENOENT: "there is no such file or folder; check the path",
    errno.ENOTDIR: "a part of the path is a file; choose another path",
    errno.EISDIR: "is a folder where a file is needed; choose another path",
    errno.ENAMETOOLONG: "the name is too long; choose a shorter one",
    errno.EMFILE: "too many open files; raise the limit with `ulimit -n 4096`",
    errno.EIO: "the disk gives a read or write error; copy the file elsewhere",
}

OUT_OF_MEMORY = (
    "DefaultCPUAllocator",
    "can't allocate memory",
    "not enough memory",
    "Storage size calculation overflowed",
)


class AudioGenError(Exception):
    """Base of every error that a user can fix; commands print it as one line and exit with 2."""


class ConfigError(AudioGenError):
    """A setting is unknown, of the wrong type, or conflicts with others."""


class AudioFileError(AudioGenError):
    """An audio file cannot be read or written."""


class DataError(AudioGenError):
    """A folder, cache or label file is invalid or has no usable sounds."""


class MelMismatchError(AudioGenError):
    """Two parts have different mel definitions."""


class CheckpointError(AudioGenError):
    """A checkpoint or bundle is missing, damaged or for another model."""


class OutputError(AudioGenError):
    """An output already exists or cannot be written."""


class TrainingError(AudioGenError):
    """Training cannot continue, for example because a loss is not finite."""


class DesertedError(TrainingError):
    """Another process of a distributed run has ended."""


def is_out_of_memory(error: Exception) -> bool:
    """Whether NumPy, or PyTorch on any device, could not get memory; PyTorch is not imported here, so names tell."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in OUT_OF_MEMORY)


def os_error_line(error: OSError) -> str | None:
    """The message for a file system error; None for errors that are likely bugs."""
    fix = _OS_FIXES.get(error.errno or 0)
    if fix is None or (error.errno == errno.ENOENT and error.filename is None):
        return None
    path = error.filename if error.filename2 is None else error.filename2
    return fix if path is None else f"{os.fsdecode(path) if isinstance(path, (str, bytes)) else path}: {fix}"
