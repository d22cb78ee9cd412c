"""Batches follow from the seed and the step alone, every clip comes once an epoch, and the padding is told."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from audio_gen.audio.onset import lead_samples, onset, sound_end
from audio_gen.config import DataSettings
from audio_gen.data.cache import Cache, build_cache
from audio_gen.data.dataset import Batch, ClipDataset
from audio_gen.data.prefetch import Prefetcher
from audio_gen.errors import ConfigError
from tests import sounds
from tests.sounds import RATE

SEGMENT = 4096


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    """Ten noises: eight of 0.5 s, a short one and a long one, in two classes."""
    folder = tmp_path_factory.mktemp("data")
    for i in range(8):
        sounds.write(folder / "in" / "x" / f"n-{60 + i:03d}-100.wav", sounds.noise(seed=i))
    sounds.write(folder / "in" / "y" / "short.wav", sounds.noise(sec=0.05, seed=8))
    sounds.write(folder / "in" / "y" / "long.wav", sounds.noise(sec=3, seed=9))
    return build_cache(folder / "in", folder / "cache", sample_rate=RATE, data=DataSettings(val_fraction=0))


def dataset(cache: Cache, **how: object) -> ClipDataset:
    settings = {"split": "train", "segment_samples": SEGMENT, "seed": 0, **how}
    return ClipDataset(cache, **settings)  # type: ignore[arg-type]


def same(a: Batch, b: Batch) -> bool:
    return all(
        np.array_equal(x.numpy(), y.numpy(), equal_nan=True)
        for x, y in zip(vars(a).values(), vars(b).values(), strict=True)
    )


def test_shapes_and_labels(cache: Cache) -> None:
    batch = dataset(cache).batch(0, 10)
    assert batch.wav.shape == (10, 1, SEGMENT) and batch.wav.dtype == torch.float32
    for i, number in enumerate(batch.index.tolist()):
        clip = cache.clips[number]
        assert cache.classes[int(batch.class_id[i])] == clip.class_name
        assert clip.pitch == batch.pitch[i] or (clip.pitch is None and batch.pitch[i].isnan())
        assert batch.length[i] == min(clip.samples, SEGMENT)
        assert not batch.wav[i, 0, int(batch.length[i]) :].any() and batch.wav[i].any()


def test_clips_without_a_class(tmp_path: Path) -> None:
    plain = build_cache(sounds.write_notes(tmp_path / "in", 3), tmp_path / "cache", sample_rate=RATE)
    assert dataset(plain).batch(0, 3).class_id.tolist() == [-1, -1, -1]


def test_every_clip_once_an_epoch_in_another_order(cache: Cache) -> None:
    data = dataset(cache)
    epochs = [data.batch(step, len(data)).index.tolist() for step in range(3)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs) and len(set(map(tuple, epochs))) == 3


def test_a_batch_follows_from_seed_and_step(cache: Cache) -> None:
    first = dataset(cache)
    later = [first.batch(step, 4) for step in range(8)][7]
    assert same(later, dataset(cache).batch(7, 4))
    assert not same(later, dataset(cache, seed=1).batch(7, 4)) and not same(later, first.batch(6, 4))


def test_processes_share_the_batch_of_one(cache: Cache) -> None:
    data = dataset(cache)
    whole, halves = data.batch(3, 8), [data.batch(3, 4, rank, world_size=2) for rank in (0, 1)]
    assert torch.equal(whole.wav, torch.cat([half.wav for half in halves]))


def test_crops(cache: Cache) -> None:
    starts = dataset(cache, crop="start")
    long = next(i for i, clip in enumerate(cache.clips) if clip.path == "y/long.wav")
    crops = set()
    for step in range(12):
        batch = starts.batch(step, 10)
        for i, number in enumerate(batch.index.tolist()):
            if number != long:
                assert np.array_equal(batch.wav[i, 0], cache.read(cache.clips[number], 0, SEGMENT))
            else:
                crops.add(float(batch.wav[i, 0, 0]))
    assert len(crops) == 12  # many segments long: at random all the same
    anywhere = dataset(cache)
    note = [b.wav[b.index == 0] for b in (anywhere.batch(s, 10) for s in range(3))]
    assert not torch.equal(note[0], note[1]) and not torch.equal(note[1], note[2])


PREROLL, LEAD = 512, lead_samples(RATE)


def hit(before: int, samples: int = 3000) -> np.ndarray:
    """Silence, then full level that decays."""
    x = np.where(np.arange(samples) % 2, -0.5, 0.5) * np.exp(-np.arange(samples) / 500)
    return np.concatenate([np.zeros(before), x]).astype(np.float32)


@pytest.fixture(scope="module")
def hits(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    """Hits after 0 to 800 samples of silence, a short one, and 3 s of noise."""
    folder = tmp_path_factory.mktemp("hits")
    for before in (0, 5, LEAD, 300, 800):
        sounds.write(folder / "in" / f"hit-{before:03d}.wav", hit(before))
    sounds.write(folder / "in" / "long.wav", sounds.noise(sec=3, seed=9))
    return build_cache(folder / "in", folder / "cache", sample_rate=RATE, data=DataSettings(val_fraction=0))


def test_behind_a_preroll_all_onsets_are_at_one_sample(hits: Cache) -> None:
    for data in (dataset(hits, crop=crop, preroll=PREROLL) for crop in ("start", "random")):
        (batch,) = data.fixed_batches(10)
        assert not batch.wav[..., :PREROLL].any()
        for row, number in enumerate(batch.index.tolist()):
            clip, wav = hits.clips[number], batch.wav[row, 0].numpy()
            if clip.path == "long.wav":
                continue
            # Where there is no silence before a hit, its own first samples are faded in.
            before = onset(hits.read(clip), RATE)
            assert 0 <= onset(wav, RATE) - (PREROLL + LEAD) <= (2 if before < LEAD else 0)
            assert batch.length[row] == clip.samples - before + LEAD + PREROLL
            assert sound_end(wav) <= batch.length[row]
            own = wav[PREROLL + LEAD + 20 :][:500]
            np.testing.assert_array_equal(own, hits.read(clip, before + 20, 500))
        again = next(data.fixed_batches(10))
        assert same(batch, again)


def test_without_a_preroll_clips_begin_as_they_are(hits: Cache) -> None:
    (batch,) = dataset(hits, crop="start").fixed_batches(10)
    for row, number in enumerate(batch.index.tolist()):
        np.testing.assert_array_equal(batch.wav[row, 0], hits.read(hits.clips[number], 0, SEGMENT))


def test_random_crops_of_long_clips_have_a_preroll(hits: Cache) -> None:
    data, starts = dataset(hits, crop="start", preroll=PREROLL), set()
    fade = PREROLL + round(0.001 * RATE)
    for step in range(8):
        batch = data.batch(step, len(data))
        for row in range(len(data)):
            number, start = data._draw(step * len(data) + row)
            clip = hits.clips[number]
            if clip.path == "long.wav":
                starts.add(start)
                wav = batch.wav[row, 0].numpy()
                assert not wav[: PREROLL + 1].any() and batch.length[row] == SEGMENT
                expected = hits.read(clip, start + fade - PREROLL, SEGMENT - fade)
                np.testing.assert_array_equal(wav[fade:], expected)
    assert len(starts) == 8


def test_fixed_batches(cache: Cache) -> None:
    data = dataset(cache, split="val")
    batches = list(data.fixed_batches(4))
    assert [len(b.index) for b in batches] == [4, 4, 2]
    assert torch.cat([b.index for b in batches]).tolist() == list(range(10))
    assert [len(b.index) for b in data.fixed_batches(4, limit=5)] == [4, 1]


def test_files_are_not_needed_any_more(tmp_path: Path) -> None:
    built = build_cache(sounds.write_notes(tmp_path / "in", 3), tmp_path / "cache", sample_rate=RATE)
    for path in (tmp_path / "in").iterdir():
        path.unlink()
    assert dataset(built).batch(0, 3).wav.any()


def test_an_empty_segment_is_refused(cache: Cache) -> None:
    with pytest.raises(ConfigError, match="segment_samples"):
        dataset(cache, segment_samples=0)


def test_prefetcher_gives_steps_in_order(cache: Cache) -> None:
    data = dataset(cache)
    with Prefetcher(lambda step: data.batch(step, 4), start_step=5) as batches:
        for step, batch in zip(range(5, 9), batches, strict=False):
            assert same(batch, data.batch(step, 4))


def test_prefetcher_works_ahead_but_not_far() -> None:
    made: list[int] = []
    with Prefetcher(lambda step: made.append(step) or step, depth=2) as items:
        time.sleep(0.2)
        assert made == [0, 1, 2]  # two wait, one is held
        assert items.get() == 0
    assert not any(thread.name == "prefetch" for thread in threading.enumerate())


def test_prefetcher_hands_errors_over() -> None:
    def make(step: int) -> int:
        if step == 2:
            raise ValueError("step 2")
        return step

    with Prefetcher(make) as items:
        assert [items.get(), items.get()] == [0, 1]
        with pytest.raises(ValueError, match="step 2"):
            items.get()
        with pytest.raises(RuntimeError, match="closed"):
            items.get()
