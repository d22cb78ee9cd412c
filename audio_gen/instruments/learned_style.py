"""A style of drums that is learned from a user's loops: onsets on a grid, and a small LSTM over its steps."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from audio_gen.audio.io import read_wav
from audio_gen.audio.music_features import music_features
from audio_gen.data.tempo import Beats, beats_of
from audio_gen.errors import AudioFileError, DataError
from audio_gen.generation.outputs import sound_files
from audio_gen.instruments.drum_probe import RATE, DrumProbe, onset_frames
from audio_gen.instruments.patterns import STEPS_PER_BEAT, Pattern
from audio_gen.instruments.zones import Instrument
from audio_gen.midi.general_midi import drum_kind
from audio_gen.reporter import Reporter
from audio_gen.text import one_line

BEATS = 4
STEPS = BEATS * STEPS_PER_BEAT
LONGEST_SEC = 120.0  # of a file that is read
LEAD_SEC = 0.2  # put before a file, so that an onset at its start can be heard
SOFTEST, LOUDEST = 35.0, 120.0  # velocities of the weakest and the strongest onsets
WIDTH, TRAINING_STEPS, WINDOW, BATCH, RATE_OF_LEARNING = 96, 400, 64, 16, 3e-3
HELD_OUT, PATIENCE, EVERY = 0.2, 6, 20  # share of the files, and evaluations without progress, every so many steps
TEMPERATURE = 0.6  # of the draws: below 1, a bar is nearer to the usual ones
LEAST_SHARE = 0.06  # a hit that is less likely is not drawn
DROPOUT = 0.2
SEED = 0


@dataclass(frozen=True)
class LearnedStyle:
    """A style from loops.

    Attributes:
        kinds: Kinds of drums, K.
        network: Draws steps.
        bpm: Median tempo of the loops.
        swing: Median place of their second 16ths.
        beats: Beats per bar.
    """

    kinds: list[str]
    network: "StepNetwork"
    bpm: float
    swing: float
    beats: int = BEATS

    @torch.no_grad()
    def sample(self, bars: int, seed: int) -> Pattern:
        """Draw a pattern."""
        generator = torch.Generator().manual_seed(seed)
        steps, count = bars * STEPS, len(self.kinds)
        grid = np.zeros((steps, count))
        before, state = torch.zeros(1, 1, 2 * count), None
        # Two bars before the first one bring the network into its stride.
        for step in range(-2 * STEPS, steps):
            hits, velocities, state = self.network(before, torch.tensor([[step % STEPS]]), state)
            share = torch.sigmoid(hits[0, 0] / TEMPERATURE)
            drawn = (torch.rand(count, generator=generator) < share) & (share > LEAST_SHARE)
            level = velocities[0, 0].clamp(0.25, 1) * drawn
            before = torch.cat([drawn.float(), level])[None, None]
            if step >= 0:
                grid[step] = (127 * level).round().numpy()
        return Pattern(self.kinds, grid, self.beats)


class StepNetwork(nn.Module):
    """Hits and velocities of a step, from those of the steps before it and its place in the bar."""

    def __init__(self, kinds: int) -> None:
        """For so many kinds of drums."""
        super().__init__()
        self.place = nn.Embedding(STEPS, 16)
        self.lstm = nn.LSTM(2 * kinds + 16, WIDTH, batch_first=True)
        self.dropout = nn.Dropout(DROPOUT)
        self.head = nn.Linear(WIDTH, 2 * kinds)

    def forward(
        self, before: Tensor, place: Tensor, state: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor]]:
        """Steps before (B, N, 2 K) and places (B, N) -> logits of hits and velocities (B, N, K), and the state."""
        x, state = self.lstm(torch.cat([before, self.place(place)], dim=-1), state)
        hits, velocities = self.head(self.dropout(x)).chunk(2, dim=-1)
        return hits, torch.sigmoid(velocities), state


@dataclass(frozen=True)
class HeardLoop:
    """The steps of a file.

    Attributes:
        velocities: (N, K), 0 to 1, from the start of a bar.
        bpm: Its tempo.
        swings: Places of its second 16ths.
    """

    velocities: np.ndarray
    bpm: float
    swings: list[float]


def learn_style(folder: Path, instrument: Instrument, reporter: Reporter) -> LearnedStyle:
    """Learn a style from the loops in a folder.

    Args:
        folder: Loops of drums.
        instrument: A kit; the kinds of its sounds are those that are recognised.
        reporter: Gets progress, and notes on files that cannot be used.

    Raises:
        DataError: The folder has no loops with a steady beat, or the kit's classes name no drums.
    """
    name = one_line(folder)
    if not folder.is_dir():
        raise DataError(f"learned:{name}: is no folder; give a folder of loops of drums")
    if len({drum_kind(zone.class_name) for zone in instrument.zones} - {None}) < 2:
        raise DataError(f"learned:{name}: the classes of the run or kit name no drums; use a style by its name")
    probe = DrumProbe(instrument)
    loops: list[HeardLoop] = []
    files = sound_files([folder])
    with reporter.progress("Listening", len(files), "files") as advance:
        for file in files:
            try:
                found = hear(file, probe)
            except AudioFileError as e:
                reporter.note(f"left out: {e}")
                found = None
            else:
                if found is None:
                    reporter.note(f"{one_line(file.name)}: no steady beat of at least a bar; left out")
            loops += [] if found is None else [found]
            advance(1)
    if not loops:
        raise DataError(f"learned:{name}: none of its {len(files)} files has a steady beat; give loops of drums")
    swings = [swing for loop in loops for swing in loop.swings]
    network = _trained(loops, reporter)
    return LearnedStyle(
        probe.kinds, network, float(round(np.median([loop.bpm for loop in loops]))),
        float(np.clip(np.median(swings) if swings else 0.5, 0.5, 0.75)),
    )  # fmt: skip


def hear(file: Path, probe: DrumProbe) -> HeardLoop | None:
    """The steps of a file; None if it has no steady beat, or less than a bar."""
    wav, _ = read_wav(file, sample_rate=RATE)
    x = wav[0, : round(LONGEST_SEC * RATE)].numpy()
    beats = beats_of(music_features([x], RATE, chroma=False))
    # What is before the start of a loop is its end.
    lead = min(len(x), round(LEAD_SEC * RATE))
    features = music_features([x[-lead:] * bool(beats.loop_beats), x], RATE, chroma=False)
    if not beats.steady and beats.loop_beats is None:
        return None
    places = step_places(beats, len(x))
    if len(places) < STEPS:
        return None
    frames, strength = onset_frames(features.mel_db)
    times = frames / features.frame_rate
    kinds = probe(features.mel_db, features.frame_rate, list(times))
    onsets = times - lead / RATE
    step_sec = float(np.median(np.diff(places)))
    strongest = max(float(np.quantile(strength, 0.9)), 1e-6) if len(strength) else 1.0
    grid = np.zeros((len(places), len(probe.kinds)))
    swings = []
    for at, level, here in zip(onsets, strength, kinds, strict=True):
        step = int(np.argmin(np.abs(places - at)))
        off = (at - places[step]) / step_sec
        if abs(off) > 0.75:
            continue
        if step % 2 == 1 and abs(off) < 0.6:
            swings.append(0.5 + off / 2)
        velocity = (SOFTEST + (LOUDEST - SOFTEST) * min(1.0, level / strongest)) / 127
        for kind in here:
            k = probe.kinds.index(kind)
            grid[step, k] = max(grid[step, k], velocity)
    return HeardLoop(grid, beats.bpm, swings) if grid.any() else None


def step_places(beats: Beats, samples: int) -> np.ndarray:
    """Times of the 16ths in seconds, from the first bar to the end."""
    at = beats.positions[beats.downbeat :].astype(np.float64)
    if len(at) < 2:
        return np.zeros(0)
    at = np.append(at, min(2 * at[-1] - at[-2], samples))
    steps = np.arange((len(at) - 1) * STEPS_PER_BEAT) / STEPS_PER_BEAT
    return np.interp(steps, np.arange(len(at)), at) / RATE


def _trained(loops: list[HeardLoop], reporter: Reporter) -> StepNetwork:
    """The network at its best step on loops that it does not learn from; of few loops, after a fixed time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        network = StepNetwork(loops[0].velocities.shape[1])
        rng = np.random.default_rng(SEED)
        order = rng.permutation(len(loops))
        held = order[: int(HELD_OUT * len(loops))]
        kept = [loops[i] for i in order[len(held) :]]
        optimiser = torch.optim.Adam(network.parameters(), lr=RATE_OF_LEARNING)
        best: tuple[float, dict[str, Tensor]] | None = None
        waited = 0
        with reporter.progress("Learning", TRAINING_STEPS, "steps") as advance:
            for step in range(TRAINING_STEPS):
                network.train()
                loss = _loss(network, *_batch(kept, BATCH, rng))
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                advance(1)
                if len(held) and step % EVERY == EVERY - 1:
                    network.eval()
                    with torch.no_grad():
                        now = float(
                            _loss(network, *_batch([loops[i] for i in held], 4 * BATCH, np.random.default_rng(1)))
                        )
                    if best is None or now < best[0]:
                        best, waited = (now, {k: v.clone() for k, v in network.state_dict().items()}), 0
                    elif (waited := waited + 1) >= PATIENCE:
                        break
        if best is not None:
            network.load_state_dict(best[1])
    return network.eval()


def _batch(loops: list[HeardLoop], size: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Velocities (B, N, K) of windows that begin with a bar, repeated if a loop is shorter; and places (B, N)."""
    rows = []
    for _ in range(size):
        grid = loops[int(rng.integers(len(loops)))].velocities
        grid = grid[: max(1, len(grid) // STEPS) * STEPS]
        start = int(rng.integers(len(grid) // STEPS)) * STEPS if len(grid) >= STEPS else 0
        rows.append(np.take(grid, np.arange(start, start + WINDOW), axis=0, mode="wrap"))
    return torch.tensor(np.array(rows), dtype=torch.float32), torch.arange(WINDOW).expand(size, -1) % STEPS


def _loss(network: StepNetwork, velocities: Tensor, place: Tensor) -> Tensor:
    hits = (velocities > 0).float()
    before = F.pad(torch.cat([hits, velocities], dim=-1), (0, 0, 1, 0))[:, :-1]
    logits, levels, _ = network(before, place)
    off = ((levels - velocities).square() * hits).sum() / hits.sum().clamp(min=1)
    return F.binary_cross_entropy_with_logits(logits, hits) + off
