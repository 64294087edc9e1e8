"""What predictions ask of teachers beside their stored metrics, from the stored logits."""

from __future__ import annotations

import numpy as np

from tutelage.evaluation.softness import softness
from tutelage.study.context import Context
from tutelage.study.references import Mean, Network, Parts, Resolved, Scaled, Stages

_ASKED = {
    "teacher_entropy_t4": ("entropy", 4),
    "teacher_variance": ("variance", 1),
    "teacher_variance_t4": ("variance", 4),
}


def softness_of(context: Context, resolved: Resolved, replicate: int) -> dict[str, float]:
    """Such as {"val_entropy_t4": 1.2}: those figures on validation images that the study's
    predictions choose by; nothing where none does, or the logits are not stored any more.

    They are computed when results are gathered, and are no part of any record: so they are there
    for runs of before, too.
    """
    claims = [c for rank in context.config.claims.ranked().values() for c in rank.values()]
    asked = dict.fromkeys(claim.prediction.by for claim in claims if claim.prediction)
    wanted = {by: _ASKED[by] for by in asked if by in _ASKED}
    if not wanted:
        return {}
    kept = _kept(context, resolved, replicate)
    if kept is None:
        return {}
    found = {t: softness(*kept, t) for t in {temperature for _, temperature in wanted.values()}}
    return {by.replace("teacher_", "val_", 1): found[t][name] for by, (name, t) in wanted.items()}


def _kept(
    context: Context, resolved: Resolved, replicate: int
) -> tuple[np.ndarray, np.ndarray] | None:
    """The validation logits of a reference and their labels, as far as they are stored; of several
    that are heard in turn, those of the last."""
    match resolved:
        case Network(model, weights):
            record = context.evaluation(model, weights, replicate)
            if record is None:
                return None
            blobs = record.result["blobs"]
            logits, labels = (context.store.get_arrays(blobs[n]) for n in ("logits", "labels"))
            return None if logits is None or labels is None else (logits["val"], labels["val"])
        case Scaled(of, factor):
            kept = _kept(context, of, replicate)
            return None if kept is None else (kept[0] * factor, kept[1])
        case Stages(stages):
            return _kept(context, stages[-1], replicate)
        case Mean(members) | Parts(members):
            each = [_kept(context, member, replicate) for member in members]
            known = [kept for kept in each if kept is not None]
            if len(known) < len(each):
                return None
            return np.mean([logits for logits, _ in known], axis=0), known[0][1]
