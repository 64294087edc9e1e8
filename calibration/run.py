"""Judges thousands of studies of known truth, and writes what came out: `make calibration`.

    python -m calibration.run [--studies 10000] [--workers 2]     the table, from pool.json
    python -m calibration.run --only looks                        some of its rows anew
    python -m calibration.run --pool STORE                        pool.json, from a store

The pool is `tutelage run calibration/pool.yaml` (1,040 small trainings, half an hour on two cores).
"""

from __future__ import annotations

import argparse
import json
import os
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np

from calibration import page
from calibration.failing import failing
from calibration.measure import Tally, measure
from calibration.promises import planned, promises
from calibration.scenarios import scenarios
from calibration.studies import Pool

HERE = Path(__file__).parent
SEED = 20260
CHUNK = 500  # studies of one task


def read_pool(path: Path = HERE / "pool.json") -> Pool:
    """The committed test errors of the pool's students, [replicates, students] by condition."""
    document = json.loads(path.read_text())
    return {name: np.array(values) for name, values in document["test_error"].items()}


def write_pool(store: Path, path: Path = HERE / "pool.json") -> None:
    """Takes the pool from a store that has run it."""
    from tutelage.api import open_result

    document = open_result("calibration-pool", store).document
    errors: dict[str, list[list[float]]] = {}
    for row in document["runs"]:
        if row["role"] != "student":
            continue
        table = errors.setdefault(row["condition"], [])
        while len(table) <= row["replicate"]:
            table.append([])
        table[row["replicate"]].append(round(row["test_error"], 6))
    study = document["study"]
    kept = {"study": study["id"], "versions": study["versions"], "test_error": errors}
    path.write_text(json.dumps(kept, indent=1) + "\n")


def _chunk(name: str, n: int, number: int, studies: int) -> Tally:
    scenario = next(s for s in scenarios(read_pool()) if s.name == name)
    return measure(scenario, n, studies, (SEED, number))


def table(studies: int, workers: int, only: str = "") -> list[dict[str, Any]]:
    """A row for each scenario, with `only` in its name, and number of replicates, in percent."""
    rows = []
    counts = [CHUNK] * (studies // CHUNK) or [studies]
    with ProcessPoolExecutor(workers) as pool:
        for scenario in (each for each in scenarios(read_pool()) if only in each.name):
            for n in scenario.replicates:
                tally = Tally()
                numbers = range(len(counts))
                for part in pool.map(_chunk, repeat(scenario.name), repeat(n), numbers, counts):
                    tally += part
                rates = {name: tally.rate(name)
                         for name in ("false", "covered", "wrong_sign", "supported")}  # fmt: skip
                rows.append({
                    "scenario": scenario.name, "exact": scenario.exact, "replicates": n,
                    "studies": tally.studies, **rates,
                })  # fmt: skip
                print(f"{scenario.name}, {n}: {rates}", flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=10_000, help="of each scenario and n")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only", default="", help="rows with this in their name, the rest as is")
    parser.add_argument("--pool", type=Path, metavar="STORE", help="write pool.json and stop")
    arguments = parser.parse_args()
    if arguments.pool is not None:
        write_pool(arguments.pool)
        return
    pool, studies = read_pool(), arguments.studies
    if arguments.only:
        results = json.loads((HERE / "results.json").read_text())
        fresh = table(studies, arguments.workers, arguments.only)
        named = {(row["scenario"], row["replicates"]): row for row in fresh}
        known = {(row["scenario"], row["replicates"]): row for row in results["table"]} | named
        results["table"] = [
            known[each.name, n]
            for each in scenarios(pool)
            for n in each.replicates
            if (each.name, n) in known
        ]
        _write(results)
        return
    results = {
        "seed": SEED,
        "table": table(studies, arguments.workers),
        "promises": promises(pool, studies, SEED),
        "planned": planned(pool, max(1, studies // 4), SEED),
        "failing": failing(pool, studies, SEED),
    }
    _write(results)


def _write(results: dict[str, Any]) -> None:
    (HERE / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    page.write(results)


if __name__ == "__main__":
    main()
