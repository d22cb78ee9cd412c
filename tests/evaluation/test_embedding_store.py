"""The cache of embeddings: what was given once is given again, to nobody else, and damage is survived."""

import random
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from audio_gen.evaluation.embeddings.store import BLOCK_CLIPS, EmbeddingStore, default_folder


class Moments:
    """Mean, deviation and length of a clip; it counts what it was asked."""

    sample_rate = 16000
    dimensions = 3

    def __init__(self, name: str = "moments", digest: str = "0123456789ab", factor: float = 1.0) -> None:
        self.name, self.digest, self.factor, self.asked = name, digest, factor, 0

    def __call__(self, wavs: Sequence[Tensor]) -> Tensor:
        self.asked += len(wavs)
        rows = [torch.stack([w.mean(), w.pow(2).mean().sqrt(), torch.tensor(float(len(w)))]) for w in wavs]
        return self.factor * torch.stack(rows)


def clips(count: int = 5, seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(10 + i, generator=generator) for i in range(count)]


def test_a_hit_is_equal_to_the_byte(tmp_path: Path) -> None:
    first = EmbeddingStore(Moments(), tmp_path)
    made = first(clips())
    assert (first.hits, first.misses) == (0, 5)
    again, other = Moments(), Moments(factor=7)
    second = EmbeddingStore(again, tmp_path)
    assert second(clips()).numpy().tobytes() == made.numpy().tobytes()
    assert (second.hits, second.misses, again.asked) == (5, 0, 0)
    # What is stored answers, not the embedding.
    assert torch.equal(EmbeddingStore(other, tmp_path)(clips()), made)


def test_only_what_is_new_is_embedded(tmp_path: Path) -> None:
    embedding = Moments()
    store = EmbeddingStore(embedding, tmp_path)
    store(clips(3))
    wavs = clips(5)
    assert torch.equal(store([*wavs, wavs[4], wavs[0]]), Moments()([*wavs, wavs[4], wavs[0]]))
    assert (embedding.asked, store.hits, store.misses) == (5, 5, 5)


def test_many_clips_keep_their_order(tmp_path: Path) -> None:
    wavs = clips(2 * BLOCK_CLIPS + 3)
    store = EmbeddingStore(Moments(), tmp_path)
    assert torch.equal(store(wavs), Moments()(wavs))
    assert torch.equal(store(wavs[::-1]), Moments()(wavs).flip(0))
    assert store([]).shape == (0, 3)


@pytest.mark.parametrize("other", [Moments(digest="ba9876543210", factor=2), Moments(name="others", factor=2)])
def test_another_embedding_never_hits(tmp_path: Path, other: Moments) -> None:
    first = EmbeddingStore(Moments(), tmp_path)
    first(clips())
    second = EmbeddingStore(other, tmp_path)
    # Not even if its file is put in the other's place.
    theirs, mine = tmp_path / "moments-0123456789ab.sqlite", tmp_path / f"{other.name}-{other.digest}.sqlite"
    mine.write_bytes(theirs.read_bytes())
    assert torch.equal(second(clips()), other(clips()))
    assert (second.hits, second.misses) == (0, 5)


def test_sounds_that_differ_by_a_bit_or_by_silence_are_others(tmp_path: Path) -> None:
    store = EmbeddingStore(Moments(), tmp_path)
    wav = clips(1)[0]
    nudged = wav.clone()
    nudged[3] = torch.nextafter(nudged[3], torch.tensor(9.0))
    store([wav])
    store([nudged, torch.cat([wav, torch.zeros(1)])])
    assert (store.hits, store.misses) == (0, 3)


@pytest.mark.parametrize("damage", [b"", b"no database at all", b"SQLite format 3\0" + bytes(4096)])
def test_a_damaged_file_does_not_fail(tmp_path: Path, damage: bytes) -> None:
    store = EmbeddingStore(Moments(), tmp_path)
    (tmp_path / "moments-0123456789ab.sqlite").write_bytes(damage)
    assert torch.equal(store(clips()), Moments()(clips()))
    assert torch.equal(store(clips()), Moments()(clips()))


def test_a_file_cut_short_does_not_fail(tmp_path: Path) -> None:
    wavs = clips(300)
    EmbeddingStore(Moments(), tmp_path)(wavs)
    path = tmp_path / "moments-0123456789ab.sqlite"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert torch.equal(EmbeddingStore(Moments(), tmp_path)(wavs), Moments()(wavs))


def test_a_row_of_the_wrong_length_is_not_used(tmp_path: Path) -> None:
    narrow = Moments()
    EmbeddingStore(narrow, tmp_path)(clips())
    wide = Moments()
    wide.dimensions = 2
    store = EmbeddingStore(wide, tmp_path)
    store(clips())
    assert (store.hits, store.misses) == (0, 5)


def test_a_folder_that_cannot_be_made_does_not_fail(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    store = EmbeddingStore(Moments(), tmp_path / "file" / "cache")
    for _ in range(2):
        assert torch.equal(store(clips()), Moments()(clips()))
    assert (store.hits, store.misses) == (0, 10)


def test_the_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.delenv("AUDIO_GEN_CACHE", raising=False)
    assert default_folder() == tmp_path / "xdg" / "audio_gen" / "embeddings"
    monkeypatch.setenv("AUDIO_GEN_CACHE", str(tmp_path / "own"))
    assert default_folder() == tmp_path / "own" / "embeddings"
    EmbeddingStore(Moments())(clips())
    assert len(list(default_folder().glob("*.sqlite"))) == 1


def test_no_flipped_bit_changes_a_vector(tmp_path: Path) -> None:
    wavs, right, told = clips(40), Moments()(clips(40)), list[str]()
    EmbeddingStore(Moments(), tmp_path)(wavs)
    path = tmp_path / "moments-0123456789ab.sqlite"
    whole, rng, damaged = path.read_bytes(), random.Random(0), 0
    for _ in range(150):
        data = bytearray(whole)
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        path.write_bytes(data)
        store = EmbeddingStore(Moments(), tmp_path, note=told.append)
        assert torch.equal(store(wavs), right)
        damaged += store.damaged > 0
        again = EmbeddingStore(Moments(), tmp_path)
        assert torch.equal(again(wavs), right) and not again.damaged
    assert damaged == len(told) > 20 and "moments-0123456789ab.sqlite: stored embeddings are damaged" in told[0]
