"""Every verdict is named by rows that show it, and by no others."""

import math
from typing import Any

import pytest

from audio_gen.findings import Finding
from audio_gen.training.diagnosis import ALARMS, diagnose
from audio_gen.training.history import History

STEPS, EVERY = 1000, 10

EVALUATED = {
    "eval/kad_floor": 0.4, "eval/coverage": 0.7, "eval/coverage_real": 0.95, "eval/density": 0.8, "eval/diversity": 0.9,
    "eval/memorised": 0.02, "eval/memorised_real": 0.01, "eval/silent": 0.0,
    "eval/flatness_real": 0.02, "eval/distinct_real": 500.0, "eval/n": 64.0,
}  # fmt: skip

Rows = list[dict[str, Any]]


def healthy(steps: int = STEPS, **changed: Any) -> Rows:
    """A VAE's run as the recipes' go: errors and KL fall; `changed` are figures of the last evaluation."""
    rows: Rows = []
    for step in range(EVERY, steps + 1, EVERY):
        share = step / STEPS
        wobble = 1 + 0.1 * math.sin(step)
        rows.append(
            {
                "step": step, "lr": 1e-3, "loss/mel": (0.17 + 0.08 * math.exp(-8 * share)) * wobble,
                "loss/kl": 100 + 150 * math.exp(-6 * share), "grad_norm/g": (20 - 15 * share) * wobble,
                "time/elapsed_sec": step / 4,
            }
        )  # fmt: skip
        if step % 50 == 0:
            error, kl = 0.185 + 0.03 * math.exp(-4 * share), 103 + 90 * math.exp(-5 * share)
            rows.append({"step": step, "val/mel_l1": error, "val/kl": kl, "val/active_dimensions": 128.0})
        if step % 250 == 0:
            rows.append({"step": step, "eval/kad": 3.1 - 1.9 * share, **EVALUATED})
            rows.append({"step": step, "health": [{"name": "working", "text": "..", "alarm": False}]})
    rows.append({"step": steps, "eval/kad": 3.1 - 1.9 * steps / STEPS, **EVALUATED, **named(changed)})
    return rows


def named(changed: dict[str, float]) -> dict[str, float]:
    return {key.replace("__", "/"): value for key, value in changed.items()}


def scaled(rows: Rows, prefix: str, factor: Any) -> Rows:
    """The rows with figures multiplied by factor(share of the run)."""
    return [{k: v * factor(row["step"] / STEPS) if k.startswith(prefix) else v for k, v in row.items()} for row in rows]


def alarms(rows: Rows, progress: float = 1.0) -> list[str]:
    return [verdict.name for verdict in diagnose(rows, progress=progress) if verdict.alarm]


def notes(rows: Rows, progress: float = 1.0) -> list[str]:
    return [verdict.name for verdict in diagnose(rows, progress=progress) if not verdict.alarm]


@pytest.mark.parametrize("share", [0.05, 0.1, 0.25, 0.5, 0.75, 1.0])
def test_a_healthy_run_has_no_alarm_at_any_time(share: float) -> None:
    assert alarms(healthy(int(STEPS * share)), progress=share) == []


def test_transferred_sounds_that_stay_as_they_are_are_told_from_half_of_the_run_on() -> None:
    assert alarms(healthy(eval__way=0.05)) == ["unchanged"]
    assert alarms(healthy(eval__way=-0.2)) == ["unchanged"]
    assert alarms(healthy(eval__way=0.6)) == []
    assert alarms(healthy(STEPS // 4, eval__way=0.05), progress=0.25) == []
    assert alarms(healthy(eval__way=0.6, eval__diversity=0.1)) == ["mode_collapse"]


def test_what_is_harmless_is_no_alarm() -> None:
    errors_rise = scaled(healthy(), "val/mel_l1", lambda share: 0.9 + 0.2 * share)
    assert alarms(errors_rise) == []
    small = [{**row, "val/active_dimensions": 6.0, "val/kl": 9.0} if "val/kl" in row else row for row in healthy()]
    assert alarms(small) == []
    one_kept_out = [{**row, "val/active_dimensions": 0.0} if "val/kl" in row else row for row in healthy()]
    assert alarms(one_kept_out) == []
    blurry = healthy(eval__coverage=0.05, eval__diversity=0.75)
    assert alarms(blurry) == []
    near_copies = healthy(eval__memorised=0.9, eval__memorised_real=0.6)
    assert alarms(near_copies) == []
    few = healthy(eval__n=8.0, eval__diversity=0.1, eval__memorised=0.9)
    assert alarms(few) == []
    assert alarms(healthy(eval__flatness_real=0.29)) == []  # hi-hats
    silent = [row for row in healthy() if "eval/kad" not in row] + [{"step": STEPS, "eval/kad": math.inf}]
    assert alarms(silent) == []


@pytest.mark.parametrize(
    ("name", "changed", "told"),
    [
        ("mode_collapse", {"eval__diversity": 0.1}, "differ 0.10 times as much"),
        ("mode_collapse", {"eval__diversity": 0.5, "eval__coverage": 0.1}, "cover 10 % of your sounds"),
        ("memorisation", {"eval__memorised": 0.8}, "80 % of the samples are copies of a training sound"),
        ("memorisation", {"eval__memorised": 0.51, "eval__memorised_real": 0.1}, "10 % are as close to one"),
        ("memorisation", {"eval__distinct_real": 1.0}, "only one training sound"),
        ("noise_data", {"eval__flatness_real": 0.56}, "flatness is 0.56"),
        ("silent_samples", {"eval__silent": 0.75}, "75 % of the samples are silent"),
    ],
)
def test_figures_of_samples(name: str, changed: dict[str, Any], told: str) -> None:
    verdicts = diagnose(healthy(**changed))
    assert [(v.name, v.alarm) for v in verdicts] == [(name, True)]
    assert told in verdicts[0].text and "\n" not in verdicts[0].text


@pytest.mark.parametrize(
    ("kl", "active", "progress", "wanted"),
    [
        (0.1, 0.0, 1.0, ["posterior_collapse"]),
        (0.1, 0.0, 0.2, []),
        (2.5, 128.0, 1.0, ["posterior_collapse"]),  # nothing but the free bits
        (2.0, 1.0, 1.0, ["posterior_collapse"]),
        (12.0, 0.0, 1.0, []),
        (4.0, 8.0, 1.0, []),
    ],
)
def test_posterior_collapse(kl: float, active: float, progress: float, wanted: list[str]) -> None:
    rows = [{"step": 100 * i, "val/mel_l1": 0.2, "val/kl": kl, "val/active_dimensions": active} for i in range(1, 5)]
    assert alarms(rows, progress) == wanted


def test_a_kl_weight_too_high_is_told_from_a_rate_too_high() -> None:
    broken = scaled(healthy(), "val/mel_l1", lambda share: 1 + 3 * share)
    broken = scaled(broken, "loss/mel", lambda share: 1 + 6 * share)
    assert alarms(scaled(broken, "loss/kl", lambda share: 1 - 0.7 * share)) == ["posterior_collapse"]
    assert alarms(scaled(broken, "loss/kl", lambda share: 1 + 3 * share)) == ["divergence"]
    without = [{k: v for k, v in row.items() if k not in ("loss/kl", "val/kl")} for row in broken]
    assert alarms(without) == ["divergence"]


def test_divergence() -> None:
    assert alarms(scaled(healthy(), "grad_norm/", lambda share: 1 + 200 * share**4)) == ["divergence"]
    assert alarms([*healthy(), {"step": STEPS, "loss/mel": math.nan}]) == ["divergence"]
    vocoder = [{"step": step, "val/mrmel": error} for step, error in ((100, 0.5), (200, 0.3), (300, 0.6))]
    assert alarms(vocoder) == ["divergence"]
    assert alarms(vocoder[:2]) == []


def test_a_run_that_broke_before_its_first_line_is_found_though_it_came_back() -> None:
    back = scaled(healthy(), "loss/mel", lambda share: 1 + 2000 * math.exp(-60 * share))
    assert alarms(back) == ["divergence"]
    exploded = [{"step": 8, "val/mel_l1": 9.1, "val/kl": 5.3e6, "val/active_dimensions": 128.0}, *healthy()]
    assert alarms(exploded) == ["divergence"]
    assert "KL was 5.3e+06 nats at step 8" in diagnose(exploded)[0].text


@pytest.mark.parametrize(
    ("first", "last", "wanted"),
    [(2.0, 9.0, ["discriminator_winning"]), (1.0, 3.0, []), (8.0, 8.0, []), (9.0, 6.0, [])],
)
def test_discriminator_winning(first: float, last: float, wanted: list[str]) -> None:
    rows = [{"step": i, "gap/logits": first + (last - first) * i / 40} for i in range(41)]
    assert alarms(rows) == wanted


def test_notes() -> None:
    verdicts = diagnose(healthy())
    assert [(v.name, v.alarm) for v in verdicts] == [("working", False)]
    assert "KAD 2.62 -> 1.2; real-vs-real baseline 0.4" in verdicts[0].text
    by_error = [row for row in healthy() if "eval/kad" not in row]
    assert "error on held-out files 0.21 -> 0.186" in diagnose(by_error)[0].text
    assert notes(healthy(500), progress=0.5) == ["working"]
    flat = [{"step": 50 * i, "val/mrmel": max(0.5 - 0.02 * i, 0.4) + 1e-4 * i} for i in range(1, 21)]
    assert notes(flat) == ["working", "plateau"]
    assert notes(flat[:8], progress=0.4) == ["working"]
    assert "has not improved for 75 % of the run (best 0.400 at step 250)" in next(
        v.text.replace("0.4 ", "0.400 ").replace("0.401 ", "0.400 ") for v in diagnose(flat) if v.name == "plateau"
    )
    barely = [{"step": 50 * i, "val/mel_l1": 0.25 - 1e-4 * i} for i in range(1, 21)]
    assert notes(barely) == ["no_learning"]
    assert notes(barely[:5], progress=0.25) == []
    overfitted = scaled(by_error, "val/mel_l1", lambda share: 1 + share)
    assert "overfitting" in notes(overfitted)


def test_plateau_follows_kad_where_there_is_one() -> None:
    def rows(kads: list[float]) -> Rows:
        return [{"step": 250 * (i + 1), "val/mel_l1": 0.2, "eval/kad": kad} for i, kad in enumerate(kads)]

    assert "plateau" in notes(rows([3.0, 1.0, 1.1, 1.2]))
    assert "KAD of the samples has not improved for 50 %" in diagnose(rows([3.0, 1.0, 1.1, 1.2]))[1].text
    assert "plateau" not in notes(rows([3.0, 1.2, 1.0, 1.1]))  # one evaluation later is chance
    assert "plateau" not in notes(rows([3.0, 2.0, 1.2, 1.0]))


def test_below_zero_no_kad_is_closer_than_another() -> None:
    def rows(kads: list[float]) -> Rows:
        return [{"step": 250 * (i + 1), "eval/kad": kad, "eval/kad_floor": 2.6} for i, kad in enumerate(kads)]

    assert "working" not in notes(rows([-0.494, -0.468]))
    assert "working" not in notes(rows([-0.2, -0.9]))
    assert "working" in notes(rows([3.0, -0.2]))


def test_missing_keys_never_fail() -> None:
    assert diagnose([]) == []
    assert diagnose([{}, {"loss/mel": 1.0}, {"step": 3}], progress=0.0) == []
    keys = sorted({key for row in healthy() for key in row})
    for key in keys:
        without = [{k: v for k, v in row.items() if k != key} for row in healthy()]
        assert alarms(without) == [], key
        only = [{k: v for k, v in row.items() if k == key} for row in healthy()]
        assert alarms(only) == [], key
    odd: Rows = [{"step": 1, "val/mel_l1": None, "eval/kad": "x", "health": []}]
    assert diagnose(odd) == []


@pytest.mark.parametrize(
    ("kads", "floor", "noise", "told"),
    [
        ((0.68, 2.13), 0.4, 0.1, True),
        ((0.45, 0.57), 0.4, 0.1, False),
        ((0.68, 1.3), 0.4, 0.1, False),  # under twice
        ((0.68, 2.13), 0.4, 0.6, False),  # noise
        ((0.68, 2.13), 2.5, 0.1, False),  # halves of the real sounds are as far apart
        ((-0.02, 0.3), 0.4, 0.1, False),
        ((2.13, 0.68), 0.4, 0.1, False),
    ],
)
def test_a_kad_that_went_up_is_a_loss(kads: tuple[float, float], floor: float, noise: float, told: bool) -> None:
    rows = [
        {"step": 1000 * (i + 1), "eval/kad": kad, "eval/kad_floor": floor, "eval/kad_se": noise}
        for i, kad in enumerate(kads)
    ]
    assert alarms(rows) == ["samples_got_worse"] * told
    if told:
        text = diagnose(rows)[0].text
        assert "KAD was 0.68 at step 1000 and is 2.13 at step 2000" in text and "the better step" in text
        assert "stop here" in diagnose(rows, progress=0.5)[0].text


def test_texts_are_one_sentence_that_says_what_to_do() -> None:
    broken = healthy(eval__diversity=0.1, eval__memorised=0.9, eval__silent=0.9, eval__flatness_real=0.5, eval__way=0)
    broken += [{"step": STEPS, "val/kl": 0.1, "val/active_dimensions": 0.0, "loss/mel": math.inf}]
    broken += [{"step": STEPS, "gap/logits": float(i)} for i in range(40)] + [{"step": STEPS, "eval/kad": 9.0}]
    verdicts = diagnose(broken)
    assert [verdict.name for verdict in verdicts] == [check.__name__ for check in ALARMS]
    for verdict in verdicts:
        assert isinstance(verdict, Finding) and verdict.alarm
        assert ": " in verdict.text or "; " in verdict.text
        assert not verdict.text[0].islower() and verdict.text.endswith(".")
        assert "\n" not in verdict.text and len(verdict.text) < 260


def test_readings() -> None:
    log = History([{"step": 5, "val/a": 2.0, "val/b": 1.0}, {"step": 9, "val/a": math.nan}, {"step": 12}], 0.5)
    assert (log.error_key(), log.series("val/a"), log.last("val/z")) == ("", [(5, 2.0)], None)
    assert History([{"step": 5, "val/gap": 2.0, "val/mel_l1": 1.0}]).error_key() == "val/mel_l1"
    assert (log.steps_done(), log.steps()) == (12, 24)
    assert log.latest("val/") == {"val/a": 2.0, "val/b": 1.0}
    ramp = History([{"step": i, "loss/mel": float(i)} for i in range(40)])
    assert ramp.start_and_end("loss/mel") == (1.5, 37.5)
    assert ramp.best_start_and_end("loss/mel") == (0.0, 37.5)
    assert all(math.isnan(value) for value in ramp.start_and_end("loss/x"))


def test_adversarial_gradients_may_rise_from_nothing_but_not_without_end() -> None:
    rows = [{"step": 10 * i, "gap/logits": 0.5, "grad_norm/g": 0.05 + 0.1 * i} for i in range(1, 100)]
    assert "divergence" not in alarms(rows)
    assert alarms(scaled(rows, "grad_norm/", lambda share: 1 + 3000 * share**4)) == ["divergence"]
