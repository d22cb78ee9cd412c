"""Copy a cache's samples into shards, for machines without a shared disk."""

import shutil
from pathlib import Path

from audio_gen.artefacts.folders import CacheFolder
from audio_gen.data.checksums import Samples
from audio_gen.data.shards import BYTES, shard_name
from audio_gen.data.store import Cache, publish
from audio_gen.errors import OutputError
from audio_gen.files import at_home, read_json
from audio_gen.text import one_line, shortened

SHARD_MB = 256.0


def shard_cache(source: Path, out: Path, place: str, shard_mb: float = SHARD_MB) -> int:
    """Write a cache with its samples in shards; `out` gets the index and the table of clips.

    Args:
        source: A cache with its samples in one file.
        out: Folder of the new cache.
        place: Destination of the shards: a path inside `out`, an absolute path, or a URL of fsspec. Without
            AUDIO_GEN_SHARD_PLACE only paths inside `out` and s3, gs and https URLs are read.
        shard_mb: Size of a shard in MiB.

    Returns:
        The number of shards.

    Raises:
        DataError: `source` is not a cache, or damaged.
        OutputError: `out` already holds a cache, or a destination cannot be written.
    """
    source, out = at_home(source), at_home(out)
    if CacheFolder(out).exists():
        raise OutputError(f"{one_line(out)}: already holds a cache; choose another place for --out")
    cache, samples = Cache.open(source), max(1, round(shard_mb * 2**20 / BYTES))
    where = place if "://" in place else str(out / place)  # an absolute path replaces `out`
    try:
        count = write_shards(cache.stored_samples, where, samples)
        shutil.copytree(cache.path / cache.table_name, out / cache.table_name, dirs_exist_ok=True)
        shutil.copyfile(CacheFolder(cache.path).dataset_report, CacheFolder(out).dataset_report)
    except (OSError, ValueError, ImportError) as e:  # fsspec's message names a missing package
        raise OutputError(f"{one_line(where)}: shards cannot be written ({shortened(str(e))})") from e
    publish(out, {**read_json(CacheFolder(cache.path).index), "shards": {"place": place, "samples": samples}})
    return count


def write_shards(samples: Samples, place: str, shard_samples: int) -> int:
    """Copy samples into shards.

    Args:
        samples: The samples of a cache.
        place: A folder, which is created, or a URL.
        shard_samples: Samples in each shard.

    Returns:
        The number of shards.
    """
    import fsspec

    count = -(-len(samples) // shard_samples)
    for number in range(count):
        first = number * shard_samples
        with fsspec.open(shard_name(place, number), "wb", auto_mkdir=True) as file:
            file.write(samples.read(first, min(shard_samples, len(samples) - first)).astype("<i2").tobytes())
    return count
