"""In what other ways a study was judged before: with fewer replicates, or at other looks.

Whoever adds replicates because a finding was not the one hoped for looks twice. The store knows of
both, so that the second finding can say so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tutelage.errors import UserError
from tutelage.store import Store
from tutelage.study.context import Context, list_manifests

_OTHERWISE = ("name", "question", "claims", "replicates", "data", "teachers", "conditions")
"""What two studies of the same trainings may differ in; some of it is looked at more closely."""
_RANKS = ("primary", "secondary")  # those with a verdict


def judged_before(context: Context) -> list[dict[str, Any]]:
    """The other rules by which claims of this study were judged in its store before it began.

    One entry for each rule: its `looks` (None where a number of replicates was taken for all there
    would be), the numbers of `replicates` that it was judged with, ascending, and the names that
    this study has for the `claims` judged. A study that never came to its end was not judged.
    """
    rules: dict[str, dict[str, Any]] = {}
    for manifest in _others(context.store):
        finished = manifest.get("finished")
        if finished is None or finished > context.manifest["created"]:
            continue
        mine, its = context.manifest["config"]["replicates"], manifest["config"]["replicates"]
        looks, count = its.get("looks"), its["count"]
        same_rule = looks == mine.get("looks") and (looks is not None or count == mine["count"])
        if same_rule or not _same_trainings(context.manifest, manifest):
            continue
        claims = _shared_claims(context.manifest["config"], manifest["config"])
        if claims:
            key = f"{count}" if looks is None else f"{looks}"
            rule = rules.setdefault(key, {"looks": looks, "replicates": [], "claims": []})
            rule["replicates"] = sorted({*rule["replicates"], count})
            rule["claims"] = sorted({*rule["claims"], *claims})
    return [rules[key] for key in sorted(rules, key=lambda key: (rules[key]["replicates"], key))]


def _others(store: Store) -> list[dict[str, Any]]:
    try:
        return list_manifests(store)
    except UserError:  # one of a newer version, of which nothing can be said
        return []


def _same_trainings(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether the replicates and conditions that both have are the same ones."""
    mine, its = one["config"], other["config"]
    both = min(len(one["fingerprints"]), len(other["fingerprints"]))
    alike = [
        one["device"] == other["device"],
        one["fingerprints"][:both] == other["fingerprints"][:both],
        one["training_fingerprints"][:both] == other["training_fingerprints"][:both],
        mine["replicates"]["vary"] == its["replicates"]["vary"],
        mine["data"].get("views") == its["data"].get("views"),
        *(mine.get(key) == its.get(key) for key in {*mine, *its} - {*_OTHERWISE}),
    ]
    for part in ("teachers", "conditions"):
        first, second = mine.get(part, {}), its.get(part, {})
        alike += [first[name] == second[name] for name in first.keys() & second.keys()]
    return all(alike)


def _shared_claims(mine: Mapping[str, Any], its: Mapping[str, Any]) -> list[str]:
    """The names of my claims with a verdict that were claims with a verdict there."""
    known = [claim for rank in _RANKS for claim in its["claims"].get(rank, {}).values()]
    ours = {name: claim for rank in _RANKS for name, claim in mine["claims"].get(rank, {}).items()}
    return [name for name, claim in ours.items() if claim in known]
