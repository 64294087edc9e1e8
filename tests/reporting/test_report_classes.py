"""Errors by class: means, paired differences and their sentences, against findings and numpy."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report_documents import HUNDRED, edge_case, make_results, spoil, with_classes

from tutelage.findings.intervals import estimate
from tutelage.findings.pairing import differences
from tutelage.reporting import write_report
from tutelage.reporting.class_report import all_sentences, class_figure, long_grid, short_grid
from tutelage.reporting.classes import Classes, by_class
from tutelage.reporting.grids import balance, conditions_grid
from tutelage.reporting.summary import Interval, Summary
from tutelage.reporting.tables import classes_csv, markdown, runs_csv

Results = dict[str, Any]


def classes_of(results: Results) -> Classes:
    found = by_class(Summary(results))
    assert found is not None
    return found


def errors(results: Results, condition: str, number: int) -> np.ndarray:
    """A class's error as [replicates, students], straight from the runs; chance if diverged."""
    chance = 100 * (1 - 1 / results["study"]["data"]["classes"])
    runs = [run for run in results["runs"] if run["condition"] == condition]
    runs = [run for run in runs if run["role"] == "student"]
    runs.sort(key=lambda run: (run["replicate"], run["seed"]))
    values = [
        chance if run["status"] == "diverged" else run["test_class_errors"][number] for run in runs
    ]
    return np.array(values).reshape(1 + max(run["replicate"] for run in runs), -1)


def test_a_cell_is_the_mean_over_replicates_of_the_means_over_students(newer: Results) -> None:
    found = classes_of(newer)
    cell = found.errors["kd/early"][4]
    assert cell is not None
    expected = estimate(errors(newer, "kd/early", 4).mean(axis=1).tolist())
    assert (cell.mean, cell.low, cell.high, cell.n) == pytest.approx(
        (expected.effect, expected.low, expected.high, 6)
    )


def test_a_difference_is_that_of_findings(newer: Results) -> None:
    """The report's pairing and interval are those by which claims are judged."""
    found = classes_of(newer)
    assert found.pair == ("kd/matched", "kd/large")
    for number in (0, 9):
        view = dict(newer)
        view["runs"] = [
            run | {"class_error": (run.get("test_class_errors") or [None] * 10)[number]}
            for run in newer["runs"]
        ]
        sample = differences(view, "class_error", "kd/matched", "kd/large")
        expected = estimate(list(sample.values.values()))
        gap = found.differences[number]
        assert gap is not None
        assert (gap.mean, gap.low, gap.high, gap.n) == pytest.approx(
            (expected.effect, expected.low, expected.high, 6)
        )


def test_a_diverged_student_counts_as_chance_in_every_class_but_an_empty_one() -> None:
    results = make_results(3, 2)
    spoil(results, "r1/kd/large/s0", "diverged")
    found = classes_of(with_classes(results))
    cell = found.errors["kd/large"][5]
    assert cell is not None
    assert cell.mean == pytest.approx(errors(results, "kd/large", 5).mean(axis=1).mean())
    assert found.errors["kd/large"][2] is None
    assert found.differences[2] is None


def test_a_pending_student_is_left_out_and_unpaired() -> None:
    results = make_results(3, 2)
    spoil(results, "r1/kd/large/s0", "pending")
    found = classes_of(with_classes(results))
    table = {
        (run["condition"], run["replicate"], run["seed"]): run.get("test_class_errors")
        for run in results["runs"]
    }
    gaps = [
        np.mean(
            [
                table["kd/matched", replicate, seed][0] - table["kd/large", replicate, seed][0]
                for seed in ((1,) if replicate == 1 else (0, 1))
            ]
        )
        for replicate in range(3)
    ]
    gap = found.differences[0]
    assert gap is not None
    assert gap.mean == pytest.approx(np.mean(gaps))


def test_the_sentences_say_what_the_numbers_say(newer: Results) -> None:
    found = classes_of(newer)
    text = " ".join(all_sentences(found))
    gaps = {i: gap for i, gap in enumerate(found.differences) if gap}
    where = max(gaps, key=lambda i: abs(gaps[i].mean))
    most = gaps[where]
    told = re.search(r"differ most in class (\d): ([−+])([\d.]+) points \((\S+) to (\S+)\)", text)
    assert told
    assert int(told[1]) == where
    assert float(told[3]) == pytest.approx(abs(most.mean), abs=0.051)
    assert (told[2] == "−") == (most.mean < 0)
    bounds = [float(told[i].replace("−", "-")) for i in (4, 5)]
    assert bounds == pytest.approx([most.low, most.high], abs=0.051)
    clear = sum(gap.low > 0 or gap.high < 0 for gap in gaps.values())  # type: ignore[operator]
    assert f"{clear} of 9 intervals" in text
    assert "about 0.45 would by chance" in text
    assert "exploratory, with 9 comparisons, and gives no verdict" in text

    hardest = [
        max((i for i in range(10) if i != 2), key=lambda i: errors(newer, name, i).mean())
        for name in found.errors
    ]
    common = max(set(hardest), key=hardest.count)
    expected = f"class {common} ({hardest.count(common)} of 11 conditions)"
    assert f"The highest mean error is most often that of {expected}" in text


def test_equal_classes_have_no_hardest_and_ties_are_all_named() -> None:
    def cell(value: float) -> Interval:
        return Interval(value, None, None, 1)

    even = Classes(["a", "b"], {"x": [cell(3), cell(3)]}, None, [])
    assert even.extremes("x") == ([], [])
    assert all_sentences(even) == []
    tied = Classes(["a", "b", "c"], {"x": [cell(1), cell(3), cell(3)]}, None, [])
    assert all_sentences(tied) == [
        "The highest mean error is most often that of classes b and c (1 of 1 condition); "
        "the lowest that of class a (1 of 1 condition)."
    ]


def test_a_few_classes_are_all_shown_in_their_order(newer: Results) -> None:
    found = classes_of(newer)
    grid = short_grid(found)
    assert [column.name for column in grid.columns] == ["condition", *map(str, range(10))]
    assert long_grid(found) is None
    row = next(row for row in grid.rows if row[0].text == "kd/large")
    means = {i: errors(newer, "kd/large", i).mean() for i in range(10) if i != 2}
    assert row[3].text == "–"
    for i, mean in means.items():
        assert float(row[1 + i].text.strip("▾▴")) == pytest.approx(mean, abs=0.051)
        assert row[1 + i].text.startswith("▴") == (mean == max(means.values()))
        assert row[1 + i].text.startswith("▾") == (mean == min(means.values()))
    heats = [cell.heat for one in grid.rows for cell in one[1:] if cell.heat is not None]
    assert max(heats) == 1.0


def test_of_many_classes_the_ten_that_differ_most_are_shown() -> None:
    results = edge_case("hundred classes")
    found = classes_of(results)
    gaps = {i: gap for i, gap in enumerate(found.differences) if gap}
    expected = sorted(gaps, key=lambda i: -abs(gaps[i].mean))[:10]
    assert found.shown() == expected
    figure = class_figure(Summary(results), found)
    assert figure is not None
    rows = figure.panels[0].spec["datasets"]["rows"]
    assert {row["name"] for row in rows} == {HUNDRED[i] for i in expected}
    assert [row["mean"] for row in rows] == sorted(row["mean"] for row in rows)
    assert "Shown are the 10 of 100 classes" in figure.caption
    assert "95 % t interval over 3 replicates; n = 3 × 2 " in figure.reading
    grid = long_grid(found)
    assert grid is not None
    assert [row[0].text for row in grid.rows] == HUNDRED


def test_without_a_pair_the_widest_spread_is_shown() -> None:
    results = edge_case("hundred classes")
    results["study"]["config"]["claims"] = {"primary": {"trend": {"trend": {"over": "x"}}}}
    found = classes_of(results)
    assert found.pair is None
    assert class_figure(Summary(results), found) is None
    first = found.shown()[0]
    means = [[e.mean for e in (row[i] for row in found.errors.values()) if e] for i in range(100)]
    spreads = [max(row) - min(row) if row else 0.0 for row in means]
    assert first == int(np.argmax(spreads))
    assert "classes in which conditions differ most" in " ".join(all_sentences(found))


def test_a_primary_claim_on_what_was_not_trained_gives_no_differences(newer: Results) -> None:
    claims = newer["study"]["config"]["claims"]
    claims["primary"]["early-repairs"]["difference"] = ["kd/matched", "kd/none"]
    found = classes_of(newer)
    assert (found.pair, found.differences) == (None, [])


def test_one_replicate_has_means_and_no_interval() -> None:
    results = edge_case("one replicate")
    found = classes_of(results)
    figure = class_figure(Summary(results), found)
    assert figure is not None
    assert "one replicate gives no interval; n = 1 × 2 " in figure.reading
    assert "interval" not in figure.caption
    assert "±" not in "".join(row["value"] for row in figure.panels[0].spec["datasets"]["rows"])


def test_the_csv_has_every_condition_class_and_difference(newer: Results) -> None:
    rows = list(csv.DictReader(io.StringIO(classes_csv(newer))))
    assert len(rows) == 11 * 10 + 10
    assert list(rows[0]) == [
        *("condition", "minus", "class", "name", "test_error", "low", "high", "replicates"),
    ]
    row = next(row for row in rows if row["condition"] == "eskd" and row["class"] == "7")
    assert float(row["test_error"]) == errors(newer, "eskd", 7).mean(axis=1).mean()
    assert row["replicates"] == "6"
    empty = next(row for row in rows if row["condition"] == "eskd" and row["class"] == "2")
    assert (empty["test_error"], empty["low"], empty["replicates"]) == ("", "", "0")
    gaps = [row for row in rows if row["minus"]]
    assert {(row["condition"], row["minus"]) for row in gaps} == {("kd/matched", "kd/large")}
    gap = classes_of(newer).differences[9]
    assert gap is not None
    assert float(gaps[9]["high"]) == gap.high


def test_names_that_are_no_names_become_numbers(newer: Results) -> None:
    newer["study"]["data"]["class_names"] = ["twice"] * 10
    assert classes_of(newer).names == [str(i) for i in range(10)]
    del newer["study"]["data"]["class_names"]
    assert classes_of(newer).names == [str(i) for i in range(10)]


def test_balanced_error_has_a_column_only_where_it_differs(newer: Results) -> None:
    assert balance(Summary(newer)) == "differs"
    grid = conditions_grid(Summary(newer))
    place = [column.name for column in grid.columns].index("balanced error, %")
    row = next(row for row in grid.rows if row[0].text == "kd/best")
    runs = [run for run in newer["runs"] if run["condition"] == "kd/best"]
    mean = np.mean([run["test_balanced_error"] for run in runs])
    assert row[place].text.startswith(f"{mean:.2f} ± ")

    even = with_classes(make_results(2, 1), even=True)
    assert balance(Summary(even)) == "same"
    assert "balanced" not in str(conditions_grid(Summary(even)).columns)
    assert balance(Summary(make_results(2, 1))) == "unknown"


def test_an_older_document_has_no_trace_of_classes(results: Results, tmp_path: Path) -> None:
    assert by_class(Summary(results)) is None
    assert classes_csv(results) == ""
    assert "Classes" not in markdown(results)
    assert "balanced" not in markdown(results)
    paths = write_report(results, tmp_path / "old.html")
    assert [path.name for path in paths] == [
        *("old.html", "old.md", "old-runs.csv", "old-findings.csv"),
    ]


def test_a_newer_document_has_a_file_a_line_and_no_lists_in_runs(
    newer: Results, tmp_path: Path
) -> None:
    paths = write_report(newer, tmp_path / "new.html")
    assert [path.name for path in paths][-1] == "new-classes.csv"
    text = paths[1].read_text("utf-8")
    assert text.index("## Conditions") < text.index("## Classes") < text.index("## Teachers")
    assert "exploratory" in text
    header = runs_csv(newer).splitlines()[0].split(",")
    assert "test_balanced_error" in header
    assert "test_class_errors" not in header
