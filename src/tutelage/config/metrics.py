"""The names and units of the figures that a claim can speak of."""

from __future__ import annotations

from tutelage.errors import unknown

_BY_SPLIT = {
    "error": "points",
    "balanced_error": "points",
    "top5": "points",
    "nll": "nats",
    "ece": "points",
    "brier": "",
}
_MIMICRY = {
    "agreement": "points",
    **{f"kl{part}_t{t}": "nats" for part in ("", "_scale", "_shape") for t in (1, 4)},
}

METRICS: dict[str, str] = {
    **{f"{split}_{name}": unit for split in ("train", "val", "test")
       for name, unit in _BY_SPLIT.items()},
    **{f"{split}_{name}": unit for split in ("train", "test") for name, unit in _MIMICRY.items()},
    "best_val_error": "points",
}  # fmt: skip


def canonical_metric(name: str) -> str:
    """The full name of a metric: `train_kl_shape` means the one at temperature 4."""
    return f"{name}_t4" if f"{name}_t4" in METRICS else name


def unit_of(name: str) -> str:
    """The unit of a metric. Raises UserError for a name that is no metric."""
    metric = canonical_metric(name)
    if metric not in METRICS:
        raise unknown("metric", name, METRICS)
    return METRICS[metric]
