"""How well do continuations fit their prompts? Figures of kept-out prompts, as Markdown.

    python recipes/music_sequence/continuations.py RUN FOLDER [-n 50] [--prompt 6] [--seconds 10] [--vocoder small:2]

Prompts of some seconds are cut from the files of FOLDER at random places with sound, and continued by the operation of
`audio-gen continue`. The level is that of the second before the join and of the second after it; beside it the same of
the files themselves, which go on as they were. The seam is the step of the log-mel across the join as a z-score among
inner ones (`audio_gen.audio.seam`). An embedding compares each continuation with its own prompt and with all others
of other files; the share is of those that are nearer to their own than to the median other one, beside that of the real
tracks.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from audio_gen.audio.io import read_wav, write_wav
from audio_gen.audio.resample import resample
from audio_gen.audio.seam import join_seam
from audio_gen.evaluation.embeddings import load_embedding
from audio_gen.generation.operations.continuation import ContinueRequest, continue_sounds
from audio_gen.generation.outputs import sound_files
from audio_gen.generation.pipeline import Pipeline

QUIET_DB = -50.0  # below full scale; quieter places are no prompts


def level_db(wav: Tensor) -> float:
    """RMS level in dB."""
    return float(10 * torch.log10(wav.square().mean() + 1e-12))


def step_db(wav: Tensor, at: int, rate: int) -> float:
    """The level of the second after a sample minus that of the second before it."""
    return level_db(wav[:, at : at + rate]) - level_db(wav[:, at - rate : at])


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("-n", type=int, default=50)
    parser.add_argument("--prompt", type=float, default=6.0)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--vocoder", default="small:2")
    args = parser.parse_args()
    pipeline = Pipeline.load(args.run, vocoder=args.vocoder, device="cpu")
    rate, draw = pipeline.spec.sample_rate, np.random.default_rng(0)
    sounds = [read_wav(file, sample_rate=rate)[0] for file in sound_files([args.folder])]
    sounds = [wav for wav in sounds if wav.shape[1] > (args.prompt + args.seconds + 1) * rate]
    long, after = round(args.prompt * rate), round(args.seconds * rate)
    prompts: list[Tensor] = []
    sources: list[int] = []
    real_steps, real_after = [], []
    while len(prompts) < args.n:
        number = int(draw.integers(len(sounds)))
        start = int(draw.integers(sounds[number].shape[1] - long - after))
        prompt = sounds[number][:, start : start + long]
        if level_db(prompt[:, -rate:]) > QUIET_DB:
            prompts.append(prompt)
            sources.append(number)
            real_steps.append(step_db(sounds[number], start + long, rate))
            real_after.append(sounds[number][:, start + long : start + long + after])
    with tempfile.TemporaryDirectory() as temporary:
        files = [Path(temporary) / f"prompt-{i:02d}.wav" for i in range(args.n)]
        for file, prompt in zip(files, prompts, strict=True):
            write_wav(file, prompt, rate, "FLOAT")
        request = ContinueRequest(files=files, duration_sec=args.seconds, command="continuations.py")
        saved = continue_sounds(pipeline, request).save(Path(temporary) / "out")
        wavs = [read_wav(one.path)[0] for one in saved]
    steps = np.array([step_db(wav, long, rate) for wav in wavs])
    seams = [join_seam(wav.numpy(), rate, long) for wav in wavs]
    z, jump = np.array([one.step_z for one in seams]), np.array([one.peak_jump for one in seams])
    continued = [wav[:, long:] for wav in wavs]
    parts = {
        "the whole": (continued, real_after),
        "the first 2 s": ([wav[:, : 2 * rate] for wav in continued], [wav[:, : 2 * rate] for wav in real_after]),
        "the last 2 s": ([wav[:, -2 * rate :] for wav in continued], [wav[:, -2 * rate :] for wav in real_after]),
    }
    real = np.array(real_steps)
    print(
        f"| level within 2 dB across the join | {np.mean(abs(steps) <= 2):.0%} | real: {np.mean(abs(real) <= 2):.0%} |"
    )
    print(f"| level step, dB: median, 95 % | {np.median(abs(steps)):.2f}, {np.quantile(abs(steps), 0.95):.2f} | "
          f"real: {np.median(abs(real)):.2f}, {np.quantile(abs(real), 0.95):.2f} |")  # fmt: skip
    print(f"| seam z: median, 95 % | {np.median(z):.2f}, {np.quantile(z, 0.95):.2f} | below 2: {np.mean(z < 2):.0%} |")
    print(f"| sample jump over the peak: largest | {jump.max():.2%} | clicks: {sum(one.clicks for one in seams)} |")
    for part, sides in parts.items():
        nearer, real_nearer = (float(np.mean(np.less(*_distances(prompts, side, sources, rate)))) for side in sides)
        print(f"| nearer to its own prompt than to the median other, {part} | {nearer:.0%} | real: {real_nearer:.0%} |")


def _distances(
    prompts: list[Tensor], continuations: list[Tensor], sources: list[int], rate: int
) -> tuple[np.ndarray, np.ndarray]:
    """Distance of each continuation to its own prompt, and its median distance to prompts from other files."""
    embedding = load_embedding()

    def embed(wavs: list[Tensor]) -> Tensor:
        return embedding([resample(wav, rate, embedding.sample_rate)[0] for wav in wavs])

    distances = torch.cdist(embed(continuations), embed(prompts)).numpy()
    files = np.array(sources)
    others = [np.median(row[files != files[i]]) for i, row in enumerate(distances)]
    return distances.diagonal(), np.array(others)


if __name__ == "__main__":
    main()
