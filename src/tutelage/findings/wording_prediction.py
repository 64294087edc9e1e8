"""How well a selector predicts, in words."""

from __future__ import annotations

from typing import Any

from tutelage.config.schema_claims import PredictionConfig
from tutelage.findings.claim import Claim
from tutelage.findings.intervals import Estimate
from tutelage.findings.pairing import Sample
from tutelage.findings.prediction import Prediction
from tutelage.findings.selectors import NAMES, better
from tutelage.findings.wording import amount, decimals, evidence, percent

_HALVES = {
    "students": "the best on half of the students, compared on the others",
    "replicates": "the best on half of the replicates, compared on the others",
}


def selected(config: PredictionConfig) -> str:
    """ "the teacher's least validation error"."""
    end = "least" if better(config) == "less" else "largest"
    if config.by == "short_run":
        return f"the {end} {NAMES[config.by]} ({config.short})"
    return f"the teacher's {end} {NAMES[config.by]}"


def below(found: Prediction, margin: float) -> bool:
    """Whether the regret is below the margin, by whatever choices."""
    return found.high is not None and found.high < margin


def predicted(claim: Claim, sample: Sample[Any], found: Prediction) -> str:
    """The regret, what it is measured against, and how well the order is predicted."""
    config = claim.config.prediction
    assert config is not None
    assert found.effect is not None
    places = decimals(found, claim.metric, claim.margin)
    scope = claim.scope(found.n)
    text = f"{scope}{'of' if scope else 'Of'} {', '.join(claim.conditions)}, the one with "
    text += f"{selected(config)} has {_regret(found.effect, places)} {_HALVES[found.halves]} "
    text += f"({evidence(found, sample, places)}; {_order(found.correlation)}"
    return f"{text}; {_share(found)}; {_luck(found)}{_choices(found)})"


def _choices(found: Prediction) -> str:
    """How often each was chosen, unless it was the same one every time."""
    often = sorted(((n, name) for name, n in found.chosen.items() if n), reverse=True)
    if len(often) < 2:
        return f"; always {often[0][1]}" if often else ""
    return "; chosen: " + ", ".join(f"{name} in {n:.3g}" for n, name in often)


def _luck(found: Prediction) -> str:
    assert found.chance is not None
    least = 0.001
    if found.chance < least:
        return f"choices at random do as well in less than {100.0 * least:g} % of cases"
    return f"choices at random do as well in {100.0 * found.chance:.2g} % of cases"


def _regret(effect: float, places: int) -> str:
    shown = f"{abs(effect):.{places}f}"
    if float(shown) == 0.0:
        return f"no regret, to {amount(f'{10.0**-places:.{places}f}', 'points')}, against"
    word = "more" if effect > 0 else "less"
    return f"{amount(shown, 'points')} {word} test error than"


def _order(found: Estimate) -> str:
    if found.effect is None:
        return "no rank correlation, because all tie"
    text = f"rank correlation {found.effect:.2f}"
    if found.low is not None and found.high is not None:
        # A t interval does not know that no correlation is beyond 1.
        text += f", {max(found.low, -1.0):.2f} to {min(found.high, 1.0):.2f}"
    return text.replace("-", "\N{MINUS SIGN}")


def _share(found: Prediction) -> str:
    if found.gain.n == 0:
        return "no scratch runs to compare the regret with"
    share = found.share
    if share.effect is None or share.low is None or share.high is None:
        return "whether the best gains anything over scratch is open, so the regret has no share"
    low, high = (f"{100.0 * end:.0f}" for end in (share.low, share.high))
    return f"{100.0 * share.effect:.0f} % ({low} to {high} %) of what the best gains over scratch"


def prediction_method(claim: Claim, found: Prediction) -> str:
    """How the regret and what stands beside it were found."""
    text = f"{percent(found.level)} % t interval over the replicates' regrets (the oracle chosen "
    text += f"on half of the {found.halves} and scored on the other half, in turn"
    if found.halves == "replicates":
        text += ", because there is one student a replicate"
    if found.hindsight is not None:
        text += f"; against the best in hindsight {found.hindsight:.2f} points"
    text += "; choices shuffled within replicates; Spearman's rank correlation"
    return f"{text}; share of the gain with Fieller's interval)"
