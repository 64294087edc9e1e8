"""Networks from elsewhere as students and as teachers of studies."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from rich.console import Console
from safetensors.torch import save_file

from tutelage.api import Study
from tutelage.config.chain import Trajectory
from tutelage.config.expand import expand
from tutelage.config.load import load_study, validate
from tutelage.data.torchvision import import_torchvision
from tutelage.errors import UserError
from tutelage.models.adapted import inner
from tutelage.models.build import build_model
from tutelage.models.identity import identify
from tutelage.models.predict import logits_of
from tutelage.reporting.text import print_results
from tutelage.training.run import Run

OWN = str(Path(__file__).parents[1] / "models" / "own_nets.py")
RESNET = {"hidden_sizes": [8, 16], "depths": [1, 1], "embedding_size": 8, "layer_type": "basic"}
NETWORKS = {
    "timm": "timm:test_efficientnet",
    "torchvision": "torchvision:shufflenet_v2_x0_5",
    "hf": {"name": "hf:resnet", "arguments": RESNET},
    "own": f"{OWN}:small",
}


def study(student="plain-4-4", teacher=None, **changes):
    parts = {
        "name": "elsewhere",
        "data": {"source": "digits", "train": 100, "validation": 50, "test": 100},
        "recipe": {"epochs": 2, "batch_size": 25, "optimizer": {"sgd": {"lr": 0.05}}},
        "student": {"model": student},
        "teachers": {"t": {"model": teacher or "plain-4-4"}},
        "conditions": {"kd": {"teacher": "t"}},
        "replicates": {"count": 1, "students": 1},
    }
    return Study(**(parts | changes))


def run(parts, tmp_path):
    result = parts.run(tmp_path / "store", workers=0, device="cpu")
    assert not result.failures, result.failures
    return {row["condition"]: row for row in result.runs}, result


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_network_from_elsewhere_learns_and_teaches(kind, tmp_path):
    rows, result = run(study(NETWORKS[kind], NETWORKS[kind]), tmp_path)
    record = result.context.store.get("run", rows["kd"]["id"])
    history = record.result["history"]
    assert history[1]["loss"] < history[0]["loss"]
    assert all(row["kd"] > 0 for row in history)
    # The weights that are kept have the names of the network's own author.
    text = result.context.node("r0/kd/s0").start.model
    network = inner(build_model(text, (8, 8, 1), 10, 0))
    kept = result.context.store.get_arrays(rows["kd"]["digest"])
    assert set(kept) == set(network.state_dict())
    assert rows["kd"]["parameters"] == sum(p.numel() for p in network.parameters())
    # Taught and alone, a student begins alike and ends otherwise.
    assert rows["kd"]["digest"] != rows["scratch"]["digest"]
    if kind != "own":  # which is quick
        return
    again, _ = run(study(NETWORKS[kind], NETWORKS[kind]), tmp_path / "again")
    assert [again[name]["digest"] for name in again] == [rows[name]["digest"] for name in rows]


def trained(text, tmp_path, shape=(8, 8, 1), classes=10, seed=7):
    """A network with weights of its own, and the file that holds them."""
    model = build_model(text, shape, classes, seed)
    path = tmp_path / "weights.safetensors"
    save_file({name: value.contiguous() for name, value in inner(model).state_dict().items()}, path)
    return inner(model), path


def first_state(result, key):
    """The weights that the run of a node began with, by another training of no epochs."""
    node = result.context.node(key)
    world = result.context.world(0)
    begun = Run(result.context.store, Trajectory(node.start, ()), world, {})
    return begun.trainee.arrays()


def test_a_teacher_from_a_file_is_heard_as_it_is(tmp_path):
    model, path = trained("plain-8-8", tmp_path)
    parts = study(teacher=f"plain-8-8@{path}")
    rows, result = run(parts, tmp_path)
    kept = result.context.store.get_arrays(rows["t"]["digest"])
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(kept[name], value.numpy())
    assert rows["t"]["epochs"] == 0
    assert rows["t"]["history"] == []
    (teacher,) = result.document["teachers"]
    assert teacher["stop"] == "as it came"
    assert not teacher["full"]
    world = result.context.world(0)
    logits = logits_of(model, world.test, world.mean, world.std)
    wrong = 100.0 * np.mean(logits.argmax(1) != world.test.labels)
    assert rows["t"]["test_error"] == pytest.approx(wrong)
    assert teacher["replicates"][0]["test_error"] == pytest.approx(wrong)
    print_results(result.document, Console(file=io.StringIO()))
    # The file is not needed any more, and where it lay is no part of what the student learned.
    moved = tmp_path / "moved.safetensors"
    path.rename(moved)
    again, _ = run(study(teacher=f"plain-8-8@{moved}"), tmp_path)
    assert again["kd"]["id"] == rows["kd"]["id"]


def test_a_teacher_that_wants_other_images_and_other_classes_is_translated(tmp_path):
    """A teacher of larger images with its own normalisation and order of classes is the same
    teacher as one that has been rewritten by hand."""
    order = [3, 1, None, 0, 2, 9, 8, 7, 6, 5, 4]
    options = {"mean": [0.5], "std": [0.25], "size": 16, "class_order": order}
    model, path = trained("plain-8-8", tmp_path, (16, 16, 1), 11)
    teacher = {"name": "plain-8-8", "weights": str(path), **options}
    rows, result = run(study(teacher=teacher), tmp_path)
    world = result.context.world(0)
    pixels = torch.from_numpy(world.test.images).permute(0, 3, 1, 2) / 255
    big = F.interpolate(pixels, (16, 16), mode="bilinear", antialias=True)
    with torch.no_grad():
        raw = model.eval()((big - 0.5) / 0.25)
    wanted = raw[:, [order.index(number) for number in range(10)]].numpy()
    evaluation = result.context.evaluation(
        result.context.node("r0/teacher/t").start.model, rows["t"]["digest"], 0
    )
    found = result.context.store.get_arrays(evaluation.result["blobs"]["logits"])["test"]
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)


def test_a_pretrained_student_starts_there_and_a_new_head_does_not(tmp_path):
    model, path = trained(f"{OWN}:small", tmp_path, classes=7)
    parts = study({"name": f"{OWN}:small", "weights": str(path), "head": "replace"},
                  replicates={"count": 1, "students": 2})  # fmt: skip
    _, result = run(parts, tmp_path)
    first, second = (first_state(result, f"r0/kd/s{seed}") for seed in (0, 1))
    for name in ("body.0.weight", "body.0.bias"):
        for state in (first, second):
            np.testing.assert_array_equal(state[f"model/{name}"], model.state_dict()[name].numpy())
    assert first["model/classifier.weight"].shape == (10, 4)
    assert not np.array_equal(first["model/classifier.weight"], second["model/classifier.weight"])


def test_a_teacher_that_is_fine_tuned_is_trained_from_its_weights(tmp_path):
    model, path = trained("plain-8-8", tmp_path)
    teachers = {
        "t": {"model": f"plain-8-8@{path}", "fine_tune": True},
        "early": {"of": "t", "stop": {"truncated": 1}},
    }
    conditions = {"kd": {"teacher": ["t", "early"]}}
    rows, result = run(study(teachers=teachers, conditions=conditions), tmp_path)
    begun = first_state(result, "r0/teacher/t")
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(begun[f"model/{name}"], value.numpy())
    assert rows["t"]["epochs"] == 2
    assert rows["kd/t"]["digest"] != rows["kd/early"]["digest"]


@pytest.mark.parametrize(("key", "value"), [
    ("stop", {"compressed": 0.5}), ("recipe", {"epochs": 3}), ("cross_fit", 2),
])  # fmt: skip
def test_a_teacher_as_it_came_has_no_training_to_change(key, value, tmp_path):
    _, path = trained("plain-8-8", tmp_path)
    teachers = {"t": {"model": f"plain-8-8@{path}", key: value}}
    with pytest.raises(UserError, match="is not trained") as caught:
        study(teachers=teachers).prepare(tmp_path / "store", "cpu")
    assert "fine_tune" in caught.value.fix
    assert caught.value.where == f"teachers.t.{key}"


def test_fine_tuning_and_stops_need_something_to_begin_with(tmp_path):
    with pytest.raises(UserError, match="fine_tune needs weights"):
        study(teachers={"t": {"model": "plain-8-8", "fine_tune": True}}).prepare(tmp_path, "cpu")
    _, path = trained("plain-8-8", tmp_path)
    teachers = {"t": {"model": f"plain-8-8@{path}"}, "u": {"of": "t", "stop": "best_validation"}}
    with pytest.raises(UserError, match="not trained here"):
        study(teachers=teachers, conditions={"kd": {"teacher": "u"}}).prepare(tmp_path, "cpu")


def test_weights_that_do_not_fit_are_told_with_both_counts(tmp_path):
    _, path = trained("plain-8-8", tmp_path, classes=7)
    with pytest.raises(UserError, match="a head of 7 classes, and 10 are wanted") as caught:
        study(f"plain-8-8@{path}").prepare(tmp_path / "store", "cpu")
    assert "head: replace" in caught.value.fix
    assert str(path) in caught.value.where
    for student, said in (
        ("plain-8-8-8", "has no stages.2"), ("plain-8", "which the network does not"),
        ("plain-8-12", "stages.1.0.weight is .8, 8, 3, 3., and the network's .12, 8, 3, 3."),
    ):  # fmt: skip
        with pytest.raises(UserError, match=said):
            study(f"{student}@{path}").prepare(tmp_path / "store", "cpu")
    teacher = {"name": "plain-8-8", "weights": str(path), "head": "replace"}
    with pytest.raises(UserError, match="a new head knows nothing"):
        study(teacher=teacher).prepare(tmp_path / "store", "cpu")


def test_the_same_weights_that_see_other_images_are_another_teacher(tmp_path):
    _, path = trained("plain-8-8", tmp_path)
    teachers = {
        name: {"model": {"name": "plain-8-8", "weights": str(path), "mean": [mean], "std": [0.3]}}
        for name, mean in (("one", 0.2), ("other", 0.8))
    }
    for precision in ("fp32", "bf16"):
        recipe = {"epochs": 3, "batch_size": 25, "precision": precision}
        parts = study(teachers=teachers, conditions={"kd": {"teacher": ["one", "other"]}},
                      recipe=recipe)  # fmt: skip
        rows, _ = run(parts, tmp_path / precision)
        assert rows["one"]["digest"] == rows["other"]["digest"]
        assert rows["one"]["test_error"] != rows["other"]["test_error"]
        assert rows["kd/one"]["digest"] != rows["kd/other"]["digest"]


def test_a_network_of_hugging_face_comes_from_a_folder_with_its_weights(tmp_path):
    import_torchvision("torchvision", "", "transformers needs")
    from transformers import AutoConfig, AutoModelForImageClassification

    settings = AutoConfig.for_model("resnet", num_labels=10, num_channels=1, **RESNET)
    torch.manual_seed(1)
    there = AutoModelForImageClassification.from_config(settings)
    there.save_pretrained(tmp_path / "hub")
    name = f"hf:{tmp_path / 'hub'}"
    file = tmp_path / "hub" / "model.safetensors"
    teachers = {"t": {"model": f"{name}@pretrained"}, "u": {"model": f"{name}@{file}"}}
    rows, result = run(study(teachers=teachers), tmp_path)
    kept = result.context.store.get_arrays(rows["t"]["digest"])
    for key, value in there.state_dict().items():
        np.testing.assert_array_equal(kept[key], value.numpy())
    assert rows["u"]["digest"] == rows["t"]["digest"]
    (tmp_path / "config.json").write_text((tmp_path / "hub" / "config.json").read_text())
    text = f"hf:{tmp_path / 'config.json'}"
    assert identify(text, (8, 8, 1), "abcdefghij").weights is None


def test_workers_find_a_module_of_the_current_folder(tmp_path, monkeypatch):
    (tmp_path / "my_nets.py").write_text(Path(OWN).read_text())
    monkeypatch.chdir(tmp_path)
    result = study("my_nets:small", "my_nets.py:small").run(tmp_path / "s", workers=2, device="cpu")
    assert not result.failures
    assert {row["model"] for row in result.runs} == {"my_nets:small", "my_nets.py:small"}
    assert all(row["status"] == "done" for row in result.runs)


def test_a_mistake_in_a_mapping_names_its_line_and_key(tmp_path):
    text = (
        "name: x\ndata: {source: digits}\nrecipe: {epochs: 1}\n"
        "student:\n  model:\n    name: plain-4\n    wieghts: here.pt\n"
    )
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(UserError) as caught:
        load_study(str(tmp_path / "x.yaml"))
    assert "line 7: student.model.wieghts: unknown key; did you mean 'weights'" in str(caught.value)
    assert str(caught.value).count("student.model") == 1
    for model, said in (("plain-4@", "after @ comes"), ("plain-4@w {}x", "no JSON"),
                        ('plain-4 {"code":"1"}', "code")):  # fmt: skip
        with pytest.raises(UserError, match=said) as caught:
            load_study(str(tmp_path / "x.yaml"), overrides=[f"student.model='{model}'"])
        assert "student.model" in str(caught.value)


def test_controls_of_networks_from_elsewhere_have_names(tmp_path):
    conditions = {
        "kd": {"teacher": "t"},
        "more": {"teacher": "t", "student": {"model": f"{OWN}:small"}},
        "most": {"teacher": "t", "student": {"model": {"name": f"{OWN}:small", "size": 9}}},
    }
    config = validate(study(conditions=conditions).config.model_dump(exclude_none=True))
    names = [name for name in expand(config).conditions if name.startswith("scratch")]
    assert len(names) == 3
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+", name) for name in names)
