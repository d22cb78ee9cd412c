"""Reconstructions of the held-out files of a VAE's run: error, loudness, classes and speed, as a Markdown row.

    python recipes/drums_vae/reconstructions.py RUN [--vocoder small:2] [--json FILE]

The error is the mean absolute difference of log-mels in nats (floor -9) over the frames of sound. Classes are those of
a linear probe (embedding yamnet) that is trained on the training files: of the held-out files, of their copy-synthesis
and of their reconstructions. Speeds are of clips without the vocoder, in batches of 32.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from audio_gen.audio.resample import resample
from audio_gen.data.dataset import ClipDataset
from audio_gen.data.store import Cache
from audio_gen.evaluation import signal
from audio_gen.evaluation.embeddings import load_embedding
from audio_gen.evaluation.probe import class_probe
from audio_gen.generation.pipeline import Pipeline
from audio_gen.models.contract import CLASS, PITCH, VELOCITY, Conditions

BATCH, TIMED = 32, 5
HEAD = [
    "run", "held-out files", "log-mel L1 (nats)", "class accuracy", "of copy-synthesis", "of the real files",
    "loudness, dB from real", "encoded a second", "decoded a second",
]  # fmt: skip


def clips_of(cache: Cache, split: str, pipeline: Pipeline) -> tuple[Tensor, Tensor, Conditions, list[str | None]]:
    """Waves (N, 1, T) of one side, their lengths in samples (N,), conditions and classes."""
    data = ClipDataset(
        cache, split=split, segment_samples=pipeline.samples, seed=0, crop="start", preroll=pipeline.preroll
    )
    batches = list(data.fixed_batches(BATCH))
    conditions = Conditions.join(
        [Conditions(len(b.wav), {CLASS: b.class_id, PITCH: b.pitch, VELOCITY: b.velocity}) for b in batches]
    )
    names = [cache.clips[number].class_name for b in batches for number in b.index.tolist()]
    return torch.cat([b.wav for b in batches]), torch.cat([b.length for b in batches]), conditions, names


def fastest(work: Callable[[], object]) -> float:
    """Seconds of the fastest of several calls."""
    seconds = []
    for _ in range(TIMED):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


@torch.no_grad()
def measured(run: Path, vocoder: str | None) -> dict[str, float]:
    pipeline, cache = Pipeline.load(run, vocoder=vocoder), Cache.open(run / "cache")
    spec, codec, embedding = pipeline.spec, pipeline.codec, load_embedding("yamnet")
    train, _, _, train_classes = clips_of(cache, "train", pipeline)
    wav, length, conditions, classes = clips_of(cache, "val", pipeline)
    conditions = conditions.subset(codec.conditions)
    mel = torch.stack([pipeline.mel(one) for one in wav]).clamp(min=codec.mel_floor)
    rows = [slice(i, i + BATCH) for i in range(0, len(mel), BATCH)]
    z = torch.cat([codec.encode(mel[part], conditions[part]).mean for part in rows])
    made = torch.cat([codec.decode(z[part], conditions[part]) for part in rows])
    frames = torch.arange(mel.shape[2]) < -(-length[:, None] // spec.hop_length)
    error = ((made - mel).abs().mean(1) * frames).sum(1) / frames.sum(1)

    def embedded(waves: Tensor) -> Tensor:
        return embedding(list(resample(waves.reshape(len(waves), -1), spec.sample_rate, embedding.sample_rate)))

    def accuracy(waves: Tensor) -> float:
        found = class_probe(real, train_classes, [str(i) for i in range(len(real))], embedded(waves), classes)
        return float("nan") if found is None else found["accuracy"]

    def loudness(waves: Tensor) -> list[float]:
        return [signal.describe(one.reshape(-1), spec.sample_rate)["loudness_lufs"] for one in waves]

    real, rebuilt = embedded(train), pipeline.vocode(made, BATCH)
    batch, some = mel[rows[0]], conditions[rows[0]]
    apart = [a - b for a, b in zip(loudness(rebuilt), loudness(wav), strict=True)]
    return {
        "files": len(mel), "l1": float(error.mean()), "class": accuracy(rebuilt),
        "class_copy": accuracy(pipeline.vocode(mel, BATCH)), "class_real": accuracy(wav),
        "loudness_db": statistics.median(one for one in apart if one == one),
        "encoded": len(batch) / fastest(lambda: codec.encode(batch, some)),
        "decoded": len(batch) / fastest(lambda: codec.decode(z[rows[0]], some)),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--vocoder", default=None)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    found = measured(args.run, args.vocoder)
    forms = ["d", ".3f", ".2f", ".2f", ".2f", "+.1f", ".0f", ".0f"]
    row = [args.run.name, *(format(value, form) for value, form in zip(found.values(), forms, strict=True))]
    for line in (HEAD, ["---"] * len(HEAD), row):
        print(f"| {' | '.join(line)} |")
    if args.json is not None:
        args.json.write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
