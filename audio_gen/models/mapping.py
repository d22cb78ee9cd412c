"""The mapping network of a GAN: from noise to a blend of neighbouring clips' latents, and on from there."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from audio_gen.models.basis import FARTHEST as FARTHEST_ROW
from audio_gen.models.density import CORNERS, PITCH_SCALE, LatentDensity, spread_of

PITCH_OFFSET, PITCH_UNIT = 60.0, 24.0  # MIDI; what networks see of a pitch is about -2 to 2
MIN_NOISE = 3  # which clip, which of its neighbours, how far towards it
FARTHEST = 0.5  # half-way: the other half of the line begins at the neighbour
NEAREST, FEW = 0.15, 60  # with so few clips or fewer no line begins nearer; with more, so much less as there are more
EDGE = 1e-6


class Mapping(nn.Module):
    """z and conditions -> w; it starts on the lines between neighbouring clips, and learns the rest.

    The first number of z picks a clip of the class (and near the pitch), the second one of its neighbours, the third
    how far w lies from the one to the other (never at the clip itself, where these are few). The next ones move w in
    the directions in which that clip varies as its tilt and bands do: few clips have few lines between them, and
    points on one line sound alike. A network that starts at zero, and sees all of z, moves w from there. A mapping that
    starts as a Gaussian of each class takes many more steps to leave what lies between a small folder's sounds, and
    blends of many clips are blurred.
    Source: Karras 2019 (mapping); Chawla 2002 (SMOTE).
    """

    corners: Tensor
    slope: Tensor
    pitch_mean: Tensor
    pitch_variance: Tensor
    anchor_class: Tensor
    spread: Tensor
    own: Tensor | None

    def __init__(
        self, *, noise_dim: int, latent_dim: int, anchors: int = 1, n_classes: int = 0, width: int = 256,
        blocks: int = 3, condition_dim: int = 32, own_directions: int = 0,
    ) -> None:  # fmt: skip
        """From z (B, noise_dim) to w (B, latent_dim), around `anchors` clips; old bundles have no own directions."""
        super().__init__()
        least = MIN_NOISE + own_directions
        assert noise_dim >= least, f"noise_dim ({noise_dim}) must be at least {least}"
        self.noise_dim, self.latent_dim = noise_dim, latent_dim
        self.register_buffer("corners", torch.zeros(anchors, CORNERS, latent_dim + 1))
        self.register_buffer("slope", torch.zeros(anchors, latent_dim))
        self.register_buffer("pitch_mean", torch.zeros(anchors))
        self.register_buffer("pitch_variance", torch.ones(anchors))
        self.register_buffer("anchor_class", torch.full((anchors,), -1))
        self.register_buffer("spread", torch.ones(latent_dim))
        if own_directions:
            self.register_buffer("own", torch.zeros(anchors, latent_dim, own_directions))
        else:
            self.own = None
        self.class_embedding = nn.Embedding(n_classes + 1, condition_dim)
        self.stem = nn.Linear(noise_dim + latent_dim + condition_dim + 2, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width)) for _ in range(blocks)
        )
        self.head = nn.Linear(width, latent_dim)
        for layer in (self.head, *(block[-1] for block in self.blocks)):  # type: ignore[index]
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, z: Tensor, class_id: Tensor, pitch: Tensor) -> Tensor:
        """z (B, Z), class numbers (B,) with -1 for none, MIDI pitches (B,) with NaN for none -> w (B, D)."""
        return self.moved(z, class_id, pitch)[0]

    def moved(self, z: Tensor, class_id: Tensor, pitch: Tensor) -> tuple[Tensor, Tensor]:
        """w (B, D), and how far the network moved it from its start (B, D), in deviations of the clips' latents."""
        start = self.start(z, class_id, pitch)
        x = self.stem(
            torch.cat([z, start / self.spread, self.class_embedding(class_id + 1), pitch_inputs(pitch)], dim=1)
        )
        for block in self.blocks:
            x = x + block(x)
        moves = self.head(F.silu(x))
        return start + self.spread * moves, moves

    @torch.no_grad()
    def start(self, z: Tensor, class_id: Tensor, pitch: Tensor) -> Tensor:
        """What w is before the network moves it (B, D); arguments as for `forward`."""
        uniform = torch.special.ndtr(z[:, :MIN_NOISE].float()).clamp(EDGE, 1 - EDGE)
        chosen = self._choose(uniform[:, 0], class_id, pitch)
        neighbour = 1 + (uniform[:, 1] * (CORNERS - 1)).long()
        nearest = nearest_share(len(self.corners))
        share = nearest + (FARTHEST - nearest) * uniform[:, 2:]
        point = torch.lerp(self.corners[chosen, 0], self.corners[chosen, neighbour], share)
        off = torch.where(torch.isfinite(pitch), pitch / PITCH_SCALE - point[:, -1], 0.0)
        w = point[:, :-1] + self.slope[chosen] * off[:, None]
        if self.own is None:
            return w
        own = torch.einsum("bdr,br->bd", self.own[chosen], z[:, MIN_NOISE : MIN_NOISE + self.own.shape[2]].float())
        most = self.corners[..., :-1].abs().amax().clamp(min=FARTHEST_ROW)  # as far out as clips may be
        return (w + own).clamp(-most, most)

    def _choose(self, uniform: Tensor, class_id: Tensor, pitch: Tensor) -> Tensor:
        """Numbers of anchors (B,) of the classes, more likely the nearer they are to the pitches."""
        same = (self.anchor_class == class_id[:, None]) | (class_id < 0)[:, None]  # (B, K)
        same = same | ~same.any(1, keepdim=True)
        away = (pitch[:, None] / PITCH_SCALE - self.pitch_mean).square() / self.pitch_variance
        likely = torch.where(torch.isfinite(pitch)[:, None], -0.5 * (away + self.pitch_variance.log()), 0.0)
        weights = torch.softmax(likely.masked_fill(~same, -torch.inf), dim=1)
        below = weights.cumsum(1) < uniform[:, None]
        return below.sum(1).clamp(max=len(self.anchor_class) - 1)

    @torch.no_grad()
    def initialise(self, w: Tensor, class_id: Tensor, pitch: Tensor, clip: Tensor, own: Tensor | None = None) -> None:
        """Start from real latents.

        Args:
            w: Latents (N, D).
            class_id: Class numbers (N,), -1 for none.
            pitch: MIDI pitches (N,), NaN for none.
            clip: Which clip each was made from (N,); as many as there are anchors, if these are not at their most.
            own: How clips vary, see `LatentDensity.fit`.
        """
        values = LatentDensity.fit(w, class_id, pitch, clip, own).values
        # Neighbours in the first component come one after another, so that z moves through similar sounds.
        order = values["corners"][:, 0, 0].argsort()[: len(self.anchor_class)]
        order = order[torch.arange(len(self.anchor_class)) % len(order)]
        corners = values["corners"][order]
        spread, variance = spread_of(corners, values["factors"][order])
        self.corners.copy_(corners)
        if self.own is not None:
            self.own.copy_(values["factors"][order][:, :-1, : self.own.shape[2]])
        self.anchor_class.copy_(values["class_id"][order])
        self.pitch_mean.copy_(corners.mean(1)[:, -1])
        self.pitch_variance.copy_(variance)
        self.slope.copy_((torch.einsum("kdr,kr->kd", spread, spread[:, -1]) / variance[:, None])[:, :-1])
        self.spread.copy_(w.std(0, unbiased=False).clamp(min=1e-3))


def nearest_share(clips: int) -> float:
    """Where the lines begin, as a share of the way to the neighbour: nearer than this, new sounds of few are copies."""
    return NEAREST * min(1.0, FEW / clips)


def pitch_inputs(pitch: Tensor) -> Tensor:
    """What networks see of pitches (B,): the scaled pitch, 0 where it is not known, and whether it is (B, 2)."""
    known = torch.isfinite(pitch)
    scaled = torch.where(known, (pitch - PITCH_OFFSET) / PITCH_UNIT, 0.0)
    return torch.stack([scaled, known.to(scaled.dtype)], dim=1)
