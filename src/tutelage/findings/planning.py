"""What a study can be expected to find: before it is run, from the spread that an earlier run of it
showed, never from the effect that it showed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from scipy.optimize import root_scalar

from tutelage.config.schema import ClaimConfig, ClaimsConfig
from tutelage.findings.claim import Claim, resolve
from tutelage.findings.multiplicity import FAMILY_ERROR
from tutelage.findings.pairing import Results
from tutelage.findings.power import POWER, power, replicates_for_power, upper_bound
from tutelage.findings.verdicts import ERRORS

KINDS = ("difference", "non_inferiority", "equivalence", "trend")  # what a t test decides
STUDENTS = (1, 2, 4, 8)
MOST_REPLICATES = 1000
"""Designs of more replicates are named as none: nobody runs them, and their figure means little."""


@dataclass(frozen=True)
class Design:
    """So many replicates of so many students, and the core-seconds that they cost together."""

    students: int
    replicates: int
    core_seconds: float


@dataclass(frozen=True)
class Outlook:
    """What a claim can expect of `replicates` replicates of `students` students.

    `largest_spread` is the standard deviation, over replicates, of what the claim is about (a
    difference or slope, in `unit`) up to which they find an effect of the margin with a chance of
    80 %; of a claim that two conditions are alike, up to which they say so if that is true. The
    rest is None or empty where no spread was measured: `bound` is the upper 80 % bound of the
    spread that `measured` replicates showed, carried over to `students`; `chance` what the design
    comes to at that bound, and `designs` what would reach 80 % there.
    """

    claim: str
    rank: str
    kind: str
    margin: float
    unit: str
    replicates: int
    students: int
    largest_spread: float
    measured: int = 0
    bound: float | None = None
    chance: float | None = None
    designs: list[Design] = field(default_factory=list)

    @property
    def cheapest(self) -> Design | None:
        """The design of the least cost, None where there is none."""
        return min(self.designs, key=lambda design: design.core_seconds, default=None)

    def to_dict(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


def outlooks(
    claims: ClaimsConfig,
    replicates: int,
    students: int,
    earlier: Results | None = None,
    cost: Callable[[int], float] = lambda students: 0.0,
) -> list[Outlook]:
    """What each claim of KINDS with a verdict can expect of a design, the primary one first.

    `earlier` is the results document of a run of the same conditions, which the spreads are taken
    from, and `cost` says how many core-seconds a replicate with so many students takes. Secondary
    claims are taken at the first step of Holm's step-down, where each needs most.
    """
    return list(_outlooks(claims, replicates, students, earlier, cost))


def _outlooks(
    claims: ClaimsConfig,
    replicates: int,
    students: int,
    earlier: Results | None,
    cost: Callable[[int], float],
) -> Iterator[Outlook]:
    for rank, configs in claims.ranked().items():
        if rank == "exploratory":
            continue
        shared = rank == "secondary" and len(configs) > 1
        for name, config in configs.items():
            if config.kind not in KINDS:
                continue
            error = FAMILY_ERROR / len(configs) if shared else ERRORS[config.kind]
            seen = _Spread.of(earlier, config) if earlier is not None else None
            found = Outlook(
                name, rank, config.kind, _margin(config), _unit(config), replicates, students,
                largest_spread=_largest_spread(config, replicates, error),
            )  # fmt: skip
            yield found if seen is None else _measured(found, config, error, seen, cost)


def _measured(
    found: Outlook,
    config: ClaimConfig,
    error: float,
    seen: _Spread,
    cost: Callable[[int], float],
) -> Outlook:
    bound = seen.bound(found.students)
    designs = []
    for count in sorted({*STUDENTS, found.students}):
        needed = _needed(config, seen.bound(count), error)
        if needed <= MOST_REPLICATES:
            designs.append(Design(count, needed, needed * cost(count)))
    known = {"measured": seen.n, "bound": bound, "designs": designs}
    if found.replicates > 1:
        known["chance"] = _chance(config, found.replicates, bound, error)
    return Outlook(**{**vars(found), **known})


@dataclass(frozen=True)
class _Spread:
    """The variance over n replicates of means over `students` students, and that of students
    within replicates (None where a replicate has one only)."""

    n: int
    students: int
    of_means: float
    within: float | None

    @classmethod
    def of(cls, results: Results, config: ClaimConfig) -> _Spread | None:
        """From an earlier run; None where fewer than two replicates have what the claim compares.

        Only student seeds that every such replicate has are counted.
        """
        names = {condition["name"] for condition in results["conditions"]}
        groups = {condition["group"] for condition in results["conditions"]}
        named = config.difference or config.non_inferiority or config.equivalence or []
        named = [*named, *(config.minus or [])]
        if config.trend is not None:
            within = config.trend.within
            named = within if isinstance(within, list) else []
            if isinstance(within, str) and within not in groups:
                return None
        if config.account is not None:  # the second is a search, not one condition
            named, within = named[:1], named[1]
            if within not in groups:
                return None
        if not names.issuperset(named):
            return None
        claim = resolve(results, config)
        columns = [column for seed in _seeds(results) if (column := _values(results, claim, seed))]
        if not columns:
            return None
        most = max(len(column) for column in columns)
        columns = [column for column in columns if len(column) == most]
        rows = np.array([[column[r] for column in columns] for r in columns[0]])  # [n, students]
        n, students = rows.shape
        if n < 2:
            return None
        within = float(rows.var(axis=1, ddof=1).mean()) if students > 1 else None
        return cls(n, students, float(rows.mean(axis=1).var(ddof=1)), within)

    def bound(self, students: int) -> float:
        """The upper 80 % bound of the standard deviation of means over so many students.

        With v the variance of means over m students and w that within replicates, those over k
        students have v + w (1/k - 1/m), and for k > m at least w/k; the degrees of freedom of that
        sum are Satterthwaite's (1946, Biometrics 2). From single students w is not known; v is then
        taken for more of them too, which is more than they have.
        """
        if self.within is None:
            return upper_bound(math.sqrt(self.of_means), self.n - 1)
        more = self.within * (1 / students - 1 / self.students)
        variance = self.of_means + more
        if more < 0.0:
            variance = max(variance, self.within / students)
        if variance == 0.0:
            return 0.0
        spread = self.of_means**2 / (self.n - 1) + more**2 / (self.n * (self.students - 1))
        freedom = max(1.0, variance**2 / spread) if spread else self.n - 1
        bound = upper_bound(math.sqrt(variance), min(freedom, self.n * self.students - 1))
        # What is subtracted makes it uncertain, but more students never do harm.
        return min(bound, self.bound(self.students)) if more < 0.0 else bound


def _seeds(results: Results) -> Sequence[int]:
    return sorted({row["seed"] for row in results["runs"] if row["role"] == "student"})


def _values(results: Results, claim: Claim, seed: int) -> Mapping[int, float]:
    """What each replicate comes to with the students of one seed alone."""
    runs = [r for r in results["runs"] if r["role"] != "student" or r["seed"] == seed]
    return claim.sample({**results, "runs": runs}, "chance").values


def _wanted(config: ClaimConfig) -> float:
    """The power that each test needs: of the two of an equivalence, each may fail half as often."""
    return 1.0 - (1.0 - POWER) / 2 if config.kind == "equivalence" else POWER


def _needed(config: ClaimConfig, spread: float, error: float) -> int:
    return replicates_for_power(_margin(config), spread, error, _wanted(config))


def _chance(config: ClaimConfig, replicates: int, spread: float, error: float) -> float:
    found = power(replicates, _margin(config), spread, error) if spread else 1.0
    return max(0.0, 2 * found - 1) if config.kind == "equivalence" else found


def _largest_spread(config: ClaimConfig, replicates: int, error: float) -> float:
    """0 for a single replicate, which has no interval."""
    if replicates < 2:
        return 0.0
    wanted = _wanted(config)
    found = root_scalar(
        lambda ratio: power(replicates, ratio, 1.0, error) - wanted, bracket=(1e-6, 1e4)
    )
    return _margin(config) / found.root


def _margin(config: ClaimConfig) -> float:
    assert config.margin is not None
    return config.margin


def _unit(config: ClaimConfig) -> str:
    return Claim(config, config.trend.of if config.trend is not None else config.metric, []).unit
