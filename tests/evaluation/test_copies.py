"""Copies and twins: a planted copy is named with its file, a new sound is not, and a twin counts in its class only."""

import torch
from torch import Tensor

from audio_gen.audio.similarity import view
from audio_gen.evaluation.copies import EmbeddingDistance, duplicates, levelled
from audio_gen.generation.originals import find_copies, real_share

RATE = 22_050


def hit(seed: int) -> Tensor:
    """A drum hit: a decaying sine and noise, both with a pitch and a decay of their own."""
    generator = torch.Generator().manual_seed(seed)
    hz, decay, noise = (
        torch.rand(3, generator=generator) * torch.tensor([900.0, 30, 1]) + torch.tensor([80.0, 5, 0])
    ).tolist()
    time = torch.arange(RATE) / RATE
    return (torch.sin(2 * torch.pi * hz * time) + noise * torch.randn(RATE, generator=generator)) * torch.exp(
        -decay * time
    )


def views(wavs: list[Tensor]) -> Tensor:
    return torch.stack([view(wav, RATE) for wav in wavs])


TRAIN = [hit(seed) for seed in range(12)]
FILES = [f"hit-{seed}.wav" for seed in range(12)]


def test_planted_copies_are_named_and_new_sounds_are_not() -> None:
    late = torch.zeros(round(0.005 * RATE))
    made = [torch.cat([late, 2.0 * TRAIN[3]]), 0.5 * TRAIN[7], hit(100), hit(101)]
    found = find_copies(views(made), views(TRAIN), FILES)
    assert [(match.verdict, match.file) for match in found[:2]] == [("copy", "hit-3.wav"), ("copy", "hit-7.wav")]
    assert all(match.verdict == "new" and match.distance_db > 4.5 for match in found[2:])
    assert found[0].to_json()["verdict"] == "copy" and found[0].embedding_distance is None


def test_the_embedding_decides_what_the_views_leave_open(monkeypatch) -> None:
    open_db = 5.0
    monkeypatch.setattr(
        "audio_gen.generation.originals.nearest",
        lambda made, train: (torch.full((1, 1), open_db), torch.zeros(1, 1).long()),
    )
    one = torch.zeros(1, 64, 154)
    assert find_copies(one, one, ["a.wav"], lambda made, train: 0.2)[0].verdict == "copy"
    assert find_copies(one, one, ["a.wav"], lambda made, train: 0.9)[0].verdict == "new"
    assert find_copies(one, one, ["a.wav"])[0].verdict == "new"


def test_embedding_distances_have_no_level_and_the_training_sounds_as_their_unit() -> None:
    calls: list[int] = []

    def embed(wavs: list[Tensor]) -> Tensor:
        calls.append(len(wavs))
        return torch.stack([torch.stack([wav.abs().max(), wav.abs().mean() * 100]) for wav in wavs])

    apart = EmbeddingDistance(
        embed, lambda i: 0.1 * TRAIN[i], TRAIN.__getitem__, RATE, torch.tensor([[0.0, 0], [0, 2]])
    )
    assert apart(2, 2) < 1e-4 < apart(2, 3) and apart(2, 2) < 1e-4
    assert sum(calls) == 3  # each clip once
    assert float(levelled(TRAIN[0], RATE).abs().max()) == 0.5


def test_the_real_share_leaves_out_the_same_sound_twice() -> None:
    bank = views(TRAIN)
    assert real_share(torch.cat([bank, bank])) == real_share(bank) < 0.5
    assert real_share(bank, bank[:5]) == 1 and real_share(bank[:1]) is None
    layers = views([TRAIN[0], TRAIN[0] + 0.02 * hit(50)])  # two hits of one drum
    assert real_share(layers) == 1


def test_twins_count_within_their_class() -> None:
    pairs = views([TRAIN[i // 2] * (1 + i % 2) for i in range(20)])
    assert duplicates(pairs)["share"] == 1
    assert duplicates(pairs, ["a", "b"] * 10)["share"] == 0  # each one's twin is of the other class
    half = duplicates(torch.cat([pairs[:10], pairs[10::2]]), ["a"] * 10 + ["b"] * 5)
    assert half["per_class"] == {"a": {"n": 10, "share": 1.0}} and half["count"] == 10
    assert duplicates(pairs[:0])["share"] is None and duplicates(pairs[:1])["count"] == 0
