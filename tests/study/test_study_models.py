"""Networks from elsewhere as students and as teachers of studies."""

from __future__ import annotations

from pathlib import Path

import pytest

from tutelage.api import Study
from tutelage.models.adapted import inner
from tutelage.models.build import build_model

OWN = str(Path(__file__).parents[1] / "models" / "own_nets.py")
RESNET = {"hidden_sizes": [8, 16], "depths": [1, 1], "embedding_size": 8, "layer_type": "basic"}
NETWORKS = {
    "timm": "timm:test_efficientnet",
    "torchvision": "torchvision:shufflenet_v2_x0_5",
    "hf": {"name": "hf:resnet", "arguments": RESNET},
    "own": f"{OWN}:small",
}


def study(student="plain-4-4", teacher=None, **changes):
    parts = {
        "name": "elsewhere",
        "data": {"source": "digits", "train": 100, "validation": 50, "test": 100},
        "recipe": {"epochs": 2, "batch_size": 25, "optimizer": {"sgd": {"lr": 0.05}}},
        "student": {"model": student},
        "teachers": {"t": {"model": teacher or "plain-4-4"}},
        "conditions": {"kd": {"teacher": "t"}},
        "replicates": {"count": 1, "students": 1},
    }
    return Study(**(parts | changes))


def run(parts, tmp_path):
    result = parts.run(tmp_path / "store", workers=0, device="cpu")
    assert not result.failures, result.failures
    return {row["condition"]: row for row in result.runs}, result


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_network_from_elsewhere_learns_and_teaches(kind, tmp_path):
    rows, result = run(study(NETWORKS[kind], NETWORKS[kind]), tmp_path)
    record = result.context.store.get("run", rows["kd"]["id"])
    history = record.result["history"]
    assert history[1]["loss"] < history[0]["loss"]
    assert all(row["kd"] > 0 for row in history)
    # The weights that are kept have the names of the network's own author.
    text = result.context.node("r0/kd/s0").start.model
    network = inner(build_model(text, (8, 8, 1), 10, 0))
    kept = result.context.store.get_arrays(rows["kd"]["digest"])
    assert set(kept) == set(network.state_dict())
    assert rows["kd"]["parameters"] == sum(p.numel() for p in network.parameters())
    # Taught and alone, a student begins alike and ends otherwise.
    assert rows["kd"]["digest"] != rows["scratch"]["digest"]
    again, _ = run(study(NETWORKS[kind], NETWORKS[kind]), tmp_path / "again")
    assert [again[name]["digest"] for name in again] == [rows[name]["digest"] for name in rows]
