"""Markdown, CSV, and the words that all reports share."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tutelage.reporting import tables
from tutelage.reporting.grids import conditions_grid
from tutelage.reporting.summary import Interval, Summary
from tutelage.reporting.words import (
    listing,
    magnitude,
    number,
    plus_minus,
    seconds,
    sentences,
    verdict,
)

Results = dict[str, Any]


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_runs_csv_has_every_figure_in_full(results: Results) -> None:
    written = rows(tables.runs_csv(results))
    assert len(written) == len(results["runs"])
    for line, run in zip(written, results["runs"], strict=True):
        assert line["key"] == run["key"]
        assert float(line["test_error"]) == run["test_error"]
        assert float(line["spent_s"]) == run["timing"]["spent_s"]
        assert "history" not in line
    student = next(line for line in written if line["key"] == "r0/kd/large/s1")
    run = next(run for run in results["runs"] if run["key"] == "r0/kd/large/s1")
    assert float(student["train_kl_shape_t4"]) == run["train_kl_shape_t4"]


def test_runs_csv_leaves_missing_figures_empty(spoilt: Results) -> None:
    written = {line["key"]: line for line in rows(tables.runs_csv(spoilt))}
    for key, status in {
        "r0/kd/large/s1": "diverged",
        "r1/kd/small/s0": "failed",
        "r1/kd/matched/s1": "pending",
    }.items():
        assert written[key]["status"] == status
        assert written[key]["test_error"] == written[key]["spent_s"] == ""


def test_findings_csv_has_every_field(results: Results) -> None:
    written = rows(tables.findings_csv(results))
    assert [line["claim"] for line in written] == [f["claim"] for f in results["findings"]]
    assert float(written[0]["effect"]) == -6.58
    assert written[0]["sentence"] == results["findings"][0]["sentence"]
    assert list(written[0]) == list(results["findings"][0])


@pytest.mark.parametrize(
    ("counts", "until", "told"),
    [
        ([7, 4, 9], 120, "; stopped after 4 to 9 epochs"),
        ([7, 7, 7], 120, "; stopped after 7 epochs"),
        ([72, 72, 72], 72, ""),
        ([0, 0, 0], None, ""),
    ],
)
def test_a_stop_found_in_training_is_told(
    results: Results, counts: list[int], until: int | None, told: str
) -> None:
    row = next(row for row in results["conditions"] if row["name"] == "kd/large")
    row["distil_until"] = until
    runs = [run for run in results["runs"] if run["condition"] == "kd/large"]
    for place, run in enumerate(runs):
        run["taught_epochs"] = counts[place % 3]
    grid = conditions_grid(Summary(results))
    cell = next(line[0] for line in grid.rows if line[0].text == "kd/large")
    assert cell.note.removeprefix(f"plain-8-8-8, {row['loss']}") == told


def test_no_finding_is_a_header_alone(bare: Results) -> None:
    text = tables.findings_csv(bare)
    assert text.startswith("claim,rank,kind,metric,verdict,effect,low,high,unit,margin,n,")
    assert text.count("\n") == 1


def test_markdown_shows_the_paired_difference_to_scratch(results: Results) -> None:
    errors = {
        (run["condition"], run["replicate"], run["seed"]): run["test_error"]
        for run in results["runs"]
        if run["role"] == "student"
    }
    gaps = [
        np.mean([errors["kd/early", r, s] - errors["scratch", r, s] for s in range(3)])
        for r in range(6)
    ]
    text = tables.markdown(results)
    line = next(line for line in text.splitlines() if line.startswith("| kd/early"))
    assert f"| {number(float(np.mean(gaps)), sign=True)} ± " in line
    for heading in ("Findings", "Two sentences, never one", "Conditions", "Teachers", "Cost"):
        assert f"\n## {heading}\n" in text
    assert "not tested here" in text


def test_markdown_without_claims_has_no_empty_parts(bare: Results) -> None:
    text = tables.markdown(bare)
    assert "## Findings" not in text
    assert "## Teachers" not in text
    assert "## Cost" in text


def test_a_control_of_another_precision_is_none(results: Results) -> None:
    for row in results["conditions"]:
        row["precision"] = "bf16" if row["name"] == "kd/early" else "fp32"
    lines = tables.markdown(results).splitlines()
    early, large = (
        next(line for line in lines if line.startswith(f"| kd/{name} "))
        for name in ("early", "large")
    )
    assert early.split(" | ")[4] == "–"
    assert "±" in large.split(" | ")[4]


def test_costs_are_sums(build: Callable[..., Results]) -> None:
    costs = {cost.role: cost for cost in Summary(build(2, 1)).costs()}
    assert costs["teacher"].runs == 14
    assert costs["teacher"].attributed_s == pytest.approx(126.0)
    assert costs["student"].spent_s == pytest.approx(22 * 1.6)


def test_the_control_of_the_same_length_is_chosen(results: Results) -> None:
    scratch = next(row for row in results["conditions"] if row["name"] == "scratch")
    longer = {**scratch, "name": "longer", "epochs": 240}
    results["conditions"].insert(0, longer)
    results["runs"] += [
        {**run, "condition": "longer", "test_error": 1.0}
        for run in results["runs"]
        if run["condition"] == "scratch"
    ]
    summary = Summary(results)
    distilled = next(c for c in summary.conditions if c.name == "kd/small")
    control = summary.scratch_for(distilled)
    assert control is not None
    assert control.name == "scratch"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"),
        (-0.004, "0.00"),
        (-1.5, "−1.50"),
        (2, "2.00"),
    ],
)
def test_numbers(value: float | None, shown: str) -> None:
    assert number(value) == shown


def test_words() -> None:
    assert number(1.25, 1, sign=True) == "+1.2"
    assert plus_minus(None) == "–"
    assert plus_minus(Interval(2.0, None, None, 1)) == "2.00"
    assert plus_minus(Interval(-2.0, -3.0, -1.0, 4), 1) == "−2.0 ± 1.0"
    assert [magnitude(n) for n in (999, 1362, 999_900, 36_500_000)] == [
        *("999", "1.36 k", "1 M", "36.5 M"),
    ]
    assert [seconds(s) for s in (0.44, 42.4, 59.7, 725, 12_000)] == [
        *("0.4 s", "42 s", "1 min 00 s", "12 min 05 s", "3 h 20 min"),
    ]
    assert listing(["a"]) == "a"
    assert listing(["a", "b", "c"]) == "a, b and c"
    assert listing(["a", "b", "c"], 1) == "a and 2 more"
    assert sentences("With 0.3 of it. Raw: less. 4 seeds. No.") == [
        *("With 0.3 of it.", "Raw: less. 4 seeds.", "No."),
    ]


def test_verdicts_read_without_colour() -> None:
    words = ["supported", "refuted", "undecided", "not tested", "depends on softness"]
    assert len({verdict(word).mark for word in words}) == 5
    assert verdict("something new").word == "something new"
    assert verdict("something new").look == "untested"


def test_markdown_names_method_and_what_would_change_a_finding(results: Results) -> None:
    text = tables.markdown(results)
    assert (
        "as claimed.\n  - Method: paired t over replicate means; n = 6 replicates.\n"
        "  - What would change it: an interval that reaches zero; its nearer end is 0.4 points "
        "away."
    ) in text
    del results["findings"][0]["would_change"]  # a document of an older version
    assert "as claimed.\n  - Method: paired t over replicate means; n = 6 replicates.\n- " in (
        tables.markdown(results)
    )
