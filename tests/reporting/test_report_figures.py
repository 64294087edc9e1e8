"""What the charts show, against scipy and numpy on the rows of the document."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import altair as alt
import numpy as np
import pytest
from scipy import stats

from tutelage.reporting.figure import Figure, padded
from tutelage.reporting.figures import figures
from tutelage.reporting.summary import Interval, Summary, t_interval

Results = dict[str, Any]


def drawn(results: Results) -> dict[str, Figure]:
    return {figure.id: figure for figure in figures(Summary(results))}


@pytest.fixture(scope="module")
def found(build: Callable[..., Results]) -> dict[str, Figure]:
    """The figures of the standard document."""
    return drawn(build())


def datasets(figure: Figure, panel: int = 0) -> dict[str, list[Results]]:
    """The rows that a panel's layers draw, by name."""
    spec = figure.panels[panel].spec
    drawn_from = {layer["data"]["name"] for layer in spec["layer"]}
    assert drawn_from >= set(spec["datasets"])
    return spec["datasets"]


def layers(figure: Figure, panel: int = 0) -> list[list[Results]]:
    """The rows of a panel's chart, in lists."""
    return list(datasets(figure, panel).values())


def named(figure: Figure, name: str, field: str, panel: int = 0) -> Results:
    """The first row of a panel that is about a condition and has a field."""
    rows = (row for layer in layers(figure, panel) for row in layer)
    return next(row for row in rows if row.get("name") == name and field in row)


def values(results: Results, condition: str, metric: str) -> np.ndarray:
    """A metric as [replicates, students]."""
    runs = [run for run in results["runs"] if run["condition"] == condition]
    runs = sorted(
        (run for run in runs if run["role"] == "student"),
        key=lambda run: (run["replicate"], run["seed"]),
    )
    count = 1 + max(run["replicate"] for run in runs)
    return np.array([run[metric] for run in runs]).reshape(count, -1)


def expected(means: np.ndarray) -> tuple[float, float, float]:
    low, high = stats.t.interval(0.95, len(means) - 1, means.mean(), stats.sem(means))
    return float(means.mean()), float(low), float(high)


def test_error_charts_show_scipys_intervals_over_replicate_means(
    found: dict[str, Figure], results: Results
) -> None:
    for kind, names in {
        "teachers": ["kd/small", "kd/medium", "kd/large", "eskd"],
        "stops": ["kd/early", "kd/matched", "kd/calibrated", "kd/truncated", "kd/large"],
    }.items():
        figure = found[kind]
        for name in names:
            row = named(figure, name, "low")
            means = values(results, name, "test_error").mean(axis=1)
            assert [row["mean"], row["low"], row["high"]] == pytest.approx(
                expected(means), abs=1e-4
            )
            dots = [
                dot["mean"]
                for layer in layers(figure)
                for dot in layer
                if dot.get("name") == name and "replicate" in dot
            ]
            assert dots == pytest.approx(means.tolist(), abs=1e-3)


def test_the_band_is_the_scratch_control(found: dict[str, Figure], results: Results) -> None:
    band = datasets(found["teachers"])["reference"][0]
    means = values(results, "scratch", "test_error").mean(axis=1)
    assert [band["mean"], band["low"], band["high"]] == pytest.approx(expected(means), abs=1e-4)


def test_a_diverged_student_counts_as_chance(results: Results) -> None:
    run = next(run for run in results["runs"] if run["key"] == "r2/kd/large/s0")
    table = values(results, "kd/large", "test_error")
    table[2, 0] = 90.0
    run.update(status="diverged", test_error=None)
    large = next(c for c in Summary(results).conditions if c.name == "kd/large")
    shown = large.interval("test_error")
    assert shown is not None
    assert [shown.mean, shown.low, shown.high] == pytest.approx(expected(table.mean(axis=1)))


def test_mimicry_parts_are_stacked_means_with_the_interval_of_the_shape(
    found: dict[str, Figure], results: Results
) -> None:
    figure = found["mimicry"]
    for panel, side in enumerate(("train", "test")):
        rows = [row for layer in layers(figure, panel) for row in layer]
        bars = {row["part"]: row for row in rows if row.get("name") == "kd/large" and "part" in row}
        assert set(bars) == {"solid", "hollow"}
        shape = values(results, "kd/large", f"{side}_kl_shape_t4").mean(axis=1)
        scale = values(results, "kd/large", f"{side}_kl_scale_t4").mean(axis=1)
        assert bars["solid"]["start"] == 0
        assert bars["solid"]["end"] == bars["hollow"]["start"]
        assert bars["solid"]["end"] == pytest.approx(shape.mean(), abs=1e-4)
        assert bars["hollow"]["end"] == pytest.approx(shape.mean() + scale.mean(), abs=1e-4)
        ends = [row for row in datasets(figure, panel)["ends"] if row["label"] == "kd/large"]
        assert [ends[0]["mean"], ends[0]["low"], ends[0]["high"]] == pytest.approx(
            expected(shape), abs=1e-4
        )
        assert ends[0]["value"] == f"{shape.mean():.3f} + {scale.mean():.3f}"


def test_curves_are_paired_differences_with_the_decays_marked(
    found: dict[str, Figure], results: Results
) -> None:
    figure = found["epochs"]
    panel = [panel.title for panel in figure.panels].index("kd/early")
    rows = [row for layer in layers(figure, panel) for row in layer]
    point = next(row for row in rows if row.get("epoch") == 41)
    runs = {
        run["key"]: run["history"][40]["val_error"] for run in results["runs"] if run["history"]
    }
    means = np.array(
        [
            [runs[f"r{r}/kd/early/s{s}"] - runs[f"r{r}/scratch/s{s}"] for s in range(3)]
            for r in range(6)
        ]
    ).mean(axis=1)
    assert [point["mean"], point["low"], point["high"]] == pytest.approx(expected(means), abs=1e-3)
    assert [row["decay"] for row in rows if "decay" in row] == [36, 72, 96]
    assert max(row.get("epoch", 0) for row in rows) == 120


def test_a_control_of_another_length_is_not_compared_epoch_by_epoch(results: Results) -> None:
    scratch = next(row for row in results["conditions"] if row["name"] == "scratch")
    scratch["epochs"] = 60
    assert "epochs" not in drawn(results)


def test_every_figure_says_its_interval_and_its_n(found: dict[str, Figure]) -> None:
    assert list(found) == ["teachers", "stops", "mimicry", "epochs"]
    for figure in found.values():
        assert "95 % t interval over 6 replicates; n = 6 × 3 (replicates × students)." in (
            figure.reading
        )


def test_the_sentence_names_the_extremes(found: dict[str, Figure], results: Results) -> None:
    caption = found["stops"].caption
    stops = ["early", "matched", "calibrated", "best", "truncated", "large"]
    errors = {name: values(results, f"kd/{name}", "test_error").mean() for name in stops}
    low, high = min(errors, key=errors.__getitem__), max(errors, key=errors.__getitem__)
    assert f"lowest mean test error is kd/{low}'s, {errors[low]:.2f} %" in caption
    assert f"highest kd/{high}'s, {errors[high]:.2f} %" in caption


def test_one_replicate_has_no_interval_and_says_so(build: Callable[..., Results]) -> None:
    found = drawn(build(1, 2))
    row = named(found["teachers"], "kd/large", "low")
    assert row["low"] is None
    assert row["high"] is None
    assert "±" not in row["value"]
    for figure in found.values():
        assert "one replicate gives no interval; n = 1 × 2 (replicates × students)." in (
            figure.reading
        )
        assert "95 %" not in figure.reading + figure.caption


def test_runs_without_figures_leave_the_rest_drawn(spoilt: Results) -> None:
    found = drawn(spoilt)
    assert list(found) == ["teachers", "stops", "mimicry", "epochs"]
    assert named(found["teachers"], "kd/small", "low")["counts"] == "2 × 1–2"
    assert named(found["teachers"], "kd/chained", "low")["mean"] == 90.0
    assert "n = 2 × 1–2" in named(found["teachers"], "kd/small", "low")["label"]
    assert "kd/chained" not in {
        row.get("name") for layer in layers(found["mimicry"]) for row in layer
    }


def test_a_diverged_student_has_no_mimicry_and_counts_in_no_n_of_it(
    build: Callable[..., Results], damage: Callable[[Results, str, str], None]
) -> None:
    results = build(2, 1)
    damage(results, "r0/kd/large/s0", "diverged")
    found = drawn(results)
    assert "over 2 replicates; n = 2 × 1 (" in found["teachers"].reading
    expected = "over 1 to 2 replicates; one replicate alone gives none; n = 1 × 1 or 2 × 1 ("
    assert expected in found["mimicry"].reading


def test_nothing_to_draw_is_no_figure(bare: Results) -> None:
    assert drawn(bare) == {}


def test_every_specification_is_valid_vega_lite(found: dict[str, Figure]) -> None:
    for figure in found.values():
        alt.LayerChart.from_dict(figure.panels[0].spec, validate=True)


def test_t_interval_needs_two_values() -> None:
    assert t_interval([]) is None
    assert t_interval([3.0]) == Interval(3.0, None, None, 1)
    pair = t_interval([1.0, 3.0])
    assert pair is not None
    assert (pair.mean, pair.n) == (2.0, 2)
    assert (pair.low, pair.high) == pytest.approx((2 - 12.7062, 2 + 12.7062), abs=1e-4)


def test_an_axis_shows_no_error_that_cannot_be() -> None:
    assert padded([10.0, 20.0], 0.1, (0.0, 100.0)) == (9.0, 21.0)
    assert padded([-190.0, 20.0, 257.0], 0.1, (0.0, 100.0)) == (0.0, 100.0)
    assert padded([5.0], 0.1, (0.0, 100.0)) == (4.5, 5.5)
