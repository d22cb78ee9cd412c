"""The prior of a GAN: its mapping network, from noise to a refined blend of neighbouring clips' latents."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from audio_gen.models.basis import FARTHEST as FARTHEST_ROW
from audio_gen.models.blocks import SCALAR_INPUTS, pitch_inputs, velocity_inputs
from audio_gen.models.contract import CLASS, PITCH, VELOCITY, Conditions
from audio_gen.models.priors.examples import Examples
from audio_gen.models.priors.neighbours import CORNERS, FARTHEST, PITCH_SCALE, NeighbourPrior, nearest_share, spread_of

MIN_NOISE = 3  # clip, neighbour, distance towards it
EDGE = 1e-6
CENTRE_DRAWS = 2048


class Mapping(nn.Module):
    """z and conditions -> w, starting from points on the lines between neighbouring clips.

    The first number of z chooses a clip of the class (and near the pitch), the second one of its neighbours, the third
    the position of w between them (not at the clip itself if there are few). The next numbers move w in the directions
    in which that clip varies under augmentation, since points on the same line sound similar. A network of all of z,
    which starts at zero, adds to w. A mapping that starts as a Gaussian per class takes many more steps to avoid the
    gaps between a small folder's sounds, and blends of many clips are blurred.
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
        self, *, noise_dim: int, latent_dim: int, width: int, anchors: int = 1, n_classes: int = 0,
        blocks: int = 3, condition_dim: int = 32, own_directions: int = 0, velocity: bool = False,
    ) -> None:  # fmt: skip
        """From z (B, noise_dim) to w (B, 1, latent_dim), around `anchors` clips; old bundles lack `own_directions`."""
        super().__init__()
        least = MIN_NOISE + own_directions
        assert noise_dim >= least, f"noise_dim ({noise_dim}) must be at least {least}"
        self.noise_dim, self.latent_dim, self.velocity = noise_dim, latent_dim, velocity
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
        self.stem = nn.Linear(noise_dim + latent_dim + condition_dim + SCALAR_INPUTS * (2 if velocity else 1), width)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width)) for _ in range(blocks)
        )
        self.head = nn.Linear(width, latent_dim)
        for layer in (self.head, *(block[-1] for block in self.blocks)):  # type: ignore[index]
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, z: Tensor, conditions: Conditions) -> Tensor:
        """z (B, Z) -> w (B, 1, D)."""
        return self.moved(z, conditions)[0]

    def moved(self, z: Tensor, conditions: Conditions) -> tuple[Tensor, Tensor]:
        """w (B, 1, D), and its shift by the network (B, D) in deviations of the clips' latents."""
        start, class_id, pitch = self.start(z, conditions)[:, 0], *self._known(conditions)
        inputs = [z, start / self.spread, self.class_embedding(class_id + 1), pitch_inputs(pitch)]
        if self.velocity:
            inputs.append(velocity_inputs(conditions.get(VELOCITY, z.device)))
        x = self.stem(torch.cat(inputs, dim=1))
        for block in self.blocks:
            x = x + block(x)
        moves = self.head(F.silu(x))
        return (start + self.spread * moves)[:, None], moves

    def _known(self, conditions: Conditions) -> tuple[Tensor, Tensor]:
        """Class numbers and pitches (B,)."""
        device = self.spread.device
        return conditions.get(CLASS, device), conditions.get(PITCH, device)

    @torch.no_grad()
    def start(self, z: Tensor, conditions: Conditions) -> Tensor:
        """w (B, 1, D) before the network's shift; arguments as for `forward`."""
        class_id, pitch = self._known(conditions)
        uniform = torch.special.ndtr(z[:, :MIN_NOISE].float()).clamp(EDGE, 1 - EDGE)
        chosen = self._choose(uniform[:, 0], class_id, pitch)
        neighbour = 1 + (uniform[:, 1] * (CORNERS - 1)).long()
        nearest = nearest_share(len(self.corners))
        share = nearest + (FARTHEST - nearest) * uniform[:, 2:]
        point = torch.lerp(self.corners[chosen, 0], self.corners[chosen, neighbour], share)
        off = torch.where(torch.isfinite(pitch), pitch / PITCH_SCALE - point[:, -1], 0.0)
        w = point[:, :-1] + self.slope[chosen] * off[:, None]
        if self.own is None:
            return w[:, None]
        own = torch.einsum("bdr,br->bd", self.own[chosen], z[:, MIN_NOISE : MIN_NOISE + self.own.shape[2]].float())
        most = self.corners[..., :-1].abs().amax().clamp(min=FARTHEST_ROW)  # the limit of clips
        return (w + own).clamp(-most, most)[:, None]

    def _choose(self, uniform: Tensor, class_id: Tensor, pitch: Tensor) -> Tensor:
        """Numbers of anchors (B,) of the classes, with higher probability for closer pitches."""
        same = (self.anchor_class == class_id[:, None]) | (class_id < 0)[:, None]  # (B, K)
        same = same | ~same.any(1, keepdim=True)
        away = (pitch[:, None] / PITCH_SCALE - self.pitch_mean).square() / self.pitch_variance
        likely = torch.where(torch.isfinite(pitch)[:, None], -0.5 * (away + self.pitch_variance.log()), 0.0)
        weights = torch.softmax(likely.masked_fill(~same, -torch.inf), dim=1)
        below = weights.cumsum(1) < uniform[:, None]
        return below.sum(1).clamp(max=len(self.anchor_class) - 1)

    @torch.no_grad()
    def initialise(
        self, w: Tensor, conditions: Conditions, clip: Tensor, own: Tensor | None = None,
        weights: Tensor | None = None,
    ) -> None:  # fmt: skip
        """Initialise from the latents of training clips.

        Args:
            w: Latents (N, 1, D).
            conditions: Their conditions, N.
            clip: Number of the clip of each (N,); there are as many clips as anchors, unless anchors are limited.
            own: Variation of clips, see `NeighbourPrior.fit`.
            weights: (D,) of w, see `NeighbourPrior.fit`.
        """
        blends = NeighbourPrior.fit(w, conditions, clip, own, weights)
        # Sorted by the first component, so that z moves through similar sounds.
        order = blends.corners[:, 0, 0].argsort()[: len(self.anchor_class)]
        order = order[torch.arange(len(self.anchor_class)) % len(order)]
        corners, factors = blends.corners[order], blends.factors[order]
        spread, variance = spread_of(corners, factors)
        self.corners.copy_(corners)
        if self.own is not None:
            self.own.copy_(factors[:, :-1, : self.own.shape[2]])
        self.anchor_class.copy_(blends.class_id[order])
        self.pitch_mean.copy_(corners.mean(1)[:, -1])
        self.pitch_variance.copy_(variance)
        self.slope.copy_((torch.einsum("kdr,kr->kd", spread, spread[:, -1]) / variance[:, None])[:, :-1])
        self.spread.copy_(w[:, 0].std(0, unbiased=False).clamp(min=1e-3))


class MappedPrior(nn.Module):
    """Samples of a mapping network, truncated towards the centre of their class. Source: truncation, Karras 2019."""

    centres: Tensor
    reach: Tensor

    def __init__(
        self, *, clips: int, noise_dim: int, latent_dim: int, width: int, anchors: int = 1, n_classes: int = 0,
        blocks: int = 3, condition_dim: int = 32, own_directions: int = 0, velocity: bool = False,
    ) -> None:  # fmt: skip
        """`clips` is the number of training clips; the rest is for `Mapping`."""
        super().__init__()
        self.mapping = Mapping(
            noise_dim=noise_dim, latent_dim=latent_dim, anchors=anchors, n_classes=n_classes, width=width,
            blocks=blocks, condition_dim=condition_dim, own_directions=own_directions, velocity=velocity,
        )  # fmt: skip
        self.register_buffer("centres", torch.zeros(n_classes + 1, latent_dim))  # the last is for all classes
        self.register_buffer("reach", torch.zeros(latent_dim))
        self.examples = Examples(clips=clips, velocity=velocity)

    @classmethod
    @torch.no_grad()
    def fit(cls, mapping: Mapping, args: dict[str, Any], known: Conditions) -> "MappedPrior":
        """Estimate the centre of each class, and the range of samples along each component.

        Args:
            mapping: The network, which is not copied.
            args: Its arguments.
            known: The conditions of the training clips.
        """
        with torch.random.fork_rng(devices=[]):
            prior = cls(**args, clips=len(known))
        prior.mapping = mapping
        prior.examples.take(known)
        generator = torch.Generator().manual_seed(0)
        centres: list[Tensor] = []
        reach: list[Tensor] = []
        for number in [*range(args.get("n_classes", 0)), -1]:
            own = torch.nonzero(known.class_id == number)[:, 0] if number >= 0 else torch.arange(len(known))
            own = own if len(own) else torch.arange(len(known))
            rows = own[torch.randint(len(own), (CENTRE_DRAWS,), generator=generator)]
            asked = known[rows]
            if number >= 0:
                asked = asked.replaced(CLASS, torch.full((CENTRE_DRAWS,), number))
            w = prior._map(torch.randn(CENTRE_DRAWS, mapping.noise_dim, generator=generator), asked)[:, 0]
            centres.append(w.mean(0))
            reach.append(w.abs().amax(0))
        prior.centres.copy_(torch.stack(centres))
        prior.reach.copy_(torch.stack(reach).amax(0))
        return prior

    @property
    def conditions(self) -> tuple[str, ...]:
        """Names of the conditions that training clips have."""
        return self.examples.names

    def fill(self, asked: Conditions, generators: Sequence[torch.Generator]) -> Conditions:
        """See `Prior.fill`."""
        return self.examples.fill(asked, generators)

    def sample(
        self, conditions: Conditions, generators: Sequence[torch.Generator], *, length: int = 1,
        temperature: float = 1.0,
    ) -> Tensor:  # fmt: skip
        """Draw w (B, 1, D), see `Prior.sample`; temperature 0 gives the centre of the class."""
        assert length == 1, f"length ({length}) of a prior of whole clips must be 1"
        known, samples = conditions.subset(self.conditions), []
        for i, generator in enumerate(generators):  # one by one: results depend on the batch size in the last bit
            w = self._map(torch.randn(1, self.mapping.noise_dim, generator=generator), known[i])[0]
            samples.append(torch.lerp(self.centres[int(known.class_id[i])].cpu(), w, temperature))
        return torch.stack(samples)

    @torch.no_grad()
    def _map(self, z: Tensor, conditions: Conditions) -> Tensor:
        """z (B, Z) -> w (B, 1, D); inputs and result are on the CPU, the network on any device."""
        device = self.mapping.spread.device
        return self.mapping(z.to(device), conditions.to(device)).float().cpu()
