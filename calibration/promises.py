"""Whether studies find as much as `tutelage plan` promised, and what planning does to errors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from calibration.scenarios import difference, primary
from calibration.studies import Drawn, Pool
from tutelage.findings import find
from tutelage.findings.planning import outlooks
from tutelage.findings.power import power

PILOT = 6
MOST = 40  # replicates of a planned study: the pool has no more
CLAIMS = primary(**difference("kd/a", "kd/b"))
PAIRS = {"early - large": ("kd/early", "kd/large"), "small - medium": ("kd/small", "kd/medium")}


def promises(pool: Pool, studies: int, seed: int) -> list[dict[str, Any]]:
    """For each pair of conditions and number of replicates: the power that the formula gives at the
    pool's own spread, and how many of `studies` drawn studies were supported, in percent. Pairs are
    shifted so that the true effect is the margin, which is set to give powers in the middle."""
    rows = []
    for name, (first, second) in PAIRS.items():
        apart = _centred(pool, first, second)
        spread = float(apart.mean(1).std())  # of the pool as the whole population
        for n in (3, 6, 12):
            rng = np.random.default_rng([seed, n])
            effect = 2.8 * spread / math.sqrt(n)
            found = sum(_supported(apart - effect, n, rng) for _ in range(studies))
            rows.append({
                "pair": name, "replicates": n, "studies": studies,
                "promised": 100 * power(n, effect, spread), "found": 100 * found / studies,
            })  # fmt: skip
    return rows


def planned(pool: Pool, studies: int, seed: int) -> dict[str, Any]:
    """Pilots of 6 replicates; then what `plan` asks for to have 80 %, with new replicates and with
    the pilot's own among them. Percent of planned studies that find an effect of the margin; of
    pilots that promise no more than is so; and false support, without an effect, where the pilot
    is a part of the study."""
    rng = np.random.default_rng([seed, PILOT])
    apart = _centred(pool, *PAIRS["early - large"])
    true = float(apart.mean(1).std())
    margin = 1.2 * true
    claims = primary(**difference("kd/a", "kd/b", margin=margin))
    found = kept = false = feasible = 0
    for _ in range(studies):
        pilot = _drawn(apart, PILOT, rng)
        (outlook,) = outlooks(claims, PILOT, pilot.shape[1], _study(pilot).results())
        students = pilot.shape[1]
        needed = next((d.replicates for d in outlook.designs if d.students == students), MOST + 1)
        if needed > MOST:
            continue
        feasible += 1
        found += _is_supported(_drawn(apart - margin, needed, rng), claims)
        kept += power(needed, margin, true) >= 0.8
        more = _drawn(apart, max(0, needed - PILOT), rng)
        false += _is_supported(np.concatenate((pilot, more)), claims)
    rates = {"found": found, "kept": kept, "false": false}
    return {"studies": feasible} | {name: 100 * n / feasible for name, n in rates.items()}


def _centred(pool: Pool, first: str, second: str) -> np.ndarray:
    apart = pool[first] - pool[second]
    return apart - apart.mean()


def _drawn(apart: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    return apart[rng.integers(len(apart), size=n)]


def _study(apart: np.ndarray, claims: Any = CLAIMS) -> Drawn:
    errors: Mapping[str, np.ndarray] = {"kd/a": 20.0 + apart, "kd/b": np.full_like(apart, 20.0)}
    return Drawn(errors, claims, {"claim": 0.0})


def _is_supported(apart: np.ndarray, claims: Any) -> bool:
    study = _study(apart, claims)
    return find(study.results(), study.claims)[0].verdict == "supported"


def _supported(apart: np.ndarray, n: int, rng: np.random.Generator) -> bool:
    return _is_supported(_drawn(apart, n, rng), CLAIMS)
