"""Weights from outside: every form of file, and files that are none, damaged or hostile."""

from __future__ import annotations

import os
import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from tutelage.errors import UserError
from tutelage.models.weights import fit_weights, load_some, read_weights

STATE = {"a.weight": torch.arange(6.0).view(2, 3), "a.bias": torch.ones(2)}


@pytest.mark.parametrize("form", [
    lambda: STATE,
    lambda: {"state_dict": STATE, "epoch": 3},
    lambda: {"model": STATE},
    lambda: {f"module.{name}": value for name, value in STATE.items()},
])  # fmt: skip
def test_a_state_dict_is_read_in_the_forms_that_people_save(form, tmp_path):
    torch.save(form(), tmp_path / "w.pt")
    found = read_weights(tmp_path / "w.pt")
    assert set(found) == set(STATE)
    assert all(torch.equal(found[name], STATE[name]) for name in STATE)


def test_safetensors_are_read(tmp_path):
    save_file(STATE, tmp_path / "w.safetensors")
    found = read_weights(tmp_path / "w.safetensors")
    assert all(torch.equal(found[name], STATE[name]) for name in STATE)


class Hostile:
    """Runs a command when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("wrap", [lambda h: h, lambda h: {"state_dict": {"a": h}}])
@pytest.mark.parametrize("save", [
    torch.save,
    lambda value, path: path.write_bytes(pickle.dumps(value)),
    lambda value, path: torch.save(value, path, _use_new_zipfile_serialization=False),
])  # fmt: skip
def test_a_hostile_pickle_executes_nothing(save, wrap, tmp_path):
    trace, path = tmp_path / "executed", tmp_path / "w.pt"
    save(wrap(Hostile(trace)), path)
    with pytest.raises(UserError, match="nothing of it was executed") as caught:
        read_weights(path)
    assert caught.value.where == str(path)
    assert not trace.exists()
    with pytest.raises(UserError):
        read_weights(path.rename(tmp_path / "w.safetensors"))
    assert not trace.exists()


def test_a_whole_network_that_was_pickled_is_refused_and_the_way_out_told(tmp_path):
    torch.save(nn.Linear(2, 2), tmp_path / "w.pt")
    with pytest.raises(UserError) as caught:
        read_weights(tmp_path / "w.pt")
    assert "model.state_dict()" in caught.value.fix


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"\x80\x02}q\x00.", b"words", bytes(200)])
@pytest.mark.parametrize("name", ["w.pt", "w.safetensors"])
def test_a_damaged_file_ends_in_one_message(data, name, tmp_path):
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(UserError) as caught:
        read_weights(path)
    assert caught.value.where == str(path)


@pytest.mark.parametrize(("value", "said"), [
    (torch.ones(2), "holds a Tensor"), ({}, "holds a dict"), ([1], "holds a list"),
    ({"a": torch.ones(1), "lr": 0.1}, "things beside tensors: lr"),
    ({1: torch.ones(1)}, "things beside tensors: 1"),
])  # fmt: skip
def test_what_is_no_state_dict_is_told(value, said, tmp_path):
    torch.save(value, tmp_path / "w.pt")
    with pytest.raises(UserError, match=said):
        read_weights(tmp_path / "w.pt")


def test_a_file_that_is_not_there_is_told(tmp_path):
    for path in (tmp_path / "absent.pt", tmp_path):
        with pytest.raises(UserError, match="cannot be read"):
            read_weights(path)


class Two(nn.Module):
    """A body and two heads, as of an auxiliary classifier."""

    def __init__(self, classes):
        super().__init__()
        self.body, self.norm = nn.Linear(4, 10), nn.BatchNorm1d(10)
        self.head, self.side = nn.Linear(10, classes), nn.Linear(10, classes, bias=False)


def test_all_that_depends_on_the_classes_is_the_head():
    state = Two(10).state_dict()
    arrays = fit_weights(state, Two, 3, replace_head=True, where="w")
    assert set(arrays) == {name for name in state if name.split(".")[0] in ("body", "norm")}
    # Of the same count it is replaced as well: other classes are other classes.
    assert set(fit_weights(state, Two, 10, replace_head=True, where="w")) == set(arrays)
    with pytest.raises(UserError, match="a head of 10 classes, and 3 are wanted"):
        fit_weights(state, Two, 3, replace_head=False, where="w")
    network = Two(3)
    before = network.head.weight.clone()
    load_some(network, arrays)
    assert torch.equal(network.body.weight, state["body.weight"])
    assert torch.equal(network.head.weight, before)


def test_weights_are_brought_to_the_precision_of_the_network():
    state = {name: value.half() if value.is_floating_point() else value
             for name, value in Two(3).state_dict().items()}  # fmt: skip
    del state["norm.num_batches_tracked"]  # which old files lack
    arrays = fit_weights(state, Two, 3, replace_head=False, where="w")
    assert arrays["body.weight"].dtype == np.float32
    load_some(Two(3), arrays)


def test_numbers_that_are_not_finite_are_refused():
    state = Two(3).state_dict()
    state["body.weight"][0, 0] = float("nan")
    with pytest.raises(UserError, match=r"body\.weight has numbers that are not finite"):
        fit_weights(state, Two, 3, replace_head=False, where="w")


def test_a_head_that_depends_on_nothing_cannot_be_replaced():
    with pytest.raises(UserError, match="does not depend on the number of classes"):
        fit_weights({}, lambda _: nn.Linear(2, 2), 3, replace_head=True, where="w")
