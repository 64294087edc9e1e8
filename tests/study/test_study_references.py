"""Students taught by ensembles, by teachers in turn, and by cross-fitted ones."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from rich.console import Console

from tutelage.api import Study
from tutelage.data.parts import parts_of
from tutelage.errors import UserError
from tutelage.findings.pairing import family
from tutelage.reporting.error_figures import by_teacher
from tutelage.reporting.summary import Summary
from tutelage.reporting.text import print_results
from tutelage.study import execute
from tutelage.study.hearing import Hearings
from tutelage.training import loop
from tutelage.training.loop import Stopped, train

TEACHERS = {
    "small": {"model": "plain-8-8"},
    "large": {"model": "plain-16-16"},
    "early": {"of": "large", "stop": {"truncated": 3}},
}


def study(more, taught=("it",), epochs=6, **changes):
    parts = {
        "name": "references",
        "data": {"source": "digits", "train": 200, "validation": 100, "test": 200,
                 "label_noise": 0.2, "views": "shift-1"},
        "recipe": {"epochs": epochs, "batch_size": 25, "schedule": {"steps": [0.5]}},
        "student": {"model": "plain-8-8"},
        "teachers": TEACHERS | more,
        "conditions": {name: {"teacher": name} for name in taught},
        "replicates": {"count": 1, "students": 2},
    }  # fmt: skip
    return Study(**(parts | changes))


def ran(store, more, taught=("it",), **changes):
    result = study(more, taught, **changes).run(store, workers=0, device="cpu")
    assert not result.failures
    assert {row["status"] for row in result.runs} == {"done"}
    return result


def digests(result, condition):
    return [row["digest"] for row in result.runs
            if row["condition"] == condition and row["role"] == "student"]  # fmt: skip


def logits_of(result, name):
    context = result.context
    resolved = context.resolve(context.expanded.teachers[name].reference, 0)
    return execute.reference_logits(context, resolved, 0)


def test_an_ensemble_of_one_teaches_as_that_one(tmp_path):
    result = ran(tmp_path / "s", {"it": {"ensemble": ["large"]}}, ["large", "it"])
    assert digests(result, "it") == digests(result, "large")


def test_the_logits_of_an_ensemble_are_the_mean_of_its_members(tmp_path):
    more = {"it": {"ensemble": ["small", "early", "soft"]},
            "soft": {"of": "large", "scale": {"entropy_of": "small"}}}  # fmt: skip
    result = ran(tmp_path / "s", more)
    found, members = logits_of(result, "it"), [logits_of(result, n) for n in
                                               ("small", "early", "soft")]  # fmt: skip
    for split, values in found.items():
        expected = np.stack([each[split] for each in members]).mean(0)
        np.testing.assert_allclose(values, expected, rtol=1e-6)
    row = next(row for row in result.document["teachers"] if row["name"] == "it")
    assert row["made_of"] == "mean of small, early, soft"
    assert row["model"] == "plain-8-8, plain-16-16"
    world = result.context.world(0)
    wrong = 100 * np.mean(found["test"].argmax(1) != world.test.labels)
    assert row["replicates"][0]["test_error"] == pytest.approx(wrong)


def test_a_schedule_of_one_teacher_twice_teaches_as_that_one(tmp_path):
    result = ran(tmp_path / "s", {"it": {"schedule": ["large", "large"]}}, ["large", "it"])
    assert digests(result, "it") == digests(result, "large")


def test_a_schedule_begins_as_its_first_teacher_and_is_told_by_its_last(tmp_path):
    result = ran(tmp_path / "s", {"it": {"schedule": ["small", "large"]}}, ["small", "it"])
    rows = {row["key"]: row for row in result.runs}
    assert rows["r0/it/s0"]["continues"] == "r0/small/s0"
    assert rows["r0/it/s0"]["shared_epochs"] == 3
    assert digests(result, "it") != digests(result, "small")
    np.testing.assert_array_equal(logits_of(result, "it")["test"],
                                  logits_of(result, "large")["test"])  # fmt: skip


def test_no_image_is_labelled_by_a_network_that_saw_it(tmp_path):
    result = ran(tmp_path / "s", {"it": {"of": "large", "cross_fit": 3}})
    context, world = result.context, result.context.world(0)
    part, seen = parts_of(world.train.labels, 3), []
    for k in range(3):
        node = context.node(f"r0/teacher/large#{k + 1}of3")
        trained = {image.tobytes() for image in context.training_world(node).train.images}
        own = world.train.images[part == k]
        assert not any(image.tobytes() in trained for image in own)
        assert node.start.data == context.training_world(node).training_fingerprint
        run = context.run(node)
        blobs = context.evaluation(node.start.model, run.result["blobs"]["final"], 0).result
        seen.append(context.store.get_arrays(blobs["blobs"]["logits"]))
    found = logits_of(result, "it")
    for k in range(3):
        np.testing.assert_array_equal(found["train"][part == k], seen[k]["train"][part == k])
    np.testing.assert_allclose(found["val"], np.mean([s["val"] for s in seen], 0), rtol=1e-6)


@pytest.mark.parametrize(
    "more",
    [
        {"it": {"ensemble": ["small", "soft"]}, "soft": {"of": "large", "scale": "calibrated"}},
        {"it": {"schedule": ["early", "large"]}},
        {"it": {"of": "large", "cross_fit": 2}},
        {"it": {"of": "large", "cross_fit": 2, "scale": {"entropy_of": "small"}}},
    ],
)
def test_table_files_and_network_teach_the_same_student(tmp_path, monkeypatch, more):
    found = []
    for how in ("table", "epochs", "live"):
        with monkeypatch.context() as patch:
            patch.setattr("tutelage.study.hearing.cheapest", lambda *_, how=how, **__: how)
            found.append(digests(ran(tmp_path / how, more), "it"))
    assert found[0] == found[1] == found[2]


def test_members_are_asked_once_for_all_who_hear_them(tmp_path):
    more = {"it": {"ensemble": ["small", "large"]}}
    context = study(more, ["large", "it"]).prepare(tmp_path, "cpu")
    hearings, nodes = Hearings(context), context.plan.nodes
    alone, both = nodes["r0/large/s0"], nodes["r0/it/s0"]
    (large,) = hearings.heard(alone)
    assert set(hearings.heard(both)) > {large}
    assert hearings.of(alone, large) == hearings.of(both, large)
    assert hearings.of(alone, large).listeners == 4


def test_whoever_is_taught_in_turn_hears_each_for_its_share(tmp_path):
    context = study({"it": {"schedule": ["small", "early", "small"]}}).prepare(tmp_path, "cpu")
    heard = Hearings(context).heard(context.plan.nodes["r0/it/s0"])
    assert {state.training: epochs for state, epochs in heard.items()} == {"small": 4, "large": 2}


@pytest.mark.parametrize("more", [{"it": {"ensemble": ["small", "large"]}},
                                  {"it": {"schedule": ["small", "large"]}},
                                  {"it": {"model": "plain-16-16", "cross_fit": 2}}])  # fmt: skip
def test_an_interrupted_study_ends_with_the_same_bits(tmp_path, monkeypatch, more):
    whole = ran(tmp_path / "whole", more)

    def interrupted(runs, **options):
        seen = []
        options["stop"] = lambda: len(seen) >= 4 or bool(seen.append(1))
        train(runs, **options)

    with monkeypatch.context() as patch:
        patch.setattr(execute, "train", interrupted)
        with pytest.raises(Stopped):
            study(more).run(tmp_path / "cut", workers=0, device="cpu")
    rest = ran(tmp_path / "cut", more)
    assert [row["digest"] for row in rest.runs] == [row["digest"] for row in whole.runs]
    assert study(more).prepare(tmp_path / "cut", "cpu").id == rest.context.id


def test_a_study_that_is_done_trains_nothing_again(tmp_path, monkeypatch):
    more = {"it": {"ensemble": ["small", "large"]}, "x": {"of": "large", "cross_fit": 2}}
    ran(tmp_path / "s", more, ["it", "x"])
    monkeypatch.setattr(execute, "execute", None)
    ran(tmp_path / "s", more, ["it", "x"])


def test_a_diverged_member_makes_its_ensemble_diverge(tmp_path):
    mad = {"model": "plain-8-8", "recipe": {"optimizer": {"sgd": {"lr": 1e30}}}}
    result = study({"mad": mad, "it": {"ensemble": ["large", "mad"]}}, ["it", "large"]).run(
        tmp_path / "s", workers=0, device="cpu"
    )
    rows = {row["key"]: row["status"] for row in result.runs}
    assert rows["r0/it/s0"] == "diverged"
    assert rows["r0/large/s0"] == "done"


def test_features_are_those_of_one_network(tmp_path):
    conditions = {"it": {"teacher": "it", "loss": "at"}}
    with pytest.raises(UserError, match="features are those of one network; it is mean of small"):
        study({"it": {"ensemble": ["small", "large"]}}, conditions=conditions).prepare(
            tmp_path, "cpu")  # fmt: skip


def test_too_many_parts_are_told_before_anything_is_trained(tmp_path):
    with pytest.raises(UserError, match="fewer than the 30 parts") as told:
        study({"it": {"of": "large", "cross_fit": 30}}).prepare(tmp_path, "cpu")
    assert told.value.where == "teachers.it.cross_fit"


def test_the_report_names_what_a_teacher_is_made_of(tmp_path):
    result = ran(tmp_path / "s", {"it": {"ensemble": ["small", "large"]}})
    result.report(tmp_path / "report.html")
    text = (tmp_path / "report.md").read_text()
    assert "mean of small, large" in text


def test_a_bank_holds_each_network_once(tmp_path):
    """The ensemble's members are read from the tables that others are taught from."""
    result = ran(tmp_path / "s", {"it": {"ensemble": ["small", "large"]}}, ["large", "it"],
                 epochs=12)  # fmt: skip
    tables = list(result.context.store.cache_file("logits", "x").parent.glob("*.npy"))
    assert len(tables) == 2


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        (200, {(5, 5, 5), (8,), (8, 8, 8, 8)}),
        (112, {(2,), (3, 3), (4,), (4, 4, 4, 4)}),  # of 74, 75 and 75 images, in batches of 25
    ],
)
def test_cross_fitted_networks_are_trained_side_by_side(tmp_path, monkeypatch, images, expected):
    groups, epoch = [], loop._epoch_fused

    def watched(stepper, group):
        groups.append(tuple(run.stream.batches_per_epoch for run in group))
        epoch(stepper, group)

    monkeypatch.setattr(loop, "_epoch_fused", watched)
    data = {"source": "digits", "train": images, "validation": 100, "test": 200}
    result = ran(
        tmp_path / "s",
        {"it": {"of": "large", "cross_fit": 3}},
        data=data,
        teachers={"large": TEACHERS["large"], "it": {"of": "large", "cross_fit": 3}},
    )
    assert set(groups) == expected
    assert sum(map(len, groups)) == result.context.plan.epochs  # none was trained twice


KINDS = {
    "trio": {"ensemble": ["small", "early", "large"]},
    "anchors": {"schedule": ["small", "early", "large"]},
    "crossed": {"of": "large", "cross_fit": 3},
    "soft": {"of": "crossed", "scale": {"entropy_of": "small"}},
}


@pytest.fixture(scope="module")
def every_kind(tmp_path_factory):
    """A study of all kinds in one group, with its report; long enough to learn something."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("kinds")
    trend = {"trend": {"over": "teacher_parameters", "of": "test_error", "within": "kd"},
             "direction": "decreasing", "margin": 0.1}  # fmt: skip
    result = ran(
        folder / "s", KINDS, conditions={"kd": {"teacher": ["small", "large", *KINDS]}},
        claims={"primary": {"bigger": trend}}, replicates={"count": 1, "students": 1},
        recipe={"epochs": 25, "batch_size": 10, "schedule": {"steps": [0.5]}},
    )  # fmt: skip
    result.report(folder / "report.html")
    return result, folder


def test_each_kind_is_told_by_what_it_is_made_of(every_kind):
    result, folder = every_kind
    teachers = {row["name"]: row for row in result.document["teachers"]}
    told = {
        "trio": "mean of small, early, large",
        "anchors": "small, early, large in turn (figures of large)",
        "crossed": "3 networks, each without a part of the images",
    }
    page, text = ((folder / f"report.{ending}").read_text() for ending in ("html", "md"))
    console = Console(width=200, record=True, file=io.StringIO())
    print_results(result.document, console)
    shown = console.export_text()
    for name, words in told.items():
        assert words in text, name
        assert words in page, name
        assert words in shown, name
    (line,) = [line for line in text.splitlines() if line.startswith("| anchors ")]
    assert "full" not in line
    assert {name for name, row in teachers.items() if row["full"]} == {"small", "large"}
    last, anchors = (teachers[name]["replicates"] for name in ("large", "anchors"))
    assert [row["test_error"] for row in anchors] == [row["test_error"] for row in last]
    assert teachers["anchors"]["figures_of"] == "large"


def test_each_kind_trains_a_student(every_kind):
    result, _ = every_kind
    students = {row["condition"]: row for row in result.runs if row["role"] == "student"}
    assert {f"kd/{name}" for name in ("small", "large", *KINDS)} | {"scratch"} == set(students)
    assert all(row["test_error"] < 70 for row in students.values())  # chance is 90
    assert len({row["digest"] for row in students.values()}) == len(students)
    assert all(row["train_agreement"] > 30 for name, row in students.items() if name != "scratch")


def test_the_size_of_a_teacher_is_that_of_all_networks_asked_at_a_time(every_kind):
    result, _ = every_kind
    teachers = {row["name"]: row for row in result.document["teachers"]}
    for figure in ("parameters", "macs"):
        small, large = teachers["small"][figure], teachers["large"][figure]
        # Two states of one training are two networks; of teachers in turn the last one counts.
        assert teachers["trio"][figure] == small + 2 * large
        assert teachers["anchors"][figure] == large
        assert teachers["crossed"][figure] == teachers["soft"][figure] == 3 * large


def test_a_trend_over_a_group_leaves_out_what_is_more_than_one_network(every_kind):
    result, _ = every_kind
    assert family(result.document, "kd") == ["kd/small", "kd/large"]
    (finding,) = result.findings
    assert "kd/small" in finding["sentence"]
    assert "kd/trio" not in finding["sentence"]


def test_the_figure_of_teachers_says_that_some_are_combined(every_kind):
    result, _ = every_kind
    (figure,) = by_teacher(Summary(result.document))
    assert "Of 5 conditions with a full or combined teacher," in figure.caption
    alone = [row for row in result.document["conditions"] if row["teacher"] in ("small", "large")]
    scratch = [row for row in result.document["conditions"] if row["teacher"] is None]
    (figure,) = by_teacher(Summary(result.document | {"conditions": scratch + alone}))
    assert "2 conditions with a full teacher" in figure.caption


@pytest.mark.parametrize("it", [{"schedule": ["large", "mad"]}, {"of": "mad", "cross_fit": 2},
                                {"ensemble": ["large", "hot"]}])  # fmt: skip
def test_whatever_rests_on_a_diverged_network_diverged(tmp_path, it):
    mad = {"model": "plain-8-8", "recipe": {"optimizer": {"sgd": {"lr": 1e30}}}}
    more = {"mad": mad, "hot": {"of": "mad", "scale": "calibrated"}, "it": it}
    result = study(more, ["it", "large"]).run(tmp_path / "s", workers=0, device="cpu")
    rows = {row["key"]: row["status"] for row in result.runs}
    assert rows["r0/it/s0"] == "diverged"
    assert rows["r0/large/s0"] == "done"
    assert not result.failures
    (told,) = [row for row in result.document["teachers"] if row["name"] == "it"]
    assert told["replicates"] == [{"replicate": 0, "status": "diverged"}]


@pytest.mark.parametrize("loss", ["at", "sp"])
def test_the_loss_of_features_that_cannot_be_is_named(tmp_path, loss):
    conditions = {"it": {"teacher": "it", "loss": loss}}
    with pytest.raises(UserError, match="features are those of one network") as told:
        study({"it": {"of": "large", "cross_fit": 2}}, conditions=conditions).prepare(
            tmp_path, "cpu")  # fmt: skip
    assert told.value.where == f"loss.{loss} of it"
