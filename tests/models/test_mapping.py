"""The mapping network: from Gaussian noise to the lines between neighbouring clips, and what it learns from there."""

import math

import pytest
import torch
from torch import Tensor

from audio_gen.models.blocks import pitch_inputs
from audio_gen.models.contract import Conditions
from audio_gen.models.priors.mapped import FARTHEST, MIN_NOISE, Mapping, nearest_share
from audio_gen.models.priors.neighbours import CORNERS, NeighbourPrior
from tests.given import given

NAN = math.nan
COPIES, DIM = 6, 3  # augmented copies of each clip, latent dimensions


def made(
    class_id: Tensor, pitch: Tensor, copies: int = 1, own: float = 0.0, seed: int = 0
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Latents around -6 for class 0, 6 for class 1, with the pitch in the last one; class, pitch and clip of each."""
    generator = torch.Generator().manual_seed(seed)
    w = torch.randn(len(class_id), DIM, generator=generator) + 12.0 * class_id[:, None] - 6
    w[:, -1] += pitch.nan_to_num(60) / 6 - 10
    clip = torch.arange(len(class_id)).repeat_interleave(copies)
    w = w[clip] + own * torch.randn(len(clip), DIM, generator=generator)
    return w, class_id[clip], pitch[clip], clip


def mapping_of(clips: tuple[Tensor, Tensor, Tensor, Tensor], noise_dim: int = MIN_NOISE, anchors: int = 0) -> Mapping:
    torch.manual_seed(0)
    anchors = anchors or len(clips[3].unique())
    mapping = Mapping(noise_dim=noise_dim, latent_dim=DIM, anchors=anchors, n_classes=2, width=16, condition_dim=4)
    initialise(mapping, clips)
    return mapping.requires_grad_(False)


def initialise(mapping: Mapping, clips: tuple[Tensor, Tensor, Tensor, Tensor], own: Tensor | None = None) -> None:
    w, class_id, pitch, clip = clips
    mapping.initialise(w[:, None], given(class_id, pitch), clip, own)


def start(mapping: Mapping, z: Tensor, class_id: int = -1, pitch: float = NAN) -> Tensor:
    return mapping.start(z, Conditions.one({"class": class_id, "pitch": pitch}).repeat(len(z)))[:, 0]


def noise(count: int, noise_dim: int = MIN_NOISE, seed: int = 0) -> Tensor:
    return torch.randn(count, noise_dim, generator=torch.Generator().manual_seed(seed))


def chosen_by(quantile: Tensor) -> Tensor:
    """Noise (N, Z) that picks clips by quantile (N,), and the middle of the way to one neighbour."""
    z = torch.zeros(len(quantile), MIN_NOISE)
    z[:, 0] = torch.special.ndtri(quantile)
    return z


def ends(mapping: Mapping, z: Tensor, class_id: int = -1) -> tuple[Tensor, Tensor]:
    """The clips and neighbours (N, D) that noise picks: both ends of the lines, beyond what is drawn from them."""
    near, far = (
        start(mapping, torch.cat([z[:, :2], torch.full((len(z), 1), end)], dim=1), class_id) for end in (-9.0, 9.0)
    )
    share = nearest_share(len(mapping.corners))
    way = (far - near) / (FARTHEST - share)
    return near - share * way, near + (1 - share) * way


@pytest.fixture(scope="module")
def labelled() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """14 clips of class 0 from pitch 40 on and 9 of class 1 from 55 on, each augmented."""
    pitch = torch.cat([torch.linspace(40, 66, 14), torch.linspace(55, 79, 9)])
    return made(torch.tensor([0] * 14 + [1] * 9), pitch, COPIES, own=0.4)


@pytest.fixture(scope="module")
def plain() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """12 clips of class 0 and 7 of class 1 without pitches or changes."""
    return made(torch.tensor([0] * 12 + [1] * 7), torch.full((19,), NAN))


def test_what_networks_see_of_pitches() -> None:
    assert pitch_inputs(torch.tensor([60.0, 84.0, NAN])).tolist() == [[0, 1], [1, 1], [0, 0]]


def test_the_start_has_the_moments_of_lines_to_neighbours(plain: tuple[Tensor, Tensor, Tensor, Tensor]) -> None:
    """Any clip and any of its neighbours are as likely, and any place t from the nearest one, a, up to half-way.

    With c a clip and n its neighbour, E[w] = E[c + t (n - c)], where E[t] = (a + 1/2) / 2 and
    E[t^2] = (a^2 + a / 2 + 1/4) / 3. Over many draws, moments are within 5 standard errors of these.
    """
    w, class_id, pitch, clips = plain
    corners = NeighbourPrior.fit(w[:, None], given(class_id, pitch), clips).corners[:, :, :-1]  # (K, J, D)
    clip = corners[:, :1].expand(-1, CORNERS - 1, -1).flatten(0, 1)  # (K * (J - 1), D)
    way = corners[:, 1:].flatten(0, 1) - clip
    assert FARTHEST == 0.5
    a = nearest_share(len(corners))
    first, second = (a + 0.5) / 2, (a * a + a / 2 + 0.25) / 3
    mean = (clip + first * way).mean(0)
    clip = clip - mean
    crossed = torch.einsum("ni,nj->nij", clip, way)
    squares = (_products(clip) + first * (crossed + crossed.mT).flatten(1) + second * _products(way)).mean(0)
    drawn = start(mapping_of(plain), noise(40_000)) - mean
    powers = torch.cat([drawn, _products(drawn)], dim=1)
    error = powers.std(0) / len(powers) ** 0.5
    assert ((powers.mean(0) - torch.cat([torch.zeros(DIM), squares])).abs() < 5 * error).all()


def _products(x: Tensor) -> Tensor:
    """(N, D) -> (N, D * D)."""
    return torch.einsum("ni,nj->nij", x, x).flatten(1)


def test_the_third_number_goes_from_near_a_clip_half_the_way_to_a_neighbour(
    plain: tuple[Tensor, Tensor, Tensor, Tensor],
) -> None:
    mapping, z = mapping_of(plain), noise(300)
    clip, neighbour = ends(mapping, z, 0)
    clips = plain[0][plain[1] == 0]
    assert torch.cdist(clip, clips).amin(1).max() < 1e-2
    assert torch.cdist(neighbour, clips).amin(1).max() < 1e-2
    assert (clip != neighbour).any(1).all()
    for end, share in ((-9, 0.15), (0, 0.325), (9, 0.5)):
        z[:, 2] = end
        assert torch.allclose(start(mapping, z, 0), torch.lerp(clip, neighbour, share), atol=1e-4)


@pytest.mark.parametrize(("clips", "share"), [(1, 0.15), (60, 0.15), (120, 0.075), (600, 0.015)])
def test_lines_begin_away_from_their_clip_where_there_are_few(clips: int, share: float) -> None:
    assert nearest_share(clips) == pytest.approx(share)


@pytest.mark.parametrize("count", [2, 3])
def test_a_class_of_few_clips_has_lines_between_all_of_them(count: int) -> None:
    """No line leads from a clip to itself."""
    clips = made(torch.tensor([0] * 9 + [1] * count), torch.full((9 + count,), NAN))
    z = noise(200)
    z[:, 2] = 9
    drawn, own = start(mapping_of(clips), z, 1), clips[0][9:]
    halves = torch.stack([(own[i] + own[j]) / 2 for i in range(count) for j in range(i)])
    assert torch.cdist(drawn, halves).amin(1).max() < 1e-2


@pytest.mark.parametrize("noise_dim", [MIN_NOISE, 40])
def test_the_network_adds_nothing_at_the_start(labelled: tuple[Tensor, Tensor, Tensor, Tensor], noise_dim: int) -> None:
    mapping, z = mapping_of(labelled, noise_dim), noise(30, noise_dim)
    class_id, pitch = torch.arange(30) % 3 - 1, torch.linspace(40, 79, 30)
    pitch[::4] = NAN
    asked = given(class_id, pitch)
    made_now = mapping(z, asked)
    assert torch.equal(made_now, mapping.start(z, asked))
    assert torch.equal(made_now, mapping(z, asked))
    assert len(made_now.unique(dim=0)) == 30
    for i in (3, 17):  # each by itself
        alone = mapping(z[i : i + 1], asked[i])
        assert torch.allclose(alone, made_now[i : i + 1], atol=1e-5)


def test_the_network_sees_all_of_z_and_can_leave_the_start(plain: tuple[Tensor, Tensor, Tensor, Tensor]) -> None:
    mapping = mapping_of(plain, noise_dim=14).requires_grad_(True)
    z = noise(5, 14)
    asked = given(torch.zeros(5, dtype=torch.long), torch.full((5,), NAN))
    mapping(z, asked).square().sum().backward()
    assert mapping.head.weight.grad is not None
    assert mapping.head.weight.grad.abs().sum() > 0
    torch.nn.init.normal_(mapping.head.weight)
    other = torch.cat([z[:, :-1], z[:, -1:] + 1], dim=1)
    assert torch.equal(mapping.start(z, asked), mapping.start(other, asked))
    assert ((mapping(z, asked) - mapping(other, asked)).abs() > 1e-4).any(2).all()


def test_every_clip_of_the_class_is_as_likely_in_the_order_of_the_first_component(
    plain: tuple[Tensor, Tensor, Tensor, Tensor],
) -> None:
    """The first number alone picks the clip: even quantiles of it give each clip equally often."""
    w, class_of, *_ = plain
    mapping = mapping_of(plain)
    for class_id, count in ((0, 12), (1, 7), (-1, 19)):
        own = w if class_id < 0 else w[class_of == class_id]
        quantiles = (torch.arange(10 * count) + 0.5) / (10 * count)
        expected = own[own[:, 0].argsort()].repeat_interleave(10, dim=0)
        assert torch.allclose(ends(mapping, chosen_by(quantiles), class_id)[0], expected, atol=1e-3)


def test_draws_lie_between_the_clips_of_the_class(plain: tuple[Tensor, Tensor, Tensor, Tensor]) -> None:
    """With nothing augmented they are blends of its clips, even far out in the noise."""
    w, class_of, *_ = plain
    z = noise(4000)
    z[:100, 0], z[100:200, 0] = 9, -9
    for class_id in (0, 1):
        own, drawn = w[class_of == class_id], start(mapping_of(plain), z, class_id)
        assert (drawn >= own.amin(0) - 1e-4).all()
        assert (drawn <= own.amax(0) + 1e-4).all()
        assert (drawn.std(0) > 0.2 * own.std(0)).all()


def test_a_class_that_no_clip_is_of_is_all_of_them() -> None:
    mapping = mapping_of(made(torch.zeros(8, dtype=torch.long), torch.full((8,), NAN)))
    assert torch.equal(start(mapping, noise(20), 1), start(mapping, noise(20), -1))


def test_only_clips_near_the_pitch_are_drawn_from() -> None:
    """Two groups of one class, an octave and a half apart, and high or low in a component."""
    low = torch.tensor([True] * 8 + [False] * 8)
    pitch = torch.where(low, 45.0, 63.0) + torch.arange(16) % 3
    w = torch.randn(16, DIM, generator=torch.Generator().manual_seed(0)) + torch.where(low, -6, 6)[:, None]
    mapping = mapping_of((w, torch.zeros(16, dtype=torch.long), pitch, torch.arange(16)))
    for class_id in (0, -1):
        assert (start(mapping, noise(500), class_id, 46.0) < 0).all()
        assert (start(mapping, noise(500), class_id, 64.0) > 0).all()
    everywhere = start(mapping, noise(500), 0)[:, 0] > 0
    assert 0.4 < everywhere.float().mean() < 0.6


def test_pitch_is_regressed_on() -> None:
    """Latents that lie on a line over pitch: draws at a pitch between clips are where it is on that line."""
    pitch = torch.linspace(52, 68, 5)
    w = torch.stack([pitch / 10, -pitch / 5, torch.zeros(5)], dim=1)
    mapping = mapping_of((w, torch.full((5,), -1), pitch, torch.arange(5)))
    for asked in (54.0, 60.0, 67.0):
        drawn = start(mapping, noise(300), pitch=asked)
        assert torch.allclose(drawn, torch.tensor([asked / 10, -asked / 5, 0.0]).expand(300, -1), atol=0.1)
    assert start(mapping, noise(300))[:, 0].std() > 0.3


def test_every_neighbour_is_as_likely(plain: tuple[Tensor, Tensor, Tensor, Tensor]) -> None:
    """The second number alone picks one of four: even quantiles of it give the same four lines equally often."""
    z = chosen_by(torch.full((40,), 0.3))
    z[:, 1] = torch.special.ndtri((torch.arange(40) + 0.5) / 40)
    drawn, counts = start(mapping_of(plain), z, 0).unique(dim=0, return_counts=True)
    assert counts.tolist() == [10] * (CORNERS - 1)
    assert len(drawn) == CORNERS - 1


@pytest.mark.parametrize(("count", "anchors"), [(1, 1), (1, 3), (2, 2), (3, 7), (40, 5)])
def test_any_number_of_clips_and_anchors(count: int, anchors: int) -> None:
    mapping = mapping_of(made(torch.full((count,), -1), torch.full((count,), NAN), copies=2, own=0.1), anchors=anchors)
    assert torch.isfinite(start(mapping, noise(50))).all()
    assert torch.isfinite(mapping(noise(6), given(torch.full((6,), -1), torch.linspace(40, 65, 6)))).all()
    assert (mapping.spread > 0).all()


def test_a_saved_mapping_starts_as_it_was(labelled: tuple[Tensor, Tensor, Tensor, Tensor]) -> None:
    mapping = mapping_of(labelled)
    again = Mapping(noise_dim=MIN_NOISE, latent_dim=DIM, anchors=23, n_classes=2, width=16, condition_dim=4)
    again.load_state_dict(mapping.state_dict())
    asked = given(torch.arange(20) % 2, torch.linspace(40, 79, 20))
    assert torch.equal(again(noise(20), asked), mapping(noise(20), asked))


def with_own(clips: int = 7, directions: int = 4, size: float = 0.5) -> tuple[Mapping, Mapping, Tensor]:
    """A mapping without own directions, one with, and these (K, D, R), of clips of one class in any order."""
    torch.manual_seed(0)
    found = made(torch.zeros(clips, dtype=torch.long), torch.full((clips,), NAN))
    own = size * torch.randn(clips, DIM, directions)
    without, with_them = (
        Mapping(noise_dim=8, latent_dim=DIM, anchors=clips, n_classes=1, width=16, condition_dim=4, own_directions=r)
        for r in (0, directions)
    )
    initialise(without, found)
    initialise(with_them, found, own)
    return without, with_them, own


def test_own_directions_move_a_draw_as_its_clip_varies() -> None:
    """From where the line is, by the clip's factors times the numbers of z after the third."""
    without, with_them, own = with_own(size=0.1)
    z = noise(200, 8)
    moved = start(with_them, z) - start(without, z)
    fits = torch.einsum("kdr,br->bkd", own, z[:, MIN_NOISE : MIN_NOISE + 4])
    assert (fits - moved[:, None]).norm(dim=2).amin(1).max() < 1e-4
    assert torch.equal(with_them.corners, without.corners)
    z[:, MIN_NOISE : MIN_NOISE + 4] = 0
    assert torch.allclose(start(with_them, z), start(without, z))


def test_draws_of_few_clips_lie_farther_apart_with_own_directions() -> None:
    without, with_them, _ = with_own()
    nearest = [
        torch.cdist(x, x).fill_diagonal_(9).amin(1).median()
        for x in (start(m, noise(60, 8)) for m in (without, with_them))
    ]
    assert nearest[1] > 2 * nearest[0]


def test_own_directions_leave_no_draw_far_out() -> None:
    _, with_them, _ = with_own(size=50)
    drawn = start(with_them, noise(500, 8))
    assert drawn.abs().max() <= max(8.0, float(with_them.corners[..., :-1].abs().max()))


def test_a_mapping_of_an_earlier_bundle_loads_and_has_none() -> None:
    without, with_them, _ = with_own()
    assert "own" not in without.state_dict()
    assert with_them.state_dict()["own"].shape == (7, DIM, 4)
    again = Mapping(noise_dim=8, latent_dim=DIM, anchors=7, n_classes=1, width=16, condition_dim=4)
    again.load_state_dict(without.state_dict())
    assert torch.equal(start(again, noise(20, 8)), start(without, noise(20, 8)))
