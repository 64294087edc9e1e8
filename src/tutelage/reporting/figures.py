"""What each chart of a report shows: which conditions, with a sentence drawn from the data.

A figure without data is left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from tutelage.reporting import charts
from tutelage.reporting.summary import Condition, Interval, Summary
from tutelage.reporting.words import listing, number, parameters, plural, plus_minus, with_bounds

Key = tuple[str, ...]
_MOST_POINTS = 150
_SETTLED = 0.1  # share of the schedule after which a curve's values set the scale
_INTERVALS = "Bars are 95 % t intervals over replicate means"


@dataclass(frozen=True, slots=True)
class Legend:
    """One entry: `look` is dot, bar, band, line or dashed; `colour` a variable of page.css."""

    text: str
    look: str
    colour: str


@dataclass(frozen=True, slots=True)
class Panel:
    """One chart of a figure."""

    title: str
    note: str
    spec: charts.Spec


@dataclass(frozen=True, slots=True)
class Figure:
    """One or more charts with the same axes, a legend and a sentence that says what they show."""

    id: str
    title: str
    legend: list[Legend]
    panels: list[Panel]
    caption: str
    small: bool = False


def figures(summary: Summary) -> list[Figure]:
    """The figures that the study has data for, in the page's order."""
    found = [
        *_by_teacher(summary),
        *_by_stop(summary),
        _mimicry(summary),
        _over_epochs(summary),
    ]
    return [figure for figure in found if figure]


# --- student error -------------------------------------------------------------------------------


def _by_teacher(summary: Summary) -> list[Figure]:
    panels = _grouped(
        (
            ((condition.row["student"],), condition)
            for condition in _taught(summary)
            if condition.teacher and condition.teacher.full
        ),
        at_least=1,
    )
    return _error_figures(summary, "teachers", "Student error by teacher and size", panels)


def _by_stop(summary: Summary) -> list[Figure]:
    panels = _grouped(
        (
            ((condition.row["student"], condition.row["group"], *condition.teacher.family), condition)
            for condition in _taught(summary)
            if condition.teacher
        ),
        at_least=2,
    )
    return _error_figures(summary, "stops", "Student error by the teacher's stop", panels)


def _taught(summary: Summary) -> list[Condition]:
    """The distilled conditions with figures, from the smallest teacher to the largest."""
    found = [c for c in summary.conditions if c.teacher and c.interval("test_error")]
    return sorted(found, key=_size_and_stop)


def _size_and_stop(condition: Condition) -> tuple[int, float, bool, str]:
    teacher = condition.teacher
    assert teacher is not None  # only distilled conditions are sorted
    stop = math.inf if teacher.row["stop"] == "full" else teacher.row["stop_epoch"]
    return teacher.row["parameters"], stop, bool(teacher.row.get("scaled")), condition.name


def _grouped(
    keyed: Iterable[tuple[Key, Condition]], *, at_least: int
) -> dict[Key, list[Condition]]:
    found: dict[Key, list[Condition]] = {}
    for key, condition in keyed:
        found.setdefault(key, []).append(condition)
    return {key: members for key, members in found.items() if len(members) >= at_least}


def _error_figures(
    summary: Summary, kind: str, title: str, panels: dict[Key, list[Condition]]
) -> list[Figure]:
    if not panels:
        return []
    members = [condition for conditions in panels.values() for condition in conditions]
    controls = {key: summary.scratch(key[0]) for key in panels}
    errors = [interval for c in members if (interval := c.interval("test_error"))]
    errors += [e for c in controls.values() if c and (e := c.interval("test_error"))]
    dots = [dot["mean"] for condition in members for dot in _dots(condition, "")]
    domain = _padded([*dots, *_extent(errors)], 0.09)
    groups = list(dict.fromkeys(c.row["group"] for c in sorted(members, key=_order_in(summary))))
    drawn = []
    for key, conditions in panels.items():
        control = controls[key]
        scratch = control.interval("test_error") if control else None
        head, note = _panel_title(kind, key, conditions, single=len(panels) == 1)
        drawn.append(Panel(head, note, _dot_spec(kind, conditions, scratch, domain, groups)))
    legend = [
        Legend(group, "dot", f"--c{i % charts.PALETTE + 1}") for i, group in enumerate(groups)
    ]
    if any(controls.values()):
        legend.append(Legend("from scratch", "band", "--reference-line"))
    caption = " ".join(
        _error_sentence(key, conditions, controls[key], kind) for key, conditions in panels.items()
    )
    caption = f"{caption} Small dots are replicates. {_interval_words(members)}"
    return [Figure(kind, title, legend, drawn, caption)]


def _order_in(summary: Summary):
    order = {condition.name: i for i, condition in enumerate(summary.conditions)}
    return lambda condition: order[condition.name]


def _panel_title(
    kind: str, key: Key, conditions: Sequence[Condition], *, single: bool
) -> tuple[str, str]:
    if kind == "teachers":
        return ("", "") if single else (f"Student {key[0]}", "")
    model = key[2] + (f", taught by {key[3]}" if key[3] else "")
    return f"Teacher {model}", f"{key[1]}, student {key[0]}"


def _dot_spec(
    kind: str,
    conditions: Sequence[Condition],
    scratch: Interval | None,
    domain: tuple[float, float],
    groups: Sequence[str],
) -> charts.Spec:
    rows, dots = [], []
    for condition in conditions:
        interval = condition.interval("test_error")
        assert interval is not None  # _taught leaves the others out
        label = charts.label(condition.name, _second_line(kind, condition))
        rows.append(
            {
                "label": label,
                "name": condition.name,
                "group": condition.row["group"],
                "value": plus_minus(interval),
                "counts": condition.counts,
                **_numbers(interval),
            }
        )
        dots += _dots(condition, label)
    reference = _numbers(scratch) if scratch else None
    return charts.dot_rows(
        rows, dots, title="test error (%)", domain=domain, groups=groups, reference=reference
    )


def _second_line(kind: str, condition: Condition) -> str:
    teacher = condition.teacher
    assert teacher is not None
    if kind == "stops":
        return teacher.variant
    return f"{teacher.row['model']}, {parameters(teacher.row['parameters'])}"


def _dots(condition: Condition, label: str) -> list[charts.Spec]:
    return [
        {
            "label": label,
            "name": condition.name,
            "group": condition.row["group"],
            "replicate": replicate,
            "mean": round(mean, 4),
        }
        for replicate, mean in condition.means("test_error").items()
    ]


def _error_sentence(
    key: Key, conditions: Sequence[Condition], control: Condition | None, kind: str
) -> str:
    measured = [(i, c) for c in conditions if (i := c.interval("test_error"))]
    best, winner = min(measured, key=lambda pair: pair[0].mean)
    worst, loser = max(measured, key=lambda pair: pair[0].mean)
    subject = f"Of {len(measured)} teachers" if kind == "teachers" else f"Of {len(measured)} stops"
    subject += f" for {key[0]}" if kind == "teachers" else f" of {key[2]} ({key[1]})"
    text = f"{subject}, the lowest mean test error is {winner.name}'s, {with_bounds(best, '%')}"
    if len(measured) > 1:
        text += f", the highest {loser.name}'s, {with_bounds(worst, '%')}"
    scratch = control.interval("test_error") if control else None
    return text + (f"; from scratch it is {with_bounds(scratch, '%')}." if scratch else ".")


# --- mimicry -------------------------------------------------------------------------------------

_PARTS = {"shape": "shape: the rest", "scale": "scale: what one factor repairs"}


def _mimicry(summary: Summary) -> Figure | None:
    members = [
        condition
        for condition in _taught(summary)
        if condition.interval("train_kl_shape_t4") and condition.interval("train_kl_scale_t4")
    ]
    if not members:
        return None
    sides = {"train": "Training images", "test": "Test images"}
    drawn = {side: _gap_rows(members, side) for side in sides}
    ends = [row["end"] for rows, _ in drawn.values() for row in rows]
    ends += [w["high"] for _, whiskers in drawn.values() for w in whiskers if w["high"] is not None]
    most = max(ends) * 1.04 or 1.0
    panels = [
        Panel(
            title,
            "",
            charts.stacked_rows(
                *drawn[side], title="KL divergence at temperature 4 (nats)", most=most
            ),
        )
        for side, title in sides.items()
        if drawn[side][0]
    ]
    legend = [Legend(text, "bar", f"--c{i + 1}") for i, text in enumerate(_PARTS.values())]
    return Figure(
        "mimicry",
        "Mimicry gap: how far students stay from their teacher",
        legend,
        panels,
        f"{_gap_sentence(members)} {_interval_words(members)}",
    )


def _gap_rows(
    members: Sequence[Condition], side: str
) -> tuple[list[charts.Spec], list[charts.Spec]]:
    rows, whiskers = [], []
    for condition in members:
        shape = condition.interval(f"{side}_kl_shape_t4")
        whole = condition.interval(f"{side}_kl_t4")
        if not shape or not whole:
            continue
        label = charts.label(condition.name)
        ends = {"shape": (0.0, shape.mean), "scale": (shape.mean, whole.mean)}
        for part, (start, end) in ends.items():
            rows.append(
                {
                    "label": label,
                    "name": condition.name,
                    "part": part,
                    "start": round(start, 5),
                    "end": round(end, 5),
                    "value": number(end - start, 3),
                }
            )
        for part, interval in (("shape", shape), ("scale", whole)):
            whiskers.append({"label": label, "part": part, **_numbers(interval)})
    return rows, whiskers


def _gap_sentence(members: Sequence[Condition]) -> str:
    shapes = [(i, c) for c in members if (i := c.interval("train_kl_shape_t4"))]
    low, least = min(shapes, key=lambda pair: pair[0].mean)
    high, most = max(shapes, key=lambda pair: pair[0].mean)
    text = "On training images the part of the gap that no single factor repairs"
    if least is most:
        return f"{text} is {with_bounds(low, 'nats', 3)} for {least.name}."
    return (
        f"{text} runs from {with_bounds(low, 'nats', 3)} for {least.name} to "
        f"{with_bounds(high, 'nats', 3)} for {most.name}."
    )


# --- distilled minus scratch ---------------------------------------------------------------------


def _over_epochs(summary: Summary) -> Figure | None:
    curves: list[tuple[Condition, list[tuple[int, Interval]]]] = []
    for condition in summary.conditions:
        control = summary.scratch_for(condition)
        if control and control.row["epochs"] == condition.row["epochs"]:
            points = condition.curve_minus(control, "val_error")
            if points:
                curves.append((condition, points))
    if not curves:
        return None
    settled = [
        interval
        for condition, points in curves
        for epoch, interval in points
        if epoch > _SETTLED * condition.row["epochs"]
    ]
    domain = _padded([0.0, *_extent(settled or [points[-1][1] for _, points in curves])], 0.06)
    panels = [
        Panel(
            condition.name,
            f"{plus_minus(points[-1][1], sign=True)} points at epoch {points[-1][0]}",
            charts.curve(_thinned(points), condition.row.get("decays") or [], domain=domain),
        )
        for condition, points in curves
    ]
    legend = [
        Legend("mean difference", "line", "--c1"),
        Legend("95 % interval", "band", "--c1"),
        Legend("learning rate decays", "dashed", "--muted"),
    ]
    members = [condition for condition, _ in curves]
    caption = f"{_end_sentence(curves)} Below zero distillation is ahead. {_counts(members)}."
    title = "Distilled minus scratch: validation error over epochs"
    return Figure("epochs", title, legend, panels, caption, small=len(panels) > 1)


def _end_sentence(curves: Sequence[tuple[Condition, list[tuple[int, Interval]]]]) -> str:
    ends = [(condition.name, points[-1][1]) for condition, points in curves]
    if all(end.low is None for _, end in ends):
        ahead = [name for name, end in ends if end.mean < 0]
        return (
            f"At the last epoch {len(ahead)} of {plural(len(ends), 'condition')} have a lower "
            "validation error than scratch; one replicate gives no interval."
        )
    ahead = [name for name, end in ends if end.high is not None and end.high < 0]
    behind = [name for name, end in ends if end.low is not None and end.low > 0]
    parts = [
        f"{len(names)} {where} of scratch ({listing(names)})"
        for names, where in ((ahead, "ahead"), (behind, "behind"))
        if names
    ]
    open_ = len(ends) - len(ahead) - len(behind)
    if open_:
        parts.append(f"{open_} not told apart from it")
    return (
        f"At the last epoch the 95 % intervals put, of {plural(len(ends), 'condition')}, "
        f"{listing(parts)}."
    )


def _thinned(points: Sequence[tuple[int, Interval]]) -> list[charts.Spec]:
    """At most about _MOST_POINTS of a curve, evenly spaced, its last one always."""
    every = math.ceil(len(points) / _MOST_POINTS)
    kept = [*points[: -1 : every], points[-1]]
    return [{"epoch": epoch, **_numbers(interval)} for epoch, interval in kept]


# --- shared --------------------------------------------------------------------------------------


def _numbers(interval: Interval) -> dict[str, Any]:
    values = {"mean": interval.mean, "low": interval.low, "high": interval.high}
    return {name: None if v is None else round(v, 5) for name, v in values.items()}


def _extent(intervals: Iterable[Interval]) -> list[float]:
    return [v for i in intervals for v in (i.mean, i.low, i.high) if v is not None]


def _padded(values: Sequence[float], share: float) -> tuple[float, float]:
    low, high = min(values), max(values)
    margin = (high - low) * share or 0.5
    return round(low - margin, 3), round(high + margin, 3)


def _counts(conditions: Sequence[Condition]) -> str:
    counts = sorted({condition.counts for condition in conditions})
    return f"n = {' or '.join(counts)} (replicates × students)"


def _interval_words(conditions: Sequence[Condition]) -> str:
    if all(len(condition.means("test_error")) < 2 for condition in conditions):
        return f"One replicate gives no interval; {_counts(conditions)}."
    return f"{_INTERVALS}; {_counts(conditions)}."
