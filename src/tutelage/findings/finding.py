"""What a claim came to."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from tutelage.config.schema_claims import Rank

__all__ = ["Finding", "Rank", "Verdict"]

Verdict = Literal["supported", "refuted", "undecided", "none"]


@dataclass(frozen=True)
class Finding:
    """The verdict on one claim, and what it rests on.

    `effect`, `low`, `high` and `margin` are in `unit`. The effect is the first condition minus the
    second, or a slope; it and the interval of confidence `level` are None where there are too few
    replicates for them. Secondary claims share one 5 %: their intervals are of the level at which
    all hold together, `step_level` is that at which Holm's step-down decided, or ended; it is
    `level` for a primary claim, and None for an exploratory one, whose verdict is "none".
    `n` counts replicates. `seeds_needed` is the number of replicates at which
    the interval's half-width falls to the margin, at the upper 80 % bound of the spread; None when
    n < 2. `would_change` says in a few words what would change the verdict. `among` is the
    confidence set of the best of a family; `margin` is None for a kind that takes none. `settings`
    are the same comparison elsewhere, {"conditions", "effect", "low", "high", "n"} each, of a claim
    that names some, and `depends` says that their signs differ.
    `prediction` is what a prediction found beside the regret, which is its effect: rank
    correlation, the oracle's gain over scratch, the regret's share of it, and the choices.
    """

    claim: str
    rank: Rank
    kind: str
    metric: str
    verdict: Verdict
    effect: float | None
    low: float | None
    high: float | None
    unit: str
    margin: float | None
    n: int
    method: str
    level: float
    seeds_needed: int | None
    sentence: str
    step_level: float | None
    would_change: str
    among: list[str] | None = None
    settings: list[dict[str, Any]] | None = None
    depends: bool = False
    prediction: dict[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """The finding as it stands in the results document."""
        return asdict(self)
