"""Accompany tracks, and measure where the notes lie.

    python recipes/accompaniment/measure.py TRACKS.. --with DRUMS --bass NOTES [--work DIR] [-n 10]

Of each track: the share of onsets in the stem of drums within 20 ms of its beats or their halves (onsets are found in
the WAV; beats are those of the command, and those of librosa's tracker at that tempo, less its lateness on clicks);
the share of bass notes that
are among the three strongest of twelve pitch classes of the track in their beat, beside that of random notes; and the
level of the stems in beats in which the track is silent. Tracks without a steady beat are refused, and counted.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import librosa
import numpy as np

from audio_gen.audio.io import read_wav
from audio_gen.audio.music_features import music_features
from audio_gen.data.scan import AUDIO_SUFFIXES
from audio_gen.data.tempo import beats_of
from audio_gen.instruments.drum_probe import onset_frames
from audio_gen.instruments.harmony import beat_chroma
from audio_gen.midi.read import read_score

RATE = 22050
NEAR_SEC, STRONGEST = 0.02, 3
SILENT_DB = 40.0


def accompanied(track: Path, drums: Path, bass: Path, out: Path) -> dict | str:
    """What the command reports of a track, or why it refused it."""
    command = [sys.executable, "-m", "audio_gen", "accompany", str(track), "--with", str(drums), "--bass", str(bass)]
    done = subprocess.run([*command, "--out", str(out), "--force", "--json"], capture_output=True, text=True)
    return json.loads(done.stdout) if done.returncode == 0 else done.stderr.strip().splitlines()[-1]


def figures(track: Path, about: dict) -> dict[str, object]:
    """The figures of one track."""
    x = read_wav(track, sample_rate=RATE)[0][0].numpy()
    stems = {Path(path).stem: read_wav(path, sample_rate=RATE)[0][0].numpy() for path in about["stems"]}
    features = music_features([x], RATE)
    beats = np.array(about["beats_sec"])
    own = librosas_beats(x, about["bpm"]) - lateness_sec()
    heard = music_features([stems["drums"]], RATE, chroma=False)
    onsets = onset_frames(heard.mel_db)[0] / heard.frame_rate
    score = read_score(Path(about["midi"]))
    bass = [note for note in score.notes if not note.is_drum]
    drums = np.array([note.start_sec for note in score.notes if note.is_drum])
    chroma = beat_chroma(features, list(beats))
    rng = np.random.default_rng(0)
    strong = [_is_strong(chroma, beats, note.start_sec, note.pitch) for note in bass]
    chance = [_is_strong(chroma, beats, note.start_sec, int(rng.integers(12))) for note in bass]
    level = 10 * np.log10(np.mean(10 ** (features.mel_db / 10), axis=1) + 1e-12)
    quiet = level < np.quantile(level, 0.9) - SILENT_DB
    step = max(1, round(0.25 * features.frame_rate))  # a quarter of a second of silence and more, without tails
    long_quiet = np.array([quiet[max(0, i - 2 * step) : i + step].all() for i in range(len(quiet))])
    hop = RATE / features.frame_rate
    power = np.array(
        [float(np.mean(stems["drums"][int(i * hop) : int((i + 1) * hop)] ** 2)) for i in range(len(level))]
    )
    usual = float(np.mean(power)) + 1e-12
    quiet_power = float(np.mean(power[long_quiet])) if any(long_quiet) else 0.0
    in_silence_db = round(10 * float(np.log10(quiet_power / usual + 1e-12)), 1) if any(long_quiet) else None
    return {
        "bpm": round(about["bpm"], 1), "key": about["key"], "onsets": len(onsets),
        "on_our_beats": round(_near(drums, with_halves(beats)), 3),
        "heard_on_our_beats": round(_near(onsets, with_halves(beats)), 3),
        "on_librosas_beats": round(_near(drums, with_halves(own)), 3),
        "bass_notes": len(bass), "bass_on_strong_tones": round(float(np.mean(strong)), 3),
        "random_on_strong_tones": round(float(np.mean(chance)), 3),
        "silent_sec": round(float(long_quiet.sum() / features.frame_rate), 1), "drums_in_silence_db": in_silence_db,
    }  # fmt: skip


def librosas_beats(x: np.ndarray, bpm: float) -> np.ndarray:
    """Beats in seconds by librosa."""
    return np.asarray(librosa.beat.beat_track(y=x, sr=RATE, bpm=bpm, units="time", trim=False)[1])


@cache
def lateness_sec() -> float:
    """How late librosa's beats are, on clicks twice a second."""
    return late_on_clicks(lambda clicks: librosas_beats(clicks, 120.0))


def late_on_clicks(tracker: Callable[[np.ndarray], np.ndarray]) -> float:
    """How late the beats of a tracker are, on clicks twice a second for 40 s."""
    clicks = librosa.clicks(times=np.arange(0, 40, 0.5), sr=RATE, length=40 * RATE)
    return float(np.median((tracker(clicks) + 0.25) % 0.5 - 0.25))


def with_halves(beats: np.ndarray) -> np.ndarray:
    """Beats and the middles between them."""
    return np.sort(np.concatenate([beats, (beats[1:] + beats[:-1]) / 2]))


def _near(times: np.ndarray, grid: np.ndarray) -> float:
    """Share of times within 20 ms of a grid."""
    if not len(times) or not len(grid):
        return 0.0
    return float(np.mean([np.abs(grid - at).min() <= NEAR_SEC for at in times]))


def _is_strong(chroma: np.ndarray, beats: np.ndarray, at: float, pitch: int) -> bool:
    """Whether a pitch class is among the strongest of the track in the beat of a time."""
    beat = min(max(0, int(np.searchsorted(beats, at + 0.01) - 1)), len(chroma) - 1)
    return pitch % 12 in np.argsort(-chroma[beat])[:STRONGEST]


def tracks_in(given: Sequence[Path]) -> list[Path]:
    """Sound files, and those in folders."""
    found = []
    for path in given:
        found += [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.suffix.lower() in AUDIO_SUFFIXES)
    return found


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tracks", type=Path, nargs="+", help="tracks, or folders of them")
    parser.add_argument("--with", dest="drums", type=Path, required=True, help="a run or kit of drums")
    parser.add_argument("--bass", type=Path, required=True, help="a run or kit with pitches")
    parser.add_argument("--work", type=Path, help="where results are kept (default: a temporary folder)")
    parser.add_argument("-n", type=int, default=10, help="number of tracks that are accompanied")
    args = parser.parse_args()
    rows: list[dict] = []
    refused = 0
    with tempfile.TemporaryDirectory() as temporary:
        for track in tracks_in(args.tracks):
            if len(rows) == args.n:
                break
            about = accompanied(track, args.drums, args.bass, (args.work or Path(temporary)) / track.stem)
            if isinstance(about, str):
                refused += 1
                print(about, flush=True)
                continue
            rows.append(figures(track, about))
            print(track.name, json.dumps(rows[-1]), flush=True)
    keys = ("on_our_beats", "heard_on_our_beats", "on_librosas_beats", "bass_on_strong_tones", "random_on_strong_tones")
    ours = late_on_clicks(lambda clicks: beats_of(music_features([clicks], RATE, chroma=False)).positions / RATE)
    late = {"ours_late_on_clicks_ms": round(1000 * ours, 1), "librosas_late_ms": round(1000 * lateness_sec(), 1)}
    print(json.dumps({"tracks": len(rows), "refused": refused, **late, **{
        key: round(float(np.mean([row[key] for row in rows])), 3) for key in keys
    }}))  # fmt: skip


if __name__ == "__main__":
    main()
