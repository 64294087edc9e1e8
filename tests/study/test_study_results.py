"""What a study says of itself, computed a second time from the stored logits."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from scipy.special import log_softmax

from tutelage.api import Study, open_result
from tutelage.config.design import StateRef
from tutelage.store import Record
from tutelage.study.context import Diverged
from tutelage.study.progress import missing_tasks


def rows(result, **wanted):
    return [r for r in result.runs if all(r[k] == v for k, v in wanted.items())]


def logits_of(result, row):
    store, context = result.context.store, result.context
    record = context.evaluation(row["model"], row["digest"], row["replicate"])
    return (
        store.get_arrays(record.result["blobs"]["logits"]),
        store.get_arrays(record.result["blobs"]["labels"]),
    )


def test_every_run_of_the_plan_is_done(whole):
    assert whole.failures == {}
    assert {row["status"] for row in whole.runs} == {"done"}
    # scratch, eight kd, eskd, linear; small, large, early, chained; in two replicates.
    assert len(rows(whole, role="student")) == 2 * 11
    assert len(rows(whole, role="teacher")) == 2 * 4


def test_errors_are_those_of_the_stored_logits(whole):
    for row in whole.runs:
        logits, labels = logits_of(whole, row)
        for split in ("train", "val", "test"):
            error = 100 * np.mean(logits[split].argmax(1) != labels[split])
            assert row[f"{split}_error"] == pytest.approx(error, abs=1e-9)


def test_mimicry_is_that_of_the_stored_logits(whole):
    row = rows(whole, condition="kd/large", replicate=0)[0]
    teacher = rows(whole, condition="large", role="teacher", replicate=0)[0]
    z_s, z_t = logits_of(whole, row)[0]["train"], logits_of(whole, teacher)[0]["train"]
    log_s, log_t = (log_softmax(z.astype(np.float64) / 4, axis=1) for z in (z_s, z_t))
    assert row["train_kl_t4"] == pytest.approx(
        np.mean(np.sum(np.exp(log_t) * (log_t - log_s), axis=1)), rel=1e-9
    )
    assert row["train_agreement"] == pytest.approx(100 * np.mean(z_s.argmax(1) == z_t.argmax(1)))


def test_the_last_validation_error_of_the_history_is_the_evaluated_one(whole):
    for row in whole.runs:
        assert row["history"][-1]["val_error"] == pytest.approx(row["val_error"])
        assert len(row["history"]) == row["epochs"]


def test_references_are_the_states_that_they_name(whole):
    context = whole.context
    teachers = {t["name"]: t["replicates"][1] for t in whole.document["teachers"]}
    large = rows(whole, condition="large", role="teacher", replicate=1)[0]
    run = context.store.get("run", large["id"])
    assert teachers["large"]["digest"] == run.result["blobs"]["final"]
    assert teachers["best"]["digest"] == run.result["blobs"]["best"]
    assert teachers["best"]["epoch"] == large["best_epoch"]
    assert teachers["best"]["val_error"] == large["best_val_error"]
    assert teachers["truncated"]["epoch"] == 1
    assert teachers["calibrated"]["digest"] == teachers["large"]["digest"]
    assert teachers["calibrated"]["test_error"] == teachers["large"]["test_error"]
    assert teachers["calibrated"]["val_nll"] <= teachers["large"]["val_nll"] + 1e-9
    assert teachers["matched"]["digest"] == teachers["early"]["digest"]
    assert teachers["matched"]["factor"] != 1.0


def test_students_of_one_seed_begin_alike_and_replicates_do_not(whole):
    nodes = whole.context.plan.nodes
    seeds = {
        (n.replicate, n.start.init_seed, n.start.stream_seed, n.start.data)
        for n in nodes.values()
        if n.role == "student"
    }
    assert len(seeds) == 2
    assert len({init for _, init, _, _ in seeds}) == 2
    assert len({data for _, _, _, data in seeds}) == 2


def test_what_does_not_vary_is_the_same_in_every_replicate(parts, tmp_path):
    parts["replicates"]["vary"] = ["teacher"]
    context = Study(**parts).prepare(tmp_path / "s", device="cpu")
    assert len(set(context.manifest["fingerprints"])) == 1
    teachers = {n.start.init_seed for n in context.plan.nodes.values() if n.role == "teacher"}
    assert len(teachers) == 2


def test_shared_epochs_are_planned_and_not_trained_twice(whole):
    by_key = {row["key"]: row for row in whole.runs}
    eskd = by_key["r0/eskd/s0"]
    assert (eskd["continues"], eskd["shared_epochs"]) == ("r0/kd/large/s0", 2)
    assert eskd["timing"]["spent_s"] < eskd["timing"]["attributed_s"]
    early = by_key["r0/teacher/early"]
    assert (early["continues"], early["shared_epochs"]) == ("r0/teacher/large", 1)


def test_no_checkpoint_is_left_when_all_is_done(whole):
    assert not list((whole.context.store.root / "checkpoints").rglob("*.safetensors"))
    assert whole.context.store.verify() == []


def test_a_finished_study_trains_nothing_and_opens_without_data(whole):
    assert missing_tasks(whole.context) == {}
    again = Study(config=whole.context.config).run(whole.context.store.root, device="cpu")
    assert again.trained == 0
    reopened = open_result("tiny", whole.context.store.root)
    assert [r["digest"] for r in reopened.runs] == [r["digest"] for r in whole.runs]
    assert reopened.findings == whole.findings


def test_another_study_takes_over_the_runs_that_it_has_in_common(whole, parts):
    del parts["conditions"]["linear"]
    parts["name"] = "other"
    other = Study(**parts).run(whole.context.store.root, workers=0, device="cpu")
    assert other.trained == 0
    assert {row["digest"] for row in other.runs} <= {row["digest"] for row in whole.runs}


def test_the_best_student_is_chosen_on_validation(whole):
    best = whole.best()
    means = {}
    for row in rows(whole, role="student"):
        means.setdefault(row["condition"], []).append(row["val_error"])
    assert np.mean(means[best["condition"]]) == min(np.mean(v) for v in means.values())
    assert best["val_error"] == min(means[best["condition"]])


def test_a_diverged_teacher_is_marked_and_the_rest_goes_on(parts, tmp_path):
    parts["teachers"]["wild"] = {
        "model": "plain-4-4", "recipe": {"optimizer": {"sgd": {"lr": 1e30}}}
    }  # fmt: skip
    parts["conditions"] = {"kd": {"teacher": ["small", "wild"]}}
    parts["teachers"] = {k: parts["teachers"][k] for k in ("small", "wild")}
    parts["claims"] = {
        "primary": {
            "w": {"difference": ["kd/wild", "kd/small"], "direction": "less", "margin": 1.0}
        }
    }
    result = Study(**parts).run(tmp_path / "s", workers=0, device="cpu")
    assert result.failures == {}
    status = {row["key"]: row["status"] for row in result.runs}
    assert status["r0/teacher/wild"] == status["r0/kd/wild/s0"] == "diverged"
    assert status["r0/kd/small/s0"] == "done"
    finding = result.findings[0]
    small = [row["test_error"] for row in rows(result, condition="kd/small")]
    assert finding["effect"] == pytest.approx(90.0 - np.mean(small))  # chance error of ten classes
    assert missing_tasks(result.context) == {}


def test_a_document_holds_no_path_of_the_images(parts, tmp_path):
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        folder = tmp_path / "images" / "train" / name
        folder.mkdir(parents=True)
        for number in range(8):
            pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.png")
    parts["data"] = {"source": "image-folder", "path": str(tmp_path / "images")}
    parts["recipe"] = {"epochs": 1, "batch_size": 4}
    parts["teachers"], parts["conditions"], parts["claims"] = {}, {}, {}
    result = Study(**parts).run(tmp_path / "store", workers=0, device="cpu")
    assert {row["status"] for row in result.runs} == {"done"}
    assert str(tmp_path) not in json.dumps(result.document)


def test_a_stop_of_a_training_named_twice_costs_nothing(parts, tmp_path):
    parts["teachers"] = {
        "large": {"model": "plain-8-8"},
        "cut": {"model": "plain-8-8", "stop": {"truncated": 1}},
    }
    parts["conditions"] = {"kd": {"teacher": ["large", "cut"]}}
    parts["claims"] = {}
    result = Study(**parts).run(tmp_path / "s", workers=0, device="cpu")
    assert result.failures == {}
    node = result.context.node("r0/teacher/large")
    assert node.keep == {1}
    large, cut = (rows(result, condition=name, replicate=0)[0] for name in ("large", "cut"))
    assert large["id"] == cut["id"]
    teachers = {t["name"]: t["replicates"][0] for t in result.document["teachers"]}
    assert teachers["cut"]["epoch"] == 1
    assert teachers["cut"]["digest"] != teachers["large"]["digest"]


def test_a_truncated_teacher_does_not_mind_what_came_after_its_stop(parts, tmp_path):
    parts["teachers"] = {
        # The rate rises to 1e30 in the second epoch: the training diverges, its first state stays.
        "wild": {"model": "plain-4-4", "recipe": {"optimizer": {"sgd": {"lr": 1e30}}, "warmup": 4}},
        "cut": {"of": "wild", "stop": {"truncated": 1}},
    }
    parts["conditions"] = {"kd": {"teacher": ["cut"]}}
    parts["claims"] = {}
    context = Study(**parts).prepare(tmp_path / "s", device="cpu")
    node = context.node("r0/teacher/wild")
    assert node.keep == {1}
    # As a training that diverged after its first epoch leaves the store.
    trajectory, weights = context.trajectory(node), context.store.put_arrays({"w": np.zeros(1)})
    state = {"epoch": 1, "blobs": {"weights": weights}}
    context.store.put(Record("state", trajectory.state_ids[1], state, {}, {}))
    ended = {"status": "diverged", "epochs": 1, "blobs": {}, "history": []}
    context.store.put(Record("run", trajectory.id, ended, {}, {}))
    assert context.resolve(StateRef("wild", 1), 0).weights == weights
    with pytest.raises(Diverged):
        context.resolve(StateRef("wild", "final"), 0)
