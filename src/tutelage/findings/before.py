"""What a finding says of its having been judged before, in another way.

Each way of judging a claim alone is wrong in 5 %: replicates that were taken for all there would
be, or looks that were declared. Two ways, the second because the first said too little, are
together wrong in up to 10 % (Bonferroni), and no interval of either can take that back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tutelage.config.schema_claims import ClaimConfig

ERROR = 5  # percent of false verdicts of one way


def before(results: Mapping[str, Any], config: ClaimConfig) -> str:
    """A sentence on the other ways in which a claim was judged before, as the results document's
    `judged_before` has them; empty where there is none."""
    study = results["study"]
    known = study.get("judged_before", [])
    if not known:
        return ""
    form = config.model_dump(mode="json", exclude_none=True)
    names = {
        name
        for claims in study["config"].get("claims", {}).values()
        for name, claim in claims.items()
        if claim == form
    }
    ways = [way for way in known if names & set(way["claims"])]
    if not ways:
        return ""
    said = " and ".join(_in_words(way) for way in ways)
    error = ERROR * (len(ways) + 1)
    return (
        f"It was judged before, {said}: a verdict that may come of any of these "
        f"{len(ways) + 1} ways is false in up to {error} %, not {ERROR} %."
    )


def _in_words(way: Mapping[str, Any]) -> str:
    numbers, looks = way["replicates"], way["looks"]
    if looks is None:
        return f"with {_listed(numbers)} replicates as if these were all"
    if looks == "open":
        return f"at open looks up to {numbers[-1]} replicates"
    return f"after {_listed(numbers)} replicates of looks declared at {_listed(looks)}"


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))
