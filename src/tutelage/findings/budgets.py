"""What a distilled condition spends, and what a search spends on labels alone, before any result.

A budget is counted three ways: the teacher for *free* (it was there), its training *shared* by the
students of a replicate (or by a number of them), or *fully* charged to each. Multiples are of one
plain training of the student: 1x is what the search's cell of length 1 costs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from tutelage.config.schema_claims import SharedBy
from tutelage.findings.pairing import Results
from tutelage.findings.wording import counted

Account = Literal["free", "shared", "full"] | SharedBy
ACCOUNTS: tuple[Literal["free", "shared", "full"], ...] = ("free", "shared", "full")
_SLACK = 1 + 1e-9  # of sums in another order
_FAR = 1.25  # how much more than its longest cell a search should have spent


def budgets(results: Results) -> list[dict[str, Any]]:
    """For each distilled condition of a student that a search has cells of: {"condition", "search",
    "free", "shared", "full", "longest" (of the search), "text"}, all in plain trainings.

    Of the results document only the study's config and the conditions are read.
    """
    found = []
    for condition, group in searched(results):
        unit = plain(results, group)
        row = {each: budget(results, condition["name"], each) / unit for each in ACCOUNTS}
        longest = max(cell["compute"]["own"] for cell in cells_of(results, group)) / unit
        told = ", ".join(f"{row[each]:.1f}x with {in_words(results, each)}" for each in ACCOUNTS)
        text = f"{condition['name']} costs {told}; {group} goes to {longest:.1f}x"
        short = [each for each in ACCOUNTS if row[each] > longest * _FAR]
        if short:
            text += f", which falls short of it ({', '.join(short)}): add longer lengths"
        found.append({"condition": condition["name"], "search": group, **row, "longest": longest,
                      "text": f"{text}."})  # fmt: skip
    return found


def budget(results: Results, condition: str, account: Account) -> float:
    """What a condition spends by an account, in multiply-adds."""
    spent = _entry(results, condition)["compute"]
    sharers = _sharers(results, account)
    return spent["own"] + (spent["teacher"] / sharers if sharers else 0.0)


def plain(results: Results, group: str) -> float:
    """What 1x is, in multiply-adds: the training that a search makes longer."""
    longest = max(cells_of(results, group), key=lambda cell: cell["searched"])  # least rounded
    return longest["compute"]["own"] / longest["searched"]


def reach(results: Results, group: str, most: float) -> str:
    """How much of a budget the search makes use of."""
    within = affordable(results, group, most)
    if not within:
        return f"no cell of {group} costs as little"
    largest = max(cell["compute"]["own"] for cell in within)
    return f"its cells within that cost up to {largest / plain(results, group):.1f}x"


def _sharers(results: Results, account: Account) -> float:
    """How many students a teacher's training is divided by; 0 where it is not counted."""
    if isinstance(account, SharedBy):
        return account.shared
    students = results["study"]["config"].get("replicates", {}).get("students", 3)
    return {"free": 0, "shared": students, "full": 1}[account]


def in_words(results: Results, account: Account) -> str:
    """An account, such as "the teacher shared by 3 students"."""
    if account == "free":
        return "the teacher for free"
    if account == "full":
        return "the teacher fully charged"
    sharers = int(_sharers(results, account))
    return f"the teacher shared by {counted(sharers, 'student', 'students')}"


def searched(results: Results) -> Iterator[tuple[Mapping[str, Any], str]]:
    """Each distilled condition with each search that trains the same student."""
    for group in _searches(results):
        model = cells_of(results, group)[0]["student"]
        for condition in results["conditions"]:
            if condition["teacher"] is not None and condition["student"] == model:
                yield condition, group


def _searches(results: Results) -> list[str]:
    return list(dict.fromkeys(c["group"] for c in results["conditions"] if c.get("searched")))


def cells_of(results: Results, group: str) -> list[Mapping[str, Any]]:
    """The conditions that are cells of a search."""
    return [c for c in results["conditions"] if c.get("searched") and c["group"] == group]


def affordable(results: Results, group: str, most: float) -> list[Mapping[str, Any]]:
    """The cells of a search that cost at most `most`, in multiply-adds."""
    return [c for c in cells_of(results, group) if c["compute"]["own"] <= most * _SLACK]


def _entry(results: Results, condition: str) -> Mapping[str, Any]:
    return next(c for c in results["conditions"] if c["name"] == condition)
