"""A small valid study as plain data, to be changed freely."""

from __future__ import annotations

import copy

import pytest

from tutelage.config.expand import expand
from tutelage.config.load import validate

PARTS = {
    "name": "tiny",
    "data": {"source": "digits"},
    "recipe": {"epochs": 10, "batch_size": 50, "schedule": {"steps": [0.3, 0.6], "factor": 0.2}},
    "student": {"model": "plain-4-4"},
    "teachers": {
        "small": {"model": "plain-8-8"},
        "large": {"model": "plain-16-16"},
        "early": {"of": "large", "stop": {"compressed": 0.2}},
    },
    "conditions": {
        "kd": {"teacher": ["small", "large", "early"]},
        "eskd": {"extends": "kd", "teacher": "large", "distill_until": 0.6},
    },
    "replicates": {"count": 2, "students": 1},
    "claims": {
        "primary": {
            "p": {"difference": ["kd/early", "kd/large"], "direction": "less", "margin": 0.5}
        },
    },
}


@pytest.fixture
def parts():
    """The study's parts, a fresh copy."""
    return copy.deepcopy(PARTS)


@pytest.fixture
def expanded(parts):
    """A function: the study with some parts replaced, in full. Without claims unless given."""

    def build(**changes):
        parts["claims"] = {}
        return expand(validate(parts | changes))

    return build
