"""Does bf16 change what a study finds? Paired replicates, and a test of equivalence.

    python benchmarks/precision.py --data CIFAR-10 [--replicates 48] [--store DIR] [--json FILE]

One study is run in fp32 and again in bf16, with the same worlds, initial weights and batches. Each
replicate gives one difference of test error a condition; two precisions are called equivalent where
the 90 % t interval of their mean lies within the margin (two one-sided tests at 5 %; Schuirmann
1987). The margin is a quarter of one point, the smallest effect of interest of small CIFAR-10
studies, and was set before the first run.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from typing import Any

from measure import Evidence, evidence

from tutelage.api import Study
from tutelage.findings.intervals import estimate

MARGIN, LEVEL = 0.25, 0.90
NETWORK = "wrn-10-1"


def parts(data: str, precision: str, replicates: int) -> dict[str, Any]:
    """A study of CIFAR-10 at half its size: a network, and its student of the same kind."""
    return {
        "name": f"precision-{precision}",
        "data": {"source": "cifar10", "path": data, "size": 16, "train": 1000,
                 "validation": 256, "views": "crop-2-flip"},
        "recipe": {
            "epochs": 10, "batch_size": 50, "precision": precision,
            "optimizer": {"sgd": {"lr": 0.05, "momentum": 0.9, "nesterov": True,
                                  "weight_decay": 5e-4}},
            "schedule": {"steps": [0.3, 0.6, 0.8], "factor": 0.2},
        },
        "student": {"model": NETWORK},
        "teachers": {"same": {"model": NETWORK}},
        "conditions": {
            "kd": {"loss": {"kd": {"temperature": 4}}, "ce_weight": 0.1, "kd_weight": 0.9,
                   "teacher": "same"},
        },
        "replicates": {"count": replicates, "vary": ["split", "noise", "teacher"], "students": 1},
        "claims": {},
    }  # fmt: skip


def errors(data: str, precision: str, replicates: int, store: str) -> dict[str, dict[int, float]]:
    """Test error in percent of every replicate, from scratch and distilled."""
    result = Study(**parts(data, precision, replicates)).run(store, device="cpu", workers=1)
    found: dict[str, dict[int, float]] = {"scratch": {}, "distilled": {}}
    for run in result.runs:
        if run["role"] == "student":
            name = "scratch" if run["condition"] == "scratch" else "distilled"
            found[name][run["replicate"]] = run["test_error"]
    return found


def compare(data: str, replicates: int, store: str) -> Evidence:
    """The differences bf16 - fp32, and whether they are within the margin."""
    exact, fast = (errors(data, name, replicates, store) for name in ("fp32", "bf16"))
    conditions = {}
    for name in exact:
        pairs = [(exact[name][number], fast[name][number]) for number in sorted(exact[name])]
        effect = estimate([after - before for before, after in pairs], LEVEL)
        assert effect.low is not None, "there are several replicates"
        assert effect.high is not None, "there are several replicates"
        conditions[name] = {
            "fp32": sum(before for before, _ in pairs) / len(pairs),
            "bf16": sum(after for _, after in pairs) / len(pairs),
            "effect": effect.effect, "low": effect.low, "high": effect.high,
            "spread": effect.spread, "n": effect.n,
            "equivalent": effect.low > -MARGIN and effect.high < MARGIN,
        }  # fmt: skip
    return evidence(
        "test error of bf16 minus that of fp32, points, paired by replicate",
        network=NETWORK, level=LEVEL, margin=MARGIN, conditions=conditions,
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", required=True, help="CIFAR-10 in any format")
    parser.add_argument("--replicates", type=int, default=48)
    parser.add_argument("--store", help="a store to go on from; a temporary one if not given")
    parser.add_argument("--json", metavar="FILE", help="where the evidence is written")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = compare(asked.data, asked.replicates, asked.store or folder)
    for name, of in found["conditions"].items():
        verdict = "equivalent" if of["equivalent"] else "not shown equivalent"
        interval = f"{of['low']:+.2f} to {of['high']:+.2f}, n = {of['n']}"
        print(f"{name:10} {of['effect']:+.2f} points ({interval}), {verdict}")
    if asked.json:
        with open(asked.json, "w", encoding="utf-8") as file:
            json.dump(found, file, indent=1)


if __name__ == "__main__":
    main()
