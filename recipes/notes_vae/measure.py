"""How a VAE trained on named notes does on notes kept out of training: distances, pitch, level along interpolations.

    python recipes/notes_vae/measure.py NOTES RUN [--pairs 12] [--samples 48]

NOTES is the folder that RUN was trained on (files named instrument-pitch-velocity). "Nearest" is the distance of a clip
to the nearest training clip, as the mean absolute difference of log-mels in nats (floor -9), after the sound has gone
through the front end again; kept-out real clips show what a new real note scores.
"""

import argparse
import json
import statistics
from pathlib import Path

import librosa
import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from audio_gen.data.dataset import ClipDataset
from audio_gen.data.store import Cache
from audio_gen.generation.interpolate import decode_between
from audio_gen.generation.latents import Latents
from audio_gen.generation.pipeline import Pipeline
from audio_gen.models.pitch_axis import midi_to_hz

CENTS = 1200
STEADY_CENTS = 20.5  # pYIN's grid is 10 cents wide


def clips_of(cache: Cache, split: str, samples: int) -> list[dict]:
    """Every clip of a side: wav (1, T), class, pitch, path."""
    dataset = ClipDataset(cache, split=split, segment_samples=samples, seed=0, crop="start")
    rows = []
    for batch in dataset.fixed_batches(64):
        for wav, number in zip(batch.wav, batch.index.tolist(), strict=True):
            clip = cache.clips[number]
            rows.append({"wav": wav, "class": clip.class_name, "pitch": clip.pitch, "path": clip.path})
    return rows


def nearest(mels: Tensor, bank: Tensor) -> float:
    """Median distance of mels (N, M, L) to the nearest of bank (K, M, L), in nats."""
    distances = torch.cdist(mels.flatten(1), bank.flatten(1), p=1) / mels[0].numel()
    return float(distances.min(1).values.median())


def f0_cents(wav: Tensor, pitch: float, sample_rate: int) -> np.ndarray:
    """How far each voiced frame (pYIN, within an octave of it) is from a MIDI pitch, in cents."""
    wanted_hz = float(midi_to_hz(torch.tensor(pitch)))
    low, high = max(30.0, wanted_hz / 2.2), min(wanted_hz * 2.2, sample_rate / 4)
    f0_hz, voiced, _ = librosa.pyin(wav.numpy(), fmin=low, fmax=high, sr=sample_rate, frame_length=2048)
    cents = CENTS * np.log2(f0_hz[voiced] / wanted_hz)
    return cents[np.isfinite(cents)]


def level_db(wav: Tensor) -> float:
    return float(10 * torch.log10(wav.square().mean() + 1e-12))


def pitch_row(name: str, wavs: Tensor, pitches: list[float], sample_rate: int) -> dict:
    """Share of clips whose median f0 lies within 50 cents, the median absolute deviation, and the voiced share."""
    medians = []
    for wav, pitch in zip(wavs, pitches, strict=True):
        cents = f0_cents(wav[0], pitch, sample_rate)
        medians.append(float(np.median(cents)) if len(cents) > 4 else None)
    heard = [abs(m) for m in medians if m is not None]
    return {
        "what": name, "voiced": len(heard) / len(medians), "within_50_cents": float(np.mean([h <= 50 for h in heard])),
        "median_cents": statistics.median(heard),
    }  # fmt: skip


def encoded(pipeline: Pipeline, mel: Tensor, clip: dict) -> Latents:
    return pipeline.encode(mel, pipeline.vocabulary.requested(clip["class"], clip["pitch"]))


def interpolations(pipeline: Pipeline, held: list[dict], count: int) -> list[dict]:
    """Paths of 8 steps between two kept-out notes of one pitch and different instruments."""
    rows = []
    by_pitch: dict[float, list[dict]] = {}
    for clip in held:
        by_pitch.setdefault(clip["pitch"], []).append(clip)
    pairs = [(a, b) for clips in by_pitch.values() for a in clips for b in clips if a["class"] < b["class"]]
    order = np.random.default_rng(0).permutation(len(pairs))
    for a, b in (pairs[i] for i in order[:count]):
        ends = [encoded(pipeline, pipeline.mel(clip["wav"]), clip) for clip in (a, b)]
        wavs = pipeline.vocode(decode_between(pipeline, *ends, torch.linspace(0, 1, 8)))
        rate = pipeline.spec.sample_rate
        cents = [f0_cents(wav[0], a["pitch"], rate) for wav in wavs]
        medians = [float(np.median(c)) for c in cents if len(c) > 4]
        levels = [level_db(wav) for wav in wavs]
        rows.append(
            {
                "from": a["path"], "to": b["path"], "voiced_steps": len(medians),
                "drift_cents": max(abs(m - medians[0]) for m in medians) if medians else None,
                "real_ends_cents": [
                    float(np.median(c)) if len(c) > 4 else None
                    for c in (f0_cents(x["wav"][0], a["pitch"], rate) for x in (a, b))
                ],
                "dip_db": max(0.0, min(levels[0], levels[-1]) - min(levels)),
            }
        )  # fmt: skip
    return rows


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("notes", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--pairs", type=int, default=12)
    parser.add_argument("--samples", type=int, default=48)
    parser.add_argument("--vocoder", default=None)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(2)
    pipeline, cache = Pipeline.load(args.run, vocoder=args.vocoder), Cache.open(args.run / "cache")
    rate = pipeline.spec.sample_rate
    train, held = (clips_of(cache, split, pipeline.samples) for split in ("train", "val"))
    bank = torch.stack([pipeline.mel(clip["wav"]) for clip in train])
    real = torch.stack([clip["wav"] for clip in held])
    real_mel = torch.stack([pipeline.mel(wav) for wav in real])

    latents = Latents.join([encoded(pipeline, mel, clip) for mel, clip in zip(real_mel, held, strict=True)])
    made_mel = pipeline.decode(latents)
    drawn = pipeline.latents(range(args.samples))
    sounds = {
        "real, kept out": real,
        "copy-synthesis": pipeline.vocode(real_mel),
        "reconstruction": pipeline.vocode(made_mel),
        "sample": pipeline.vocode(pipeline.decode(drawn)),
        "white noise": 0.1 * torch.randn(16, 1, pipeline.samples, generator=torch.Generator().manual_seed(0)),
    }
    pitches = {
        "sample": drawn.pitch.tolist(),
        **{name: [c["pitch"] for c in held] for name in ("real, kept out", "copy-synthesis", "reconstruction")},
    }
    table = Table("what", "nearest (nats)", "level (dB)", "voiced", "within 50 cents", "median |cents|")
    result: dict = {"mel_l1": float((made_mel - real_mel).abs().mean()), "clips": len(held), "sounds": []}
    for name, wavs in sounds.items():
        mels = torch.stack([pipeline.mel(wav) for wav in wavs])
        row = {"what": name, "nearest": nearest(mels, bank), "level_db": statistics.median(map(level_db, wavs))}
        if name in pitches:
            row |= pitch_row(name, wavs, pitches[name], rate)
        result["sounds"].append(row)
        heard = [f"{row[k]:.2f}" if k in row else "" for k in ("voiced", "within_50_cents", "median_cents")]
        table.add_row(name, f"{row['nearest']:.3f}", f"{row['level_db']:.1f}", *heard)
    paths = interpolations(pipeline, held, args.pairs)
    result["interpolations"] = paths
    console = Console(width=110)
    console.print(f"{len(held)} notes kept out; log-mel L1 of their reconstruction {result['mel_l1']:.3f} nats")
    console.print(table)
    drifts = [p["drift_cents"] for p in paths if p["drift_cents"] is not None]
    console.print(
        f"interpolation over {len(paths)} pairs of one pitch: {sum(d <= STEADY_CENTS for d in drifts)} stay within "
        f"{STEADY_CENTS:.0f} cents, median drift {statistics.median(drifts):.0f}; "
        f"dip below the lower end at most {max(p['dip_db'] for p in paths):.2f} dB"
    )
    for path in paths:
        if (path["drift_cents"] or 0) > STEADY_CENTS:
            console.print(f"  {path['from']} to {path['to']}: {path['drift_cents']:.0f} cents")
    if args.json:
        args.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
