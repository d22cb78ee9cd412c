"""The sampler: onsets to the sample, releases, bends, chokes, pans and blocks."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import torch

from audio_gen.audio.onset import lead_samples
from audio_gen.instruments.sampler import Part, mix
from audio_gen.instruments.sustain_loop import SustainLoop
from audio_gen.instruments.zones import Instrument, Zone
from audio_gen.midi.score import BEND, DRUM_CHANNEL, EXPRESSION, PAN, VOLUME, Curve, Note, Score, pitch_to_hz

RATE = 22050
LEAD = lead_samples(RATE)


def click(height: float = 0.5, sec: float = 0.2) -> torch.Tensor:
    """A sound with its onset where the sounds of kits have it."""
    x = torch.zeros(1, round(sec * RATE))
    x[0, LEAD:] = height * torch.exp(-torch.arange(x.shape[1] - LEAD) / (0.02 * RATE))
    return x


def drums(**more: object) -> Instrument:
    zones = [Zone(f"{key}", click(0.4), RATE, key, (key, key), pitched=False, **more) for key in (36, 42, 46)]  # type: ignore[arg-type]
    return Instrument("drums", tuple(zones), drums=True)


def tone(loop: bool = True) -> Instrument:
    t = np.arange(RATE) / RATE
    x = torch.from_numpy((0.3 * np.sin(2 * np.pi * pitch_to_hz(60) * t)).astype(np.float32))[None]
    period = RATE / pitch_to_hz(60)
    found = SustainLoop(round(50 * period), round(200 * period), 1.0) if loop else None
    return Instrument("tone", (Zone("tone", x, RATE, 60, (40, 80), loop=found),), drums=False, release_sec=0.1)


def whole(score: Score, parts: list[Part], samples: int | None = None) -> np.ndarray:
    return torch.cat(list(mix(score, parts, RATE, samples=samples)), dim=1).numpy()


def played(instrument: Instrument, *notes: Note, **how: object) -> np.ndarray:
    score = Score(tuple(notes), **how)  # type: ignore[arg-type]
    return whole(score, [Part("a", instrument, notes)])


def hit(sec: float, key: int = 36, velocity: int = 127) -> Note:
    return Note(sec, key, 0.05, velocity, DRUM_CHANNEL)


@pytest.mark.parametrize("sec", [0.0, 0.37, 0.9999, 1.0, 2.5])
def test_an_onset_lies_on_its_sample(sec: float) -> None:
    out = played(drums(), hit(sec))
    first = int(np.argmax(np.abs(out[0]) > 0.01))
    assert first == round(sec * RATE)


def test_blocks_do_not_change_the_sound() -> None:
    """Notes across the edges of blocks sound as one alone, shifted."""
    one = played(tone(), Note(0.0, 60, 2.5))
    later = played(tone(), Note(0.73, 60, 2.5))
    shift = round(0.73 * RATE) - LEAD
    assert np.abs(later[:, shift + LEAD :][:, : one.shape[1]] - one).max() < 1e-5


def test_notes_add_up_and_many_sound_at_once() -> None:
    notes = [hit(0.5) for _ in range(64)]
    assert np.abs(played(drums(), *notes)).max() == pytest.approx(
        64 * np.abs(played(drums(), hit(0.5))).max(), rel=1e-4
    )


def test_velocity_gives_40_db_per_factor_of_ten() -> None:
    loud, soft = (np.abs(played(drums(), hit(0.0, velocity=v))).max() for v in (120, 12))
    assert 20 * np.log10(loud / soft) == pytest.approx(40, abs=0.1)


def test_a_released_note_fades_without_a_click() -> None:
    out = played(tone(), Note(0.0, 60, 0.5))[0]
    assert len(out) == pytest.approx(0.6 * RATE, abs=LEAD + 2)
    assert np.abs(out[-20:]).max() < 1e-3 and np.abs(np.diff(out)).max() < 0.04


def test_a_loop_holds_a_note_and_one_without_ends() -> None:
    held = played(tone(), Note(0.0, 60, 3.0, 127))[0]
    assert np.abs(held[round(2.8 * RATE) : round(2.9 * RATE)]).max() == pytest.approx(0.3, rel=0.05)
    assert np.abs(np.diff(held[: 3 * RATE])).max() < 0.04
    assert len(played(tone(loop=False), Note(0.0, 60, 3.0))[0]) <= RATE


def pitch_of(x: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(x * np.hanning(len(x)), 16 * RATE))
    return 69 + 12 * np.log2(np.argmax(spectrum) / 16 / 440)


@pytest.mark.parametrize("key", [48, 60, 67, 80])
def test_keys_have_their_pitch(key: int) -> None:
    assert pitch_of(played(tone(), Note(0.0, key, 1.0))[0][: round(0.9 * RATE)]) == pytest.approx(key, abs=0.05)


def test_keys_outside_sound_in_other_octaves_and_unknown_drums_by_near_ones() -> None:
    assert pitch_of(played(tone(), Note(0.0, 96, 1.0))[0][:RATE]) == pytest.approx(72, abs=0.05)
    kit = drums()
    kit = replace(
        kit, zones=tuple(replace(z, class_name={36: "kick", 42: "hat", 46: "hat"}[z.root]) for z in kit.zones)
    )
    assert np.abs(played(kit, hit(0.0, key=35))).max() > 0.1


def test_a_bend_moves_the_pitch_while_it_lasts() -> None:
    curves = {(0, BEND): Curve(0.0, (1.0,), (2.0,))}
    out = played(tone(), Note(0.0, 60, 2.0), curves=curves)[0]
    assert pitch_of(out[round(0.1 * RATE) : round(0.95 * RATE)]) == pytest.approx(60, abs=0.05)
    assert pitch_of(out[round(1.1 * RATE) : round(1.95 * RATE)]) == pytest.approx(62, abs=0.05)


def test_pan_volume_and_expression_are_followed() -> None:
    curves = {(9, PAN): Curve(0.0, (0.0, 0.5), (-1.0, 1.0)), (9, VOLUME): Curve(1.0, (0.0,), (100 / 127,)),
              (9, EXPRESSION): Curve(1.0, (0.5,), (0.5,))}  # fmt: skip
    left, right = played(drums(), hit(0.1), hit(0.8), curves=curves)
    half = round(0.45 * RATE)
    assert np.abs(right[:half]).max() < 1e-3 < np.abs(left[:half]).max()
    assert np.abs(left[half + 5000 :]).max() < 1e-3
    assert np.abs(right[half:]).max() == pytest.approx(0.25 * np.abs(left[:half]).max(), rel=0.02)


def test_a_hat_stops_the_other_hat_only() -> None:
    kit = Instrument("kit", tuple(
        Zone(f"{key}", click(0.4, 1.0).clamp(min=0.2), RATE, key, (key, key), pitched=False, choke=int(key != 36))
        for key in (36, 42, 46)
    ), drums=True)  # fmt: skip
    alone, both, later = (
        played(kit, *notes)[0] for notes in ([hit(0.0, 46)], [hit(0.0, 46), hit(0.3, 42)], [hit(0.3, 42)])
    )
    after = slice(round(0.35 * RATE), round(0.9 * RATE))
    assert np.abs(both[after] - later[after]).max() < 1e-4 < np.abs(alone[after]).min()
    kick = played(kit, hit(0.0, 46), hit(0.3, 36))[0]
    assert np.abs(kick[round(0.5 * RATE) : round(0.9 * RATE)]).min() > 0.1


def test_a_length_is_kept_to_the_sample() -> None:
    part = Part("a", drums(), [hit(0.2)])
    assert whole(Score(()), [part], samples=12345).shape == (2, 12345)


def test_rates_differ_from_the_zones() -> None:
    out = torch.cat(list(mix(Score(()), [Part("a", tone(), [Note(0.0, 72, 0.9)])], 44100)), dim=1).numpy()[0]
    spectrum = np.abs(np.fft.rfft(out[: round(0.8 * 44100)], 8 * 44100))
    assert 69 + 12 * np.log2(np.argmax(spectrum) / 8 / 440) == pytest.approx(72, abs=0.05)


def test_an_hour_long_note_needs_no_memory_of_its_length() -> None:
    tracemalloc.start()
    peak = 0.0
    for i, block in enumerate(mix(Score(()), [Part("a", tone(), [Note(0.0, 62, 3600.0, 127)])], RATE)):
        peak = max(peak, float(block.abs().max()))
        if i == 60:
            break
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 30e6 and peak == pytest.approx(0.3, rel=0.05)


def test_a_wide_bend_over_a_long_note_is_played() -> None:
    curves = {(0, BEND): Curve(0.0, (0.5,), (127.0,))}
    out = played(tone(), Note(0.0, 60, 4.0), curves=curves)
    assert np.isfinite(out).all() and out.shape[1] == pytest.approx(4.1 * RATE, abs=LEAD + 2)


def test_what_cannot_be_heard_is_silence() -> None:
    out = played(drums(), hit(0.1), curves={(9, VOLUME): Curve(0.0, (0.0,), (0.0,))})
    assert out.shape[0] == 2 and out.shape[1] > 0 and not out.any()


@pytest.mark.parametrize(("rate", "key"), [(44100, 61), (48000, 60), (22050, 73), (8000, 55)])
def test_a_loop_has_no_step_at_other_keys_and_rates(rate: int, key: int) -> None:
    out = torch.cat(list(mix(Score(()), [Part("a", tone(), [Note(0.0, key, 3.0, 127)])], rate)), dim=1).numpy()[0]
    steps = np.abs(np.diff(out[round(0.1 * rate) : round(2.9 * rate)], 2))
    assert steps.max() < 1.3 * np.quantile(steps, 0.99)
