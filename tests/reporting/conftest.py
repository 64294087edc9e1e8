"""Results documents as fixtures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from report_documents import EDGES, edge_case, make_results, spoil, with_classes


@pytest.fixture(params=EDGES)
def edge(request: pytest.FixtureRequest) -> dict[str, Any]:
    """A document of each unusual kind."""
    return edge_case(request.param)


@pytest.fixture
def newer() -> dict[str, Any]:
    """Six replicates of three students, with errors by class."""
    return with_classes(make_results())


@pytest.fixture
def results() -> dict[str, Any]:
    """Six replicates of three students."""
    return make_results()


@pytest.fixture(scope="session")
def build() -> Callable[..., dict[str, Any]]:
    """`make_results`, for tests that want another size."""
    return make_results


@pytest.fixture(scope="session")
def damage() -> Callable[[dict[str, Any], str, str], None]:
    """`spoil`, for tests that want one bad run."""
    return spoil


@pytest.fixture
def spoilt() -> dict[str, Any]:
    """Two replicates of two students with a diverged, a failed and a pending run, and two teachers
    that diverged: one in one replicate, one in both."""
    results = make_results(2, 2)
    spoil(results, "r0/kd/large/s1", "diverged")
    spoil(results, "r1/kd/small/s0", "failed")
    spoil(results, "r1/kd/matched/s1", "pending")
    spoil(results, "r1/teacher/medium", "pending")
    for replicate in range(2):
        for seed in range(2):
            spoil(results, f"r{replicate}/kd/chained/s{seed}", "diverged")
    rows = {teacher["name"]: teacher for teacher in results["teachers"]}
    rows["chained"]["replicates"] = [{"replicate": r, "status": "diverged"} for r in range(2)]
    rows["chained"]["stop_epoch"] = None
    rows["best"]["replicates"][0] = {"replicate": 0, "status": "diverged"}
    rows["medium"]["replicates"] = rows["medium"]["replicates"][:1]
    rows["early"]["replicates"] = []
    rows["early"]["stop_epoch"] = None
    results["findings"][2].update(effect=None, low=None, high=None, n=0, seeds_needed=None)
    results["sentences"][0]["verdict"] = "depends on softness"
    results["sentences"][1]["verdict"] = "not tested"
    return results


@pytest.fixture
def bare() -> dict[str, Any]:
    """One student without a teacher, a claim or a history."""
    results = make_results(1, 1)
    results["conditions"] = [row for row in results["conditions"] if row["name"] == "scratch"]
    results["runs"] = [run for run in results["runs"] if run["condition"] == "scratch"]
    results["runs"][0]["history"] = []
    results["teachers"] = []
    results["findings"] = []
    results["sentences"] = []
    return results
