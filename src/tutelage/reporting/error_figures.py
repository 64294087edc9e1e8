"""The charts of student error: by teacher and size, and by the teacher's stop."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from tutelage.reporting import charts
from tutelage.reporting.figure import (
    Figure,
    Legend,
    Panel,
    against_scratch,
    cut,
    extent,
    numbers,
    padded,
    reading,
)
from tutelage.reporting.summary import Condition, Interval, Summary
from tutelage.reporting.theme import series_look
from tutelage.reporting.words import magnitude, plus_minus, with_bounds

Key = tuple[str, ...]
_CUT = "Intervals that reach beyond 0 or 100 % are cut there."


def by_teacher(summary: Summary) -> list[Figure]:
    """The students of every full or combined teacher, one panel for each student network."""
    panels = _grouped(
        (
            ((c.row["student"],), c)
            for c in taught(summary)
            if c.teacher and (c.teacher.full or c.teacher.combined)
        ),
        at_least=1,
    )
    return _error_figures(summary, "teachers", "Student error by teacher and size", panels)


def by_stop(summary: Summary) -> list[Figure]:
    """The students of one network's stops and scales, where there are at least two of them."""
    panels = _grouped(
        (
            ((c.row["student"], c.row["group"], *c.teacher.family), c)
            for c in taught(summary)
            if c.teacher
        ),
        at_least=2,
    )
    return _error_figures(summary, "stops", "Student error by the teacher's stop", panels)


def taught(summary: Summary) -> list[Condition]:
    """The distilled conditions with figures, from the smallest teacher to the largest."""
    found = [c for c in summary.conditions if c.teacher and c.interval("test_error")]
    return sorted(found, key=_size_and_stop)


def _size_and_stop(condition: Condition) -> tuple[int, float, bool, str]:
    teacher = condition.teacher
    assert teacher is not None  # only distilled conditions are sorted
    epoch = teacher.row.get("stop_epoch")
    stop = math.inf if teacher.row["stop"] == "full" or epoch is None else epoch
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
    drawn_controls = [control for control in controls.values() if control]
    errors = [e for c in [*members, *drawn_controls] if (e := c.interval("test_error"))]
    dots = [dot["mean"] for condition in members for dot in _dots(condition, "")]
    domain = padded([*dots, *extent(errors)], 0.09, (0.0, 100.0))
    groups = list(dict.fromkeys(c.row["group"] for c in sorted(members, key=_order_in(summary))))
    uneven = len({condition.counts for condition in members}) > 1
    panel_list, sentences = [], []
    for key, conditions in panels.items():
        control = controls[key]
        scratch = control.interval("test_error") if control else None
        head, note = _panel_title(kind, key, single=len(panels) == 1)
        spec = _dot_spec(kind, conditions, scratch, domain, groups, uneven=uneven)
        panel_list.append(Panel(head, note, spec))
        sentences.append(
            _error_sentence(_members(kind, key, conditions, len(panels)), conditions, scratch)
        )
        gaps = [(c.name, gap) for c in conditions if (gap := summary.minus_scratch(c))]
        sentences.append(against_scratch(gaps))
    if cut(errors, domain):
        sentences.append(_CUT)
    legend = [Legend(group, *series_look(i)) for i, group in enumerate(groups)]
    if drawn_controls:
        legend.append(Legend("from scratch: mean and interval", "reference", "--reference-line"))
    how = reading(
        "Large marks are means, small dots the replicates",
        "lines",
        [interval.n for interval in errors],
        [condition.counts for condition in members],
    )
    caption = " ".join(filter(None, sentences))
    return [Figure(kind, title, how, legend, panel_list, caption)]


def _order_in(summary: Summary):
    order = {condition.name: i for i, condition in enumerate(summary.conditions)}
    return lambda condition: order[condition.name]


def _panel_title(kind: str, key: Key, *, single: bool) -> tuple[str, str]:
    if kind == "teachers":
        return ("", "") if single else (f"Student {key[0]}", "")
    model = key[2] + (f", taught by {key[3]}" if key[3] else "")
    return f"Teacher {model}", f"{key[1]}, student {key[0]}"


def _members(kind: str, key: Key, conditions: Sequence[Condition], panels: int) -> str:
    """What a panel's conditions are called in its sentence."""
    student = f"student {key[0]}" if panels > 1 else ""
    if kind == "teachers":
        combined = any(c.teacher and c.teacher.combined for c in conditions)
        what = "a full or combined teacher" if combined else "a full teacher"
        return f"conditions with {what}" + (f" ({student})" if student else "")
    named = ", ".join(filter(None, [key[1], student]))
    return f"stops and scales of {key[2]} ({named})"


def _dot_spec(
    kind: str,
    conditions: Sequence[Condition],
    scratch: Interval | None,
    domain: tuple[float, float],
    groups: Sequence[str],
    *,
    uneven: bool,
) -> charts.Spec:
    rows, dots = [], []
    for condition in conditions:
        interval = condition.interval("test_error")
        assert interval is not None  # `taught` leaves the others out
        lines = [condition.name, _second_line(kind, condition)]
        if uneven:
            lines.append(f"n = {condition.counts}")
        label = charts.label(*lines)
        rows.append(
            {
                "label": label,
                "name": condition.name,
                "group": condition.row["group"],
                "value": plus_minus(interval),
                "counts": condition.counts,
                **numbers(interval),
            }
        )
        dots += _dots(condition, label)
    reference = numbers(scratch) if scratch else None
    return charts.dot_rows(
        rows, dots, title="test error (%)", domain=domain, groups=groups, reference=reference
    )


def _second_line(kind: str, condition: Condition) -> str:
    teacher = condition.teacher
    assert teacher is not None
    if kind == "stops":
        return teacher.variant
    what = teacher.kind if teacher.combined else teacher.row["model"]
    return f"{what}, {magnitude(teacher.row['parameters'])}"


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


def _error_sentence(members: str, conditions: Sequence[Condition], scratch: Interval | None) -> str:
    measured = [(i, c) for c in conditions if (i := c.interval("test_error"))]
    best, winner = min(measured, key=lambda pair: pair[0].mean)
    worst, loser = max(measured, key=lambda pair: pair[0].mean)
    if len(measured) == 1:
        text = f"{winner.name} has a mean test error of {with_bounds(best, '%')}"
    elif best.mean == worst.mean:
        text = f"All {len(measured)} {members} have a mean test error of {best.mean:.2f} %"
    else:
        text = (
            f"Of {len(measured)} {members}, the lowest mean test error is {winner.name}'s, "
            f"{with_bounds(best, '%')}, the highest {loser.name}'s, {with_bounds(worst, '%')}"
        )
    return text + (f"; from scratch it is {with_bounds(scratch, '%')}." if scratch else ".")
