"""A folder as a reader of the pages has it: some photographs, and a study that was run on them."""

from __future__ import annotations

import contextlib
import io
import shutil
import signal
import sys
import warnings
from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from sklearn.datasets import load_digits

from tutelage.models.build import build_model

MINE = """\
name: mine
data: {source: files, path: photos, train: 120, validation: 60, test: 100, views: shift-1}
recipe: {epochs: 2, batch_size: 30, optimizer: {sgd: {lr: 0.1}}}
student: {model: plain-4-4}
teachers:
  large: {model: plain-8-8}
conditions:
  scratch: {}
  kd: {teacher: [large]}
replicates: {count: 2, students: 1}
claims:
  primary:
    helps: {difference: [kd/large, scratch], direction: less, margin: 0.5}
"""


def _call(*args: str) -> SimpleNamespace:
    from tutelage.cli.app import main

    out, err = io.StringIO(), io.StringIO()
    before = sys.argv, signal.getsignal(signal.SIGTERM), warnings.showwarning
    try:
        sys.argv = ["tutelage", *args]
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main()
    except SystemExit as end:
        return SimpleNamespace(code=end.code, out=out.getvalue(), err=err.getvalue())
    finally:
        sys.argv, _, warnings.showwarning = before
        signal.signal(signal.SIGTERM, before[1])
    raise AssertionError("main always exits")


@pytest.fixture(scope="session")
def call():
    """A function: `tutelage ARGS` in this process."""
    torch.set_num_threads(1)
    return _call


@pytest.fixture(scope="session")
def _desk(call, tmp_path_factory):
    """The folder that readers begin in."""
    desk = tmp_path_factory.mktemp("desk")
    images, labels = load_digits(return_X_y=True)
    for number, (pixels, label) in enumerate(zip(images[:300], labels[:300], strict=True)):
        grey = Image.fromarray((pixels.reshape(8, 8) * 15).astype("uint8"))
        folder = desk / "photos" / str(label)
        folder.mkdir(parents=True, exist_ok=True)
        grey.save(folder / f"{number}.png")
    shutil.copytree(desk / "photos" / "3", desk / "holiday")
    shutil.copy(next((desk / "photos" / "3").iterdir()), desk / "cat.jpg")
    shutil.copytree(desk / "photos", desk / "elsewhere")
    (desk / "study.yaml").write_text(MINE)
    weights = build_model("plain-8-8", (8, 8, 1), 10, 0).state_dict()
    save_file(
        {name: value.contiguous() for name, value in weights.items()}, desk / "teacher.safetensors"
    )
    with contextlib.chdir(desk):
        said = call("run", "study.yaml", "--workers", "0", "--store", "tutelage-store")
    assert said.code == 0, said.err
    return desk


@pytest.fixture
def sit_down(request, tmp_path, monkeypatch) -> Callable[[bool], None]:
    """A function: makes a copy of the desk the current folder; where it is `bare`, an empty one."""

    def sit(bare: bool) -> None:
        monkeypatch.delenv("TUTELAGE_STORE", raising=False)
        monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / ".datasets"))  # not at home
        monkeypatch.setattr(sys, "path", ["", *sys.path])  # as it is for who starts Python there
        if not bare:
            shutil.copytree(request.getfixturevalue("_desk"), tmp_path, dirs_exist_ok=True)
        monkeypatch.chdir(tmp_path)

    return sit
