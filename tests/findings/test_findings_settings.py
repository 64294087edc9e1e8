"""One comparison in several settings: all must agree, and signs that differ are told."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tutelage.config.schema import ClaimsConfig
from tutelage.findings import Finding, find

NOISE = np.array([-0.3, -0.1, 0.1, 0.3, -0.2, 0.2, 0.0, 0.0])
RAW, MATCHED, LONG = (
    ("kd/early", "kd/full"),
    ("kd/matched", "kd/full"),
    ("kd-4x/early", "kd-4x/full"),
)
CLAIM = {"difference": list(RAW), "also": [list(MATCHED), list(LONG)], "direction": "less",
         "margin": 0.5}  # fmt: skip


def study(build, raw: float, matched: float, long: float) -> dict[str, Any]:
    full = 10.0 + NOISE[::-1]
    figures = {
        "kd/full": full, "kd/early": full + raw + NOISE, "kd/matched": full + matched + NOISE,
        "kd-4x/full": full - 2, "kd-4x/early": full - 2 + long + NOISE,
    }  # fmt: skip
    return build({name: [[v] for v in values] for name, values in figures.items()})


def one(results: dict[str, Any], **changes: Any) -> Finding:
    (found,) = find(results, ClaimsConfig.model_validate({"primary": {"c": CLAIM | changes}}))
    return found


@pytest.mark.parametrize(
    ("effects", "verdict", "depends"),
    [
        ((-1.0, -1.0, -1.0), "supported", False),
        ((-1.0, -1.0, 0.0), "undecided", False),
        ((-1.0, -1.0, 1.0), "undecided", True),
        ((0.0, 0.0, 0.0), "refuted", False),
        ((1.0, 1.0, 1.0), "refuted", False),
        ((0.0, 0.0, -1.0), "undecided", False),
        ((0.3, 0.3, -0.3), "undecided", True),  # below the margin everywhere, and yet not alike
    ],
)
def test_a_verdict_needs_every_setting(build, effects, verdict, depends) -> None:
    found = one(study(build, *effects))
    assert (found.verdict, found.depends) == (verdict, depends)
    assert found.effect == pytest.approx(effects[0])
    assert [row["effect"] for row in found.settings or []] == pytest.approx(list(effects[1:]))
    assert ("signs differ, so it depends on the setting" in found.sentence) == depends
    assert found.sentence.endswith("): supported.") == (verdict == "supported")
    assert ("; in all: " in found.sentence) == (verdict == "refuted")
    assert "in each of 3 settings (intersection-union test)" in found.method


def test_each_setting_is_what_a_claim_of_its_own_would_be(build) -> None:
    results = study(build, -1.0, -0.4, 0.3)
    found = one(results)
    for pair, row in zip((MATCHED, LONG), found.settings or [], strict=True):
        alone = one(results, difference=list(pair), also=None)
        assert row["conditions"] == list(pair)
        assert (row["low"], row["high"], row["n"]) == (alone.low, alone.high, alone.n)
    assert "kd/matched against kd/full: 0.4 points less" in found.sentence
    assert "kd-4x/early against kd-4x/full: 0.30 points more" in found.sentence


def test_it_is_falsely_supported_no_more_often_than_the_setting_that_is_false(build) -> None:
    rng = np.random.default_rng(0)
    false = 0
    for _ in range(400):
        results = study(build, -2.0, -2.0, 0.0)
        for row in results["runs"]:
            row["test_error"] += rng.normal(0.0, 0.5)
        false += one(results).verdict == "supported"
    assert false / 400 <= 0.025 + 4 * (0.025 / 400) ** 0.5


def test_a_setting_that_is_not_there_yet_leaves_it_undecided(build) -> None:
    results = study(build, -1.0, -1.0, -1.0)
    for row in results["runs"]:
        if row["condition"] == "kd-4x/early":
            row["status"] = "pending"
    found = one(results)
    assert found.verdict == "undecided"
    assert "kd-4x/early against kd-4x/full: no replicate has both" in found.sentence


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"also": [["kd/a", "kd/a"]]}, "compares kd/a with itself"),
        ({"images": "new"}, "on these test images"),
    ],
)
def test_what_makes_no_sense_is_refused(change, said) -> None:
    with pytest.raises(ValueError, match=said):
        ClaimsConfig.model_validate({"primary": {"c": CLAIM | change}})
