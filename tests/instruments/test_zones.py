"""Keys, velocities and takes of zones, and the keys of drums."""

import torch

from audio_gen.instruments.build import without_lost_takes
from audio_gen.instruments.drum_keys import Drum, choke_group, drum_keys
from audio_gen.instruments.levels import even, loudness_of
from audio_gen.instruments.zones import Zone, key_ranges, velocity_ranges, zone_for
from audio_gen.midi.general_midi import DRUMS


def test_every_key_belongs_to_one_zone_and_to_the_nearest() -> None:
    roots = [36, 39, 45, 46]
    ranges = key_ranges(roots)
    for key in range(36, 47):
        (zone,) = [i for i, (low, high) in enumerate(ranges) if low <= key <= high]
        assert abs(roots[zone] - key) == min(abs(root - key) for root in roots)
    assert ranges[0][0] == 24 and ranges[-1][1] == 58
    assert key_ranges([3]) == [(0, 15)] and key_ranges([120])[0][1] == 127


def test_velocities_are_covered_once() -> None:
    for layers in range(1, 9):
        covered = [v for low, high in velocity_ranges(layers) for v in range(low, high + 1)]
        assert covered == list(range(1, 128))


def zone(keys: tuple[int, int], velocities: tuple[int, int] = (1, 127), take: int = 0, takes: int = 1) -> Zone:
    name = f"{keys}{velocities}{take}"
    return Zone(name, torch.zeros(1, 8), 22050, keys[0], keys, velocities=velocities, take=take, takes=takes)


def test_the_zone_of_a_note_has_its_key_layer_and_turn() -> None:
    zones = [zone((60, 62), v, t, 2) for v in ((1, 63), (64, 127)) for t in (0, 1)]
    assert zone_for(zones, 61, 100, turn=3) is zones[3]
    assert zone_for(zones, 62, 20, turn=4) is zones[0]
    assert zone_for(zones, 63, 20) is None


def test_drums_get_the_keys_of_general_midi() -> None:
    names = ["kick", "kick", "kick", "snare", "hihat", "hihat", "hihat", "tom", "tom", "gong"]
    drums = [Drum(name, 0.1 + 0.1 * i, 100.0 * (10 - i)) for i, name in enumerate(names)]
    keys = drum_keys(drums)
    assert keys[:2] == [36, 35] and keys[3] == 38
    assert keys[4] == 42 and keys[6] == 46 and keys[5] == 44  # the shortest is closed, the longest open
    assert keys[7] == 48 and keys[8] == 45  # the darker tom is the lower one
    assert keys[2] not in DRUMS and keys[9] not in DRUMS
    assert len(set(keys)) == len(keys)
    assert choke_group(46) == choke_group(42) != 0 and choke_group(36) == 0


def test_more_sounds_than_keys_are_left_over() -> None:
    keys = drum_keys([Drum("kick", 0.1, 100.0)] * 130)
    assert keys.count(None) == 2 and len(set(keys)) == 129
    assert drum_keys([Drum(None, 0.1, 100.0)] * 3) == [36, 37, 38]


def test_a_take_that_is_far_too_soft_is_replaced_by_the_first() -> None:
    loud = 0.5 * torch.sin(torch.arange(22050) / 10)[None]
    wavs = [loud, 0.9 * loud, loud, 0.01 * loud, 0.3 * loud, 0 * loud]
    found = without_lost_takes(wavs, 2, 22050)
    assert [one is wav for one, wav in zip(found, wavs, strict=True)] == [True, True, True, False, True, False]
    assert found[3] is wavs[2] and found[5] is wavs[4]


def test_sounds_are_brought_to_one_loudness_without_clipping() -> None:
    t = torch.arange(22050) / 22050
    wavs = [gain * torch.sin(2 * torch.pi * hz * t)[None] for gain, hz in ((0.01, 200), (0.9, 800), (0.2, 3000))]
    found = even(wavs, 22050)
    loudness = [loudness_of(wav, 22050) for wav in found]
    assert max(loudness) - min(loudness) < 0.1
    assert max(float(wav.abs().max()) for wav in found) <= 10 ** (-1 / 20) + 1e-6
    assert torch.equal(even([torch.zeros(1, 100)], 22050)[0], torch.zeros(1, 100))
