"""`tutelage doctor losses`: what it checks, says and ends with."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tutelage.losses import mse
from tutelage.testing import ALL, ANY_LOSS, OWN_LOSSES, Declaration

MINE = """\
import torch
from torch.nn import functional as F
from tutelage.losses import dkd, kd

WEIGHT = 2.0

def good(student, teacher, temperature=4.0):
    return WEIGHT / 2 * kd(student, teacher, temperature)

def with_labels(student, teacher, labels, temperature):
    return dkd(student, teacher, labels, temperature)

def summed(student, teacher):
    return kd(student, teacher, 4.0) * len(student)

def later(student, teacher):
    from helping_losses import helped
    return helped(student, teacher)

def untempered(student, teacher, temperature=4.0):
    return kd(student, teacher, temperature) / temperature**2
"""


@pytest.fixture
def mine(here, monkeypatch):
    """The module `my_losses` in the current folder, forgotten afterwards."""
    (here / "my_losses.py").write_text(MINE)
    (here / "helping_losses.py").write_text("from tutelage.losses import mse as helped\n")
    (here / "broken_losses.py").write_text("raise RuntimeError('no licence')\n")
    (here / "leaning_losses.py").write_text("import no_such_package_at_all\n")
    yield here
    for name in ("my_losses", "helping_losses", "broken_losses", "leaning_losses"):
        sys.modules.pop(name, None)


def lines(said):
    """The first word after ok and after problem, of each line that starts with one of these."""
    words = [line.split() for line in said.out.splitlines()]
    starts = [line for line in words if line and line[0] in ("ok", "problem")]
    return {line[1].rstrip(":"): line[0] for line in starts}


def test_our_own_losses_pass(call, here):
    said = call("doctor", "losses")
    assert (said.code, said.err) == (0, "")
    assert lines(said) == dict.fromkeys(OWN_LOSSES, "ok")
    assert f"kd: {len(ALL)} properties" in said.words
    assert f"mse: {len(ALL) - 2} properties; it does not declare shift" in said.words
    assert list(here.iterdir()) == [here / "tiny.yaml"]


def test_one_of_our_own(call, here):
    said = call("doctor", "losses", "standardised-kd", "--seed", 3)
    assert said.code == 0
    assert lines(said) == {"standardised-kd": "ok"}


def test_one_of_our_own_that_fails_is_named_and_the_rest_go_on(call, here, monkeypatch):
    wrong = Declaration(mse, ("shift", "zero-at-teacher"))
    monkeypatch.setitem(OWN_LOSSES, "kd", wrong)
    said = call("doctor", "losses")
    assert said.code == 1
    assert lines(said) == dict.fromkeys(OWN_LOSSES, "ok") | {"kd": "problem"}
    assert "problem kd: shift: a constant added" in said.words


def test_ones_own_loss_has_what_any_loss_should(call, mine):
    said = call("doctor", "losses", "my_losses:good")
    assert (said.code, said.err) == (0, "")
    assert lines(said) == dict.fromkeys(ANY_LOSS, "ok")


def test_it_can_be_named_by_its_file(call, mine):
    assert call("doctor", "losses", "my_losses.py:good").code == 0


def test_all_that_hintons_loss_declares_the_temperature_found(call, mine):
    said = call("doctor", "losses", "my_losses:good", "--properties", "kd")
    assert said.code == 0
    assert lines(said) == dict.fromkeys(ALL, "ok")
    said = call("doctor", "losses", "my_losses:untempered", "--properties", "all")
    assert said.code == 1
    assert [name for name, how in lines(said).items() if how == "problem"] == ["large-temperature"]


def test_a_property_that_fails_is_shown_with_numbers(call, mine):
    said = call("doctor", "losses", "my_losses:summed", "--properties", "shift, batch-size")
    assert said.code == 1
    assert lines(said) == {"batch-size": "problem", "shift": "ok"}
    assert "three times over in one batch" in said.words
    assert "logits [6, 5]: " in said.words  # and not taken for a mark of colour


def test_labels_and_arguments_are_passed(call, mine):
    options = "--labels", "--set", "temperature=2", "--properties", "dkd"
    said = call("doctor", "losses", "my_losses:with_labels", *options)
    assert said.code == 0, said
    assert lines(said) == dict.fromkeys(OWN_LOSSES["dkd"].properties, "ok")


def test_the_current_folder_is_looked_in_while_the_loss_runs_and_no_longer(call, mine):
    before = list(sys.path)
    said = call("doctor", "losses", "my_losses:later", "--properties", "mse")
    assert said.code == 0, said
    assert sys.path == before


def test_a_method_of_a_class_or_a_partial_is_a_loss_too(call, mine):
    code = "class Kind:\n    @staticmethod\n    def loss(a, b):\n        return good(a, b)\n"
    (mine / "my_losses.py").write_text(
        MINE + code + "import functools\nbound = functools.partial(with_labels, temperature=3.0)\n"
    )
    assert call("doctor", "losses", "my_losses:Kind.loss").code == 0
    assert call("doctor", "losses", "my_losses:bound", "--labels").code == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["loses"], "unknown check 'loses'.\n  Did you mean 'losses'?"),
        (["losses", "kdd"], "unknown loss 'kdd'.\n  Did you mean 'kd'?"),
        (["losses", "no_module_of_this_name:f"], "there is no module 'no_module_of_this_name'"),
        (["losses", "my_losses.inner:f"], "there is no module 'my_losses.inner'"),
        (["losses", "broken_losses:f"], "ended with RuntimeError, 'no licence'."),
        (["losses", "leaning_losses:f"], "No module named 'no_such_package_at_all'"),
        (["losses", "my_losses:goood"], "unknown function 'goood'.\n  Did you mean 'good'?"),
        (["losses", "my_losses:WEIGHT"], "'WEIGHT' is float and cannot be called."),
        (["losses", "my_losses:"], "names no function"),
        (["losses", "no_losses.py:good"], "no_losses.py cannot be read"),
        (["losses", "../my_losses:good"], "names no function"),
        (["losses", "my_losses:with_labels"], "missing a required argument: 'labels'"),
        (["losses", "my_losses:with_labels", "--labels"], "argument: 'temperature'"),
        (["losses", "my_losses:summed", "--labels"], "too many positional arguments"),
        (["losses", "my_losses:summed", "--set", "tau=4"], "unexpected keyword argument 'tau'"),
        (["losses", "my_losses:good", "--set", "temperature"], "'temperature' sets nothing"),
        (["losses", "my_losses:good", "--properties", "shft"], "unknown property 'shft'"),
        (["losses", "my_losses:good", "--properties", ","], "no property was named"),
        (["losses", "my_losses:summed", "--properties", "kd"], "an argument called temperature"),
        (["losses", "--properties", "kd"], "describe a loss of your own"),
        (["losses", "mse", "--labels"], "describe a loss of your own"),
        (["losses", "--store", "store"], "looks at no store"),
        (["--labels"], "options are those of `tutelage doctor losses`"),
    ],
)
def test_mistakes_end_in_one_message(refused, mine, arguments, words):
    assert words in refused("doctor", *arguments)


def test_help_loads_no_torch_and_names_the_command():
    code = (
        "import sys, tutelage.cli.app as app\n"
        "sys.argv = ['tutelage', 'doctor', '--help']\n"
        "try:\n    app.main()\nexcept SystemExit as end:\n    assert end.code in (0, None)\n"
        "print('torch loaded:', 'torch' in sys.modules)\n"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "--properties" in said.stdout
    assert "module:function" in said.stdout
    assert "torch loaded: False" in said.stdout
