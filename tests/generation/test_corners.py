"""A grid of clips between four sounds."""

from pathlib import Path

import pytest
import torch

import audio_gen
from audio_gen.errors import ConfigError
from audio_gen.generation.inputs import starting_point
from audio_gen.generation.operations.interpolate import InterpolateRequest, interpolate
from audio_gen.generation.pipeline import Pipeline
from tests import sounds

SEEDS = ["seed:1", "seed:2", "seed:3", "seed:4"]


def test_corners_are_the_sounds_and_the_middle_is_their_mean(pipeline: Pipeline) -> None:
    clips = {clip.name: clip for clip in interpolate(pipeline, InterpolateRequest(corners=SEEDS, steps=3))}
    assert list(clips) == [f"grid-{row:02d}-{column:02d}" for row in range(3) for column in range(3)]
    for seed, name in enumerate(("grid-00-00", "grid-00-02", "grid-02-00", "grid-02-02"), 1):
        assert torch.equal(clips[name].wav, pipeline.sample(1, seed=seed)[0])
        assert "edited" not in clips[name].provenance
    z = torch.cat([pipeline.latents([seed]).z for seed in (1, 2, 3, 4)])
    torch.testing.assert_close(torch.tensor(clips["grid-01-01"].provenance["z"]), z.mean(0)[0])
    torch.testing.assert_close(torch.tensor(clips["grid-00-01"].provenance["z"]), z[:2].mean(0)[0])
    about = clips["grid-01-02"].provenance
    assert (about["row"], about["column"], about["weights"]) == (1, 2, [0, 0.5, 0, 0.5])
    assert about["corners"] == SEEDS and about["edited"] is True


def test_corners_of_files_and_layers(gan: Pipeline, tmp_path: Path) -> None:
    """Files with different labels, one with a latent for each layer."""
    files = [
        sounds.write(tmp_path / "drum-050-100.wav", sounds.pluck(146.8, 0.2)),
        sounds.write(tmp_path / "flute-070-100.wav", sounds.sine(466.2, 0.2, 44100), 44100),
    ]
    corners = [str(files[0]), "seed:1", "seed:2", str(files[1])]
    clips = list(interpolate(gan, InterpolateRequest(corners=corners, steps=2, keep_attack="10ms")))
    plain = list(interpolate(gan, InterpolateRequest(corners=corners, steps=2)))
    assert torch.equal(plain[0].wav, gan.vocode(starting_point(gan, files[0]).mel)[0])
    assert torch.equal(plain[3].wav, gan.vocode(starting_point(gan, files[1]).mel)[0])
    assert not torch.equal(clips[0].wav, plain[0].wav) and clips[1].provenance["kept_attack_sec"] == 0.01


def test_corners_from_python(pipeline: Pipeline, tmp_path: Path) -> None:
    sound = sounds.write(tmp_path / "a.wav", sounds.pluck(200.0, 0.2))
    saved = audio_gen.interpolate(pipeline, corners=[sound, *SEEDS[1:]], steps=2).save(tmp_path / "grid")
    assert [one.path.name for one in saved] == [f"grid-0{row}-0{column}.wav" for row in (0, 1) for column in (0, 1)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"corners": SEEDS[:3]}, "--corner: 3 given; a grid has 4 corners"),
        ({"corners": [*SEEDS, "seed:5"]}, "--corner: 5 given; a grid has 4 corners"),
        ({"corners": []}, "--corner: 0 given"),
        ({"corners": [*SEEDS[:3], " "]}, "--corner: is empty"),
        ({"corners": SEEDS, "start": "seed:1"}, "--from seed:1: does not go with --corner"),
        ({"corners": SEEDS, "morph": "4s"}, "--morph 4s: does not go with --corner"),
        ({"corners": SEEDS, "layers": "fine"}, "--layers fine: does not go with --corner"),
        ({"corners": SEEDS, "steps": 1}, "--steps 1: must be at least 2"),
        ({"corners": SEEDS, "steps": 0}, "--steps 0: must be at least 2"),
        ({"start": "seed:1"}, "--to: is missing; give --from and --to, or --corner four times"),
        ({}, "--from: is missing"),
    ],
)
def test_wrong_corners(options: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        InterpolateRequest(**options)
    assert "\n" not in str(caught.value)
