"""Predictions: rank correlation, regret and its share against independent references; verdicts."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from scipy import stats

from tutelage.config.schema import ClaimsConfig
from tutelage.findings import Finding, find
from tutelage.findings import prediction as module
from tutelage.findings.intervals import t_interval
from tutelage.findings.prediction import best, chance, correlation, fieller, regrets


@pytest.mark.parametrize("seed", range(20))
def test_the_rank_correlation_is_scipys_with_ties_too(seed) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, 4, 6).astype(float), rng.normal(size=6)
    assert correlation(x, y) == pytest.approx(stats.spearmanr(x, y).statistic)


def test_what_ties_as_a_whole_has_no_rank_correlation() -> None:
    assert correlation(np.ones(3), np.array([1.0, 2.0, 3.0])) is None
    assert correlation(np.array([1.0, 2.0, 3.0]), np.ones(3)) is None


def by_hand(table: list[list[float]]) -> list[float]:
    """The regret of each condition in one replicate, seed by seed in plain Python."""
    halves = [table[0::2], table[1::2]]
    found = [0.0] * len(table[0])
    for choosing, scoring in (halves, halves[::-1]):
        sums = [sum(row[c] for row in choosing) for c in range(len(found))]
        tied = [c for c in range(len(found)) if sums[c] == min(sums)]
        scored = [sum(row[c] for row in scoring) / len(scoring) for c in range(len(found))]
        oracle = sum(scored[c] for c in tied) / len(tied)
        found = [f + (s - oracle) / 2 for f, s in zip(found, scored, strict=True)]
    return found


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_regret_is_that_of_brute_force_on_halves_of_the_students(seeds) -> None:
    rng = np.random.default_rng(seeds)
    tables = {r: rng.integers(0, 5, (seeds, 4)).astype(float) for r in (0, 2, 5)}
    found, halves = regrets(tables, 4)
    assert halves == "students"
    for replicate, table in tables.items():
        assert found[replicate] == pytest.approx(by_hand(table.tolist()))


def test_with_one_student_the_oracle_comes_from_the_other_half_of_the_replicates() -> None:
    rows = {0: [1.0, 2.0, 9.0], 1: [5.0, 4.0, 8.0], 2: [1.0, 4.0, 7.0], 3: [3.0, 2.0, 9.0]}
    found, halves = regrets({r: np.array([row]) for r, row in rows.items()}, 3)
    assert halves == "replicates"
    # Replicates 0 and 2 have the first as their best (means 1, 3, 8), 1 and 3 the second (4, 3, 9).
    assert found[0].tolist() == [-1.0, 0.0, 7.0]
    assert found[1].tolist() == [0.0, -1.0, 3.0]
    assert found[2].tolist() == [-3.0, 0.0, 3.0]
    assert found[3].tolist() == [0.0, -1.0, 6.0]


def test_replicates_that_cannot_be_halved_are_left_out() -> None:
    two, one = np.ones((2, 3)), np.ones((1, 3))
    assert list(regrets({0: two, 1: one, 2: two}, 3)[0]) == [0, 2]
    assert regrets({0: one}, 3) == ({}, "replicates")
    assert regrets({}, 3) == ({}, "replicates")


def test_ties_are_chosen_in_equal_shares() -> None:
    assert best(np.array([2.0, 1.0, 1.0])).tolist() == [0.0, 0.5, 0.5]


def test_fiellers_interval_holds_the_ratios_that_a_t_test_does_not_exclude() -> None:
    rng = np.random.default_rng(1)
    below = rng.normal(3.0, 0.8, 9)
    above = 0.4 * below + rng.normal(0.0, 0.5, 9)
    found = fieller(above.tolist(), below.tolist(), 0.95)
    assert found.effect == pytest.approx(above.mean() / below.mean())
    assert found.low is not None
    assert found.high is not None
    for end in (found.low, found.high):
        assert stats.ttest_1samp(above - end * below, 0.0).pvalue == pytest.approx(0.05)
    inside = stats.ttest_1samp(above - (found.low + found.high) / 2 * below, 0.0).pvalue
    assert inside > 0.05


@pytest.mark.parametrize("below", [[0.5, -0.4, 0.3, 0.1], [-3.0, -3.1, -2.9, -3.0], [1.0]])
def test_there_is_no_share_of_a_gain_that_is_not_surely_positive(below) -> None:
    found = fieller([0.1, 0.2, 0.3, 0.4][: len(below)], below, 0.95)
    assert (found.effect, found.low, found.high) == (None, None, None)


def test_chance_is_the_share_of_shuffles_that_are_no_worse() -> None:
    apart = [np.array(row) for row in ([0.0, 1.0, 3.0], [0.5, 0.0, 2.0], [0.0, 2.0, 1.0])]
    choices = [best(np.array(row)) for row in ([0, 1, 2], [0, 1, 2], [0, 1, 2])]
    drawn = [sum(row[i] for row, i in zip(apart, path, strict=True))
             for path in itertools.product(range(3), repeat=3)]  # fmt: skip
    exact = np.mean(np.array(drawn) <= 0.5)
    assert chance(choices, apart) == pytest.approx(exact, abs=4 * (0.1 * 0.9 / 9999) ** 0.5)
    all_tie = [np.ones(3) / 3] * 3
    assert chance(all_tie, apart) == 1.0


# --- how often it is wrong -----------------------------------------------------------------------


def simulate(
    means: list[float], n: int, students: int, noise: float | None, studies: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The regrets [studies, n], what they are expected to be for these teachers and choices, and
    the chances of the permutation test. Without `noise` the selector is nothing else."""
    rng = np.random.default_rng(n * 100 + students)
    k = len(means)
    teachers = np.array(means) + rng.normal(0.0, 0.5, (studies, n, k))
    selector = rng.normal(size=teachers.shape)
    if noise is not None:
        selector = teachers + noise * selector
    choice = selector.argmin(axis=-1)

    def drawn(times: int) -> np.ndarray:
        shape = (times, *teachers.shape[:2], students, k)
        errors = teachers[..., None, :] + rng.normal(0.0, 1.0, shape)
        halves = errors[..., 0::2, :].mean(axis=-2), errors[..., 1::2, :].mean(axis=-2)
        apart = np.zeros((*shape[:-2], k))
        for by, on in (halves, halves[::-1]):
            oracle = np.take_along_axis(on, by.argmin(axis=-1)[..., None], axis=-1)
            apart += (on - oracle) / 2
        return apart

    def chosen(apart: np.ndarray) -> np.ndarray:
        return np.take_along_axis(apart, np.broadcast_to(choice, apart.shape[:-1])[..., None], -1)

    seen = drawn(1)
    target = chosen(drawn(60))[..., 0].mean(axis=0)
    odds = [chance(np.eye(k)[c], a) for c, a in zip(choice, seen[0], strict=True)]
    return chosen(seen)[0, ..., 0], target.mean(axis=-1), np.array(odds)


@pytest.fixture
def _few_draws(monkeypatch) -> None:
    monkeypatch.setattr(module, "DRAWS", 199)


@pytest.mark.usefixtures("_few_draws")
@pytest.mark.parametrize(("n", "students"), [(3, 4), (6, 2), (6, 4), (12, 2)])
@pytest.mark.parametrize("means", [[0.0] * 4, [0.0, 0.0, 0.0, 4.0]])
def test_a_selector_of_noise_is_seldom_supported_at_any_margin(means, n, students) -> None:
    studies = 600
    regret, target, odds = simulate(means, n, students, None, studies)
    limit = 0.025 + 4 * (0.025 * 0.975 / studies) ** 0.5
    assert np.mean(odds <= 0.025) <= limit  # and so whatever the margin, be it ever so wide
    _, low, high = t_interval(regret)
    assert np.mean(low > target) <= limit
    assert np.mean((high < target) & (odds <= 0.025)) <= limit


@pytest.mark.usefixtures("_few_draws")
@pytest.mark.parametrize(("noise", "power"), [(0.2, 0.9), (1.0, 0.5)])
def test_the_interval_holds_for_these_teachers_where_a_selector_knows_something(
    noise, power
) -> None:
    studies = 600
    regret, target, odds = simulate([0.0, 0.5, 1.0, 4.0], 6, 4, noise, studies)
    _, low, high = t_interval(regret)
    limit = 0.025 + 4 * (0.025 * 0.975 / studies) ** 0.5
    assert np.mean(high < target) <= limit
    assert np.mean(low > target) <= limit
    assert np.mean(odds <= 0.025) > power


def test_taken_for_other_teachers_the_interval_alone_is_the_method_that_fails() -> None:
    """A selector of noise among three good conditions and a bad one: its interval lies below what
    it costs on average in far more than 2.5 % of studies, for the bad one was seldom chosen."""
    regret = simulate([0.0, 0.0, 0.0, 4.0], 4, 4, None, 600)[0]
    _, _, high = t_interval(regret)
    assert np.mean(high < regret.mean()) > 0.07


# --- through find --------------------------------------------------------------------------------

OFFSETS = [-0.5, -0.25, 0.0, 0.25, 0.5, 0.0, -0.125, 0.125]
MEANS = {"scratch": 6.0, "kd/a": 0.0, "kd/b": 1.0, "kd/c": 2.0, "kd/d": 3.0}
KNOWN = {"a": 10.0, "b": 20.0, "c": 30.0, "d": 40.0}


def study(build, teacher, known: dict[str, float], n: int = 8, students: int = 2) -> dict[str, Any]:
    """Four conditions whose teachers' validation error is `known`, and scratch."""
    rng = np.random.default_rng(7)
    errors = {
        name: [[10.0 + r + mean + 0.2 * rng.permutation(OFFSETS)[s] for s in range(students)]
               for r in range(n)]
        for name, mean in MEANS.items()
    }  # fmt: skip
    tutors = [teacher(name, [value] * n) for name, value in known.items()]
    return build(errors, teachers=tutors)


def one(results: dict[str, Any], rank: str = "primary", **claim: Any) -> Finding:
    claim = {"prediction": {"by": "teacher_error", "of": "kd"}, "margin": 0.5, **claim}
    return find(results, ClaimsConfig.model_validate({rank: {"it": claim}}))[0]


def test_a_selector_that_finds_the_best_student_is_supported(build, teacher) -> None:
    found = one(study(build, teacher, KNOWN))
    assert (found.kind, found.verdict, found.level, found.n) == ("prediction", "supported", 0.95, 8)
    assert found.effect == pytest.approx(0.0, abs=0.05)
    assert found.unit == "points"
    assert found.prediction is not None
    assert found.prediction["correlation"]["effect"] == pytest.approx(1.0)
    assert found.prediction["gain"]["effect"] == pytest.approx(6.0, abs=0.3)
    assert found.prediction["share"]["effect"] == pytest.approx(0.0, abs=0.02)
    assert found.prediction["chosen"] == {"kd/a": 8.0, "kd/b": 0.0, "kd/c": 0.0, "kd/d": 0.0}
    assert found.prediction["chance"] == pytest.approx(1e-4)
    assert found.prediction["halves"] == "students"
    assert found.sentence == (
        "For these teachers, of kd/a, kd/b, kd/c, kd/d, the one with the teacher's least "
        "validation error has no regret, to 0.1 points, against the best on half of the students, "
        "compared on the others (95 % interval 0.0 to 0.0 more, 8 replicates; rank correlation "
        "1.00, 1.00 to 1.00; 0 % (0 to 0 %) of what the best gains over scratch; choices at random "
        "do as well in less than 0.1 % of cases; always kd/a); a regret of 0.5 points or more is "
        "excluded: supported."
    )
    assert found.method.startswith("95 % t interval over the replicates' regrets (the oracle")
    assert found.method.endswith("Fieller's interval), 7 degrees of freedom")
    assert found.would_change.startswith("an interval that reaches a regret of 0.5 points; its")


def test_a_selector_that_finds_the_worst_is_refuted(build, teacher) -> None:
    worst = dict(zip(KNOWN, reversed(KNOWN.values()), strict=True))
    found = one(study(build, teacher, worst))
    assert found.verdict == "refuted"
    assert found.effect == pytest.approx(3.0, abs=0.2)
    assert found.prediction is not None
    assert found.prediction["correlation"]["effect"] == pytest.approx(-1.0)
    assert found.prediction["share"]["effect"] == pytest.approx(0.5, abs=0.05)
    assert found.prediction["hindsight"] == pytest.approx(3.0, abs=0.2)
    assert found.prediction["chance"] == 1.0
    assert "the regret is more than 0.5 points: refuted." in found.sentence
    assert "always kd/d" in found.sentence


def test_the_other_end_can_be_chosen(build, teacher) -> None:
    worst = dict(zip(KNOWN, reversed(KNOWN.values()), strict=True))
    most = {"by": "teacher_error", "of": "kd", "better": "more"}
    found = one(study(build, teacher, worst), prediction=most)
    assert found.verdict == "supported"
    assert "the teacher's largest validation error" in found.sentence


def test_a_small_regret_that_choices_at_random_have_as_well_is_undecided(build, teacher) -> None:
    found = one(study(build, teacher, KNOWN, n=3), margin=9.0)
    assert (found.verdict, found.n) == ("supported", 3)
    tied = one(study(build, teacher, dict.fromkeys(KNOWN, 5.0)), margin=9.0)
    assert tied.verdict == "undecided"
    assert "excluded, but it may be luck: undecided." in tied.sentence
    assert "no rank correlation, because all tie" in tied.sentence
    assert "kd/d in 2" in tied.sentence
    assert tied.prediction is not None
    assert tied.prediction["chance"] == 1.0


def test_parameters_are_the_same_in_every_replicate(build, teacher) -> None:
    results = study(build, teacher, KNOWN)
    for tutor, count in zip(results["teachers"], (10, 20, 20, 40), strict=True):
        tutor["parameters"] = count
    by_size = {"by": "teacher_parameters", "of": "kd"}
    found = one(results, prediction=by_size)
    assert found.sentence.startswith("Of kd/a, kd/b, kd/c, kd/d, the one with the teacher's least")
    ranks = stats.spearmanr([10, 20, 20, 40], [0, 1, 2, 3]).statistic
    assert found.prediction is not None
    assert found.prediction["correlation"]["effect"] == pytest.approx(ranks)


@pytest.mark.parametrize(
    ("by", "field", "worst"),
    [("teacher_nll", "val_nll", False), ("teacher_ece", "val_ece", False),
     ("teacher_entropy", "val_entropy", True), ("teacher_entropy_t4", "val_entropy_t4", True),
     ("teacher_variance", "val_variance", True),
     ("teacher_variance_t4", "val_variance_t4", True)],
)  # fmt: skip
def test_each_selector_reads_its_own_validation_figure(build, teacher, by, field, worst) -> None:
    results = study(build, teacher, dict.fromkeys(KNOWN, 5.0))
    for tutor, value in zip(results["teachers"], (1.0, 2.0, 3.0, 4.0), strict=True):
        for row in tutor["replicates"]:
            row[field] = value
    found = one(results, prediction={"by": by, "of": "kd"})
    assert found.verdict == ("refuted" if worst else "supported")


def test_a_teacher_without_the_figure_leaves_its_replicate_out(build, teacher) -> None:
    results = study(build, teacher, KNOWN)
    results["teachers"][1]["replicates"][3]["val_error"] = None
    found = one(results)
    assert (found.n, found.verdict) == (7, "supported")
    assert "7 of 8 replicates" in found.sentence
    for row in results["teachers"][1]["replicates"]:
        row["val_error"] = None
    none = one(results)
    assert (none.n, none.verdict, none.prediction) == (0, "undecided", None)
    assert none.sentence.startswith("No replicate has students of all of kd/a, kd/b, kd/c, kd/d")


def test_without_scratch_runs_there_is_no_share(build, teacher) -> None:
    results = study(build, teacher, KNOWN)
    results["runs"] = [run for run in results["runs"] if run["condition"] != "scratch"]
    found = one(results)
    assert found.verdict == "supported"
    assert "no scratch runs to compare the regret with" in found.sentence
    results["conditions"] = results["conditions"][1:]
    assert one(results).prediction == found.prediction


def test_a_gain_that_may_be_none_has_no_share(build, teacher) -> None:
    results = study(build, teacher, KNOWN)
    for run in results["runs"]:
        if run["condition"] == "scratch":
            run["test_error"] -= 6.0 + (-1) ** run["replicate"]
    found = one(results)
    assert found.prediction is not None
    assert found.prediction["share"]["effect"] is None
    assert "whether the best gains anything over scratch is open" in found.sentence


def test_one_student_a_replicate_halves_the_replicates(build, teacher) -> None:
    found = one(study(build, teacher, KNOWN, students=1))
    assert (found.verdict, found.n) == ("supported", 8)
    assert "against the best on half of the replicates" in found.sentence
    assert "because there is one student a replicate" in found.method


def test_one_replicate_has_a_regret_without_an_interval(build, teacher) -> None:
    found = one(study(build, teacher, KNOWN, n=1))
    assert (found.n, found.low, found.verdict) == (1, None, "undecided")
    assert found.would_change == "more replicates: an interval takes at least 2"
    assert "rank correlation 1.00;" in found.sentence


def test_a_diverged_student_counts_as_chance_error(build, teacher, row) -> None:
    results = study(build, teacher, KNOWN)
    row(results, "r2/kd/a/s0")["status"] = "diverged"
    found = one(results)
    assert found.prediction is not None
    # The oracle that its other student makes of it is caught as well.
    assert found.prediction["hindsight"] > 4.0
    assert (found.verdict, found.effect) == ("undecided", pytest.approx(-0.06, abs=0.01))
    assert "1 diverged run is counted as chance error, 90 %; without it: " in found.sentence


def test_a_prediction_shares_the_5_percent_with_other_secondary_claims(build, teacher) -> None:
    results = study(build, teacher, KNOWN)
    pair = {"difference": ["kd/a", "kd/d"], "direction": "less", "margin": 0.5}
    by = {"prediction": {"by": "teacher_error", "of": "kd"}, "margin": 0.5}
    claims = ClaimsConfig.model_validate({"secondary": {"it": by, "pair": pair}})
    found, other = find(results, claims)
    assert (found.level, other.level) == (pytest.approx(0.975), pytest.approx(0.975))
    assert found.verdict == other.verdict == "supported"
    assert "Holm over 2 secondary claims" in found.method
    looked = one(results, rank="exploratory")
    assert looked.verdict == "none"
    assert looked.sentence.endswith("always kd/a): exploratory, so without a verdict.")
