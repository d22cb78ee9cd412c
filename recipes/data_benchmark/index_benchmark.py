"""What a worker pays for the index of very many clips: seconds to open it, memory, and time to find a clip.

    python recipes/data_benchmark/index_benchmark.py --work DIR [--clips 10000000] [--batch 32] [--json FILE]

Makes up a cache of so many clips of 20 ms in DIR (a hundred bytes each; the samples are a hole in a file) and looks at
it from a process of its own: opening it and drawing the first batch, random clips, random batches, and the memory that
all this adds to a process that has imported everything.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from audio_gen.artefacts.folders import CacheFolder
from audio_gen.data.checksums import BLOCK
from audio_gen.data.dataset import ClipDataset
from audio_gen.data.store import FILES_NAME, VERSIONS, Cache, publish, write_sums
from audio_gen.data.table import ClipTable
from audio_gen.files import write_json

SAMPLES, RATE, CLASSES, VAL_EVERY = 882, 44100, 100, 10
LOOKS = 20_000


def make(place: Path, count: int) -> None:
    """A cache of made-up clips."""
    place.mkdir(parents=True, exist_ok=True)
    numbers = np.arange(count, dtype=np.int64)
    names = np.char.add(np.char.zfill(numbers.astype("S"), 10), b".flac")
    hashes = np.char.zfill((numbers * 2654435761 % 2**62).astype("S"), 32)
    columns = {
        "offset": numbers * SAMPLES, "samples": np.full(count, SAMPLES), "scale": np.full(count, 32767.0),
        "class_id": (numbers % CLASSES).astype("<i4"), "pitch": np.full(count, np.nan),
        "velocity": np.full(count, -1, "<i2"), "side": (numbers % VAL_EVERY == 0).astype("|u1"),
        "reasons_id": np.zeros(count, "<i4"), "name_end": (numbers + 1) * 15, "hash_end": (numbers + 1) * 32,
        "names": names.view("|u1"), "hashes": hashes.view("|u1"),
    }  # fmt: skip
    texts: dict[str, list[Any]] = {"classes": [f"class-{i:03d}" for i in range(CLASSES)], "reasons": [[]]}
    ClipTable(columns, texts).write(place / "clips")
    with open(place / "pcm.int16", "wb") as samples:
        samples.truncate(2 * SAMPLES * count)
    index = {
        "version": VERSIONS[1], "sample_rate": RATE, "options": {"trim_onset": False}, "pcm": "pcm.int16",
        "pcm_samples": SAMPLES * count, "sounds": "", "notes": [], "table": "clips",
    }  # fmt: skip
    silence, samples_left = zlib.crc32(bytes(2 * BLOCK)), SAMPLES * count % BLOCK
    sums = np.full(-(-SAMPLES * count // BLOCK), silence, "<u4")
    if samples_left:
        sums[-1] = zlib.crc32(bytes(2 * samples_left))
    write_sums(place / "clips", sums)
    write_json(place / "clips" / FILES_NAME, {"files": [], "auto_pitches": {}})
    publish(place, index, place / "pcm.int16")


def private_mb() -> tuple[float, float]:
    """Resident size of this process in MB: its own, and what it shares with the system's cache of files."""
    _, resident, shared, *_ = map(int, Path("/proc/self/statm").read_text(encoding="ascii").split())
    page = os.sysconf("SC_PAGE_SIZE") / 2**20
    return (resident - shared) * page, shared * page


def look(place: Path, batch: int) -> dict[str, float]:
    """Seconds and megabytes of one worker."""
    own_before, shared_before = private_mb()
    started = time.perf_counter()
    data = ClipDataset(Cache.open(place), split="train", segment_samples=SAMPLES, seed=0)
    open_sec = time.perf_counter() - started
    data.batch(0, batch)
    first_sec = time.perf_counter() - started
    rng = random.Random(0)
    clips = data.clips
    started = time.perf_counter()
    for _ in range(LOOKS):
        clips[rng.randrange(len(clips))]
    clip_sec = (time.perf_counter() - started) / LOOKS
    times = []
    for _ in range(LOOKS // batch):
        started = time.perf_counter()
        data.batch(rng.randrange(len(clips) // batch), batch)
        times.append((time.perf_counter() - started) / batch)
    own, shared = private_mb()
    return {
        "clips": len(data.cache.clips), "open_sec": open_sec, "first_batch_sec": first_sec, "clip_us": 1e6 * clip_sec,
        "crop_us": 1e6 * statistics.median(times), "own_mb": own - own_before, "shared_mb": shared - shared_before,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--clips", type=int, default=10_000_000)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--look", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    place = args.work / f"clips-{args.clips}"
    if args.look:
        print(json.dumps(look(place, args.batch)))
        return
    if not CacheFolder(place).index.is_file():
        make(place, args.clips)
    again = [sys.executable, __file__, "--work", str(args.work), "--clips", str(args.clips), "--look"]
    found = json.loads(subprocess.run(again, check=True, capture_output=True, text=True).stdout)
    print(
        f"{found['clips']:,} clips: opened in {found['open_sec']:.2f} s, first batch after "
        f"{found['first_batch_sec']:.2f} s; a random clip {found['clip_us']:.1f} us, a random crop in a batch of "
        f"{args.batch} {found['crop_us']:.1f} us; "
        f"{found['own_mb']:.0f} MB of its own and {found['shared_mb']:.0f} MB of the files, shared by all workers"
    )
    if args.json:
        args.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
