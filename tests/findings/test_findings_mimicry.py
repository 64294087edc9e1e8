"""Cannot mimic, was not optimised, or mimics to no avail: each case is built, and told."""

from __future__ import annotations

import numpy as np
import pytest

from tutelage.findings.mimics import (
    CANNOT,
    HELPS,
    METRIC,
    NO_HELP,
    NOT_OPTIMISED,
    UNDECIDED,
    mimicry,
    setups,
)

OWN, SCRATCH, TWIN = 0.02, 20.0, 0.015


@pytest.fixture
def study(build, teacher):
    """A function: a study of six replicates with a student's KL, that of one trained longer, and
    its error; `spread` is that of the replicates."""

    def make(kl, long=None, error=20.0, spread=1e-4, own=OWN, **leave_out):
        rng = np.random.default_rng(0)

        def column(mean, scale):
            return [[mean + scale * rng.normal()] for _ in range(6)]

        names = {"kd/large": "large", "own": "large", "scratch": None, "twin": None}
        if long is not None:
            names["long"] = "large"
        kls = {"kd/large": kl, "own": own, "long": long}
        errors = {"kd/large": error, "scratch": SCRATCH}
        results = build(
            {name: column(errors.get(name, 20.0), 1e-3) for name in names},
            teachers=[teacher("large", [10.0] * 6, model="plain-64")],
            taught_by={name: tutor for name, tutor in names.items() if tutor},
            setups={"kd": "KD", "own": "KD", "long": "KD", "scratch": "ce", "twin": "ce"},
        )
        for row in results["conditions"]:
            row["teacher"] = names[row["name"]]
            if row["name"] in ("own", "twin"):
                row["student"] = "plain-64"
            if row["name"] == "long":
                row["epochs"] = 480
        for run in results["runs"]:
            figure = kls.get(run["condition"])
            if figure is not None:
                run[METRIC] = figure + spread * rng.normal()
            if run["condition"] == "twin":
                run["toward"] = {"large": {METRIC: TWIN}}
        for name in leave_out.get("without", ()):
            results["conditions"] = [c for c in results["conditions"] if c["name"] != name]
            results["runs"] = [run for run in results["runs"] if run["condition"] != name]
        return results

    return make


def verdict(results):
    (told,) = mimicry(results)
    assert told["sentence"] == "large"
    return told["verdict"]


def test_a_gap_that_a_longer_schedule_leaves_is_inability(study):
    results = study(kl=0.2, long=0.15)
    (told,) = mimicry(results)
    assert told["verdict"] == CANNOT
    assert told["text"].startswith("kd/large, taught by large: cannot mimic. kd/large has ")
    assert "long has " in told["text"]
    assert "kd/large 0.2, own 0.02, another seed of large itself 0.015." in told["text"]
    assert told["text"].endswith("So the student is 0.18 farther from it than another seed of it.")
    (told,) = mimicry(study(kl=0.01))
    assert told["text"].endswith("So the student is 0.005 closer to it than another seed of it.")


def test_a_gap_that_a_longer_schedule_closes_is_optimisation(study):
    assert verdict(study(kl=0.2, long=0.022)) == NOT_OPTIMISED


def test_a_student_that_follows_may_gain_or_not(study):
    assert verdict(study(kl=0.021, error=18.0)) == HELPS
    assert verdict(study(kl=0.021, error=20.0)) == NO_HELP
    assert verdict(study(kl=0.021, error=23.0)) == NO_HELP


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"kl": 0.2}, "it does not mimic, and nobody was trained 4 times as long"),
        ({"kl": 0.2, "long": 0.03, "spread": 0.01}, "what a longer schedule changes is open"),
        ({"kl": 0.03, "spread": 0.02}, "undecided. "),
        ({"kl": 0.021, "without": ["scratch"]}, "there is no control of its length"),
    ],
)
def test_what_is_open_is_said(study, keys, says):
    (told,) = mimicry(study(**keys))
    assert told["verdict"] == UNDECIDED
    assert says in told["text"]


def test_the_margin_is_that_of_a_trend_on_a_kl(study):
    results = study(kl=0.2)
    trend = {"trend": {"of": "train_kl_shape"}, "margin": 0.5}
    results["study"]["config"] = {"claims": {"secondary": {"t": trend}}}
    assert verdict(results) == NO_HELP  # 0.2 is then as close as 0.02


def test_without_a_student_of_the_teachers_architecture_nothing_is_said(study):
    assert mimicry(study(kl=0.2, long=0.1, without=["own"])) == []


def test_stopped_and_other_teachers_are_left_out(study):
    for key, value in (("stop", "compressed 0.2"), ("scaled", "calibrated"), ("made_of", "mean")):
        results = study(kl=0.2)
        results["teachers"][0][key] = value
        assert mimicry(results) == []


@pytest.mark.parametrize("key", ["loss", "precision"])
def test_only_students_who_are_taught_alike_are_compared(study, key):
    results = study(kl=0.2, long=0.1)
    next(row for row in results["conditions"] if row["name"] == "long")[key] = "other"
    (setup,) = setups(results)
    assert setup.long is None
    next(row for row in results["conditions"] if row["name"] == "own")[key] = "other"
    assert list(setups(results)) == []


def test_a_longer_student_is_no_set_up_of_its_own(study):
    (setup,) = setups(study(kl=0.2, long=0.1))
    assert (setup.base, setup.own, setup.long) == ("kd/large", "own", "long")
    assert (setup.scratch, setup.twin) == ("scratch", "twin")
