#!/usr/bin/env python3
"""Vocoders side by side: what copies of kept-out sounds lose, and how fast they are made.

    python benchmark.py quality --corpus CORPUS [--split test] --vocoder small griffinlim:8 RUN ..
        [--librosa 32 60] [--fgla 32] [--json FILE]
    python benchmark.py quality --groups notes=DIR drums=DIR speech=DIR loops=DIR --vocoder ..
    python benchmark.py speed --vocoder RUN .. [--peers vocos bigvgan hifigan] [--threads 2] [--seconds 10 60]
        [--rounds 5] [--device cuda] [--json FILE]

Quality. Each file is mixed to mono, brought to a peak of 0.95 and cut to its first 4 s; its log-mel goes through each
vocoder. A corpus of build_corpus.py has a group for each source, and Sonic Pi's loops as one more. "FGLA 32" is the
plain classical reference, NNLS x 8 amplitudes that stay as they are and 32 iterations of fast Griffin-Lim; KADs, of
pairs and in YAMNet's embedding, stand beside that of the first number of --fgla. Attacks are measured in drums, after
0.1 s of silence, steadiness in notes, PESQ in speech, if the package pesq is installed; see vocoder_quality.py.

Speed. Times real time as median (lowest .. highest) of rounds, in which everything takes its turn; networks also under
bf16 autocast. Peers are other projects' own code with random weights, each at its own sample rate. GFLOPs are those of
matrix products and convolutions, beside what a 1024 x 1024 x 1024 matrix product reaches here in the same rounds.
"""

import argparse
import csv
import importlib.util
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
import vocoder_quality as quality
import vocoder_speed as speed

from audio_gen.audio.mel import DEFAULT_PRESET, PRESETS, MelFrontEnd, MelSpec
from audio_gen.device import resolve_device
from audio_gen.errors import AudioGenError, ConfigError, DataError
from audio_gen.evaluation.embeddings import DEFAULT, NAMES, load_embedding
from audio_gen.files import write_json
from audio_gen.text import one_line
from audio_gen.vocoding.load import CLASSICAL, load_vocoder

SUFFIXES = {".wav", ".flac", ".ogg", ".aiff", ".aif"}


def neighbour(recipe: str, name: str) -> ModuleType:
    """A script of another recipe as a module: recipes are folders of scripts and no packages."""
    path = Path(__file__).parents[1] / recipe / f"{name}.py"
    found = importlib.util.spec_from_file_location(name, path)
    assert found and found.loader
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def corpus_groups(corpus: Path, split: str) -> dict[str, list[Path]]:
    """Files of a split by source, and Sonic Pi's loops once more by themselves."""
    table = corpus / "metadata.csv"
    if not table.is_file():
        raise DataError(f"{one_line(corpus)} holds no metadata.csv; give a folder that build_corpus.py made")
    groups: dict[str, list[Path]] = {}
    with table.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            loop = row["source"] == "sonicpi" and row["group"].startswith("loop_")
            for name in [row["source"], "loops"] if loop else [row["source"]]:
                if row["split"] == split:
                    groups.setdefault(name, []).append(corpus / row["file"])
    if not groups:
        raise DataError(f"{one_line(table)} has no file of split {split!r}; use train, val or test")
    return groups


def folder_groups(given: Sequence[str]) -> dict[str, list[Path]]:
    groups = {}
    for text in given:
        name, _, folder = text.partition("=")
        if not folder or not Path(folder).is_dir():
            raise ConfigError(f"--groups {one_line(text)}: must be NAME=DIR, and DIR a folder")
        groups[name] = sorted(p for p in Path(folder).rglob("*") if p.suffix.lower() in SUFFIXES)
        if not groups[name]:
            raise DataError(f"--groups {one_line(text)}: holds no sound file ({', '.join(sorted(SUFFIXES))})")
    return groups


def thinned(paths: Sequence[Path], count: int | None) -> list[Path]:
    """At most so many of the files, evenly by sorted name."""
    paths = sorted(paths)
    if count is None or count >= len(paths):
        return paths
    return [paths[i * len(paths) // count] for i in range(count)]


def spec_of(choices: Sequence[str], preset: str | None) -> MelSpec:
    """The mel of the preset, or of the first network; each network must take it."""
    networks = [choice for choice in choices if choice.partition(":")[0] != CLASSICAL]
    if preset is None and networks:
        return load_vocoder(networks[0], None).spec
    return MelSpec.preset(preset or DEFAULT_PRESET)


def methods(args: argparse.Namespace, spec: MelSpec, device: torch.device) -> dict[str, quality.Invert]:
    """What is compared, by the name to print; the reference first."""
    recipe, table = neighbour("vocoder_small", "inversion_benchmark"), {}
    for n in args.fgla:
        table[f"FGLA {n}"] = recipe.fixed_amplitudes(spec, n)
    for n in args.librosa:
        table[f"librosa {n}"] = lambda mel, n=n: recipe.with_librosa(spec, n)(mel.cpu())
    for choice in args.vocoder:
        table[choice] = load_vocoder(choice, spec, device)
    return table


def run_quality(args: argparse.Namespace) -> None:
    device = resolve_device(args.device)
    spec = spec_of(args.vocoder, args.preset)
    front_end, table = MelFrontEnd(spec).to(device), methods(args, spec, device)
    groups = corpus_groups(args.corpus, args.split) if args.corpus else folder_groups(args.groups)
    groups = {group: thinned(paths, args.files) for group, paths in groups.items()}
    embedding = None if args.embedding == "none" else load_embedding(args.embedding, device)
    results: dict[str, Any] = {"arguments": told(args), "mel": spec.to_dict(), "left_out": [], "groups": {}}
    heard = []
    for path in (files := sorted({path for paths in groups.values() for path in paths})):
        mine = {group for group, paths in groups.items() if path in paths}
        wanted = {measure for measure in quality.MEASURES if mine & set(getattr(args, f"{measure}_groups"))}
        wav = quality.load_clip(path, spec.sample_rate, args.max_sec)
        if wav is None:
            results["left_out"].append(f"{one_line(path)}: silent")
            continue
        heard.append(quality.hear(str(path), wav, mine, wanted, table, front_end, embedding))
        print(f"{len(heard)} of {len(files)}: {one_line(path)}", file=sys.stderr, flush=True)
    for group in [*groups, "all"] if len(groups) > 1 else groups:
        members = [one for one in heard if group in one.groups or group == "all"]
        if members:
            results["groups"][group] = quality.group_figures(members)
    save(args.json, results)
    print(neighbour("gan_benchmark", "figures").markdown(quality.quality_table(results["groups"], next(iter(table)))))
    for line in results["left_out"]:
        print(f"left out: {line}")


def timed(args: argparse.Namespace, device: torch.device) -> list[speed.Timed]:
    """Our vocoders, and those peers whose packages are there."""
    spec = spec_of(args.vocoder, args.preset)
    works = [speed.own(choice, spec, device) for choice in args.vocoder]
    for name in args.peers:
        try:
            works.append(speed.peer(name, device))
        except ImportError as e:
            print(f"{name} is skipped: {e}", flush=True)
    return works


def memory_of(choice: str, precision: str, args: argparse.Namespace) -> dict[str, float]:
    """Peak memory of a vocoder in a process of its own."""
    command = [sys.executable, __file__, "memory", "--vocoder", choice, "--precision", precision]
    command += ["--threads", str(args.threads), "--device", args.device, "--seconds", str(args.memory_sec)]
    command += ["--preset", args.preset] if args.preset else []
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def run_memory(args: argparse.Namespace) -> None:
    device = resolve_device(args.device)
    work = speed.own(args.vocoder[0], spec_of(args.vocoder, args.preset), device)
    print(json.dumps(speed.peak_memory(work, args.seconds, args.precision, device)))


def run_speed(args: argparse.Namespace) -> None:
    device = resolve_device(args.device)
    works = timed(args, device)
    results: dict[str, Any] = {"arguments": told(args), "machine": speed.machine(args.threads, device)}
    results |= speed.speeds(works, args.seconds, args.rounds, args.longest, device)
    results["models"] = {work.name: described(work, args, device) for work in works}
    save(args.json, results)
    markdown = neighbour("gan_benchmark", "figures").markdown
    print(", ".join(f"{key} {value}" for key, value in results["machine"].items() if value is not None))
    print(
        ", ".join(f"GEMM in {p} {quality.shown(x['median'], '.0f')} GFLOP/s" for p, x in results["gemm"].items()) + "\n"
    )
    print(markdown(rates_table(results)) + "\n\n" + markdown(models_table(results)))
    for line in results["failed"]:
        print(f"not measured: {line}")


def described(work: speed.Timed, args: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    own = {} if work.peer or not args.memory_sec else {p: memory_of(work.name, p, args) for p in work.precisions}
    return {
        "sample_rate": work.sample_rate, "parameters": work.parameters, "peer": work.peer, "memory": own,
        "gflops_per_sec": 1e-9 * speed.flops_per_sec(work, device) if work.network is not None else None,
    }  # fmt: skip


def rates_table(results: Mapping[str, Any]) -> list[list[str]]:
    rows = [["what", "kHz", "precision", "sound, s", "x real time (lowest .. highest)"]]
    for row in results["rows"]:
        form = ".0f" if row["low"] >= 100 else ".1f" if row["low"] >= 1 else ".3f"
        rate = f"{row['median']:{form}} ({row['low']:{form}} .. {row['high']:{form}})"
        khz = f"{results['models'][row['name']]['sample_rate'] / 1000:g}"
        rows.append([row["name"], khz, row["precision"], f"{row['duration_sec']:g}", rate])
    return rows


def models_table(results: Mapping[str, Any]) -> list[list[str]]:
    """What each is and costs; ratios are between medians of the shortest sounds in fp32."""
    models, rates = results["models"], {}
    for row in reversed(results["rows"]):  # the shortest sound of each is its first row, and so stays
        rates[row["name"], row["precision"]] = row["median"]
    peers = [name for name, model in models.items() if model["peer"] and (name, "fp32") in rates]
    rows = [["what", "parameters, M", "GFLOP per s of sound", "GFLOP/s in fp32 (of GEMM)", "in bf16 (of GEMM)",
             "peak memory, MiB: fp32", "bf16", *(f"x {name}" for name in peers)]]  # fmt: skip
    for name, model in models.items():
        size, work = model["parameters"], model["gflops_per_sec"]
        reached = {p: work * rates[name, p] for p in speed.PRECISIONS if work and (name, p) in rates}
        shares = {p: f"{x:.0f} ({x / results['gemm'][p]['median']:.0%})" for p, x in reached.items()}
        ratios = [quality.shown(rates[name, "fp32"] / rates[other, "fp32"]) if (name, "fp32") in rates else "-"
                  for other in peers]  # fmt: skip
        peaks = [quality.shown(model["memory"].get(p, {}).get("peak_mib"), ".0f") for p in speed.PRECISIONS]
        costs = [quality.shown(size and size / 1e6), quality.shown(work)]
        rows.append([name, *costs, *(shares.get(p, "-") for p in speed.PRECISIONS), *peaks, *ratios])
    return rows


def told(args: argparse.Namespace) -> dict[str, Any]:
    return {key: str(x) if isinstance(x, Path) else x for key, x in vars(args).items() if not callable(x)}


def save(path: Path | None, results: Mapping[str, Any]) -> None:
    if path:
        write_json(path, results)


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, metavar="quality|speed")
    parts = {"quality": run_quality, "speed": run_speed, "memory": run_memory}  # the last is for `memory_of`
    some = {name: commands.add_parser(name) for name in parts}
    for name, part in some.items():
        part.set_defaults(run=parts[name])
        part.add_argument("--vocoder", nargs="+", default=[], help="griffinlim:N, a run or bundle, bigvgan:PATH, small")
        part.add_argument("--preset", choices=list(PRESETS), help=f"default: the first network's, or {DEFAULT_PRESET}")
        part.add_argument("--threads", type=int, default=2)
        part.add_argument("--device", default="cpu")
        part.add_argument("--json", type=Path)
    quality_arguments(some["quality"])
    some["speed"].add_argument("--peers", nargs="*", default=[], choices=list(speed.PEERS))
    some["speed"].add_argument("--seconds", type=float, nargs="+", default=[10.0, 60.0], help="lengths of the sounds")
    some["speed"].add_argument("--rounds", type=int, default=5)
    some["speed"].add_argument("--longest", type=float, default=30.0, help="s; what takes longer gets shorter sounds")
    some["speed"].add_argument("--memory-sec", type=float, default=60.0, help="sound to measure memory with; 0: none")
    some["memory"].add_argument("--seconds", type=float, required=True)
    some["memory"].add_argument("--precision", choices=speed.PRECISIONS, required=True)
    return checked(parser.parse_args(argv))


def quality_arguments(part: argparse.ArgumentParser) -> None:
    sounds = part.add_mutually_exclusive_group(required=True)
    sounds.add_argument("--groups", nargs="+", metavar="NAME=DIR")
    sounds.add_argument("--corpus", type=Path)
    part.add_argument("--split", default="test")
    part.add_argument("--fgla", type=int, nargs="+", default=[32], help="the first is the reference")
    part.add_argument("--librosa", type=int, nargs="*", default=[])
    part.add_argument("--files", type=int, help="at most so many of a group")
    part.add_argument("--max-sec", type=float, default=4.0)
    part.add_argument("--embedding", choices=[*NAMES, "none"], default=DEFAULT)
    for measure, group in quality.MEASURES.items():
        part.add_argument(f"--{measure}-groups", nargs="*", default=[group], help="where it is measured")


def checked(args: argparse.Namespace) -> argparse.Namespace:
    names = [*args.vocoder, *getattr(args, "peers", [])]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f"{one_line(twice[0])} is given twice; give each vocoder once")
    for key in ("threads", "rounds", "files", "max_sec", "longest"):
        if (getattr(args, key, None) or 1) < 0 or getattr(args, key, 1) == 0:
            raise ConfigError(f"--{key.replace('_', '-')} ({getattr(args, key)}) must be above 0")
    return args


def main(argv: Sequence[str] | None = None) -> int:
    try:
        args = arguments(argv)
        torch.set_num_threads(args.threads)
        args.run(args)
    except (AudioGenError, OSError, subprocess.CalledProcessError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
