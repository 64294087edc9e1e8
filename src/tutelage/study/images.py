"""Errors image by image, from the stored logits: for claims on test images that are new."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tutelage.config.schema import ClaimConfig
from tutelage.evaluation.two_way import MeanSquares
from tutelage.store import Record
from tutelage.study.context import Context, Diverged
from tutelage.study.plan import Node


def image_tables(context: Context) -> list[dict[str, Any]]:
    """For each pair of conditions that some claim compares on new images: {"conditions", "same",
    "squares"}.

    `same` says whether all replicates have the same test images; where they have others, their
    t interval speaks of new images as it is. None: not known, the study being older. `squares` are
    the mean squares of the paired difference in points [replicates, images], students averaged over
    the seeds that both have, or None where fewer than two replicates are done, or `same` is not so.
    """
    pairs = dict.fromkeys(tuple(pair) for pair in _asked(context))
    return [{"conditions": list(pair), **_table(context, pair)} for pair in pairs]


def _asked(context: Context) -> list[Sequence[str]]:
    claims = [c for of_rank in context.config.claims.ranked().values() for c in of_rank.values()]
    return [pair for claim in claims if claim.images == "new" and (pair := _pair(claim))]


def _pair(claim: ClaimConfig) -> Sequence[str] | None:
    return claim.difference or claim.non_inferiority or claim.equivalence


def _table(context: Context, pair: tuple[str, ...]) -> dict[str, Any]:
    tests = context.manifest.get("test_fingerprints")  # studies of before have none
    same = None if tests is None else len(set(tests)) == 1
    rows = []
    for replicate in range(context.plan.replicates if same else 0):
        first, second = (_wrong(context, name, replicate) for name in pair)
        if seeds := sorted(set(first) & set(second)):
            apart = [first[seed] - second[seed] for seed in seeds]
            rows.append(100.0 * np.mean(apart, axis=0))
    enough = len(rows) > 1 and len(rows[0]) > 1
    return {"same": same, "squares": MeanSquares.of(rows).to_dict() if enough else None}


def _wrong(context: Context, condition: str, replicate: int) -> dict[int, np.ndarray]:
    """By student seed: 1 for each test image that is wrong, else 0; of a diverged run what chance
    comes to."""
    data, found = context.manifest["data"], {}
    for node in context.plan.nodes.values():
        if (node.training.name, node.replicate, node.role) != (condition, replicate, "student"):
            continue
        try:
            run = context.run(node)
        except Diverged:
            run = None
        if run is not None and run.result["status"] == "diverged":
            found[node.seed] = np.full(data["test"], 1.0 - 1.0 / data["classes"])
        elif run is not None and (kept := _kept(context, node, run)) is not None:
            logits, labels = kept
            found[node.seed] = (logits.argmax(1) != labels).astype(np.float64)
    return found


def _kept(context: Context, node: Node, run: Record) -> tuple[np.ndarray, np.ndarray] | None:
    """The stored logits and labels of the test images."""
    weights = run.result["blobs"]["final"]
    record = context.evaluation(node.start.model, weights, node.replicate)
    if record is None:
        return None
    blobs = record.result["blobs"]
    logits, labels = (context.store.get_arrays(blobs[name]) for name in ("logits", "labels"))
    return None if logits is None or labels is None else (logits["test"], labels["test"])
