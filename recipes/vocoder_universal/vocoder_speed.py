"""How fast vocoders are, what they compute, and what memory they take; other projects' own code beside them.

Inputs are random log-mels, since no vocoder here is faster for one mel than for another. `benchmark.py` has the table.
"""

import contextlib
import io
import platform
import resource
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from audio_gen.audio.mel import LOG_FLOOR, MelSpec
from audio_gen.vocoding.bigvgan import BigVGANVocoder
from audio_gen.vocoding.load import load_vocoder
from audio_gen.vocoding.long import vocode_long
from audio_gen.vocoding.renderer import NetworkVocoder

PRECISIONS = ("fp32", "bf16")
WARM_UP_SEC, COUNTED_SEC = 1.0, 1.0
GEMM_SIZE, GEMM_TIMES = 1024, {"cpu": 4, "cuda": 100}
MEL_MEAN, MEL_SPREAD = -5.0, 2.0
# Of HiFi-GAN V1 (Kong 2020), which BigVGAN-base (Lee 2022) shares but for its activations.
UPSAMPLING = {
    "upsample_rates": [8, 8, 2, 2], "upsample_kernel_sizes": [16, 16, 4, 4], "upsample_initial_channel": 512,
    "resblock": "1", "resblock_kernel_sizes": [3, 7, 11], "resblock_dilation_sizes": [[1, 3, 5]] * 3,
}  # fmt: skip


@dataclass(frozen=True)
class Timed:
    """What is timed: `run` takes a log-mel (1, M, L) and leaves the sound on the CPU."""

    name: str
    sample_rate: int
    hop_length: int
    n_mels: int
    run: Callable[[Tensor], Tensor]
    network: nn.Module | None = None
    peer: bool = False

    @property
    def parameters(self) -> int | None:
        return None if self.network is None else sum(p.numel() for p in self.network.parameters())

    @property
    def precisions(self) -> tuple[str, ...]:
        """A method without a network computes in fp32 whatever it is told."""
        return PRECISIONS if self.network is not None else PRECISIONS[:1]

    def mel(self, duration_sec: float, device: torch.device) -> Tensor:
        frames = max(1, round(duration_sec * self.sample_rate / self.hop_length))
        drawn = torch.randn(1, self.n_mels, frames, generator=torch.Generator().manual_seed(0))
        return (MEL_MEAN + MEL_SPREAD * drawn).clamp(min=LOG_FLOOR).to(device)


def own(choice: str, spec: MelSpec | None, device: torch.device) -> Timed:
    """A vocoder as commands use it: in blocks that fade into each other."""
    vocoder = load_vocoder(choice, spec, device)
    network = vocoder.network if isinstance(vocoder, NetworkVocoder | BigVGANVocoder) else None
    spec = vocoder.spec
    return Timed(
        choice, spec.sample_rate, spec.hop_length, spec.n_mels, lambda mel: vocode_long(vocoder, mel[0]), network
    )


def peer(name: str, device: torch.device) -> Timed:
    """Another project's own code with random weights, in a size that it was published in.

    Raises:
        ImportError: The package, or one that it needs, is not there.
    """
    build, sample_rate, hop_length, n_mels = PEERS[name]
    torch.manual_seed(0)
    # They print and warn as they are made, which is nobody's business here.
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        network = build().eval().to(device)
    return Timed(name, sample_rate, hop_length, n_mels, lambda mel: network(mel).cpu(), network, peer=True)


def vocos(n_mels: int, n_fft: int, hop_length: int) -> nn.Module:
    """Vocos (Siuzdak 2023), its mel model."""
    from vocos.heads import ISTFTHead
    from vocos.models import VocosBackbone

    return nn.Sequential(
        VocosBackbone(input_channels=n_mels, dim=512, intermediate_dim=1536, num_layers=8),
        ISTFTHead(dim=512, n_fft=n_fft, hop_length=hop_length, padding="center"),
    )


def bigvgan_base() -> nn.Module:
    from bigvgan.bigvgan import BigVGAN
    from bigvgan.env import AttrDict

    network = BigVGAN(AttrDict({**UPSAMPLING, "num_mels": 100, "activation": "snakebeta", "snake_logscale": True}))
    network.remove_weight_norm()
    return network


def hifigan_v1() -> nn.Module:
    from speechbrain.lobes.models.HifiGAN import HifiganGenerator

    renamed = {"upsample_rates": "upsample_factors", "resblock": "resblock_type"}
    settings = {renamed.get(key, key): value for key, value in UPSAMPLING.items()}
    network = HifiganGenerator(in_channels=80, out_channels=1, **settings)
    network.remove_weight_norm()
    return network


# What makes the network, sample rate in Hz, hop_length, n_mels; the third is Vocos on the mel of the 44.1 kHz preset.
PEERS: dict[str, tuple[Callable[[], nn.Module], int, int, int]] = {
    "vocos": (lambda: vocos(100, 1024, 256), 24000, 256, 100),
    "vocos-44khz": (lambda: vocos(128, 2048, 512), 44100, 512, 128),
    "bigvgan": (bigvgan_base, 24000, 256, 100),
    "hifigan": (hifigan_v1, 22050, 256, 80),
}


@torch.no_grad()
def seconds_of(work: Timed, mel: Tensor, precision: str) -> float:
    """Seconds that it takes, until the sound is on the CPU."""
    _wait(mel.device)
    start = time.perf_counter()
    with torch.autocast(mel.device.type, dtype=torch.bfloat16, enabled=precision == "bf16"):
        work.run(mel)
    _wait(mel.device)
    return time.perf_counter() - start


def gemm_rate(device: torch.device, precision: str) -> float:
    """GFLOP/s of a product of two square matrices of 1024 rows."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    a, b = (torch.ones(GEMM_SIZE, GEMM_SIZE, device=device, dtype=dtype) for _ in range(2))
    times = GEMM_TIMES.get(device.type, GEMM_TIMES["cpu"])
    a @ b
    _wait(device)
    start = time.perf_counter()
    for _ in range(times):
        a @ b
    _wait(device)
    return 2e-9 * GEMM_SIZE**3 * times / (time.perf_counter() - start)


@torch.no_grad()
def flops_per_sec(work: Timed, device: torch.device) -> float:
    """FLOPs for a second of sound: matrix products and convolutions, not FFTs nor what is done element by element."""
    with FlopCounterMode(display=False) as counter:
        work.run(work.mel(COUNTED_SEC, device))
    return counter.get_total_flops() / COUNTED_SEC


def speeds(
    works: Sequence[Timed], durations_sec: Sequence[float], rounds: int, longest_sec: float, device: torch.device
) -> dict[str, Any]:
    """Times real time of everything, in turns: each round does it all, every other round backwards.

    Args:
        works: What is timed.
        durations_sec: Lengths of the sounds.
        rounds: How often.
        longest_sec: What would take longer at once gets a shorter sound.
        device: Where it is done.

    Returns:
        "rows", each with name, precision, duration_sec, and median, low, high and rounds in times real time; "gemm",
        the same in GFLOP/s by precision; "failed", what cannot be done, with the reason.
    """
    plan, failed = _plan(works, durations_sec, longest_sec, device)
    found: dict[tuple[str, str, float], list[float]] = {(w.name, p, sec): [] for w, p, sec in plan}
    gemm: dict[str, list[float]] = {precision: [] for precision in PRECISIONS}
    for number in range(rounds):
        for precision, rates in gemm.items():
            rates.append(gemm_rate(device, precision))
        for work, precision, sec in plan if number % 2 == 0 else plan[::-1]:
            found[work.name, precision, sec].append(sec / seconds_of(work, work.mel(sec, device), precision))
    rows = [{"name": n, "precision": p, "duration_sec": sec, **spread(x)} for (n, p, sec), x in found.items()]
    return {"rows": rows, "gemm": {precision: spread(x) for precision, x in gemm.items()}, "failed": failed}


def _plan(
    works: Sequence[Timed], durations_sec: Sequence[float], longest_sec: float, device: torch.device
) -> tuple[list[tuple[Timed, str, float]], list[str]]:
    """What is to be timed, after each has been done to warm up."""
    plan: list[tuple[Timed, str, float]] = []
    failed = []
    for work in works:
        mel = work.mel(WARM_UP_SEC, device)
        for precision in work.precisions:
            try:
                took = seconds_of(work, mel, precision)
                # The first time is longer than others, which does not matter for what is slow anyway.
                speed = WARM_UP_SEC / (took if took > WARM_UP_SEC else seconds_of(work, mel, precision))
            except (RuntimeError, TypeError) as e:  # other projects' code may not know bf16
                failed.append(f"{work.name} in {precision}: {str(e).partition(chr(10))[0]}")
                continue
            most = max(WARM_UP_SEC, float(int(longest_sec * speed)))
            plan += [(work, precision, sec) for sec in sorted({min(float(sec), most) for sec in durations_sec})]
    return plan, failed


def spread(found: Sequence[float]) -> dict[str, Any]:
    return {"median": statistics.median(found), "low": min(found), "high": max(found), "rounds": list(found)}


def peak_memory(work: Timed, duration_sec: float, precision: str, device: torch.device) -> dict[str, float]:
    """MiB that this process had at most, and before it made the sound; only a process of its own tells anything."""
    mel = work.mel(duration_sec, device)
    before = memory_mib("VmRSS", device)
    seconds_of(work, mel, precision)
    return {"peak_mib": memory_mib("VmHWM", device), "before_mib": before}


def memory_mib(key: str, device: torch.device) -> float:
    """Resident memory of this process, now (VmRSS) or at most (VmHWM); what torch has of a GPU if that computes."""
    if device.type == "cuda":
        told = torch.cuda.max_memory_allocated(device) if key == "VmHWM" else torch.cuda.memory_allocated(device)
        return told / 2**20
    status = Path("/proc/self/status")
    if status.is_file():  # getrusage would count what the process that started this one had
        lines = status.read_text(encoding="utf-8").splitlines()
        return float(next(line for line in lines if line.startswith(key)).split()[1]) / 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def machine(threads: int, device: torch.device) -> dict[str, Any]:
    """What the figures were measured on."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu": names[0] if names else platform.processor(), "cores": len(names) or None, "threads": threads,
        "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else None, "torch": torch.__version__,
    }  # fmt: skip


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
