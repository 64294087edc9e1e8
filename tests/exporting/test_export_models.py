"""Networks from elsewhere are exported as well, whatever their outputs and normalisation."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import tutelage as tt
from tutelage.cli.app import main
from tutelage.exporting.formats import FILES

OWN = f"{Path(__file__).parents[1] / 'models' / 'own_nets.py'}:Net"
RESNET = {"hidden_sizes": [8, 16], "depths": [1, 1], "embedding_size": 8, "layer_type": "basic"}


def _exported(model, parts, photos, tmp_path, **options):
    parts["data"]["path"] = str(photos)
    parts["student"], parts["teachers"] = {"model": model}, {"t": {"model": model}}
    parts["conditions"] = {"kd": {"teacher": "t"}}
    parts["recipe"] |= {"epochs": 2}
    parts["replicates"] = {"count": 1, "students": 1}
    result = tt.Study(**parts).run(tmp_path / "store", workers=0, device="cpu")
    row = next(run for run in result.runs if run["condition"] == "kd")
    return row, result.export(tmp_path / "student", run=row["key"], **options)


@pytest.mark.parametrize(
    "model",
    [
        {"name": OWN, "arguments": {"kind": "object"}},
        {"name": "plain-4-4", "mean": [0.5], "std": [0.2], "size": [12, 12]},
    ],
    ids=["own", "own normalisation and size"],
)
def test_what_surrounds_a_network_is_exported_with_it(model, parts, photos, tmp_path):
    row, made = _exported(model, parts, photos, tmp_path, formats=["safetensors", "torch", "onnx"])
    assert made.card["figures"]["test"]["error"] == row["test_error"]
    assert len(made.card["files"]) == 3
    for name, facts in made.card["files"].items():
        assert facts["check"]["difference"] < 1e-4, name
        found = tt.evaluate(made.folder / name, str(photos))
        assert found["metrics"]["error"] == row["test_error"], name


@pytest.mark.slow
@pytest.mark.parametrize(
    "model",
    [
        "timm:test_efficientnet", "torchvision:shufflenet_v2_x0_5",
        {"name": "hf:resnet", "arguments": RESNET},
    ],
    ids=["timm", "torchvision", "hf"],
)  # fmt: skip
def test_networks_of_libraries_in_every_format(model, parts, photos, tmp_path):
    row, made = _exported(model, parts, photos, tmp_path)
    assert len(made.card["files"]) == 4
    for name, facts in made.card["files"].items():
        found = tt.evaluate(made.folder / name, str(photos))["metrics"]["error"]
        assert found == pytest.approx(facts["check"]["error"]), name
        if facts["format"] != "onnx-int8":
            assert facts["check"]["difference"] < 1e-4, name
            assert found == row["test_error"], name


@pytest.mark.slow
@pytest.mark.parametrize(
    "model",
    [
        "timm:test_efficientnet", "torchvision:shufflenet_v2_x0_5", OWN,
        'hf:resnet {"arguments": ' + json.dumps(RESNET) + "}",
    ],
    ids=["timm", "torchvision", "own, a mapping as output", "hf"],
)  # fmt: skip
def test_distill_ends_with_an_onnx_file_of_the_same_error(model, photos, tmp_path, monkeypatch):
    """As student and as teacher, from the command line, on grey images of 8x8 as they are."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", [
        "tutelage", "distill", "--student", model, "--teacher", model, "--data", str(photos),
        "--epochs", "2", "--replicates", "2", "--no-early", "--workers", "0", "--device", "cpu",
        "--store", "store", "-o", "files",
    ])  # fmt: skip
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    card = json.loads(Path("files/card.json").read_text())
    assert set(card["files"]) == set(FILES.values())
    found = tt.evaluate("files/student.onnx", str(photos))
    assert found["metrics"]["error"] == card["figures"]["test"]["error"]
