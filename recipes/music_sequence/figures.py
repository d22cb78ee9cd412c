"""How near are samples of sequence models to kept-out music? One Markdown row for each set of windows.

    python recipes/music_sequence/figures.py RUN .. --train FOLDER --real FOLDER [--windows 160] [--sounds 40]
        [--seconds 10] [--temperature 1 ..] [--no-copies]

FOLDER are long files: those that the models learned from, and others. All windows have 2 s, and all go through the
vocoder `small:2`. KAD and its 95 % interval, precision and coverage are against random windows of the kept-out files.
Rows: other kept-out windows (the two sets share files), training windows, windows through the codec of the first run
(of training files; of kept-out files, against these same windows), and for each run the windows of SOUNDS new sounds
of SECONDS. The last columns: the deviation of the windows' level in dB; the steps of the log-mel at the borders of
patches of four frames over those inside (1 for real sounds); how many seconds of latents a run draws a second; and the
error of the codec's mean in nats of log-mel.
"""

import argparse
import time
from pathlib import Path

import torch
from torch import Tensor

from audio_gen.audio.io import read_wav
from audio_gen.audio.long_mel import of_wav
from audio_gen.audio.resample import resample
from audio_gen.evaluation import distances
from audio_gen.evaluation.compare import mean_prdc
from audio_gen.evaluation.embeddings import load_embedding
from audio_gen.generation.outputs import sound_files
from audio_gen.generation.pipeline import Pipeline
from audio_gen.generation.sequence import draw_latents
from audio_gen.models.codecs.patches import STRIDE
from audio_gen.models.contract import Conditions
from audio_gen.vocoding.silence import subtract_floor

WINDOW_SEC = 2.0


def windows(folder: Path, pipeline: Pipeline, count: int, seed: int) -> Tensor:
    """Log-mels (count, M, L) of random windows; a file's chance is its length."""
    spec = pipeline.spec
    frames = round(WINDOW_SEC * spec.frame_rate) // 4 * 4
    mels = [of_wav(read_wav(file, sample_rate=spec.sample_rate)[0], spec) for file in sound_files([folder])]
    long = [mel for mel in mels if mel.frames > frames]
    draw = torch.Generator().manual_seed(seed)
    chosen = torch.multinomial(torch.tensor([float(mel.frames) for mel in long]), count, True, generator=draw)
    found = []
    for one in chosen.tolist():
        start = int(torch.randint((long[one].frames - frames) // 4 + 1, (1,), generator=draw)) * 4
        found.append(long[one](start, start + frames))
    return torch.stack(found)


class Scores:
    """Prints the figures of windows against kept-out ones."""

    def __init__(self, pipeline: Pipeline, reference: Tensor) -> None:
        """Embed the reference windows."""
        self.pipeline, self.embedding = pipeline, load_embedding()
        self.reference = self.embed(reference)

    def embed(self, mels: Tensor) -> Tensor:
        """Log-mels (B, M, L) -> vectors (B, D), through the vocoder."""
        floor, rate = self.pipeline.codec.mel_floor, self.pipeline.spec.sample_rate
        wav = torch.cat([self.pipeline.vocoder(subtract_floor(mel[None].clamp(min=floor), floor)) for mel in mels])
        return self.embedding(list(resample(wav[:, 0], rate, self.embedding.sample_rate)))

    def row(self, title: str, mels: Tensor, more: str = "| | |") -> None:
        """Print one row."""
        vectors = self.embed(mels)
        kad, low, high = distances.kad_estimate(self.reference, vectors)
        near = mean_prdc(self.reference, vectors)
        shares = f"{near['precision']:.2f} | {near['coverage']:.0%}"
        mels = mels.clamp(min=self.pipeline.codec.mel_floor)
        spread, borders = float(levels_db(mels).std()), border_steps(mels)
        estimate = f"{kad:.2f} ({low:.2f} to {high:.2f})"
        print(f"| {title} | {len(mels)} | {estimate} | {shares} | {spread:.1f} | {borders:.2f} {more}", flush=True)


def levels_db(mels: Tensor) -> Tensor:
    """Levels (B,) of log-mels (B, M, L), up to a constant."""
    return 10 * (2 * mels).exp().mean((1, 2)).log10()


def border_steps(mels: Tensor) -> float:
    """The mean step between frames at the borders of patches over that inside, of log-mels (B, M, L)."""
    steps = (mels[:, :, 1:] - mels[:, :, :-1]).abs().mean((0, 1))
    by_place = steps[: len(steps) // STRIDE * STRIDE].view(-1, STRIDE).mean(0)
    return float(by_place[-1] / by_place[:-1].mean())


def decoded(pipeline: Pipeline, z: Tensor, grain: float | None = None) -> Tensor:
    """Log-mel (1, M, 4 N) of latents (N, D)."""
    with torch.no_grad():
        return pipeline.sequence_codec.decode_part(z[None], 0, len(z), grain=grain)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--real", type=Path, required=True)
    parser.add_argument("--windows", type=int, default=160)
    parser.add_argument("--sounds", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--temperature", type=float, nargs="+", default=[1.0])
    parser.add_argument("--no-copies", action="store_true", help="Only the rows of samples.")
    args = parser.parse_args()
    pipeline = Pipeline.load(args.runs[0], vocoder="small:2", device="cpu")
    real = windows(args.real, pipeline, args.windows, 1)
    scores = Scores(pipeline, real)
    print(
        "| windows | n | KAD (95 %) | precision | coverage | level, dB | steps at borders | clip-s/s | L1, nats |\n"
        "|---|---|---|---|---|---|---|---|---|"
    )
    if not args.no_copies:
        train = windows(args.train, pipeline, args.windows, 2)
        scores.row("other windows of the kept-out files", windows(args.real, pipeline, args.windows, 3))
        scores.row("of the training files", train)
        copies = [_copies(pipeline, mels) for mels in (train, real)]
        scores.row("of the training files, through the codec", copies[0][0])
        started = time.perf_counter()
        _copies(pipeline, real)
        speed = args.windows * WINDOW_SEC / (time.perf_counter() - started)
        mean, floor = _copies(pipeline, real, grain=0.0)[0], pipeline.codec.mel_floor
        error = float((mean - real.clamp(min=floor)).abs().mean())
        more = f"| {speed:.0f} | {error:.3f} |"
        scores.row("kept-out ones through the codec, against themselves", copies[1][0], more)
    for run in args.runs:
        for temperature in args.temperature:
            _samples(scores, run, args.sounds, args.seconds, temperature)


def _copies(pipeline: Pipeline, mels: Tensor, grain: float | None = None) -> tuple[Tensor, Tensor]:
    """Copies of log-mels by the codec, and their latents."""
    with torch.no_grad():
        z = torch.cat([pipeline.codec.encode(mel[None], Conditions(1)).mean for mel in mels])
    return torch.cat([decoded(pipeline, one, grain) for one in z]), z


def _samples(scores: Scores, run: Path, sounds: int, seconds: float, temperature: float) -> None:
    pipeline = Pipeline.load(run, vocoder="small:2", device="cpu")
    count = round(seconds * pipeline.spec.sample_rate / pipeline.latent_samples)
    frames, started = round(WINDOW_SEC * pipeline.spec.frame_rate) // 4 * 4, time.perf_counter()
    drawn = []
    for seed in range(sounds):
        draw = torch.Generator().manual_seed(seed)
        conditions = pipeline.sequence.fill(Conditions(1), [draw])
        drawn.append(torch.cat(list(draw_latents(pipeline, conditions, draw, count, temperature=temperature))))
    speed = sounds * seconds / (time.perf_counter() - started)
    mels = torch.cat([decoded(pipeline, z) for z in drawn])
    parts = torch.cat([mels[:, :, i : i + frames] for i in range(0, mels.shape[2] - frames + 1, frames)])
    title = f"samples of {run.name}" + ("" if temperature == 1 else f", temperature {temperature:g}")
    scores.row(title, parts, f"| {speed:.0f} | |")


if __name__ == "__main__":
    main()
