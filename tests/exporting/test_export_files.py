"""What is written: one file a format, each computing what the original computes."""

from __future__ import annotations

import json

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import yaml
from safetensors import safe_open

import tutelage as tt
from tutelage.evaluation.metrics import metrics
from tutelage.models.build import build_model

FILES = ("student.safetensors", "student.pt2", "student.onnx", "student-int8.onnx")


@pytest.fixture
def original(result, row):
    """The logits that were stored when the student was evaluated: the reference."""
    context = result.context
    record = context.evaluation(row["model"], row["digest"], row["replicate"])
    return context.store.get_arrays(record.result["blobs"]["logits"])["test"]


def _onnx(path, images):
    return onnxruntime.InferenceSession(str(path)).run(None, {"images": images})[0]


def test_each_format_is_exactly_one_file(shipped):
    assert sorted(p.name for p in shipped.folder.iterdir()) == sorted(
        [*FILES, "README.md", "card.json"]
    )
    assert not list(shipped.folder.parent.glob(".*"))
    for name in ("student.onnx", "student-int8.onnx"):
        tensors = onnx.load(shipped.folder / name, load_external_data=False).graph.initializer
        assert not any(t.data_location == onnx.TensorProto.EXTERNAL for t in tensors)


def test_exported_files_compute_the_stored_logits(shipped, original, test_images):
    pixels, labels = test_images
    folder = shipped.folder
    exported = torch.export.load(folder / "student.pt2").module()
    with torch.no_grad():
        logits = {
            "student.pt2": exported(torch.from_numpy(pixels)).numpy(),
            "student.safetensors": tt.load_student(folder)(torch.from_numpy(pixels)).numpy(),
            "student.onnx": _onnx(folder / "student.onnx", pixels),
        }
    for name, found in logits.items():
        assert np.abs(found - original).max() < 1e-4, name
        check = shipped.card["files"][name]["check"]
        assert check["difference"] < 1e-4
        assert (check["same"], check["cost"], check["gained"], check["lost"]) == (100, 0, 0, 0)
        assert check["error"] == metrics(original, labels)["error"]


def test_int8_runs_and_its_figures_are_its_own(shipped, original, test_images):
    pixels, labels = test_images
    found = _onnx(shipped.folder / "student-int8.onnx", pixels)
    check = shipped.card["files"]["student-int8.onnx"]["check"]
    assert check["error"] == pytest.approx(metrics(found, labels)["error"])
    assert check["difference"] == pytest.approx(np.abs(found - original).max(), rel=1e-4)
    assert 1e-4 < check["difference"] < 2.0
    ours, theirs = found.argmax(1) == labels, original.argmax(1) == labels
    assert check["gained"] == (ours & ~theirs).sum()
    assert check["lost"] == (~ours & theirs).sum()
    assert check["cost"] == pytest.approx(
        100 * (check["lost"] - check["gained"]) / check["images"], abs=1e-9
    )
    weights = [t for t in onnx.load(shipped.folder / "student-int8.onnx").graph.initializer
               if t.data_type == onnx.TensorProto.INT8 and len(t.dims) == 4]  # fmt: skip
    assert len(weights) == 2  # one a convolution of plain-4-4


def test_any_batch_is_taken(shipped, test_images):
    pixels, _ = test_images
    exported = torch.export.load(shipped.folder / "student.pt2").module()
    for size in (1, 3, 130):
        assert exported(torch.from_numpy(pixels[:size])).shape == (size, 10)
        for name in ("student.onnx", "student-int8.onnx"):
            assert _onnx(shipped.folder / name, pixels[:size]).shape == (size, 10)
    described = onnxruntime.InferenceSession(str(shipped.folder / "student.onnx")).get_inputs()[0]
    assert (described.name, described.shape) == ("images", ["batch", 1, 8, 8])


def test_weights_are_those_of_the_student_alone(shipped, result, row):
    with safe_open(shipped.folder / "student.safetensors", framework="np") as file:
        names = set(file.keys())
    world = result.context.world(0)
    assert names == set(build_model("plain-4-4", world.shape, 10, seed=0).state_dict())
    assert "FitNets" in row["loss"], "else no regressor could have come along"


def test_metadata_name_classes_and_no_folder_of_this_machine(shipped, photos):
    for name in ("student.onnx", "student-int8.onnx"):
        model = onnx.load(shipped.folder / name)
        metadata = {entry.key: entry.value for entry in model.metadata_props}
        assert json.loads(metadata["class_names"]) == sorted(
            ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
        )
    for path in shipped.folder.iterdir():
        content = path.read_bytes()
        assert b"site-packages" not in content, path.name
        assert str(photos).encode() not in content, path.name


def test_card_says_what_is_known(shipped, result, row):
    card = json.loads((shipped.folder / "card.json").read_text())
    assert card == json.loads(json.dumps(shipped.card))
    assert card["model"] | {"weights_sha256": None} == {
        "name": "plain-4-4", "role": "student", "parameters": row["parameters"],
        "macs": row["macs"], "weights_sha256": None,
    }  # fmt: skip
    assert card["figures"]["test"]["error"] == row["test_error"]
    assert card["figures"]["val"]["error"] == row["val_error"]
    assert card["teacher"]["model"] == "plain-8-8"
    assert card["chosen"] is None
    assert card["data"]["fingerprint"] == result.context.world(row["replicate"]).fingerprint
    assert "test error than scratch" in card["against_scratch"]
    assert "without a verdict" in card["against_scratch"]
    entries = {entry["what"]: entry for entry in card["latency"]["entries"]}
    assert set(entries) == {"teacher (PyTorch)", "student (PyTorch)", *FILES[1:]}
    for entry in entries.values():
        assert 0 < entry["batch_1"]["median_ms"] < entry["batch_64"]["median_ms"] * 20
        low, high = entry["batch_1"]["spread_ms"]
        assert low <= entry["batch_1"]["median_ms"] <= high
        assert entry["batch_1"]["calls"] >= 9
    sizes = {name: facts["bytes"] for name, facts in card["files"].items()}
    assert sizes == {name: (shipped.folder / name).stat().st_size for name in FILES}


def test_readme_is_a_model_card_whose_code_runs(shipped, monkeypatch, capsys):
    text = (shipped.folder / "README.md").read_text()
    _, front, body = text.split("---\n", 2)
    assert yaml.safe_load(front)["pipeline_tag"] == "image-classification"
    assert "named by hand" in body
    assert f"{shipped.card['figures']['test']['error']:.2f} % of 150 images" in body
    blocks = [part.split("```")[0] for part in body.split("```python\n")[1:]]
    assert len(blocks) == 3
    monkeypatch.chdir(shipped.folder)
    for block in blocks:
        assert len(block.strip().splitlines()) <= 5
        exec(compile(block, "README.md", "exec"), {})
    printed = capsys.readouterr().out.split()
    assert len(printed) == 3
    assert "[" in printed[0]


def test_the_best_is_told_to_be_chosen(best, result):
    text = (best.folder / "README.md").read_text()
    assert "Chosen among 4 runs of 2 conditions by validation error" in text
    assert best.card["training"]["key"] == result.best()["key"]
    assert best.card["chosen"] == {
        "by": "validation error", "runs": 4, "planned_runs": 4, "conditions": 2
    }  # fmt: skip


def test_a_claim_of_the_study_is_quoted(parts, result, row, photos, tmp_path):
    parts["data"]["path"] = str(photos)
    parts["claims"] = {"primary": {
        "helps": {"difference": ["kd", "scratch"], "direction": "less", "margin": 0.5}
    }}  # fmt: skip
    again = tt.Study(**parts).run(result.context.store.root, workers=0, device="cpu")
    assert again.trained == 0
    made = again.export(tmp_path / "out", run=row["key"], formats=["safetensors"])
    assert made.card["against_scratch"] == again.findings[0]["sentence"]
    assert [path.name for path in made.files] == ["student.safetensors", "card.json", "README.md"]


def test_another_export_leaves_nothing_of_the_one_before(result, tmp_path):
    tt.export("shipped", tmp_path / "out", formats=["safetensors", "torch"],
              store=result.context.store.root)  # fmt: skip
    (tmp_path / "out" / "mine.txt").write_text("kept")
    run = next(r for r in result.runs if r["condition"] == "scratch")
    made = tt.export(run["id"][:10], tmp_path / "out", formats=["safetensors"],
                     store=result.context.store.root)  # fmt: skip
    assert sorted(p.name for p in made.folder.iterdir()) == [
        "README.md", "card.json", "mine.txt", "student.safetensors"
    ]  # fmt: skip
    assert made.card["training"]["key"] == run["key"]
    assert (made.card["chosen"], made.card["teacher"]) == (None, None)
    assert made.card["against_scratch"] is None
