"""What a study can be expected to find, in words."""

from __future__ import annotations

from tutelage.findings.planning import LEAST_MARGIN, MOST_REPLICATES, Design, Outlook
from tutelage.findings.wording import amount, counted

_ALIKE = ("non_inferiority", "equivalence")


def outlook_sentence(outlook: Outlook) -> str:
    """What the design can find of one claim: with which chance where a spread was measured, and
    otherwise up to which spread."""
    margin = amount(f"{outlook.margin:g}", outlook.unit)
    design = _design(outlook.replicates, outlook.students)
    if outlook.kind in _ALIKE:
        found = f"say so, if there is no difference (margin {margin}),"
    else:
        found = f"find an effect of {margin}"
    if outlook.replicates < 2:
        return f"{design} has no interval, so it decides nothing. Take 6 or more replicates."
    if outlook.bound is None:
        bearable = amount(f"{outlook.largest_spread:.2g}", outlook.unit)
        return (
            f"{design} {found} with a chance of 80 % where the spread over replicates is at most "
            f"{bearable}; it is not measured yet."
        )
    assert outlook.chance is not None
    bound = amount(f"{outlook.bound:.2g}", outlook.unit)
    text = f"{design} {found} with a chance of {_percent(outlook.chance)} % (spread {bound}, the "
    text += f"upper 80 % bound from {counted(outlook.measured, 'replicate', 'replicates')}). "
    return text + _needed(outlook) + _usual(outlook)


def _usual(outlook: Outlook) -> str:
    if outlook.usual_margin is None:
        return ""
    usual = amount(f"{outlook.usual_margin:.2g}", outlook.unit)
    return (
        f" A quarter of what distillation gained there, and at least {LEAST_MARGIN:g} points, is "
        f"{usual}: a margin has to be set before the replicates that it judges are trained."
    )


def _needed(outlook: Outlook) -> str:
    same = next((d for d in outlook.designs if d.students == outlook.students), None)
    best = outlook.cheapest
    if best is None:
        return f"80 % takes more than {MOST_REPLICATES} replicates: state a larger margin."
    if same is None:
        return f"80 % takes {_costing(best)}."
    if best == same:
        return f"80 % takes {_costing(same)}; no other number of students is cheaper."
    return f"80 % takes {_costing(same)}; the cheapest way is {_costing(best)}."


def _costing(design: Design) -> str:
    seconds = design.core_seconds
    cost = f"{seconds / 60:.0f} core-minutes" if seconds >= 120 else f"{seconds:.0f} core-seconds"
    return f"{_design(design.replicates, design.students)}, {cost}"


def _design(replicates: int, students: int) -> str:
    count = counted(replicates, "replicate", "replicates")
    return f"{count} of {counted(students, 'student', 'students')}"


def _percent(chance: float) -> str:
    """Whole percents, never 0 or 100, which no chance is."""
    return "over 99" if chance > 0.99 else "under 1" if chance < 0.01 else f"{100 * chance:.0f}"
