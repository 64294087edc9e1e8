"""A study of a few seconds that has every kind of reference and a shared prefix."""

from __future__ import annotations

import pytest
import torch

from tutelage.api import Study


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


PARTS = {
    "name": "tiny",
    "data": {
        "source": "digits", "train": 100, "validation": 50, "test": 100, "label_noise": 0.2,
        "views": "shift-1",
    },
    "recipe": {
        "epochs": 4, "batch_size": 25, "optimizer": {"sgd": {"lr": 0.05}},
        "schedule": {"steps": [0.5], "factor": 0.2},
    },
    "student": {"model": "plain-4-4"},
    "teachers": {
        "small": {"model": "plain-4-4"},
        "large": {"model": "plain-8-8"},
        "early": {"of": "large", "stop": {"compressed": 0.5}},
        "matched": {"of": "early", "scale": {"entropy_of": "large"}},
        "calibrated": {"of": "large", "scale": "calibrated"},
        "best": {"of": "large", "stop": "best_validation"},
        "truncated": {"of": "large", "stop": {"truncated": 1}},
        "chained": {"model": "plain-8-8", "teacher": "large"},
    },
    "conditions": {
        "kd": {"teacher": ["small", "large", "early", "matched", "calibrated", "best",
                           "truncated", "chained"]},
        "eskd": {"extends": "kd", "teacher": "large", "distill_until": 0.5},
        "linear": {"extends": "kd", "teacher": "large", "decay": "linear"},
    },
    "replicates": {"count": 2, "students": 1},
    "claims": {
        "primary": {
            "repairs": {"difference": ["kd/matched", "kd/large"], "direction": "less",
                        "margin": 0.5},
        },
    },
}  # fmt: skip


@pytest.fixture
def parts():
    """The study's parts, to be changed freely."""
    import copy

    return copy.deepcopy(PARTS)


@pytest.fixture
def small(parts):
    """One replicate, one teacher, three students."""
    parts["teachers"] = {"large": parts["teachers"]["large"]}
    parts["conditions"] = {
        "kd": {"teacher": "large"},
        "eskd": {"teacher": "large", "distill_until": 0.5},
    }
    parts["replicates"] = {"count": 1, "students": 1}
    parts["claims"] = {}
    return parts


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    """The result of the tiny study, run in this process."""
    torch.set_num_threads(1)
    return Study(**PARTS).run(tmp_path_factory.mktemp("whole") / "store", workers=0, device="cpu")
