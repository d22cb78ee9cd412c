"""The one error tree: what a user can mend, told in one line that names the value and the fix."""


class AudioGenError(Exception):
    """Base of every error that a user can mend; commands print it as one line and exit with 2."""


class ConfigError(AudioGenError):
    """A setting is unknown, of the wrong type, or does not fit the others."""


class AudioFileError(AudioGenError):
    """A file cannot be read as audio, or cannot be written."""


class DataError(AudioGenError):
    """A folder, cache or label file holds nothing to learn from, or is not what it should be."""


class MelMismatchError(AudioGenError):
    """Two parts were made for different mel definitions."""


class CheckpointError(AudioGenError):
    """A checkpoint or bundle is missing, damaged or of another model."""


class OutputError(AudioGenError):
    """An output exists already or cannot be written."""


class TrainingError(AudioGenError):
    """Training cannot go on, for example because a loss is not finite."""


class DesertedError(TrainingError):
    """Another of the processes that share a run has ended."""
