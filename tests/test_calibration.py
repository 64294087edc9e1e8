"""The table of docs/calibration.md: that it is what was measured, and that it holds when a part of
it is measured again."""

from __future__ import annotations

import json

import pytest
from calibration import page, run
from calibration.measure import measure
from calibration.scenarios import scenarios

STUDIES = 1500  # of each row, with four standard errors of a rate of 6 %: 2.5 points


@pytest.fixture(scope="module")
def results():
    return json.loads((run.HERE / "results.json").read_text())


def test_the_page_is_written_from_the_results(results) -> None:
    assert page.PATH.read_text() == page.text(results)


def test_false_verdicts_are_as_rare_as_promised(results) -> None:
    assert all(row["studies"] >= 10_000 for row in results["table"])
    assert max(row["false"] for row in results["table"]) <= 6.0
    assert max(row["wrong_sign"] for row in results["table"]) <= 2.5


def test_intervals_hold_the_truth(results) -> None:
    known = [row for row in results["table"] if row["covered"] is not None]
    exact = [row for row in known if row["exact"]]
    assert len(exact) >= 25
    assert all(93.0 <= row["covered"] <= 97.0 for row in exact)
    assert all(row["covered"] >= 93.0 for row in known)


def test_power_is_what_plan_promises(results) -> None:
    assert all(abs(row["found"] - row["promised"]) <= 5.0 for row in results["promises"])
    assert results["planned"]["found"] >= 80.0
    assert results["planned"]["kept"] >= 80.0


def test_the_methods_that_fail_do(results) -> None:
    rows = {row["what"]: row for row in results["failing"]}
    assert rows["4 replicates alike, their students as units of a t interval"]["theirs"] > 10.0
    assert rows["a t interval looked at after every replicate from 5 to 40"]["theirs"] > 15.0
    assert any(row["theirs"] > 8.0 for what, row in rows.items() if "arg-min" in what)
    assert all(row["ours"] <= 6.0 for row in rows.values())


@pytest.mark.slow
def test_the_table_holds_when_a_part_of_it_is_measured_again() -> None:
    """Other draws than those of the page."""
    pool = run.read_pool()
    for scenario in scenarios(pool):
        n = scenario.replicates[-1]
        tally = measure(scenario, n, STUDIES, (1,))
        assert tally.rate("false") <= 8.5, scenario.name
        covered = tally.rate("covered")
        if covered is not None:
            assert covered >= 91.0, scenario.name
