"""The three verbs, as they are typed."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner


@pytest.fixture
def call(monkeypatch):
    """A function: `tutelage ARGS` in this process."""
    from tutelage.cli.app import app

    def run(*args):
        return CliRunner().invoke(app, [str(arg) for arg in args], env={"COLUMNS": "120"})

    return run


def test_export_evaluate_predict(call, result, row, photos, tmp_path):
    store, out = result.context.store.root, tmp_path / "out"
    said = call("export", row["key"], "-o", out, "--store", store, "--format", "onnx")
    assert said.exit_code == 0, said.output
    assert f"{row['test_error']:.2f} % test error (150 images)" in said.stdout
    assert str(out / "student.onnx") in said.stdout
    assert "teacher (PyTorch)" in said.stdout
    said = call("evaluate", out, "--data", photos)
    assert f"error {row['test_error']:.2f} %" in said.stdout
    assert "mostly taken for" in said.stdout
    said = call("evaluate", row["key"], "--store", store, "--json")
    assert json.loads(said.stdout)["metrics"]["error"] == row["test_error"]
    (tmp_path / "mixed").mkdir()
    (tmp_path / "mixed" / "notes.txt").write_text("no image")
    image = sorted((photos / "one").iterdir())[0]
    (tmp_path / "mixed" / "a.png").write_bytes(image.read_bytes())
    said = call("predict", out, tmp_path / "mixed")
    assert said.exit_code == 0
    assert said.stdout.startswith(f"{tmp_path / 'mixed' / 'a.png'}  ")
    assert said.stdout.rstrip().endswith("%")
    assert said.stderr == f"skipped: {tmp_path / 'mixed' / 'notes.txt'}: this is no image.\n"
    document = json.loads(call("predict", out, image, "--json").stdout)
    assert document["schema"] == 1
    assert len(document["predictions"][0]["probabilities"]) == 10


@pytest.mark.parametrize(
    "args",
    [
        ("export", "nothing"), ("evaluate", "nothing"), ("predict", "nothing", "x.png"),
        ("export", "last", "--format", "tflite"), ("evaluate", "gone.onnx"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_message(call, result, tmp_path, monkeypatch, args):
    monkeypatch.chdir(tmp_path)
    store = () if args[0] == "predict" else ("--store", result.context.store.root)
    said = call(*args, *store)
    assert said.exit_code == 2
    assert said.stderr.count("error: ") == 1
    assert "Traceback" not in said.output
    assert list(tmp_path.iterdir()) == []


def test_help_loads_neither_torch_nor_onnx():
    code = (
        "import sys\nfrom tutelage.cli.app import app\nfrom typer.testing import CliRunner\n"
        "out = CliRunner().invoke(app, ['export', '--help']).output\n"
        "assert '--format' in out, out\n"
        "loaded = {'torch', 'onnx', 'onnxruntime', 'onnxscript'} & set(sys.modules)\n"
        "assert not loaded, loaded\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
