"""The best of a family: its confidence set, an optimum inside, and the arg-min that fails."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from tutelage.config.schema import ClaimsConfig
from tutelage.findings import Finding, find
from tutelage.findings.best import Ranking, excess, rank

STUDIES = 4000
SPREADS = np.array([0.3, 0.6, 1.0, 1.6, 0.6])  # of five conditions: as unequal as they come
OFFSETS = [-0.5, -0.25, 0.0, 0.25, 0.5, 0.0, -0.125, 0.125]


def simulate(means: list[float], n: int, seed: int) -> np.ndarray:
    """Rows [studies, n, k] with a common part (replicates) and unequal spreads."""
    rng = np.random.default_rng(seed)
    common = rng.normal(0.0, 2.0, (STUDIES, n, 1))
    return common + np.array(means) + rng.normal(0.0, SPREADS, (STUDIES, n, len(means)))


def test_a_condition_leaves_by_a_one_sided_paired_t_test() -> None:
    rows = np.random.default_rng(0).normal([10.0, 10.4, 11.0], 0.4, (7, 3))
    found = excess(rows, 0.05)
    for i in range(3):
        p = [stats.ttest_rel(rows[:, i], rows[:, j], alternative="greater").pvalue
             for j in range(3) if j != i]  # fmt: skip
        assert (found[i] > 0.0) == (min(p) < 0.05 / 2)
        bounds = [
            stats.ttest_rel(rows[:, i], rows[:, j], alternative="greater").confidence_interval(
                1 - 0.05 / 2
            )[0]
            for j in range(3)
            if j != i
        ]
        assert found[i] == pytest.approx(max(bounds))


def test_many_studies_at_once_are_what_each_is_alone() -> None:
    rows = simulate([0.0, 0.1, 0.2, 0.3, 0.4], 6, seed=1)[:3]
    np.testing.assert_array_equal(excess(rows, 0.05)[2], excess(rows[2], 0.05))


@pytest.mark.parametrize("n", [2, 3, 6, 12])
@pytest.mark.parametrize(
    "means", [[0.0] * 5, [0.0, 0.2, 0.4, 0.6, 0.8], [5.0, 4.0, 0.0, 4.0, 5.0], [0, 0, 0, 9, 9]]
)
def test_the_truly_best_is_left_out_in_at_most_5_percent(means, n) -> None:
    out = excess(simulate(means, n, seed=n), 0.05) > 0.0
    best = int(np.argmin(means))
    assert np.mean(out[:, best]) <= 0.064  # nominal and 4 standard errors


@pytest.mark.parametrize("error", [0.05, 0.025 / 3])
def test_an_optimum_at_an_end_is_seldom_called_inside_and_the_reverse(error) -> None:
    names, places = ("a", "b", "c", "d", "e"), (0.0, 1.0, 2.0, 3.0, 4.0)
    for means, wrong in (
        ([0.0, 0.05, 0.1, 1.0, 2.0], "supports"),
        ([9, 0.1, 0.0, 0.1, 0.05], "refutes"),
    ):
        rows = simulate(means, 6, seed=3)
        false = sum(
            getattr(Ranking(6, 0.95, names=names, places=places, rows=row).nulls(error), wrong)
            for row in rows[:1500]
        )
        assert false / 1500 <= error + 4 * (error / 1500) ** 0.5


def test_a_clear_optimum_inside_is_found() -> None:
    out = excess(simulate([3.0, 2.0, 0.0, 2.0, 3.0], 8, seed=4), 0.05) > 0.0
    assert np.mean(out[:, 0] & out[:, 4]) > 0.8


def test_the_bootstrap_of_the_arg_min_is_the_method_that_fails() -> None:
    """Calling the optimum inside where the arg-min of resampled means is, in 95 % of resamples:
    of four equal conditions with the best at an end by a hair, it says so in far more than 5 %."""
    rng = np.random.default_rng(5)
    rows = rng.normal([0.0, 0.01, 0.01, 0.01], 1.0, (800, 4, 4))
    drawn = rng.integers(0, 4, (200, 4))
    chosen = rows[:, drawn].mean(axis=2).argmin(axis=-1)  # [studies, resamples]
    inside = np.isin(chosen, (1, 2)).mean(axis=1) >= 0.95
    assert inside.mean() > 0.08
    ends = excess(rows, 0.05)[:, [0, 3]] > 0.0
    assert ends.all(axis=1).mean() <= 0.05


def test_ends_are_all_conditions_at_the_extremes_of_the_order() -> None:
    rows = [np.array(row) for row in ([3.0, 3.1, 1.0, 2.0], [3.1, 3.0, 1.1, 2.1])]
    found = rank("abcd", (1.0, 1.0, 2.0, 3.0), rows, 0.95, more_is_worse=True)
    assert found.is_end.tolist() == [True, True, False, True]
    assert found.effect == pytest.approx(-1.0)
    flat = rank("abcd", (1.0, 1.0, 2.0, 2.0), rows, 0.95, more_is_worse=True)
    assert flat.is_end.all()
    assert (flat.effect, flat.nulls(0.5).verdict) == (None, "undecided")


def test_more_may_be_better() -> None:
    rows = [np.array([1.0, 3.0, 2.0]) + 0.01 * i * np.array([1, -1, 1]) for i in range(6)]
    assert rank("abc", (0.0, 1.0, 2.0), rows, 0.95, more_is_worse=False).among(0.05) == ["b"]
    assert rank("abc", (0.0, 1.0, 2.0), rows, 0.95, more_is_worse=True).among(0.05) == ["a"]


# --- through find --------------------------------------------------------------------------------


def study(build, means: dict[str, float], n: int = 8, **options: Any) -> dict[str, Any]:
    rng = np.random.default_rng(7)
    noise = rng.permuted(np.tile(OFFSETS, (len(means), 1)), axis=1)[:, :n]
    errors = {
        name: [[10.0 + r + mean + 0.5 * noise[i, r]] for r in range(n)]
        for i, (name, mean) in enumerate(means.items())
    }
    return build(errors, **options)


def one(results: dict[str, Any], rank: str = "primary", **claim: Any) -> Finding:
    claim = {"best": {"of": "kd"}, **claim}
    return find(results, ClaimsConfig.model_validate({rank: {"it": claim}}))[0]


def test_an_optimum_inside_is_supported(build) -> None:
    found = one(study(build, {"kd/a": 2.5, "kd/b": 0.0, "kd/c": 0.02, "kd/d": 2.0}))
    assert (found.kind, found.verdict, found.level, found.n) == ("best", "supported", 0.95, 8)
    assert found.among == ["kd/b", "kd/c"]
    assert (found.low, found.high, found.margin, found.seeds_needed) == (None,) * 4
    assert found.effect is not None
    assert found.sentence == (
        "By test error, the best of kd/a, kd/b, kd/c, kd/d (in this order) is kd/b or kd/c (95 % "
        f"confidence set, 8 replicates; kd/b inside has {-found.effect:.1f} points less than "
        "kd/d at an end); neither end is among them: supported."
    )
    assert found.method == (
        "95 % confidence set of the best (multiple comparisons with the best by one-sided t tests "
        "on differences paired on student seeds, Bonferroni over 3), 7 degrees of freedom"
    )
    assert found.would_change.startswith("kd/d among the best; it is out of the set by 1.")


def test_an_optimum_at_an_end_is_refuted_and_one_that_may_be_either_undecided(build) -> None:
    refuted = one(study(build, {"kd/a": 0.0, "kd/b": 2.0, "kd/c": 4.0}))
    assert (refuted.verdict, refuted.among) == ("refuted", ["kd/a"])
    assert "is kd/a (95 %" in refuted.sentence
    assert "nothing inside is among them: refuted." in refuted.sentence
    assert refuted.would_change.startswith("kd/b among the best; it is out of the set by 1.")
    open_ = one(study(build, {"kd/a": 0.0, "kd/b": 0.1, "kd/c": 4.0}))
    assert (open_.verdict, open_.among) == ("undecided", ["kd/a", "kd/b"])
    assert open_.would_change == (
        "more replicates: the best can still be kd/a at the ends, and kd/b inside"
    )


def test_the_order_is_the_list_or_what_the_teachers_are(build, teacher) -> None:
    means = {"kd/a": 2.0, "kd/b": 0.0, "kd/c": 2.0}
    tutors = [teacher("a", [9.0] * 8, parameters=2000), teacher("b", [8.0] * 8, parameters=1000),
              teacher("c", [7.0] * 8, parameters=3000)]  # fmt: skip
    results = study(build, means, teachers=tutors)
    assert one(results).verdict == "supported"
    by_size = one(results, best={"of": "kd", "over": "teacher_parameters"})
    assert (by_size.verdict, by_size.among) == ("refuted", ["kd/b"])
    assert "the best of kd/b, kd/a, kd/c (in this order)" in by_size.sentence
    by_error = one(results, best={"of": "kd", "over": "teacher_error"})
    assert "the best of kd/c, kd/b, kd/a (in this order)" in by_error.sentence
    assert by_error.verdict == "supported"
    listed = one(results, best={"of": ["kd/a", "kd/c", "kd/b"]})
    assert listed.verdict == "refuted"


def test_agreement_is_best_where_it_is_most(build) -> None:
    means = {"kd/a": 2.0, "kd/b": 5.0, "kd/c": 2.0}
    found = one(study(build, means, metric="test_agreement"), metric="test_agreement")
    assert (found.verdict, found.among) == ("supported", ["kd/b"])
    assert found.effect == pytest.approx(3.0, abs=0.3)
    assert "points more than" in found.sentence


def test_few_replicates_one_and_none(build) -> None:
    means = {"kd/a": 2.0, "kd/b": 0.0, "kd/c": 2.0}
    few = one(study(build, means, n=3))
    assert few.sentence.startswith("For these teachers, by test error, the best of kd/a")
    single = one(study(build, means, n=1))
    assert (single.verdict, single.n, single.among) == ("undecided", 1, ["kd/a", "kd/b", "kd/c"])
    assert "is not known (no set, 1 replicate; kd/b inside has" in single.sentence
    assert single.would_change == "more replicates: an interval takes at least 2"
    none = one(build({"kd/a": [[1.0]], "kd/b": [], "kd/c": []}))
    assert (none.verdict, none.n, none.among) == ("undecided", 0, None)
    assert none.sentence.startswith("No replicate has all of kd/a, kd/b, kd/c with the same")


def test_a_best_shares_the_5_percent_with_other_secondary_claims(build) -> None:
    results = study(build, {"kd/a": 2.0, "kd/b": 0.0, "kd/c": 2.0})
    pair = {"difference": ["kd/b", "kd/a"], "direction": "less", "margin": 0.5}
    claims = {"secondary": {"it": {"best": {"of": "kd"}}, "pair": pair}}
    best, other = find(results, ClaimsConfig.model_validate(claims))
    assert (best.level, other.level) == (pytest.approx(1 - 0.025 / 2), pytest.approx(0.975))
    assert best.verdict == other.verdict == "supported"
    assert "Holm over 2 secondary claims" in best.method


def test_an_exploratory_best_shows_its_set_without_a_verdict(build) -> None:
    found = one(study(build, {"kd/a": 2.0, "kd/b": 0.0, "kd/c": 2.0}), rank="exploratory")
    assert (found.verdict, found.among) == ("none", ["kd/b"])
    assert found.sentence.endswith("at an end): exploratory, so without a verdict.")
