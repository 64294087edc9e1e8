"""Several claims share one 5 %: Holm in two families, and the step-down that fails."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from scipy.special import stdtr, stdtrit

from tutelage.config.schema import ClaimsConfig
from tutelage.findings import Finding, find
from tutelage.findings.intervals import t_interval
from tutelage.findings.multiplicity import FAMILY_ERROR, holm, together
from tutelage.findings.verdicts import equivalence_nulls
from tutelage.findings.wording import percent

STUDIES, MARGIN = 3000, 0.5
MOST = 0.066  # 5 % and 4 standard errors of a rate over 3,000 studies
OFFSETS = [-0.5, -0.25, 0.0, 0.25, 0.5, 0.0, -0.125, 0.125]


def below(p: float, error: float) -> bool:
    return bool(p < error)


@pytest.mark.parametrize(
    ("p", "looked"),
    [
        ([0.02], [0.05]),
        ([0.02, 0.5], [0.025, 0.05]),  # the first drops out, the second is looked at alone
        ([0.03, 0.04], [0.025, 0.025]),  # the first step rejects nothing, so it ends
        ([0.001, 0.02, 0.9], [0.05 / 3, 0.025, 0.05]),
        ([0.001, 0.01, 0.9], [0.05 / 3, 0.05 / 3, 0.05]),  # two at one step
        ([0.9, 0.001, 0.02], [0.05, 0.05 / 3, 0.025]),  # the order is nothing
        ([], []),
    ],
)
def test_holm_steps_down_until_a_step_rejects_nothing(p, looked) -> None:
    assert holm([partial(below, one) for one in p], 0.05) == pytest.approx(looked)


def test_holm_rejects_what_holms_own_form_does() -> None:
    """Sorted p-values against total/m, total/(m - 1), ... until the first that is not below."""
    for p in np.random.default_rng(0).beta(0.3, 1.0, (300, 6)).tolist():
        order, expected = np.argsort(p), set()
        for rank, number in enumerate(order):
            if p[number] >= 0.05 / (6 - rank):
                break
            expected.add(int(number))
        looked = holm([partial(below, one) for one in p], 0.05)
        assert {i for i in range(6) if p[i] < looked[i]} == expected


def decided(support: np.ndarray, refute: np.ndarray) -> list[tuple[bool, bool]]:
    """(supported, refuted) of each claim of one study, from one-sided p-values."""
    terms = together(*([partial(below, one) for one in p.tolist()] for p in (support, refute)))
    return [
        (s < term.support, r < term.refute)
        for s, r, term in zip(support, refute, terms, strict=True)
    ]


def p_values(
    effects: np.ndarray, margins: np.ndarray, replicates: int, seed: int, common: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """One-sided p-values [studies, claims] of "not greater than zero" and "the margin or more"
    from t tests; `common` is the share of variance that all claims of a study have in common."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(0.0, common**0.5, (STUDIES, 1, replicates))
    own = rng.normal(0.0, (1 - common) ** 0.5, (STUDIES, len(effects), replicates))
    values = effects[:, None] + shared + own
    mean = values.mean(axis=2)
    error = values.std(axis=2, ddof=1) / replicates**0.5
    return stdtr(replicates - 1, -mean / error), stdtr(replicates - 1, (mean - margins) / error)


def false_studies(
    effects: np.ndarray, margins: np.ndarray, replicates: int, seed: int, common: float = 0.0
) -> float:
    """The share of studies with at least one false verdict."""
    false = 0
    for support, refute in zip(*p_values(effects, margins, replicates, seed, common), strict=True):
        verdicts = decided(support, refute)
        false += any(
            (refuted and effect >= margin) or (supported and not refuted and effect <= 0.0)
            for (supported, refuted), effect, margin in zip(verdicts, effects, margins, strict=True)
        )
    return false / STUDIES


@pytest.mark.parametrize("common", [0.0, 0.7])
@pytest.mark.parametrize(
    ("effects", "margin"),
    [
        ([0.0] * 6, 0.8),
        ([0.0] * 10, 1.22),  # the margin that misleads the naive step-down most
        ([0.8] * 6, 0.8),  # every refutation would be false
        ([0.0, 0.0, 0.0, 0.8, 0.8, 0.8], 0.8),
        ([0.0, 9.0, 9.0, -9.0, -9.0, 0.8], 0.8),  # what is clear drops out first
        ([0.4] * 3 + [0.0] * 3, 0.8),
    ],
)
def test_a_study_says_something_false_in_at_most_5_percent(effects, margin, common) -> None:
    sure = np.array(effects), np.full(len(effects), margin)
    assert false_studies(*sure, replicates=12, seed=len(effects), common=common) <= MOST


def test_dropping_whatever_is_decided_is_the_method_that_fails() -> None:
    """One step-down at 0.05/k for both verdicts: a claim that was refuted leaves the count, though
    its null of support is as true as ever. Ten claims of no effect: 17 % instead of 5 %."""
    rng = np.random.default_rng(1)
    mean, claims, margin = rng.normal(0.0, 1.0, (STUDIES, 10)), 10, 4.0  # in standard errors
    undecided, false = np.ones((STUDIES, claims), bool), np.zeros(STUDIES, bool)
    for _ in range(claims):
        left = np.maximum(undecided.sum(axis=1, keepdims=True), 1)
        half = stdtrit(1e9, 1 - 0.025 / left)
        refuted = undecided & (mean + half < margin)
        supported = undecided & ~refuted & (mean - half > 0.0)
        false |= supported.any(axis=1)
        undecided &= ~(refuted | supported)
    assert false.mean() > 0.14
    ours = [decided(stdtr(1e9, -row), stdtr(1e9, row - margin)) for row in mean]
    assert np.mean([any(s and not r for s, r in study) for study in ours]) <= MOST / 2


def test_uncorrected_claims_are_the_other_method_that_fails() -> None:
    support, refute = p_values(np.zeros(8), np.full(8, 0.8), 12, seed=2)
    assert np.mean(((support < 0.025) & ~(refute < 0.025)).any(axis=1)) > 0.1


def test_holm_decides_more_than_bonferroni() -> None:
    effects, margins = np.array([3.0] * 5 + [1.0]), np.full(6, 0.8)
    support, refute = p_values(effects, margins, 8, seed=3)
    ours = np.mean([decided(s, r)[5][0] for s, r in zip(support, refute, strict=True)])
    assert ours > np.mean(support[:, 5] < FAMILY_ERROR / 6) + 0.15


def test_shown_intervals_hold_together() -> None:
    values = np.random.default_rng(4).normal(0.3, 1.0, (6000, 7, 6))
    _, low, high = t_interval(values, 1 - 0.05 / 7)
    assert 0.945 <= np.mean(((low < 0.3) & (high > 0.3)).all(axis=1)) <= 0.965


@pytest.mark.parametrize("margin", [0.02, 0.5])
def test_a_true_equivalence_is_refuted_in_at_most_5_percent_even_with_a_tiny_margin(margin) -> None:
    values = np.random.default_rng(5).normal(0.999 * margin, 1.0, (6000, 8))
    _, low, high = t_interval(values, 0.90)
    _, bottom, top = t_interval(values, 0.95)
    rows = np.stack([low, high, bottom, top], axis=1).tolist()
    assert (
        np.mean([equivalence_nulls(a, b, margin, (c, d)).refutes for a, b, c, d in rows]) <= 0.062
    )
    if margin < 0.1:  # and the 90 % interval alone would do it in twice as many
        assert np.mean([equivalence_nulls(a, b, margin).refutes for a, b, _, _ in rows]) > 0.08


# --- through find --------------------------------------------------------------------------------


def study(build, **effects: float) -> dict[str, Any]:
    base = [[10.0 + r] for r in range(8)]
    rows = {
        f"kd/{name}": [[b[0] + effect + OFFSETS[r]] for r, b in enumerate(base)]
        for name, effect in effects.items()
    }
    return build({"kd/base": base, **rows})


def found(build, *, kind: str = "less", rank: str = "secondary", **effects: float) -> list[Finding]:
    claims = {
        name: {"difference": [f"kd/{name}", "kd/base"], "direction": "less", "margin": MARGIN}
        if kind == "less"
        else {kind: [f"kd/{name}", "kd/base"], "margin": MARGIN}
        for name in effects
    }
    return find(study(build, **effects), ClaimsConfig.model_validate({rank: claims}))


def test_secondary_claims_show_intervals_that_hold_together(build) -> None:
    for finding in found(build, a=-2.5, b=-2.5, c=0.0):
        values = np.array(OFFSETS) + (0.0 if finding.claim == "c" else -2.5)
        _, low, high = t_interval(values, 1 - 0.05 / 3)
        assert (finding.low, finding.high) == pytest.approx((low, high))
        assert finding.level == pytest.approx(1 - 0.05 / 3)
        assert "98.3 % interval" in finding.sentence
        assert finding.method.startswith("98.3 % t interval over replicate means")


def test_a_finding_says_how_it_was_corrected_and_at_which_step(build) -> None:
    half = {level: float(t_interval(OFFSETS, level)[2]) for level in (0.975, 1 - 0.05 / 3)}
    between = -(half[0.975] + half[1 - 0.05 / 3]) / 2  # excluded at 97.5 %, not at 98.3 %
    first, second, third = found(build, a=-2.5, b=between, c=-0.25)
    assert [f.verdict for f in (first, second, third)] == ["supported", "supported", "undecided"]
    assert first.step_level == pytest.approx(1 - 0.05 / 3)
    assert second.step_level == pytest.approx(0.975)
    assert first.method.endswith("; Holm over 3 secondary claims, decided at 98.3 %")
    assert second.method.endswith("; Holm over 3 secondary claims, decided at 97.5 %")
    assert third.method.endswith("; Holm over 3 secondary claims, ended at 95 %")
    assert second.low is not None
    assert second.high is not None
    assert second.low < 0.0 < second.high  # what is shown does not decide: so it is told
    assert "decided by the 97.5 % interval of Holm's step-down, 0." in second.sentence
    assert "step-down" not in first.sentence
    assert "step-down" not in third.sentence


def test_equivalences_share_the_5_percent_like_the_rest(build) -> None:
    one, other = found(build, kind="equivalence", a=0.0, b=2.5)
    assert (one.level, other.level) == (0.975, 0.975)
    assert (one.verdict, other.verdict) == ("supported", "refuted")
    assert one.method.startswith("two one-sided t tests at 1.2 % (97.5 % t interval)")


def test_one_secondary_claim_is_not_corrected(build) -> None:
    (alone,) = found(build, a=-0.3)
    (primary,) = found(build, rank="primary", a=-0.3)
    assert (alone.low, alone.high, alone.level) == (primary.low, primary.high, 0.95)
    assert alone.step_level == primary.step_level == 0.95
    assert alone.method == primary.method
    assert "Holm" not in alone.method
    (same,) = found(build, kind="equivalence", a=0.0)
    assert same.level == pytest.approx(0.90)


def test_a_claim_without_data_counts_among_those_that_share(build) -> None:
    pair = {"difference": ["kd/a", "kd/base"], "direction": "less", "margin": MARGIN}
    gone = {**pair, "difference": ["kd/none", "kd/base"]}
    claims = ClaimsConfig.model_validate({"secondary": {"a": pair, "gone": gone}})
    first, second = find(study(build, a=-2.5), claims)
    assert first.level == second.level == pytest.approx(0.975)
    assert (second.verdict, second.n) == ("undecided", 0)


def test_exploratory_claims_have_an_effect_and_no_verdict(build) -> None:
    one, other = found(build, rank="exploratory", a=-2.5, b=0.0)
    assert (one.rank, one.verdict, one.step_level) == ("exploratory", "none", None)
    _, low, high = t_interval(np.array(OFFSETS) - 2.5)
    assert (one.low, one.high, one.level) == (pytest.approx(low), pytest.approx(high), 0.95)
    assert one.sentence == (
        "kd/a has 2.5 points less test error than kd/base (95 % interval 2.2 to 2.8 less, "
        "8 replicates): exploratory, so without a verdict."
    )
    assert other.sentence.endswith("8 replicates): exploratory, so without a verdict.")


def test_a_diverged_run_is_judged_on_the_same_terms_both_ways(build, row) -> None:
    results = study(build, a=-2.5, b=0.0)
    row(results, "r3/kd/a/s0").update(status="diverged", test_error=None)
    pair = {"difference": ["kd/a", "kd/base"], "direction": "less", "margin": MARGIN}
    claims = {"a": pair, "b": {**pair, "difference": ["kd/b", "kd/base"]}}
    finding, _ = find(results, ClaimsConfig.model_validate({"secondary": claims}))
    assert finding.sentence.count("97.5 % interval") == 2


@pytest.mark.parametrize(
    ("level", "text"),
    [(0.95, "95"), (0.9, "90"), (0.975, "97.5"), (1 - 0.05 / 7, "99.3"), (1 - 0.05 / 3, "98.3"),
     (0.999, "99.9"), (1 - 0.05 / 400, "99.987")],
)  # fmt: skip
def test_levels_in_percent(level: float, text: str) -> None:
    assert percent(level) == text
