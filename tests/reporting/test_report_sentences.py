"""The sentences under the charts: every number and count in them is the document's."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from report_documents import edge_case, make_results, with_classes
from scipy import stats

from tutelage.reporting.class_report import class_figure
from tutelage.reporting.classes import by_class
from tutelage.reporting.figure import Figure, against_scratch, cut
from tutelage.reporting.figures import figures
from tutelage.reporting.summary import Interval, Summary

Results = dict[str, Any]


def drawn(results: Results) -> dict[str, Figure]:
    return {figure.id: figure for figure in figures(Summary(results))}


def means(results: Results, condition: str, metric: str) -> np.ndarray:
    """The mean of each replicate, straight from the runs."""
    runs = [run for run in results["runs"] if run["condition"] == condition]
    runs = [run for run in runs if run["role"] == "student"]
    replicates = sorted({run["replicate"] for run in runs})
    return np.array(
        [np.mean([run[metric] for run in runs if run["replicate"] == r]) for r in replicates]
    )


def interval(values: np.ndarray) -> tuple[float, float, float]:
    low, high = stats.t.interval(0.95, len(values) - 1, values.mean(), stats.sem(values))
    return float(values.mean()), float(low), float(high)


def told(text: str, pattern: str) -> list[float]:
    """The numbers in the pattern's groups."""
    found = re.search(pattern, text)
    assert found, text
    return [float(part.replace("−", "-")) for part in found.groups()]


NUMBER = r"([−+]?[\d.]+)"
BOUNDS = rf"\({NUMBER} to {NUMBER}\)"


@pytest.fixture(scope="module", params=range(2))
def small(request: pytest.FixtureRequest) -> tuple[Results, dict[str, Figure]]:
    """A document of four replicates of two students, and its figures."""
    results = make_results(4, 2, request.param)
    return results, drawn(results)


def test_the_error_sentence_gives_lowest_highest_and_scratch(
    small: tuple[Results, dict[str, Figure]],
) -> None:
    results, found = small
    caption = found["teachers"].caption
    names = ["kd/small", "kd/medium", "kd/large", "kd/chained", "eskd"]
    errors = {name: means(results, name, "test_error") for name in names}
    low = min(names, key=lambda name: errors[name].mean())
    high = max(names, key=lambda name: errors[name].mean())
    for word, name in (("lowest mean test error is", low), ("highest", high)):
        numbers = told(caption, rf"{word} {name}'s, {NUMBER} % {BOUNDS}")
        assert numbers == pytest.approx(interval(errors[name]), abs=0.0051)
    numbers = told(caption, rf"from scratch it is {NUMBER} % {BOUNDS}")
    assert numbers == pytest.approx(interval(means(results, "scratch", "test_error")), abs=0.0051)


def test_who_is_better_than_scratch_is_told_by_paired_intervals(
    small: tuple[Results, dict[str, Figure]],
) -> None:
    results, found = small
    groups = {
        "teachers": ["kd/small", "kd/medium", "kd/large", "kd/chained", "eskd"],
        "stops": [f"kd/{t}" for t in ("early", "matched", "calibrated", "best", "truncated")]
        + ["kd/large"],
    }
    scratch = means(results, "scratch", "test_error")
    for kind, names in groups.items():
        gaps = {n: interval(means(results, n, "test_error") - scratch) for n in names}
        better = {name for name, (_, _, high) in gaps.items() if high < 0}
        worse = {name for name, (_, low, _) in gaps.items() if low > 0}
        rest = len(names) - len(better) - len(worse)
        text = found[kind].caption
        for word, members in (("better", better), ("worse", worse)):
            listed = re.search(rf"(\d+) (?:is|are) {word} than scratch \(([^)]*)\)", text)
            assert bool(listed) == bool(members)
            if listed:
                assert int(listed[1]) == len(members)
                assert set(re.split(r", | and ", listed[2])) == members
        open_ = re.search(r"(\d+) (?:is|are) not told apart from scratch", text)
        assert (int(open_[1]) if open_ else 0) == rest


def test_the_mimicry_sentence_gives_both_temperatures(
    small: tuple[Results, dict[str, Figure]],
) -> None:
    results, found = small
    caption = found["mimicry"].caption
    names = [row["name"] for row in results["conditions"] if row["teacher"]]
    for head, temperature in (("shape part", "t4"), ("not drawn, it", "t1")):
        gaps = {name: means(results, name, f"train_kl_shape_{temperature}") for name in names}
        low = min(names, key=lambda name: gaps[name].mean())
        high = max(names, key=lambda name: gaps[name].mean())
        numbers = told(
            caption,
            rf"{head} runs from {NUMBER} nats {BOUNDS} for {low} to "
            rf"{NUMBER} nats {BOUNDS} for {high}",
        )
        expected = [*interval(gaps[low]), *interval(gaps[high])]
        assert numbers == pytest.approx(expected, abs=0.00051)


def test_without_the_other_temperature_the_sentence_is_left_out(results: Results) -> None:
    for run in results["runs"]:
        for name in [name for name in run if name.endswith("_t1")]:
            del run[name]
    assert "temperature 1" not in drawn(results)["mimicry"].caption


def test_tiny_gaps_keep_three_figures(results: Results) -> None:
    for run in results["runs"]:
        for name in [name for name in run if "_kl_" in name]:
            run[name] *= 1e-3
    figure = drawn(results)["mimicry"]
    values = [row["value"] for row in figure.panels[0].spec["datasets"]["ends"]]
    assert all(re.fullmatch(r"0\.\d{5} \+ 0\.\d{5}", value) for value in values)
    assert "0.00000 nats" not in figure.caption


def test_the_epochs_sentence_counts_the_last_epoch(
    small: tuple[Results, dict[str, Figure]],
) -> None:
    results, found = small
    caption = found["epochs"].caption
    last = {
        (run["condition"], run["replicate"], run["seed"]): run["history"][-1]["val_error"]
        for run in results["runs"]
        if run["history"]
    }
    names = [row["name"] for row in results["conditions"] if row["teacher"]]
    gaps = {
        name: np.array(
            [
                np.mean([last[name, r, s] - last["scratch", r, s] for s in range(2)])
                for r in range(4)
            ]
        )
        for name in names
    }
    below = sum(gap.mean() < 0 for gap in gaps.values())
    assert f"below zero for {below} of {len(names)} conditions." in caption
    better = sum(interval(gap)[2] < 0 for gap in gaps.values())
    assert re.search(rf"\b{better} (is|are) better than scratch", caption)


def test_a_cut_interval_is_told() -> None:
    inside = Interval(50.0, 20.0, 80.0, 3)
    assert not cut([inside], (0.0, 100.0))
    assert cut([inside, Interval(90.0, 70.0, 110.0, 3)], (0.0, 100.0))
    assert not cut([Interval(50.0, None, None, 1)], (0.0, 100.0))
    words = "Intervals that reach beyond 0 or 100 % are cut there."
    wide = make_results(2, 1)
    for run in wide["runs"]:
        if run["condition"] == "kd/large":
            run["test_error"] = 5.0 + 60 * run["replicate"]
    assert words in drawn(wide)["teachers"].caption
    assert words not in drawn(make_results(6, 3))["teachers"].caption


def test_scratch_is_not_compared_without_an_interval() -> None:
    assert against_scratch([("a", Interval(-3.0, None, None, 1))]) == ""
    assert against_scratch([]) == ""
    gaps = [("a", Interval(-3.0, -4.0, -2.0, 3)), ("b", Interval(0.5, -1.0, 2.0, 3))]
    assert against_scratch(gaps) == (
        "By paired 95 % intervals, 1 is better than scratch (a) and 1 is not told apart from "
        "scratch."
    )


def test_equal_errors_have_no_lowest() -> None:
    results = make_results(2, 1)
    for run in results["runs"]:
        run["test_error"] = 10.0 if run["role"] == "student" else run["test_error"]
    caption = drawn(results)["teachers"].caption
    assert "All 5 conditions with a full teacher have a mean test error of 10.00 %" in caption
    assert "lowest" not in caption


def test_every_chart_of_every_document_says_interval_n_and_what_it_shows(edge: Results) -> None:
    summary = Summary(edge)
    classes = by_class(summary)
    found = [*figures(summary), classes and class_figure(summary, classes)]
    for figure in filter(None, found):
        assert re.search(r"95 % t interval over|no interval", figure.reading)
        assert re.search(r"n = \d+ × \d", figure.reading)
        assert figure.caption.endswith(".")
        assert not re.search(r"\bnan\b|\binf\b|None|\d{7,}", figure.reading + figure.caption)


def test_uneven_rows_say_their_own_n(
    build: Callable[..., Results], damage: Callable[[Results, str, str], None]
) -> None:
    results = build(3, 2)
    damage(results, "r1/kd/small/s0", "pending")
    rows = drawn(results)["teachers"].panels[0].spec["datasets"]["rows"]
    labels = {row["name"]: row["label"] for row in rows}
    assert labels["kd/small"].endswith("\nn = 3 × 1–2")
    assert labels["kd/large"].endswith("\nn = 3 × 2")
    even = drawn(build(3, 2))["teachers"].panels[0].spec["datasets"]["rows"]
    assert not any("n = " in row["label"] for row in even)


def test_two_students_are_told_apart() -> None:
    results = with_classes(edge_case("two teachers"))
    rows = [dict(row) for row in results["conditions"] if row["name"] in ("kd/small", "kd/large")]
    for row in rows:
        runs = [run for run in results["runs"] if run["condition"] == row["name"]]
        row.update(name=f"other/{row['name']}", student="plain-16", group="kd")
        results["conditions"].append(row)
        results["runs"] += [
            run | {"condition": row["name"], "key": f"{run['key']}-other"} for run in runs
        ]
    figure = drawn(results)["teachers"]
    assert [panel.title for panel in figure.panels] == ["Student plain-8-8-8", "Student plain-16"]
    assert "Of 2 conditions with a full teacher (student plain-16)," in figure.caption
