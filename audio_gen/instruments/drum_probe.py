"""Which drums an onset is: a probe that learns from the sounds of a kit, alone and in pairs."""

from collections.abc import Sequence

import numpy as np

from audio_gen.audio.music_features import music_features
from audio_gen.audio.resample import resample
from audio_gen.instruments.zones import Instrument
from audio_gen.midi.general_midi import drum_kind

RATE = 22050
BEFORE_SEC, AFTER_SEC = 0.05, 0.06  # of an onset, whose mean and peak levels are compared
BANDS = 13  # of a mel of 40, three in one
MIXTURES = 1200
MIXTURE_DB, TILT_DB = 12.0, 12.0  # softness of a second drum, and slope of the spectrum of all
RING_DB = (-45.0, -15.0)  # level of what rings before
LEVEL_DB = 36.0  # rises are limited to this
SURE = 0.3  # of a second drum at an onset
REGIONS = 4  # of bands, in one of which an onset has to be strong
AROUND_FRAMES, APART_FRAMES = 43, 5  # half a second, and 60 ms
LEAST_OF_STRONG, LEAST_RISE_DB = 0.15, 1.0
USUAL = {
    "kick": 1.0,
    "snare": 1.0,
    "hihat": 1.0,
    "clap": 0.8,
    "cymbal": 0.35,
    "tom": 0.5,
}  # how often a beat has a drum
RARE = 0.3
ALIKE = ({"kick", "tom", "hand", "bongo", "conga", "tabla"}, {"hihat", "cymbal", "shaker"})  # one of them at a time
ON_TOP = ("hihat", "cymbal", "shaker")  # play along with others
MOST_AT_ONCE = 3
SEED = 0


class DrumProbe:
    """Tells kinds of drums at an onset; several may sound together."""

    def __init__(self, instrument: Instrument) -> None:
        """Learn from the sounds of a kit whose classes name drums.

        They are heard alone, two or three at once, with other slopes of the spectrum, and while others ring.
        """
        from sklearn.linear_model import LogisticRegression
        from sklearn.multiclass import OneVsRestClassifier
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import PolynomialFeatures, StandardScaler

        sounds: dict[str, list[np.ndarray]] = {}
        for zone in instrument.zones:
            kind = drum_kind(zone.class_name)
            if zone.take == 0 and kind is not None:
                wav = resample(zone.wav.mean(0, keepdim=True), zone.sample_rate, RATE)[0].numpy()
                sounds.setdefault(kind, []).append(wav.astype(np.float32))
        self.kinds = list(sounds)
        rng = np.random.default_rng(SEED)
        top = [kind for kind in self.kinds if kind in ON_TOP]
        features, labels = [], []
        for i in range(MIXTURES):
            kind = self.kinds[i % len(self.kinds)]
            chosen = [kind]
            for share, pool in ((0.5, top or self.kinds), (0.3, self.kinds)):
                others = [one for one in pool if one not in chosen]
                if others and rng.random() < share:
                    chosen.append(others[int(rng.integers(len(others)))])
            features.append(self._mixture(rng, sounds, chosen))
            labels.append([one in chosen for one in self.kinds])
        self._model = make_pipeline(
            StandardScaler(), PolynomialFeatures(2, include_bias=False), StandardScaler(),
            OneVsRestClassifier(LogisticRegression(C=0.003, max_iter=300, class_weight="balanced")),
        )  # fmt: skip
        self._model.fit(np.array(features), np.array(labels, dtype=int))

    def _mixture(
        self, rng: np.random.Generator, sounds: dict[str, list[np.ndarray]], chosen: Sequence[str]
    ) -> np.ndarray:
        """Features of some drums at once, with a random slope, after a random other one."""
        size, at = round(0.6 * RATE), round(0.3 * RATE)
        x = np.zeros(size, np.float32)

        def add(kind: str, start: int, gain_db: float) -> None:
            wav = sounds[kind][int(rng.integers(len(sounds[kind])))]
            part = x[start : start + len(wav)]
            part += 10 ** (gain_db / 20) * wav[: len(part)]

        for i, kind in enumerate(chosen):
            add(kind, at, rng.uniform(-MIXTURE_DB, 0) if i else 0.0)
        add(
            self.kinds[int(rng.integers(len(self.kinds)))],
            at - round(rng.uniform(0.1, 0.29) * RATE),
            rng.uniform(*RING_DB),
        )
        mel = music_features([x], RATE, chroma=False)
        tilted = mel.mel_db + np.linspace(-0.5, 0.5, mel.mel_db.shape[1]) * rng.uniform(-TILT_DB, TILT_DB)
        return rise_at(tilted, mel.frame_rate, 0.3)

    def __call__(self, mel_db: np.ndarray, frame_rate: float, onsets_sec: Sequence[float]) -> list[list[str]]:
        """The kinds of drums at each onset, the likeliest first; at least one.

        Args:
            mel_db: See `MusicFeatures`.
            frame_rate: Its frames per second.
            onsets_sec: Times of onsets.
        """
        if not len(onsets_sec):
            return []
        shares = self._model.predict_proba(np.array([rise_at(mel_db, frame_rate, at) for at in onsets_sec]))
        weights = np.array([USUAL.get(kind, RARE) for kind in self.kinds])
        found = []
        for row in shares:
            order = np.argsort(-row * weights)[:MOST_AT_ONCE]
            here: list[str] = []
            for i in order:
                kind = self.kinds[i]
                alike = any({kind, other} <= group for group in ALIKE for other in here)
                if not here or (row[i] * weights[i] > SURE and not alike):
                    here.append(kind)
            found.append(here)
        return found


def rise_at(mel_db: np.ndarray, frame_rate: float, at_sec: float) -> np.ndarray:
    """How much each of 13 bands rises at an onset, in dB, and its level after it below the loudest band."""
    at = round(at_sec * frame_rate)
    before, after = max(1, round(BEFORE_SEC * frame_rate)), max(2, round(AFTER_SEC * frame_rate))
    first = mel_db[max(0, at - before) : max(1, at - 1)].mean(0)
    top = mel_db[max(0, at - 1) : at + after].max(0)
    rise, level = (one[: 3 * BANDS].reshape(BANDS, 3).max(1) for one in (top - first, top))
    return np.concatenate([np.clip(rise, 0, LEVEL_DB), np.maximum(level - level.max(), -LEVEL_DB)])


def onset_frames(mel_db: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Frames of onsets, and their strength in dB: the largest mean rise of low, middle or high bands."""
    from scipy.ndimage import maximum_filter1d, uniform_filter1d

    rises = np.maximum(mel_db[2:] - mel_db[:-2], 0)
    rise = np.pad(np.max([part.mean(1) for part in np.array_split(rises, REGIONS, axis=1)], axis=0), 1)
    stands_out = rise - uniform_filter1d(rise, AROUND_FRAMES)
    least = max(LEAST_OF_STRONG * float(np.quantile(stands_out, 0.99)), LEAST_RISE_DB) if len(rise) else 0.0
    tops = np.flatnonzero((rise == maximum_filter1d(rise, APART_FRAMES)) & (stands_out > least))
    return tops, rise[tops]
