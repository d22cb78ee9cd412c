"""Move the samples of a cache into shards, on a disk or in an object store, for machines that share no disk.

    audio-gen preprocess FOLDER --out CACHE
    python recipes/cluster/shard.py CACHE --out SHARDED --place s3://bucket/sounds [--shard-mb 256]
    audio-gen train SHARDED --model gan --run RUN

SHARDED is a small cache: its index and the table of clips, to be copied to every machine or put on a shared disk. The
shards lie at --place, a folder or any URL that fsspec knows (s3:// wants s3fs, gs:// gcsfs); without it, in SHARDED.
Whoever opens SHARDED sets AUDIO_GEN_SHARD_PLACE to the place, unless it is in SHARDED or at s3://, gs:// or https://:
an index, which may be a stranger's, can name nothing else.
Blocks of a megabyte that a machine has read are kept in ~/.cache/audio_gen/shards, or where AUDIO_GEN_SHARDS says.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path

from audio_gen.artefacts.folders import CacheFolder
from audio_gen.data.shards import BYTES, write_shards
from audio_gen.data.store import Cache, publish
from audio_gen.errors import AudioGenError


def shard(cache: Cache, out: Path, place: str | None, shard_mb: float) -> int:
    """Write the sharded cache; its index goes last. Returns the number of shards."""
    samples = max(1, round(shard_mb * 2**20 / BYTES))
    count = write_shards(cache.stored_samples, place or str(out / "shards"), samples)
    shutil.copytree(cache.path / cache.table_name, out / cache.table_name, dirs_exist_ok=True)
    shutil.copyfile(CacheFolder(cache.path).dataset_report, CacheFolder(out).dataset_report)
    index = json.loads(CacheFolder(cache.path).index.read_text(encoding="utf-8"))
    publish(out, {**index, "shards": {"place": place or "shards", "samples": samples}})
    return count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cache", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--place")
    parser.add_argument("--shard-mb", type=float, default=256)
    args = parser.parse_args()
    if CacheFolder(args.out).index.exists():
        sys.exit(f"{args.out}: holds a cache already; choose another place for --out")
    try:
        cache = Cache.open(args.cache)
        if not cache.table_name:
            sys.exit(f"{args.cache}: is of an older version; run `audio-gen preprocess` on its folder again")
        count = shard(cache, args.out, args.place, args.shard_mb)
    except AudioGenError as e:
        sys.exit(str(e))
    print(f"{args.out}: {len(cache.clips)} clips in {count} shards at {args.place or args.out / 'shards'}")


if __name__ == "__main__":
    main()
