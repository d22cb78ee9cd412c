"""Golden outputs: the same seeds give the same sounds, weights and figures as when `golden.json` was written.

Each part trains a tiny model on generated sounds, vocodes or evaluates some, or goes on with runs and bundles of format
1, by the command line alone, so moving code needs no edit here. On the machine that wrote `golden.json` (processor and
libraries) outputs are compared by hash; elsewhere by a few of their values, within a tolerance.

`python -m tests.test_golden --write [PART ..]` writes the file anew. That is right only after a change that means to
alter sound, training or figures; its commit lists the changed entries and says why. It is wrong for code that moved.
"""

import argparse
import contextlib
import hashlib
import io
import json
import os
import platform
import subprocess
import sys
import zipfile
from collections import Counter
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf

from tests.sounds import noise, pluck, write

ROOT = Path(__file__).parents[1]
GOLDEN = Path(__file__).with_name("golden.json")
RUNS = Path(__file__).with_name("golden_runs.zip")
STEPS = "20"
VALUES = 16  # of each output, kept for other machines
LIBRARIES = ("torch", "numpy", "scipy", "librosa", "numba", "soxr")
TOLERANCE = 0.02  # of the RMS, elsewhere: rounding grows in 20 steps of an optimiser
FIGURE_TOLERANCE = 0.05  # relative, elsewhere
DIGITS = 5

Entry = dict[str, Any]


def write_sounds(folder: Path, seed: int, per_class: int = 10, rate: int = 22050, hiss: float = 1.0) -> None:
    """Plucks of two classes with a table of their classes and pitches."""
    random = np.random.default_rng(seed)
    rows = ["file,class,pitch"]
    for class_name, lowest in (("bell", 50), ("flute", 62)):
        for i in range(per_class):
            midi = lowest + i + round(random.uniform(0, 1), 2)
            sound = pluck(440 * 2 ** ((midi - 69) / 12), random.uniform(0.3, 0.45), rate)
            hissing = hiss * random.uniform(0.01, 0.03) * noise(len(sound) / rate, rate, seed=int(random.integers(1e6)))
            write(folder / class_name / f"{i}.wav", sound + hissing, rate)
            rows.append(f"{class_name}/{i}.wav,{class_name},{midi}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")


def run(*args: str | Path) -> str:
    """Run one command in this process and return its standard output."""
    from audio_gen.cli.app import run as run_line

    sys.argv = ["audio-gen", *map(str, args)]
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        status = run_line(sys.argv[1:])
    if status:
        raise RuntimeError(f"status {status} of {' '.join(sys.argv)}")
    return out.getvalue()


def entry_of(x: np.ndarray, ordered: bool = True) -> Entry:
    """The hash of an array, its size and RMS, and values at even distances (of the sorted array if not `ordered`)."""
    flat = np.ascontiguousarray(x, np.float32).ravel()
    some = (flat if ordered else np.sort(flat))[np.linspace(0, flat.size - 1, VALUES).round().astype(int)]
    rms = float(np.sqrt(np.mean(flat.astype(np.float64) ** 2)))
    sha = hashlib.sha256(flat.tobytes()).hexdigest()[:16]
    return {"sha": sha, "size": flat.size, "rms": round(rms, 7), "values": [round(float(v), 6) for v in some]}


def wavs(folder: str) -> dict[str, Entry]:
    """An entry for each WAV below a folder, named by its path."""
    found = {path.as_posix(): entry_of(sf.read(path, dtype="float32")[0]) for path in Path(folder).rglob("*.wav")}
    assert found
    return found


def weights(run_folder: str) -> dict[str, Entry]:
    """The weights of a run's bundle, with a hash for each tensor, whatever the names and order of the tensors are."""
    from safetensors.numpy import load_file

    (file,) = Path(run_folder, "bundle").glob("*.safetensors")
    tensors = [x for x in load_file(file).values() if x.dtype.kind == "f"]
    entry = entry_of(np.concatenate([x.ravel() for x in tensors]), ordered=False)
    each = sorted(hashlib.sha256(np.ascontiguousarray(x).tobytes()).hexdigest()[:8] for x in tensors)
    return {f"{run_folder} weights": entry | {"sha": " ".join(each)}}


def figures(told: Any, name: str = "") -> dict[str, float]:
    """All numbers in an object by their path, with the digits that are kept; lists of objects are left out."""
    if isinstance(told, bool) or not isinstance(told, dict | list | int | float):
        return {}
    if isinstance(told, int | float):
        return {name: float(f"{told:.{DIGITS}g}")}
    pairs = told.items() if isinstance(told, dict) else enumerate(told)
    found: dict[str, float] = {}
    for key, value in pairs:
        if isinstance(told, dict) or not isinstance(value, dict):
            found |= figures(value, f"{name}.{key}" if name else str(key))
    return found


def train(model: str, seed: int) -> dict[str, Entry]:
    """Twenty steps of a tiny model."""
    write_sounds(Path("real"), seed)
    config = ROOT / "configs" / model / "tiny.yaml"
    as_before = [] if model == "vocoder" else ["--set", "net.time_axis=seconds"]
    run("train", "real", "--run", model, "--model", model, "--config", config, "--steps", STEPS, "--seed", str(seed),
        "--device", "cpu", *as_before)  # fmt: skip
    return weights(model)


def generate(model: str, seed: int) -> dict[str, Entry]:
    """A tiny model, and what each command makes of it."""
    found = train(model, seed)
    fast = ["--vocoder", "griffinlim:4", "--device", "cpu"]
    whole = ["--length", "model", "--normalize", "none", *fast]
    sounds = [Path("real/bell/0.wav"), Path("real/flute/1.wav")]
    sample = ["sample", model, "--seed", str(seed)]
    run(*sample, "-n", "3", "--class", "bell", "--pitch", "55", "--every-seed", "--out", f"{model}-sample", *whole)
    run(*sample, "-n", "2", "--temperature", "0.7", "--out", f"{model}-finished", *fast)
    search = ["--steps", "6"] if model == "gan" else []
    run("encode", model, *sounds, *search, "--out", f"{model}-encode", *fast)
    run("reconstruct", model, *sounds, "--out", f"{model}-reconstruct", *fast)
    ends = ["--from", f"seed:{seed}", "--to", f"seed:{seed + 1}"]
    run("interpolate", model, *ends, "--steps", "3", "--morph", "700ms", "--out", f"{model}-interpolate", *whole)
    (clip,) = Path(f"{model}-sample").rglob(f"*{seed:04d}.wav")
    run("vary", clip, "-n", "2", "--seed", str(seed), "--out", f"{model}-vary", *whole)
    for command in ("sample", "finished", "encode", "reconstruct", "interpolate", "vary"):
        # A clip's name tells its seed, which is no part of the entry's.
        sounds_of = sorted(wavs(f"{model}-{command}").items())
        found |= {f"{model} {command} {i}": entry for i, (_, entry) in enumerate(sounds_of)}
    return found


def vocode(seed: int) -> dict[str, Entry]:
    """A tiny trained vocoder, the shipped one and Griffin-Lim."""
    found = train("vocoder", seed)
    run("vocode", "real/bell/0.wav", "--vocoder", "vocoder", "--out", "vocode-trained", "--device", "cpu")
    write_sounds(Path("wide"), seed, per_class=1, rate=44100)
    for name, spec in (("small", "small"), ("bare", "small:0"), ("griffinlim", "griffinlim:8")):
        run("vocode", "wide/bell", "wide/flute", "--vocoder", spec, "--out", f"vocode-{name}", "--device", "cpu")
    for name in ("trained", "small", "bare", "griffinlim"):
        found |= wavs(f"vocode-{name}")
    return found


def evaluate(seed: int) -> dict[str, Entry]:
    """Two folders, and a run."""
    write_sounds(Path("made"), seed + 1000, per_class=8, hiss=4)
    found = train("vae", seed)
    del found["vae weights"]  # another part's
    folders = run("evaluate", "real", "made", "--seed", str(seed), "--device", "cpu", "--json")
    of_run = run("evaluate", "real", "vae", "-n", "12", "--seed", str(seed), "--pitch", "none", "--device", "cpu",
                 "--vocoder", "griffinlim:4", "--out", "judged", "--json")  # fmt: skip
    return {"evaluate folders": {"figures": figures(json.loads(folders))},
            "evaluate run": {"figures": figures(json.loads(of_run))}}  # fmt: skip


def before(seed: int) -> dict[str, Entry]:
    """Runs that were interrupted, a GAN's bundle and a clip with its sidecar, all of format 1 (2026-11-27)."""
    with zipfile.ZipFile(RUNS) as packed:
        packed.extractall()
    fast = ["--vocoder", "griffinlim:4", "--device", "cpu"]
    for model in ("vae", "gan"):
        run("sample", model, "-n", "2", "--seed", str(seed), "--every-seed", "--out", f"before-{model}", *fast)
    run("vary", "clips/bell-D3-0005.wav", "-n", "1", "--seed", str(seed), "--out", "before-vary", *fast)
    for model, steps in (("vae", 50), ("vocoder", 12)):
        more = ["--model", model, "--steps", str(steps + 4 * (seed > 0))]  # its seed is the run's
        run("train", "real", "--run", model, *more, "--device", "cpu")
    sound = f"real/{'flute' if seed else 'bell'}/0.wav"
    run("vocode", sound, "--vocoder", "vocoder", "--out", "before-vocode", "--device", "cpu")
    found = weights("vae") | weights("vocoder")
    for name in ("vae", "gan", "vary", "vocode"):
        found |= {f"before {name} {i}": entry for i, (_, entry) in enumerate(sorted(wavs(f"before-{name}").items()))}
    return found


PARTS: dict[str, Callable[[int], dict[str, Entry]]] = {
    "vae": lambda seed: generate("vae", seed),
    "gan": lambda seed: generate("gan", seed),
    "vocode": vocode,
    "evaluate": evaluate,
    "before": before,
}


def machine() -> dict[str, str]:
    """What bits of results depend on."""
    import torch

    cpus = Path("/proc/cpuinfo")
    lines = cpus.read_text().splitlines() if cpus.exists() else []
    model = {
        line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "cpu family", "model\t"))
    }
    return {
        "cpu": " ".join(sorted(model)) or platform.processor(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        **{name: version(name) for name in LIBRARIES},
    }


def outputs(part: str, folder: Path, seed: int = 0) -> tuple[dict[str, str], dict[str, Entry]]:
    """The machine, and the entries of a part, made in a process of its own that runs on one thread."""
    folder.mkdir(parents=True, exist_ok=True)
    env = os.environ | {
        "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1", "MPLBACKEND": "Agg",
        "AUDIO_GEN_CACHE": str(folder / "cache"),
    }  # fmt: skip
    made = folder / f"{part}.json"
    command = [sys.executable, "-m", "tests.test_golden", "--part", part, str(folder), str(made), str(seed)]
    ended = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert ended.returncode == 0, ended.stderr[-3000:]
    told = json.loads(made.read_text())
    return told["machine"], told["entries"]


def differs(golden: Entry, now: Entry, same_machine: bool) -> str | None:
    """How an entry differs from the golden one; None if it does not."""
    if "figures" in golden:
        a, b = golden["figures"], now["figures"]
        tolerance = 0.0 if same_machine else FIGURE_TOLERANCE
        wrong = [
            key for key in sorted(a.keys() | b.keys())
            if key not in a or key not in b or abs(a[key] - b[key]) > tolerance * max(1.0, abs(a[key]))
        ]  # fmt: skip
        return ", ".join(f"{key} {a.get(key)} -> {b.get(key)}" for key in wrong) or None
    if same_machine:
        old, new = (Counter(entry["sha"].split()) for entry in (golden, now))
        lost = (old - new).total()
        return f"{lost} of {old.total()} hashes changed" if lost else None
    if golden["size"] != now["size"]:
        return f"size {golden['size']} -> {now['size']}"
    some = np.array([[entry["rms"], *entry["values"]] for entry in (golden, now)])
    worst = float(np.abs(some[0] - some[1]).max())
    return None if worst <= TOLERANCE * max(golden["rms"], 1e-4) else f"{worst:.2g} off, RMS {golden['rms']:.2g}"


def differences(golden: dict[str, Entry], now: dict[str, Entry], same_machine: bool) -> list[str]:
    """A line for each entry that differs, is missing or is new."""
    lines = []
    for name in sorted(golden.keys() | now.keys()):
        if name not in now or name not in golden:
            lines.append(f"{name}: {'missing' if name not in now else 'new'}")
        elif how := differs(golden[name], now[name], same_machine):
            lines.append(f"{name}: {how}")
    return lines


@pytest.mark.parametrize("part", PARTS)
def test_outputs_are_those_of_before(part: str, tmp_path: Path) -> None:
    golden = json.loads(GOLDEN.read_text())
    here, entries = outputs(part, tmp_path)
    lines = differences(golden["entries"][part], entries, golden["machine"] == here)
    assert not lines, "\n".join([f"{len(lines)} of {len(entries)} differ:", *lines])


@pytest.mark.long
@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("same_machine", [True, False])
def test_another_seed_changes_every_entry(part: str, same_machine: bool, tmp_path: Path) -> None:
    golden = json.loads(GOLDEN.read_text())["entries"][part]
    _, entries = outputs(part, tmp_path, seed=7)
    assert entries.keys() == golden.keys()
    for name, entry in entries.items():
        resumed = part == "before" and name.endswith("weights")  # a few steps more change few values much
        assert differs(golden[name], entry, same_machine or resumed), name


def test_a_changed_bit_is_found_here_and_a_changed_sound_elsewhere() -> None:
    x = pluck(220.0)
    golden, (bit, sound) = entry_of(x), (x.copy(), x * 1.05)
    bit[100] = np.nextafter(bit[100], np.float32(1))
    assert not differs(golden, entry_of(x), True) and differs(golden, entry_of(bit), True)
    assert not differs(golden, entry_of(bit), False) and differs(golden, entry_of(sound), False)
    old = {"figures": figures({"kad": {"value": 1.234567, "ci": [1, 2]}, "closest": [{"distance": 3}], "on": True})}
    assert old == {"figures": {"kad.value": 1.2346, "kad.ci.0": 1, "kad.ci.1": 2}}
    new = {"figures": old["figures"] | {"kad.value": 1.2347}}
    assert differs(old, new, True) and not differs(old, new, False)
    assert differs(old, {"figures": {}}, False)


def write_golden(parts: list[str], folder: Path) -> None:
    """Write the entries of some parts anew; the others stay."""
    golden = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {"machine": {}, "entries": {}}
    for part in parts:
        here, golden["entries"][part] = outputs(part, folder / part)
        if parts == list(PARTS):
            golden["machine"] = here
        assert golden["machine"] == here, f"{GOLDEN.name} is of another machine: write all parts"
    blocks = []  # with one entry a line
    for part, entries in golden["entries"].items():
        rows = ",\n".join(f"  {json.dumps(name)}: {json.dumps(entry)}" for name, entry in entries.items())
        blocks.append(f" {json.dumps(part)}: {{\n{rows}\n }}")
    text = f'{{"machine": {json.dumps(golden["machine"])},\n"entries": {{\n' + ",\n".join(blocks) + "\n}}\n"
    GOLDEN.write_text(text)


def main() -> None:
    """Make a part's entries (for `outputs`), or write `golden.json` anew."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", nargs="*", choices=PARTS, help="write these parts anew; all if none is named")
    parser.add_argument("--part", nargs=4, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.part:
        part, folder, made, seed = args.part
        os.chdir(folder)
        told = {"entries": PARTS[part](int(seed)), "machine": machine()}
        Path(made).write_text(json.dumps(told))
    elif args.write is not None:
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            write_golden(args.write or list(PARTS), Path(folder))
    else:
        parser.error("give --write")


if __name__ == "__main__":
    main()
