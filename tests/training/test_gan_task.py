"""The GAN's task on mel images: what holds in every step, and how runs start."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import soundfile as sf
import torch
import yaml
from torch import Tensor

from audio_gen.artefacts.bundle import load_bundle, save_bundle
from audio_gen.artefacts.checkpoint import load_checkpoint, save_checkpoint
from audio_gen.data.dataset import Batch, ClipDataset
from audio_gen.errors import AudioGenError, CheckpointError, ConfigError, MelMismatchError
from audio_gen.models.contract import Conditions
from audio_gen.models.registry import build_parts, trained_weights
from audio_gen.training.events import Note
from audio_gen.training.metrics import read_metrics
from audio_gen.training.task import Loss
from audio_gen.training.tasks.run import TASKS, resolve_config, train_run
from audio_gen.training.tasks.source import open_source
from audio_gen.training.tasks.start import CLIP_TENSORS
from tests.given import given
from tests.sounds import noise, pluck, write

CONFIGS = Path(__file__).parents[2] / "configs"
ONCE = "augment=0"  # each clip is encoded once, not hundreds of times in other forms
QUICK = ["train.previews=0", "train.validations=0", "train.steps=2", ONCE]
FROZEN = ["mapping", "linear", "synthesis"]


def write_sounds(folder: Path, names: tuple[str, ...] = ("bell", "drum"), count: int = 6) -> Path:
    """`count` clips of each name, such as bell-060-100.wav: class, pitch, velocity."""
    for number, name in enumerate(names):
        for i in range(count):
            pitch = 48 + 4 * i + number
            tone = pluck(440 * 2 ** ((pitch - 69) / 12), 0.3 + 0.03 * i)
            write(folder / f"{name}-{pitch:03d}-100.wav", tone + number * noise(0.3 + 0.03 * i, seed=i)[: len(tone)])
    return folder


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sounds(tmp_path_factory.mktemp("sounds"))


def train(source: Path, run: Path, *overrides: str, model: str = "gan", **how: Any) -> Path:
    file = CONFIGS / model / "tiny.yaml"
    return train_run(source, run, model=model, config_file=file, overrides=[*QUICK, *overrides], device="cpu", **how)


@pytest.fixture(scope="module")
def vae(sounds: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(sounds, tmp_path_factory.mktemp("runs") / "vae", model="vae")


@pytest.fixture(scope="module")
def gan(sounds: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GAN of bells and drums that has taken two steps."""
    return train(sounds, tmp_path_factory.mktemp("runs") / "gan", "train.lr=0.01")


def ready(source: Path, run: Path, *overrides: str) -> tuple[Any, ClipDataset]:
    """A task as it is before the first step, and its training clips."""
    settings = resolve_config(run, "gan", CONFIGS / "gan" / "tiny.yaml", [ONCE, *overrides], {})
    spec = settings.mel
    cache = open_source(source, run, settings, spec, lambda event: None)
    torch.manual_seed(0)
    task = TASKS["gan"][1](settings, spec, cache)
    data = ClipDataset(
        cache, split="train", segment_samples=task.segments[0], seed=0, crop="start", preroll=task.preroll
    )
    task.initialise(data)
    return task, data


@pytest.fixture
def fresh(sounds: Path, tmp_path: Path) -> tuple[Any, ClipDataset]:
    """A task before the first step, and its clips."""
    return ready(sounds, tmp_path / "run")


def one_line(error: pytest.ExceptionInfo[AudioGenError], *parts: object) -> bool:
    text = str(error.value)
    return "\n" not in text and all(str(part) in text for part in parts)


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def loss_of(task: Any, phase: str, batch: Batch, progress: float = 0.5, seed: int = 0) -> Loss:
    """The loss of a phase of a step of its own."""
    noise = generator(seed)
    return task.loss(phase, task.begin(batch, noise, 0.5), noise, progress)


def values_of(task: Any, phase: str, batch: Batch, seed: int = 0) -> dict[str, Tensor]:
    """Its unweighted terms."""
    return {name: value for name, (value, _) in loss_of(task, phase, batch, seed=seed).terms.items()}


def step(task: Any, batch: Batch) -> dict[str, dict[str, Tensor]]:
    """The terms of both phases of a step, which is made but for the optimisers."""
    noise, found, statistics = generator(), {}, {}
    shared = task.begin(batch, noise, 0.5)
    for phase in ("d", "g"):
        loss = task.loss(phase, shared, noise, 0.5)
        found[phase] = {name: value for name, (value, _) in loss.terms.items()}
        statistics |= loss.statistics
    task.after_step(statistics)
    return found


def test_losses_are_scalars_and_their_names_stay(fresh: tuple[Any, ClipDataset]) -> None:
    task, data = fresh
    assert [phase.name for phase in task.phases()] == ["d", "g"]
    for phase in ("d", "g"):
        found = [loss_of(task, phase, data.batch(0, 4), progress) for progress in (0.0, 0.1, 1.0)]
        assert len({tuple(loss.terms) for loss in found}) == len({tuple(loss.statistics) for loss in found}) == 1
        assert all(value.ndim == 0 and torch.isfinite(value) for value, _ in found[0].terms.values())
        assert all(torch.isfinite(value) and not value.requires_grad for value in found[0].statistics.values())


def test_weights_follow_the_progress(sounds: Path, tmp_path: Path) -> None:
    task, data = ready(sounds, tmp_path, "loss.ramp=0.5", "loss.penalty_start=4", "loss.reconstruction_end=0")
    for progress, penalty, reconstruction in ((0.0, 0.4, 1.0), (0.25, 0.2, 0.5), (0.5, 0.1, 0.0), (1.0, 0.1, 0.0)):
        weights = [loss_of(task, phase, data.batch(0, 4), progress).terms for phase in ("d", "g")]
        assert weights[0]["penalty"][1] == pytest.approx(penalty)
        assert weights[1]["reconstruction"][1] == pytest.approx(reconstruction)
        assert (weights[0]["adv_d"][1], weights[1]["adv_g"][1], weights[1]["stay"][1]) == (1, 1, 2)


def test_only_the_end_of_a_step_changes_the_task(sounds: Path, tmp_path: Path) -> None:
    task, data = ready(sounds, tmp_path / "run")
    before = {name: value.clone() for name, value in task.modules.state_dict().items()}
    for phase in ("d", "g"):
        loss_of(task, phase, data.batch(0, 4))
    assert same(before, task.modules.state_dict())
    task.adversarial.adaptive.measure(1.0, 0.1)
    logged = task.after_step({"real": torch.tensor(3.0), "fake": torch.tensor(1.0)})
    assert float(logged["gap/logits"]) == 2
    assert float(logged["adaptive/p"]) > 0
    assert float(logged["adaptive/overfitting"]) == pytest.approx(0.9)
    assert int(task.adversarial.averages.steps) == 1


def test_a_lazy_penalty_comes_in_its_turn(sounds: Path, tmp_path: Path) -> None:
    task, data = ready(sounds, tmp_path / "run", "loss.penalty_steps=2")
    found = [float(step(task, data.batch(i, 4))["d"]["penalty"].detach()) for i in range(4)]
    assert [value > 0 for value in found] == [True, False, True, False]


def test_a_penalty_counts_as_often_as_it_was_left_out_and_by_clips(sounds: Path, tmp_path: Path) -> None:
    """Every second step twice as much; on every second of four alike pairs the same as on all of them."""
    found = {}
    for name, *settings in (
        ("all", "loss.penalty_stride=1"), ("steps", "loss.penalty_stride=1", "loss.penalty_steps=2"),
        ("stride", "loss.penalty_stride=2"),
    ):  # fmt: skip
        task, data = ready(sounds, tmp_path / name, *settings)
        drawn = task.begin(data.batch(0, 4), generator(), 0.5)
        alike = drawn._replace(
            **{key: getattr(drawn, key)[:1].repeat(4, 1, 1) for key in ("real", "fake", "features")},
            conditions=drawn.conditions[0].repeat(4),
        )
        found[name] = float(task.adversarial.d_loss(alike, generator(), penalty=1.0).terms["penalty"][0].detach())
    assert found["all"] > 0
    assert found["steps"] == pytest.approx(2 * found["all"], rel=1e-4)
    assert found["stride"] == pytest.approx(found["all"], rel=1e-4)


def test_both_sides_judge_places_too(sounds: Path, tmp_path: Path) -> None:
    task, data = ready(sounds, tmp_path / "run")
    for phase, name in (("d", "adv_d"), ("g", "adv_g")):
        losses = values_of(task, phase, data.batch(0, 4))
        values = [float(losses[key].detach()) for key in (name, f"{name}_local")]
        assert len(set(values)) == 2
        assert all(value > 0 for value in values)


def test_staying_is_measured_from_where_the_mapping_starts(sounds: Path, tmp_path: Path) -> None:
    task, data = ready(sounds, tmp_path)

    def stay() -> Tensor:
        return values_of(task, "g", data.batch(0, 4))["stay"]

    assert float(stay().detach()) == 0
    with torch.no_grad():
        task.mapping.head.bias.fill_(2.0)  # two deviations
    loss = stay()
    assert float(loss.detach()) == pytest.approx(4)
    loss.backward()
    assert bool((task.mapping.head.bias.grad > 0).all())
    z, unknown = torch.zeros(1, task.mapping.noise_dim), Conditions(1)
    torch.testing.assert_close(task.mapping(z, unknown), task.mapping.start(z, unknown) + 2 * task.mapping.spread)


def test_the_task_checkpoints_its_critics(sounds: Path, tmp_path: Path) -> None:
    task, data = ready(sounds, tmp_path / "run")
    assert task.adversarial.modules.keys() == {"d", "adaptive", "averages"}
    assert all(task.modules[name] is module for name, module in task.adversarial.modules.items())
    for _ in range(2):
        step(task, data.batch(0, 4))
    assert float(task.modules.state_dict()["averages.steps"]) == 2


def test_runs_start_as_the_density_of_their_clips(fresh: tuple[Any, ClipDataset]) -> None:
    """Each clip's latent is an anchor of its class, and the network adds nothing yet."""
    task, data = fresh
    mapping, codec = task.model.mapping, task.model.codec
    assert len(mapping.anchor_class) == len(data)
    mel, conditions = task.mels.basis()
    w = codec.encode(mel, conditions).mean[:, 0].detach()
    for number in (0, 1):
        anchors = mapping.corners[mapping.anchor_class == number][:, 0, :-1]
        assert nearest(w[conditions.class_id == number], anchors) < 1e-3
    z = torch.randn(8, mapping.noise_dim, generator=generator())
    known = given(torch.arange(8) % 2, torch.linspace(50, 65, 8))
    assert torch.equal(mapping(z, known), mapping.start(z, known))


def nearest(points: Tensor, others: Tensor) -> float:
    """How far the most distant of points (N, D) is from the nearest of others (K, D), and the other way round."""
    distance = torch.cdist(points, others)
    return float(torch.cat([distance.amin(0), distance.amin(1)]).max())


def test_each_phase_moves_its_own_networks_only(fresh: tuple[Any, ClipDataset]) -> None:
    """The loss of one side leaves no gradient on the other, and all that should learn has one."""
    task, data = fresh
    own = {phase.name: phase.parameters() for phase in task.phases()}
    others = {"d": list(task.model.parameters()), "g": own["d"]}
    for phase in ("d", "g"):
        task.modules.zero_grad(set_to_none=True)
        loss_of(task, phase, data.batch(0, 4)).total().backward()
        assert all(parameter.grad is None for parameter in others[phase])
        assert any(bool(parameter.grad.any()) for parameter in own[phase] if parameter.grad is not None)
    assert all(parameter.requires_grad for parameter in own["d"])


def test_the_generators_phase_does_not_change_what_judges(fresh: tuple[Any, ClipDataset]) -> None:
    task, data = fresh
    shared = task.begin(data.batch(0, 4), generator(), 0.5)
    task.loss("d", shared, generator(), 0.5)
    before = {name: value.clone() for name, value in task.modules.state_dict().items()}
    task.loss("g", shared, generator(), 0.5)
    assert same(before, task.modules.state_dict())


def test_the_seed_decides_what_is_generated(fresh: tuple[Any, ClipDataset]) -> None:
    task, data = fresh
    rows = []
    for seed in (0, 0, 1):
        losses = values_of(task, "g", data.batch(0, 4), seed)
        rows.append({name: float(value.detach()) for name, value in losses.items()})
    assert rows[0] == rows[1] != rows[2]


def test_a_bundle_makes_what_the_task_made(fresh: tuple[Any, ClipDataset], tmp_path: Path) -> None:
    task, _ = fresh
    save_bundle(tmp_path / "bundle", *task.bundle(task.model))
    bundle = load_bundle(tmp_path / "bundle")
    parts: Any = build_parts(bundle)
    z = torch.randn(4, task.model.mapping.noise_dim, generator=generator())
    known = given(torch.tensor([0, 1, -1, 0]), torch.tensor([50.0, 60, 55, float("nan")]))
    with torch.no_grad():
        made = task.model(z, known)
        again = parts["codec"].decode(parts["prior"].mapping(z, known), known)
    assert torch.equal(made, again)
    assert bundle.config["classes"] == ["bell", "drum"]
    assert bundle.config["pitch_range"] == [48, 69]
    prior = bundle.part("prior")
    assert prior["centres"].shape == (3, task.model.codec.latent.dim)
    assert sorted(prior["examples.classes"].unique().tolist()) == [0, 1]
    assert prior["examples.pitches"].min() >= 48


def test_the_augmentation_follows_the_gaps_that_validation_finds(sounds: Path, tmp_path: Path) -> None:
    """A discriminator that knows the pairs of a batch by heart: held-out ones have less of a gap."""
    task, data = ready(sounds, tmp_path / "run")
    before = {name: value.clone() for name, value in task.modules.state_dict().items()}
    with torch.no_grad():
        values = task.validate(task.model, data.fixed_batches(4, 6))
    assert {"logits_gap", "logits_gap_train"} <= values.keys()
    assert same(before, task.modules.state_dict())  # validation changes nothing
    for kept_out, overfitting in ((0.3, 0.8), (1.6, 0.0)):
        task.after_validation({**values, "logits_gap_train": 1.5, "logits_gap": kept_out})
        assert float(task.adversarial.adaptive.overfitting) == pytest.approx(overfitting)


def test_validation_and_preview(fresh: tuple[Any, ClipDataset]) -> None:
    task, data = fresh
    with torch.no_grad():
        values = task.validate(task.model, data.fixed_batches(4, 6))
        preview = task.preview(task.model, next(data.fixed_batches(2, 2)))
        made = task.generate(task.model, 3, 0)
    assert all(value == pytest.approx(value) for value in values.values())
    assert {name.split("-")[1] for name in preview.sounds} >= {"real", "sampled"}
    assert made.shape[:2] == (3, 1)
    assert torch.isfinite(made).all()


def test_a_run_can_start_from_one_with_other_classes(gan: Path, tmp_path: Path) -> None:
    """The networks are the bundle's; each class starts where its own clips lie among the bundle's components."""
    task, data = ready(write_sounds(tmp_path / "new", ("horn", "lute", "oboe")), tmp_path / "run")
    task.start_from(load_bundle(gan), gan)
    theirs, mine = trained_weights(load_bundle(gan)), task.model.state_dict()
    kept = [name for name in mine if "class_embedding" not in name and name not in CLIP_TENSORS]
    assert all(torch.equal(mine[name], theirs[name]) for name in kept)
    mel, conditions = task.mels.basis()
    w = task.model.codec.encode(mel, conditions).mean[:, 0]
    for number in range(3):
        anchors = mine["mapping.corners"][mine["mapping.anchor_class"] == number][:, 0, :-1]
        assert nearest(w[conditions.class_id == number], anchors) < 1e-3
    loss_of(task, "d", data.batch(0, 4))


def test_as_many_other_classes_are_other_classes(gan: Path, tmp_path: Path) -> None:
    """The same sounds, but the first class by its letter is the other one now."""
    task, _ = ready(write_sounds(tmp_path / "new", ("lute", "horn")), tmp_path / "run")
    task.start_from(load_bundle(gan), gan)
    mine, theirs = task.model.state_dict(), trained_weights(load_bundle(gan))
    assert torch.allclose(class_means(mine), class_means(theirs).flip(0), atol=0.3)
    assert not torch.allclose(class_means(mine), class_means(theirs), atol=0.3)
    for name in (
        "codec.class_embedding.weight",
        "mapping.class_embedding.weight",
    ):  # new ones begin as the mean of the old
        assert torch.allclose(mine[name][1:], theirs[name][1:].mean(0).expand(2, -1))


def class_means(tensors: dict[str, Tensor]) -> Tensor:
    """Mean latents of the clips of two classes (2, D)."""
    anchors, class_id = tensors["mapping.corners"][:, 0, :-1], tensors["mapping.anchor_class"]
    return torch.stack([anchors[class_id == number].mean(0) for number in (0, 1)])


def test_a_run_on_the_same_sounds_starts_from_all_of_it(gan: Path, sounds: Path, tmp_path: Path) -> None:
    task, _ = ready(sounds, tmp_path / "run")
    task.start_from(load_bundle(gan), gan)
    assert same(task.model.state_dict(), trained_weights(load_bundle(gan)))


@pytest.mark.parametrize("frozen", [["mapping"], ["linear"], ["synthesis"], FROZEN])
def test_frozen_parts_stay_and_the_rest_learns(gan: Path, sounds: Path, tmp_path: Path, frozen: list[str]) -> None:
    settings = [f"net.freeze=[{', '.join(frozen)}]", "train.lr=0.01", "train.compact=false"]
    train(sounds, tmp_path / "run", *settings, init=gan)
    theirs = trained_weights(load_bundle(gan))
    modules = load_checkpoint(tmp_path / "run/checkpoints/step-00000002.pt")["modules"]
    mine = {name[len("model.") :]: value for name, value in modules.items() if name.startswith("model.")}
    starts = {"mapping": "mapping.", "linear": "codec.trunk.linear.", "synthesis": "codec.synthesis."}
    for part, begin in {**starts, "class_embedding": "codec.class_embedding."}.items():
        names = [name for name in mine if name.startswith(begin)]
        assert names
        assert all(torch.equal(mine[name], theirs[name]) for name in names) == (part in frozen)
    train(sounds, tmp_path / "run", *settings, "train.steps=3")
    more = trained_weights(load_bundle(tmp_path / "run"))  # goes on as it was begun, without --init as well
    for name in mine:
        if name.startswith(tuple(starts[part] for part in frozen)):
            assert torch.equal(more[name], theirs[name])


def test_what_does_not_fit_is_refused_in_one_line(gan: Path, vae: Path, sounds: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as error:
        train(sounds, tmp_path / "kind", init=vae)
    assert one_line(error, vae, "holds a vae", "--model gan")
    with pytest.raises(CheckpointError) as error:
        train(sounds, tmp_path / "shape", "net.latent_dim=5", init=gan)
    assert one_line(error, gan, "8", "5")
    with pytest.raises(CheckpointError) as error:
        train(sounds, tmp_path / "length", "data.segment_sec=0.3", init=gan)
    assert one_line(error, gan, "31", "19")
    with pytest.raises(MelMismatchError) as mel:
        train(sounds, tmp_path / "mel", "mel.f_max=7000", init=gan)
    assert one_line(mel, gan, "7000", "8000")


def retired(run: Path) -> None:
    """Make of a run one of an earlier version, which had a discriminator of latents."""
    stored = yaml.safe_load((run / "config.yaml").read_text())
    stored |= {"domain": "mel", "vae": None}
    stored["loss"] |= {"latent": 0.0, "lecam": 0.0, "latent_batch": 256, "latent_lr": 5.0, "penalty_latent": 0.1}
    (run / "config.yaml").write_text(yaml.safe_dump(stored))
    path = run / "checkpoints/step-00000002.pt"
    state = load_checkpoint(path)
    state["modules"] |= {"d_latent.stem.weight": torch.ones(3), "averages.real": torch.ones(())}
    (group,) = state["optimisers"]["d"]["param_groups"]
    last = len(group["params"])
    state["optimisers"]["d"]["param_groups"].append({**group, "params": [last]})
    save_checkpoint(path, state)


def test_a_run_with_what_is_gone_goes_on_bit_for_bit(sounds: Path, tmp_path: Path) -> None:
    """Settings and states of the latent discriminator, which counted for nothing, are passed over."""
    runs = [train(sounds, tmp_path / name, "train.compact=false") for name in ("now", "then")]
    retired(runs[1])
    now, then = (load_bundle(train(sounds, run, "train.compact=false", "train.steps=3")).tensors for run in runs)
    assert same(now, then)


@pytest.mark.parametrize(("name", "value"), [("domain", "latent"), ("loss.lecam", 0.3)])
def test_a_run_that_needs_what_is_gone_is_refused_by_name(sounds: Path, tmp_path: Path, name: str, value: Any) -> None:
    run = train(sounds, tmp_path / "run", "train.steps=1")
    stored = yaml.safe_load((run / "config.yaml").read_text())
    section, _, key = name.rpartition(".")
    (stored[section] if section else stored)[key] = value
    (run / "config.yaml").write_text(yaml.safe_dump(stored))
    with pytest.raises(ConfigError) as error:
        train(sounds, run, "train.steps=2")
    assert one_line(error, f"{name} {value}", "no longer has", "train a new run")


def test_settings_of_an_earlier_version_start_a_new_run(tmp_path: Path) -> None:
    file, known = tmp_path / "config.yaml", {"model": "gan", "train": {"steps": 3}}
    gone = {"latent": 0.0, "lecam": 0, "latent_batch": 256, "latent_lr": 5.0, "penalty_latent": 0.1}
    file.write_text(yaml.safe_dump({**known, "domain": "mel", "vae": "old", "loss": gone, "net": {"head": "vocoder"}}))
    plain = tmp_path / "plain.yaml"
    plain.write_text(yaml.safe_dump(known))
    settings, expected = (resolve_config(tmp_path / "run", "gan", one, (), {}) for one in (file, plain))
    assert settings == expected
    file.write_text(yaml.safe_dump({**known, "loss": {**gone, "lecam": 0.3}}))
    with pytest.raises(ConfigError) as error:
        resolve_config(tmp_path / "run", "gan", file, (), {})
    assert one_line(error, file, "sets loss.lecam 0.3", "no longer has", "remove it")


@pytest.mark.parametrize("names", [(1,), (5, 2), (5, 1)])
def test_few_clips_train(tmp_path: Path, names: tuple[int, ...]) -> None:
    """One clip in all; a class of two, and of one."""
    for name, count in zip(("bell", "drum"), names, strict=False):
        write_sounds(tmp_path / "few", (name,), count)
    events: list[Any] = []
    train(tmp_path / "few", tmp_path / "run", "train.validations=1", "augment=auto", on_event=events.append)
    assert all(torch.isfinite(value).all() for value in load_bundle(tmp_path / "run").tensors.values())
    told = [e.text for e in events if isinstance(e, Note) and "fewer than 5 training clips" in e.text]
    assert len(told) == (len(names) > 1)  # a folder of one sort has no smaller one
    assert all("drum (" in text and "\n" not in text for text in told)


def test_only_classes_of_few_clips_are_warned_of_by_name(tmp_path: Path) -> None:
    for name, count in (("bell", 8), ("drum", 2)):
        write_sounds(tmp_path / "few", (name,), count)
    events: list[Any] = []
    train(tmp_path / "few", tmp_path / "run", "train.steps=1", on_event=events.append)
    (told,) = [e.text for e in events if isinstance(e, Note) and "fewer than 5 training clips" in e.text]
    assert "drum (2)" in told or "drum (1)" in told  # one may be kept out
    assert "bell" not in told


def test_metrics_show_losses_gaps_and_augmentation(gan: Path) -> None:
    found = set().union(*read_metrics(gan))
    losses = {f"loss/adv_{side}{part}" for side in "dg" for part in ("", "_local")}
    assert losses | {"grad_norm/d", "grad_norm/g", "adaptive/p", "gap/logits"} <= found


def test_copies_change_nothing_that_training_starts_from(tmp_path: Path) -> None:
    """The same basis, the same anchors, the same first batch as without the copies, and latents of the same size."""
    alone, data = ready(write_sounds(tmp_path / "alone"), tmp_path / "one")
    folder = write_sounds(tmp_path / "copied")
    for i, path in enumerate(sorted(folder.iterdir())[:3]):
        shutil.copy(path, folder / f"{path.stem.rsplit('-', 1)[0]}-{101 + i}.wav")  # another velocity
    copied, with_copies = ready(folder, tmp_path / "two")
    assert len(with_copies) == len(data)
    for name in ("codec.analysis", "codec.trunk.mean", "mapping.corners", "mapping.anchor_class"):
        assert torch.equal(alone.generator.get_buffer(name), copied.generator.get_buffer(name))
    assert torch.equal(data.batch(0, 8).wav, with_copies.batch(0, 8).wav)


@pytest.mark.parametrize("model", ["gan", "vae"])
def test_near_copies_make_no_large_latents(model: str, tmp_path: Path) -> None:
    """A copy under another label, one a little softer, and one that begins a few samples later."""
    folder = write_sounds(tmp_path / "sounds", count=10)
    first = sorted(folder.iterdir())[0]
    wav, rate = sf.read(first, dtype="float32")
    write(folder / "drum-050-100.wav", wav, rate)
    write(folder / "bell-050-101.wav", 0.9999 * wav, rate)
    write(folder / "bell-050-102.wav", wav[7:], rate)
    settings = resolve_config(tmp_path / "run", model, CONFIGS / model / "tiny.yaml", QUICK, {})
    spec = settings.mel
    cache = open_source(folder, tmp_path / "run", settings, spec, lambda event: None)
    task = TASKS[model][1](settings, spec, cache)
    for side in ("train", "val"):
        data = ClipDataset(
            cache, split=side, segment_samples=task.segments[0], seed=0, crop="start", preroll=task.preroll
        )
        if side == "train":
            task.initialise(data)
        for batch in data.fixed_batches(64):
            codec = task.model if model == "vae" else task.model.codec
            z = codec.encode(task.mels.front_end(batch.wav), task.mels.conditions(batch)).mean
            assert z.abs().max() < 8


def test_a_gan_of_few_sounds_starts_with_ways_in_which_each_varies(sounds: Path, tmp_path: Path) -> None:
    """Within the components of the sounds alone; pitched sounds vary too."""
    task, data = ready(sounds, tmp_path / "run", "net.latent_dim=32")
    assert task.mapping_args["own_directions"] == 4
    assert int((task.codec.analysis.norm(dim=1) > 0).sum()) < len(data)
    own = task.mapping.own
    assert own is not None
    assert (own.norm(dim=(1, 2)) > 0).all()
    z = torch.randn(200, task.mapping.noise_dim, generator=generator())
    w = task.mapping(z, given(torch.arange(200) % 2, torch.full((200,), 60.0)))
    assert w.abs().max() <= 8


def test_noise_too_short_for_own_directions_has_fewer(sounds: Path, tmp_path: Path) -> None:
    task, _ = ready(sounds, tmp_path / "run", "net.noise_dim=4")
    assert task.mapping_args["own_directions"] == 1
    assert task.mapping.own.shape[2] == 1
    task, _ = ready(sounds, tmp_path / "none", "net.noise_dim=3")
    assert task.mapping.own is None


def test_a_run_can_start_from_a_bundle_without_own_directions(gan: Path, sounds: Path, tmp_path: Path) -> None:
    bundle = load_bundle(gan)
    prior = bundle.config["prior"]
    args = {key: value for key, value in prior["args"].items() if key != "own_directions"}
    old = {key: value for key, value in bundle.tensors.items() if not key.endswith("mapping.own")}
    save_bundle(
        tmp_path / "old",
        {**{k: v for k, v in bundle.config.items() if k not in ("format", "digest")}, "prior": {**prior, "args": args}},
        old,
    )
    loaded = load_bundle(tmp_path / "old")
    build_parts(loaded)
    task, _ = ready(sounds, tmp_path / "run")
    task.start_from(loaded, tmp_path / "old")
    assert same(task.model.state_dict(), trained_weights(bundle))
