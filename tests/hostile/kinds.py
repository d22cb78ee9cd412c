"""A valid record of each kind, made with the tiny models of the tests."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from audio_gen import config
from audio_gen.artefacts.bundle import save_bundle
from audio_gen.artefacts.folders import KitFolder, RunFolder
from audio_gen.artefacts.sidecar import read_sidecar
from audio_gen.audio.mel import MelSpec
from audio_gen.cli import app
from audio_gen.evaluation import signal
from audio_gen.evaluation.clip_features import ClipFeatures
from audio_gen.evaluation.reference_set import load_reference, save_reference
from audio_gen.generation.clip_file import describe
from audio_gen.generation.descriptors import DESCRIPTORS
from audio_gen.generation.directions import Direction, Directions, read_directions, save_directions
from audio_gen.generation.originals import run_cache
from audio_gen.generation.pipeline import Pipeline
from audio_gen.instruments.kit import Kit
from audio_gen.instruments.kit_folder import load_kit
from audio_gen.instruments.parts import read_map
from audio_gen.instruments.patterns import read_styles, styled
from audio_gen.instruments.sampler import Part as Playing
from audio_gen.instruments.sampler import mix
from audio_gen.instruments.sustain_loop import SustainLoop
from audio_gen.instruments.zones import Instrument, Zone
from audio_gen.midi.score import Note, Score
from audio_gen.models.registry import VOCODER, Part, packed
from audio_gen.training.diagnosis import diagnose
from audio_gen.training.metrics import read_metrics
from audio_gen.training.progress import ProgressFile, read_progress
from audio_gen.training.tasks.run import resolve_config
from audio_gen.training.tasks.vae_settings import VAEConfig
from audio_gen.vocoding.load import load_vocoder
from audio_gen.vocoding.network import VocoderNetwork
from tests.generation.models import SPEC, write_bundle, write_format_1, write_gan_bundle
from tests.hostile.records import Kind, as_json, as_yaml


class Two:
    """An embedding of two numbers."""

    name, digest, sample_rate, dimensions = "two", "0" * 12, 16000, 2

    def __call__(self, wavs: Any) -> torch.Tensor:
        return torch.zeros(len(wavs), 2)


def sample(folder: Path) -> None:
    """Load a bundle and make a log-mel with it."""
    pipeline = Pipeline.load(folder, vocoder="griffinlim:1", device="cpu")
    known = pipeline.require("sample").vocabulary
    pipeline.decode(pipeline.latents([1], class_name=known.classes[0] if known.classes else None))
    pipeline.decode(pipeline.latents([2]))


def status(run: Path, *options: str) -> None:
    """`audio-gen status`, whose own lines must be printable too."""
    if app.run(["status", str(run), *options]) not in (0, 2):
        raise AssertionError("the status")


def vae(folder: Path) -> Kind:
    write_bundle(folder)
    return Kind(
        json.loads((folder / "config.json").read_text()), as_json(folder / "config.json"), lambda: sample(folder)
    )


def gan(folder: Path) -> Kind:
    write_gan_bundle(folder)
    return Kind(
        json.loads((folder / "config.json").read_text()), as_json(folder / "config.json"), lambda: sample(folder)
    )


def gan_of_hits(folder: Path) -> Kind:
    """A GAN with a decay axis."""
    write_gan_bundle(folder, pitch=False, decay=True)
    return Kind(
        json.loads((folder / "config.json").read_text()), as_json(folder / "config.json"), lambda: sample(folder)
    )


def old_vae(folder: Path) -> Kind:
    """A bundle of format 1."""
    write_format_1(folder, write_bundle(folder.with_name("new")))
    return Kind(
        json.loads((folder / "config.json").read_text()), as_json(folder / "config.json"), lambda: sample(folder)
    )


def vocoder(folder: Path) -> Kind:
    args = {**SPEC.to_dict(), "dim": 8, "blocks": 1, "expansion": 1, "low_projections": 1, "projections": 1}
    network = VocoderNetwork(**args)  # type: ignore[arg-type]
    about, tensors = packed({VOCODER: Part("vocoder", args, network.state_dict())})
    save_bundle(folder, {**about, "mel": SPEC.to_dict()}, tensors)

    def read() -> None:
        load_vocoder(str(folder), SPEC)(torch.full((1, SPEC.n_mels, 8), -5.0))

    return Kind(json.loads((folder / "config.json").read_text()), as_json(folder / "config.json"), read)


def training(folder: Path) -> Kind:
    """What a run's bundle tells of its training."""
    write_bundle(folder / "bundle")
    about = folder / "bundle" / "config.json"
    value = {**json.loads(about.read_text()), "training": {"steps": 10, "minutes": 0.5, "figure": 1.5}}
    RunFolder(folder).metrics.write_text('{"step": 1, "loss/mel": 2.0}\n')

    def read() -> None:
        status(folder)
        status(folder, "--json")
        RunFolder(folder).best_and_last()

    return Kind(value["training"], lambda some: as_json(about)({**value, "training": some}), read)


def settings(folder: Path) -> Kind:
    made = config.build(VAEConfig, {"model": "vae", "train": {"steps": 10}})

    def read() -> None:
        try:
            resolve_config(folder, "vae", None, ["train.lr=1e-3"], {"train": {"steps": 12}})
        finally:
            config.first_preview_due(folder / "config.yaml")
            status(folder)

    folder.mkdir()
    return Kind(made.model_dump(mode="json"), as_yaml(folder / "config.yaml"), read)


def progress(folder: Path) -> Kind:
    folder.mkdir()
    ProgressFile(folder).update(5, 0.5, 3.0, 3.0)
    RunFolder(folder).metrics.write_text('{"step": 1, "loss/mel": 2.0}\n')

    def read() -> None:
        read_progress(folder)
        status(folder)
        status(folder, "--json")

    path = RunFolder(folder).progress
    return Kind({**json.loads(path.read_text()), "error": "none"}, as_json(path), read)


def metrics(folder: Path) -> Kind:
    folder.mkdir()
    keys = ("loss/mel", "val/mel_l1", "eval/kad", "eval/kad_floor", "eval/coverage", "eval/memorised", "grad_norm/d")
    rows = [{"step": 10 * i, "time/elapsed_sec": float(i), **{key: 2.0 - 0.1 * i for key in keys}} for i in range(8)]
    path = RunFolder(folder).metrics

    def write(value: Any) -> None:
        some = value if isinstance(value, list) else [value]
        path.write_text("".join(json.dumps(row) + "\n" for row in some))

    def read() -> None:
        diagnose(read_metrics(folder), progress=0.5)
        status(folder)
        status(folder, "--json")

    return Kind(rows, write, read)


def sidecar(folder: Path) -> Kind:
    pipeline = Pipeline.load(write_bundle(folder), vocoder="griffinlim:1", device="cpu")
    value = describe(pipeline, pipeline.latents([3]), command="audio-gen sample", seed=3)

    def read() -> None:
        from audio_gen.generation.inputs import _point_of

        found = read_sidecar(folder / "a.wav")
        if found is not None:
            found.bundle_path.exists()
            if found.digest == pipeline.digest:
                pipeline.decode(_point_of(pipeline, folder / "a.wav", found))

    return Kind(value, as_json(folder / "a.json"), read)


def directions(folder: Path) -> Kind:
    folder.mkdir()
    path, effects = folder / "d.safetensors", dict.fromkeys(DESCRIPTORS, 0.5)
    facts = (*(Direction(name, effects, right=0.9) for name in DESCRIPTORS), Direction("pca1", effects, share=0.1))
    save_directions(path, Directions(torch.ones(2, 4), facts, effects, "0" * 12, {"n": 64, "seed": 0}))
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        value = json.loads(file.metadata()["about"])

    def write(some: Any) -> None:
        save_file({"principal": torch.ones(2, 4)}, path, metadata={"about": json.dumps(some)})

    def read() -> None:
        from audio_gen.generation.operations.directions import direction_line, directions_json

        found = read_directions(path)
        directions_json(path, found)
        for fact in found.facts:
            direction_line(fact)

    return Kind(value, write, read)


def reference(folder: Path) -> Kind:
    folder.mkdir()
    path = folder / "r.safetensors"
    figures = {key: np.ones(2) for key in signal.FIELDS}
    made = ClipFeatures(
        "real", ("two", "0" * 12), torch.ones(2, 2), ["a", "b"], ["a", "b"], ["x", None], [60.0, None], ["1", "2"],
        figures, [("c", "silent")],
    )  # fmt: skip
    save_reference(path, made, clip_sec=1.0, mel=SPEC)
    from safetensors import safe_open
    from safetensors.torch import load_file

    with safe_open(path, framework="pt") as file:
        meta, tensors = file.metadata(), load_file(path)
    parts = ("clips", "mel", "clip_sec")
    value = {key: json.loads(meta[key]) for key in parts}

    def write(some: Any) -> None:
        told = {key: json.dumps(some[key]) for key in parts if key in some} if isinstance(some, dict) else {}
        save_file(tensors, path, metadata={key: meta[key] for key in meta if key not in parts} | told)

    return Kind(value, write, lambda: load_reference(path, Two(), clip_sec=1.0, mel=MelSpec.from_dict(SPEC.to_dict())))


def run_record(folder: Path) -> Kind:
    folder.mkdir()
    value = {"source": os.fspath(folder / "none"), "version": "0.1.0"}
    return Kind(value, as_json(folder / "run.json"), lambda: run_cache(folder))


def sampler_kit(folder: Path) -> Kind:
    """A kit, which is loaded and plays its notes."""
    zones = [
        Zone(f"a/a-{key}", torch.zeros(1, 4000), 22050, key, (key, key + 5), loop=SustainLoop(900, 3000, 1.0))
        for key in (40, 50)
    ]
    Kit("k", [Instrument("a", tuple(zones), drums=False)], {"command": "", "version": "", "bundle": ""}, ["sfz"], "16",
        folder, "").save(folder)  # fmt: skip
    about = KitFolder(folder).about

    def play() -> None:
        for one in load_kit(folder):
            notes = [Note(0.1 * i, key, 0.3, 90) for i, key in enumerate((40, 52, 100))]
            for _ in mix(Score(()), [Playing("a", one, notes)], 22050, samples=22050):
                pass

    return Kind(json.loads(about.read_text()), as_json(about), play)


def part_map(folder: Path) -> Kind:
    """A map of a score."""
    folder.mkdir()
    value = {"parts": [{"channel": 1, "program": 3, "source": 1, "class": "a", "seed": 2, "gain_db": 1.5, "pan": 0.1,
                        "transpose": 2, "mute": False}]}  # fmt: skip
    return Kind(value, as_yaml(folder / "map.yaml"), lambda: read_map(folder / "map.yaml"))


def drum_styles(folder: Path) -> Kind:
    """A file of styles."""
    folder.mkdir()
    value = {"a": {"bpm": 100, "swing": 0.6, "beats": 1, "bars": [{"kick": "X..."}], "fill": {"snare": "xxxx"}}}

    def draw() -> None:
        for style in read_styles(folder / "styles.yaml").values():
            styled(style, 2, np.random.default_rng(0))

    return Kind(value, as_yaml(folder / "styles.yaml"), draw)


KINDS: dict[str, Callable[[Path], Kind]] = {
    "vae": vae, "gan": gan, "gan_of_hits": gan_of_hits, "old_vae": old_vae, "vocoder": vocoder,
    "training": training, "settings": settings,
    "progress": progress, "metrics": metrics, "sidecar": sidecar, "directions": directions, "reference": reference,
    "run_record": run_record, "kit": sampler_kit, "part_map": part_map, "styles": drum_styles,
}  # fmt: skip
