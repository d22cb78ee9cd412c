"""Beat strength and tempo of sounds."""

import numpy as np

from audio_gen.evaluation.strips import SPEC, Strip

SLOWEST_BPM, FASTEST_BPM = 40.0, 240.0
LOCAL_SEC = 1.0  # onsets count from their mean over this time
SHORTEST_SEC = 6.0


def rhythm(strip: Strip) -> dict[str, float]:
    """Measure the rhythm of a sound.

    Returns:
        "beat_strength", the highest autocorrelation of the onsets at 40 to 240 bpm: 1 for a click track, near 0 for
        noise; and "tempo_bpm". NaN below six seconds and without onsets.

    Source: pulse clarity, Lartillot 2008; tempo by librosa.
    """
    import librosa
    from scipy.ndimage import uniform_filter1d

    onsets = strip.onsets.double().numpy()
    nothing = {"beat_strength": float("nan"), "tempo_bpm": float("nan")}
    if strip.duration_sec < SHORTEST_SEC:
        return nothing
    onsets = np.maximum(onsets - uniform_filter1d(onsets, round(LOCAL_SEC * SPEC.frame_rate)), 0)
    centred = onsets - onsets.mean()
    energy = float(centred @ centred)
    if energy < 1e-9:
        return nothing
    shortest, longest = (round(60 / bpm * SPEC.frame_rate) for bpm in (FASTEST_BPM, SLOWEST_BPM))
    curve = librosa.autocorrelate(centred, max_size=longest + 1)[shortest:]
    curve = curve / energy * len(centred) / (len(centred) - np.arange(shortest, longest + 1))  # equal for all lags
    tempo = librosa.feature.tempo(onset_envelope=onsets, sr=SPEC.sample_rate, hop_length=SPEC.hop_length)
    return {"beat_strength": float(np.clip(curve.max(), 0, 1)), "tempo_bpm": float(tempo[0])}
