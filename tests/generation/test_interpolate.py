"""Ways between two clips: exact at the ends, even in level between them."""

import pytest
import torch

from audio_gen.errors import ConfigError
from audio_gen.generation.interpolate import (
    PathBetween,
    between,
    decode_between,
    glide,
    last_frame,
    parse_duration,
    read_bilinear,
    sounding_frames,
    stretched,
)
from audio_gen.generation.latents import Latents
from audio_gen.generation.level import level_db, set_level, shift_level
from audio_gen.generation.pipeline import Pipeline
from audio_gen.generation.source import Source
from tests.generation.models import LATENT_DIM, SPEC
from tests.given import one

NAN = float("nan")


def ends(first: tuple[int, float], second: tuple[int, float]) -> tuple[Latents, Latents]:
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, LATENT_DIM, generator=generator)
    return Latents.one(a[None], one(*first)), Latents.one(b[None], one(*second))


def path(pipeline: Pipeline, start: Latents, end: Latents, attack_sec: float = 0.0) -> PathBetween:
    return PathBetween(pipeline, Source.exact(pipeline, start), Source.exact(pipeline, end), attack_sec)


@pytest.mark.parametrize(
    ("first", "second"),
    [((0, 60.0), (0, 60.0)), ((0, 50.0), (2, 70.0)), ((0, NAN), (1, 60.0)), ((-1, NAN), (-1, NAN)),
     ((1, 60.0), (-1, NAN))],
)  # fmt: skip
def test_ends_are_exactly_the_clips(pipeline: Pipeline, first: tuple, second: tuple) -> None:
    start, end = ends(first, second)
    mel = decode_between(pipeline, start, end, torch.linspace(0, 1, 5))
    assert torch.equal(mel[:1], pipeline.decode(start)) and torch.equal(mel[-1:], pipeline.decode(end))
    assert torch.equal(decode_between(pipeline, start, end, torch.tensor([1.0])), pipeline.decode(end))
    assert bool(mel.isfinite().all())


def test_no_step_is_much_quieter_than_the_quieter_end(pipeline: Pipeline) -> None:
    start, end = ends((0, 50.0), (2, 70.0))
    levels = level_db(decode_between(pipeline, start, end, torch.linspace(0, 1, 9)))
    assert float(levels.min()) > float(torch.minimum(levels[0], levels[-1])) - 3
    torch.testing.assert_close(levels, torch.lerp(levels[0], levels[-1], torch.linspace(0, 1, 9)), atol=0.5, rtol=0)


def test_attack_of_one_and_tail_of_the_other(pipeline: Pipeline) -> None:
    """Frames of the attack are the start's to the bit, those after the fade are what they were without it."""
    start, end = ends((0, 50.0), (2, 70.0))
    positions, frames = torch.tensor([0.0, 0.5, 1.0]), pipeline.frames
    free, first = decode_between(pipeline, start, end, positions), pipeline.decode(start)
    attack_sec = 0.4 * frames / pipeline.spec.frame_rate
    held = decode_between(pipeline, start, end, positions, attack_sec=attack_sec)
    onset = int(sounding_frames(first[0])[0])
    kept = onset + int(0.4 * frames)
    assert torch.equal(held[:, :, :kept], first.expand_as(held)[:, :, :kept])
    assert torch.equal(held[:, :, -1], free[:, :, -1]) and not torch.equal(held, free)
    assert torch.equal(held[:1], first)


def test_points_between() -> None:
    start, end = ends((0, 48.0), (2, 60.0))
    points = between(start, end, torch.tensor([0.0, 0.25, 0.5, 1.0]))
    assert points.conditions.pitch.tolist() == [48.0, 51.0, 54.0, 60.0]
    assert points.conditions.class_id.tolist() == [0, 0, 2, 2]
    torch.testing.assert_close(points.z[2], (start.z + end.z)[0] / 2)
    held = between(start.with_pitch(55.0), end.with_pitch(55.0), torch.tensor([0.0, 0.5]))
    assert held.conditions.pitch.tolist() == [55.0, 55.0]


def test_level_is_known_and_set() -> None:
    mel = torch.log(torch.tensor([1.0, 10.0]))[:, None, None].expand(2, 3, 4)
    torch.testing.assert_close(level_db(mel), torch.tensor([0.0, 20.0]))
    torch.testing.assert_close(set_level(mel, torch.tensor([6.0, 6.0]), -9.0), torch.full((2, 3, 4), 6 / 8.685889638))
    quiet = torch.tensor([[[-1.0, -8.0, -9.0]]])
    torch.testing.assert_close(
        shift_level(quiet, torch.tensor([-20.0]), -9.0), torch.tensor([[[-3.302585, -9.0, -9.0]]])
    )
    silent = torch.full((1, 3, 4), -9.0)
    assert torch.equal(set_level(silent, torch.tensor([0.0]), -9.0), silent)


@pytest.mark.parametrize("duration_sec", [0.001, 0.1, 1.0, 3.0])
def test_morph_has_its_length(pipeline: Pipeline, duration_sec: float) -> None:
    mel = glide(path(pipeline, *ends((0, 50.0), (2, 70.0))), duration_sec)
    assert mel.shape == (SPEC.n_mels, max(2, round(duration_sec * SPEC.frame_rate))) and bool(mel.isfinite().all())


def test_morph_moves_from_start_to_end(pipeline: Pipeline) -> None:
    start, end = ends((0, 50.0), (2, 70.0))
    mel = glide(path(pipeline, start, end), 2.0)
    first, last = pipeline.decode(start)[0], pipeline.decode(end)[0]
    torch.testing.assert_close(mel[:, 0], first[:, 0])
    torch.testing.assert_close(mel[:, -1], last[:, int(last_frame(last))], atol=1e-3, rtol=1e-3)
    # One continuous sound: no frame jumps further from the one before than a clip does.
    assert float(mel.diff(dim=1).abs().mean(0).max()) <= 1.1 * float(first.diff(dim=1).abs().mean(0).max() + 0.05)


def test_time_runs_forward_and_the_attack_at_its_own_speed() -> None:
    time = stretched(100, torch.full((100,), 20.0), 5.0)
    assert time[:6].tolist() == [0, 1, 2, 3, 4, 5] and float(time[-1]) == pytest.approx(20)
    assert bool((time.diff() > 0).all())
    squeezed = stretched(10, torch.full((10,), 200.0), 5.0)
    assert bool((squeezed.diff() > 0).all()) and float(squeezed[-1]) == pytest.approx(200)


def test_last_frame_is_where_the_sound_ends() -> None:
    mel = torch.full((4, 10), -9.0)
    mel[:, :6] = 0.0
    mel[:, 6] = -4.0  # 35 dB down
    assert float(last_frame(mel)) == 6
    assert float(last_frame(torch.full((4, 10), -9.0))) == 9


def test_bilinear_reading() -> None:
    mels = (10 * torch.arange(3.0)[:, None, None] + torch.arange(4.0)).expand(3, 2, 4)
    read = read_bilinear(mels, torch.tensor([0.0, 0.5, 2.0]), torch.tensor([0.0, 1.5, 3.0]))
    assert read.tolist() == [[0.0, 6.5, 23.0]] * 2


@pytest.mark.parametrize(
    ("text", "sec"), [("4s", 4), ("4", 4), ("500ms", 0.5), (" 1.5 S ", 1.5), ("1min", 60), (".5", 0.5), ("2.", 2)]
)
def test_durations(text: str, sec: float) -> None:
    assert parse_duration(text) == sec


@pytest.mark.parametrize("text", ["", "s", "-1", "4h", "0", "301s", "1e3", "nan"])
def test_wrong_durations(text: str) -> None:
    with pytest.raises(ConfigError, match="try 4s"):
        parse_duration(text)


def test_velocity_moves_and_what_one_end_lacks_does_not(struck: Pipeline) -> None:
    start, end = (struck.latents([seed], velocity=v) for seed, v in ((1, 40), (2, 80)))
    points = between(start, end, torch.tensor([0.0, 0.5, 1.0]))
    assert points.conditions.velocity.tolist() == [40.0, 60.0, 80.0]
    mel = decode_between(struck, start, end, torch.tensor([0.0, 0.5, 1.0]))
    assert torch.equal(mel[:1], struck.decode(start)) and torch.equal(mel[-1:], struck.decode(end))
    bare = Latents(end.z, end.conditions.subset(["class", "pitch"]))
    mixed = between(start, bare, torch.tensor([0.0, 0.4, 0.6])).conditions.velocity
    assert mixed[:2].tolist() == [40.0, 40.0] and bool(mixed[2].isnan())
