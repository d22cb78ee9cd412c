"""Which drums an onset is: a probe that learns from the sounds of a kit, alone and in pairs."""

from collections.abc import Sequence

import numpy as np

from audio_gen.audio.music_features import music_features
from audio_gen.audio.resample import resample
from audio_gen.instruments.zones import Instrument
from audio_gen.midi.general_midi import drum_kind

RATE = 22050
BEFORE_SEC, AFTER_SEC = 0.05, 0.07  # of an onset, whose mean and peak levels are compared
PAIRS, PAIR_LEVELS_DB = 400, 9.0
LEVEL_DB = 40.0  # rises are limited to this
SURE = 0.5
USUAL = {"kick": 1.0, "snare": 1.0, "hihat": 1.0, "clap": 0.7, "cymbal": 0.6}  # how often a beat has a drum
RARE = 0.4
SEED = 0


class DrumProbe:
    """Tells kinds of drums at an onset; several may sound together."""

    def __init__(self, instrument: Instrument) -> None:
        """Learn from the sounds of a kit whose classes name drums."""
        from sklearn.linear_model import LogisticRegression
        from sklearn.multiclass import OneVsRestClassifier
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        sounds = [
            (kind, resample(zone.wav.mean(0, keepdim=True), zone.sample_rate, RATE)[0].numpy())
            for zone in instrument.zones
            if zone.take == 0 and (kind := drum_kind(zone.class_name)) is not None
        ]
        self.kinds = list(dict.fromkeys(kind for kind, _ in sounds))
        rng = np.random.default_rng(SEED)
        examples = [([kind], wav) for kind, wav in sounds]
        for _ in range(PAIRS):
            (a, x), (b, y) = (sounds[int(i)] for i in rng.integers(len(sounds), size=2))
            if a != b:
                size = max(len(x), len(y))
                gain = 10 ** (rng.uniform(-PAIR_LEVELS_DB, 0) / 20)
                examples.append(([a, b], np.pad(x, (0, size - len(x))) + gain * np.pad(y, (0, size - len(y)))))
        features = [self._of_sound(wav) for _, wav in examples]
        labels = np.array([[kind in kinds for kind in self.kinds] for kinds, _ in examples], dtype=int)
        self._model = make_pipeline(
            StandardScaler(), OneVsRestClassifier(LogisticRegression(C=0.1, max_iter=500, class_weight="balanced"))
        )
        self._model.fit(np.array(features), labels)

    def _of_sound(self, wav: np.ndarray) -> np.ndarray:
        silence = np.zeros(round(0.3 * RATE), np.float32)
        padded = np.concatenate([silence, wav.astype(np.float32), silence])
        mel_db = music_features([padded], RATE, chroma=False)
        return rise_at(mel_db.mel_db, mel_db.frame_rate, 0.3)

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
        shares = shares * np.array([USUAL.get(kind, RARE) for kind in self.kinds])
        found = []
        for row in shares:
            order = np.argsort(-row)
            found.append([self.kinds[i] for k, i in enumerate(order) if k == 0 or (row[i] > SURE and k < 3)])
        return found


def rise_at(mel_db: np.ndarray, frame_rate: float, at_sec: float) -> np.ndarray:
    """How much each band (M,) rises at an onset, in dB, and its level after it below the loudest band."""
    at = round(at_sec * frame_rate)
    before, after = max(1, round(BEFORE_SEC * frame_rate)), max(2, round(AFTER_SEC * frame_rate))
    first = mel_db[max(0, at - before) : max(1, at - 1)].mean(0)
    top = mel_db[max(0, at - 1) : at + after].max(0)
    return np.concatenate([np.clip(top - first, 0, LEVEL_DB), np.maximum(top - top.max(), -LEVEL_DB)])


def onset_frames(mel_db: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Frames of onsets, and their strength in dB."""
    from scipy.ndimage import maximum_filter1d, uniform_filter1d

    rise = np.maximum(mel_db[2:] - mel_db[:-2], 0).mean(1)
    rise = np.pad(rise, 1)
    stands_out = rise - uniform_filter1d(rise, 43)
    least = max(0.15 * float(np.quantile(stands_out, 0.99)), 0.5) if len(rise) else 0.0
    tops = np.flatnonzero((rise == maximum_filter1d(rise, 5)) & (stands_out > least))
    return tops, rise[tops]
