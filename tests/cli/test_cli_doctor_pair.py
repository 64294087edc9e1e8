"""`tutelage doctor --student S --teacher T --data D`: faults injected, each one told."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from sklearn.datasets import load_digits

from tutelage.api import Study
from tutelage.study.execute import _load

STRANGE = """
import torch
from torch import nn

class Noisy(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, classes))
    def forward(self, x):
        return self.net(nn.functional.dropout(x, 0.5, training=True))

class Whole(Noisy):
    def forward(self, x):
        return self.net(x - x.mean(0, keepdim=True))

class Idle(Noisy):
    def __init__(self, classes):
        super().__init__(classes)
        self.spare = nn.Linear(3, 3)
    def forward(self, x):
        return self.net(x)

def noisy(num_classes): return Noisy(num_classes)
def whole(num_classes): return Whole(num_classes)
def idle(num_classes): return Idle(num_classes)
"""


def examine(call, student="plain-8-8", teacher="plain-16-16", data="digits"):
    return call("doctor", "--student", student, "--teacher", teacher, "--data", data)


@pytest.fixture(scope="module")
def strange(tmp_path_factory):
    path = tmp_path_factory.mktemp("own") / "nets.py"
    path.write_text(STRANGE)
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A network that knows digits, normalised as a study does."""
    folder = tmp_path_factory.mktemp("trained")
    study = Study(
        name="t", data={"source": "digits", "views": "shift-1"}, student={"model": "plain-16-16"},
        recipe={"epochs": 8, "batch_size": 50, "optimizer": {"sgd": {"lr": 0.1}}},
        conditions={"scratch": {}}, replicates={"count": 1, "students": 1},
    )  # fmt: skip
    result = study.run(folder / "store", workers=0, device="cpu")
    world = result.context.world(0)
    model = _load(result.context, "plain-16-16", result.runs[0]["digest"], world)
    return folder, model, world


def test_a_sound_pair_passes(call) -> None:
    said = examine(call)
    assert said.code == 0, said.out
    assert "problem" not in said.out
    assert "(3.5 times as many)" in said.words
    assert "those of the teacher asked live" in said.words


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("noisy", "in eval mode answers alike when it is asked twice Something in it still draws"),
        ("whole", "depend on the others in its batch"),
        ("idle", "2 parameters of the student get no gradient: spare.weight, spare.bias"),
    ],
)
def test_networks_that_misbehave_are_told(call, strange, name, told) -> None:
    said = examine(call, student=f"{strange}:{name}")
    assert said.code == 1
    assert told in said.words


def test_a_teacher_that_sees_other_pixels_is_told(call, trained) -> None:
    folder, model, _ = trained
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / "w.safetensors")
    shifted = f'plain-16-16@{folder / "w.safetensors"} {{"mean":[3.0],"std":[0.1]}}'
    said = examine(call, teacher=shifted)
    assert said.code == 1
    assert "Give the teacher that mean and std" in said.words
    fine = examine(call, teacher=f"plain-16-16@{folder / 'w.safetensors'}")
    assert fine.code == 0, fine.out
    assert "the teacher as it came has" in fine.words


def test_a_teacher_with_other_classes_is_given_its_order(call, trained) -> None:
    folder, model, _ = trained
    state = {k: v.clone() for k, v in model.state_dict().items()}
    order = torch.tensor([3, 1, 4, 0, 5, 9, 2, 6, 8, 7])
    head = [k for k, v in state.items() if v.ndim and v.shape[0] == 10][-2:]
    for name in head:
        state[name] = state[name][order]
    save_file({k: v.contiguous() for k, v in state.items()}, folder / "moved.safetensors")
    said = examine(call, teacher=f"plain-16-16@{folder / 'moved.safetensors'}")
    assert said.code == 1
    assert f"class_order: [{', '.join(map(str, order.tolist()))}]" in said.words


def test_test_images_among_the_training_images_are_told(call, tmp_path) -> None:
    digits = load_digits()
    images = (digits.images * 15).astype(np.uint8)
    np.savez(tmp_path / "leaky.npz", x_train=images[:800], y_train=digits.target[:800],
             x_test=images[700:900], y_test=digits.target[700:900])  # fmt: skip
    said = examine(call, data=tmp_path / "leaky.npz")
    assert said.code == 1
    assert "of the test images" in said.words
    assert "Remove them from one of the two" in said.words


def test_a_mistake_is_one_problem(call) -> None:
    said = examine(call, teacher="plane-16")
    assert said.code == 1
    assert "problem" in said.out
    assert "unknown model 'plane-16'" in said.words
    assert call("doctor", "--student", "plain-8").code == 2
