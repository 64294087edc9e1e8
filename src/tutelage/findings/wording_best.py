"""A confidence set of the best in words."""

from __future__ import annotations

from typing import Any

import numpy as np

from tutelage.config.metrics import unit_of
from tutelage.findings.best import Ranking
from tutelage.findings.claim import Claim
from tutelage.findings.pairing import Sample
from tutelage.findings.wording import amount, percent, phrase, replicates


def ranked(claim: Claim, sample: Sample[Any], found: Ranking, error: float) -> str:
    """ "By test error, the best of a, b, c (in this order) is b or c (95 % confidence set, 8
    replicates; b inside has 1.2 points less than c at an end)": the best of each."""
    means, end = found.means, found.is_end
    scope = claim.scope(found.n)
    text = f"{'by' if scope else 'By'} {phrase(claim.metric)}, the best of "
    text = f"{scope}{text}{', '.join(found.names)} (in this order)"
    if found.n < 2:
        shown = f"no set, {replicates(found, sample)}"
        text += " is not known"
    else:
        names = found.among(error)
        text += f" is {', '.join(names[:-1])} or {names[-1]}" if names[1:] else f" is {names[0]}"
        shown = f"{percent(found.level)} % confidence set, {replicates(found, sample)}"
    if end.all():
        return f"{text} ({shown}; all are at an end of the order)"
    inside, ends = (int(np.where(which, means, np.inf).argmin()) for which in (~end, end))
    assert found.effect is not None
    by = _size(abs(found.effect), unit_of(claim.metric))
    ahead = f"{found.names[inside]} inside has {by} {'more' if found.effect > 0 else 'less'}"
    return f"{text} ({shown}; {ahead} than {found.names[ends]} at an end)"


def _size(value: float, unit: str) -> str:
    return amount(f"{value:.{1 if unit == 'points' else 2}f}", unit)
