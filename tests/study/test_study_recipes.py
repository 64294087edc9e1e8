"""Studies with mixed images, averaged weights and transforms: reproducible, and teacher by teacher
the same whichever way its logits come."""

from __future__ import annotations

import importlib.util

import pytest
import torch
from torch.utils.data import TensorDataset

from tutelage.api import Study
from tutelage.errors import UserError
from tutelage.study import execute
from tutelage.teachers.signals import LiveSignal, TableSignal

CROP = {"torchvision": [{"RandomResizedCrop": {"size": 8, "scale": [0.5, 1.0]}}]}
needs_torchvision = pytest.mark.skipif(
    importlib.util.find_spec("torchvision") is None, reason="torchvision is an extra"
)


@pytest.fixture
def small(parts):
    parts["teachers"] = {"large": parts["teachers"]["large"]}
    parts["conditions"] = {"kd": {"teacher": "large"}}
    parts["claims"] = {}
    parts["replicates"]["count"] = 1
    parts["recipe"]["epochs"] = 12  # enough for a table of the 9 views to pay
    return parts


@pytest.fixture
def signals(monkeypatch):
    """The kinds of signal that students were taught by."""
    used, really = [], execute._signals

    def watched(*args):
        heard = really(*args)
        used.extend(heard.values())
        return heard

    monkeypatch.setattr(execute, "_signals", watched)
    return used


def digests(result):
    assert not result.failures
    assert {row["status"] for row in result.runs} == {"done"}
    return [row["digest"] for row in result.runs]


@pytest.mark.parametrize(
    ("recipe", "views", "kind"),
    [
        ({}, "shift-1", TableSignal),
        ({"ema": 0.9}, "shift-1", TableSignal),
        ({"mixup": 0.4}, "shift-1", LiveSignal),
        ({"cutmix": 1.0}, "shift-1", LiveSignal),
        pytest.param({}, CROP, LiveSignal, marks=needs_torchvision),
    ],
)
def test_recipes_are_reproducible_and_take_the_signal_that_fits(
    small, signals, tmp_path, recipe, views, kind
):
    small["recipe"] |= recipe
    small["data"]["views"] = views
    first = digests(Study(**small).run(tmp_path / "a", workers=0, device="cpu"))
    again = digests(Study(**small).run(tmp_path / "b", workers=0, device="cpu"))
    assert first == again
    assert [type(signal) for signal in signals] == [kind, kind]


def test_each_part_of_a_recipe_makes_another_run(small, tmp_path):
    seen = set()
    for recipe in ({}, {"mixup": 0.4}, {"cutmix": 0.4}, {"ema": 0.9}, {"mixup": 0.0, "ema": 0.0}):
        plain = {**small, "recipe": small["recipe"] | recipe}
        context = Study(**plain).prepare(tmp_path, device="cpu", keep=False)
        seen.add(context.plan.nodes["r0/scratch/s0"].trajectory(None).id)
    assert len(seen) == 4  # what is 0 is left out


@needs_torchvision
def test_transforms_that_do_not_fit_are_refused_before_training(small, tmp_path):
    small["data"]["views"] = {"torchvision": [{"RandomCrop": {"size": 6}}]}
    with pytest.raises(UserError, match=r"data\.views\.torchvision\[0\].*8x8.*6x6"):
        Study(**small).prepare(tmp_path, device="cpu")


def test_networks_that_are_too_deep_for_the_images_are_refused_before_training(small, tmp_path):
    small["teachers"]["large"]["model"] = "vgg-8"
    images = torch.arange(600, dtype=torch.uint8).repeat_interleave(36).view(-1, 1, 6, 6)
    dataset = TensorDataset(images, torch.arange(600) % 10)
    with pytest.raises(UserError, match=r"model of large.*6x6 pixels") as caught:
        Study(**small, dataset=dataset).prepare(tmp_path, device="cpu")
    assert "at least 8" in str(caught.value)
