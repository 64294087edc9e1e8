"""How often a claim among several may be judged falsely: Holm, for verdicts of two sides.

A claim has two null hypotheses: what would make its support false (of a difference: no effect in
the direction) and what would make its refutation false (an effect of the margin or more). They are
never both true, but rejecting one says nothing about the other. So a claim that is refuted may not
simply drop out: among the claims that remain there can be as many true nulls of support as before.
(Judging k undecided claims at 0.05/k and dropping whatever is decided was simulated: with 10
differences of no effect and margins of four standard errors, 17 % of studies held a false verdict;
tests/findings keeps it as the method that fails.)

Hence two families, each with half of the 5 %. The m nulls of support are tested by Holm's step-down
(Holm 1979, Scand. J. Statist. 6) at a total of 2.5 %: at each step those that remain, k of them, at
0.025/k each, and what is rejected drops out, until a step rejects nothing. The m nulls of
refutation likewise, by themselves. Holm keeps the family-wise error of each at 2.5 % whatever the
dependence and whichever nulls are true, so the chance that a study says anything false in its
secondary claims is at most 2.5 + 2.5 = 5 %. For a difference 0.025/k is one side of the interval of
level 1 - 0.05/k; what is shown are the intervals of the first step, 1 - 0.05/m, which hold together
with 95 % (Bonferroni).

A single claim needs none of this: it has one true null at most, and is judged as if primary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

FAMILY_ERROR = 0.025  # of the nulls of support together, and of those of refutation together


@dataclass(frozen=True)
class Terms:
    """The terms on which a claim is judged: the chance of a false end of the interval that is
    shown, of a false support, and of a false refutation; how many claims share the 5 %; and
    whether there is a verdict at all. Where one looks more than once, `planned` is what the chance
    of a false support is over all looks, and the others are those of this look."""

    shown: float
    support: float
    refute: float
    claims: int = 1
    decides: bool = True
    planned: float | None = None


def alone(error: float, *, decides: bool = True) -> Terms:
    """A claim that is judged alone, with that chance of each false verdict."""
    return Terms(error, error, error, decides=decides)


def holm(tests: Sequence[Callable[[float], bool]], total: float) -> list[float]:
    """The error at which each null was looked at last: at which it was rejected, or at which the
    step-down ended. `tests` say whether a null is rejected at an error; they reject at any larger
    one too. The first step is at total / len(tests).
    """
    looked = [total / max(len(tests), 1)] * len(tests)
    left = list(range(len(tests)))
    while left:
        error = total / len(left)
        for number in left:
            looked[number] = error
        rejected = [number for number in left if tests[number](error)]
        if not rejected:
            break
        left = [number for number in left if number not in rejected]
    return looked


def together(
    supports: Sequence[Callable[[float], bool]], refutes: Sequence[Callable[[float], bool]]
) -> list[Terms]:
    """The terms of two or more claims that share the 5 %, each with its two tests."""
    count = len(supports)
    looked = zip(holm(supports, FAMILY_ERROR), holm(refutes, FAMILY_ERROR), strict=True)
    return [Terms(FAMILY_ERROR / count, support, refute, count) for support, refute in looked]
