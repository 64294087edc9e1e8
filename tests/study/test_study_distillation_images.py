"""Where the images of distillation come from: studies of real digits, end to end."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from tutelage.api import Study
from tutelage.data.sources import load_source
from tutelage.data.world import NO_LABEL
from tutelage.errors import UserError
from tutelage.study.cost import predict
from tutelage.study.hearing import Hearings
from tutelage.training import loop

HALF = {"images": "half-a"}
CONDITIONS = {
    "scratch": HALF,
    "own": HALF | {"teacher": "tutor"},
    "other": {"images": "half-b", "teacher": "tutor"},
    "hidden": HALF | {"teacher": "tutor", "unlabelled": "half-b"},
    "extra": HALF | {"teacher": "tutor", "unlabelled": "extra"},
}


def study(conditions=CONDITIONS, **changes):
    parts = {
        "name": "images",
        "data": {"source": "digits", "train": 201, "validation": 100, "test": 200,
                 "views": "shift-1", "unlabelled": 100},
        "recipe": {"epochs": 4, "batch_size": 20, "optimizer": {"sgd": {"lr": 0.05}},
                   "schedule": {"steps": [0.5]}},
        "student": {"model": "plain-8-8"},
        "teachers": {"tutor": HALF | {"model": "plain-16-16"}},
        "conditions": conditions,
        "replicates": {"count": 1, "students": 2},
    }  # fmt: skip
    return Study(**(parts | changes))


def ran(store, *args, **changes):
    result = study(*args, **changes).run(store, workers=0, device="cpu")
    assert not result.failures
    assert {row["status"] for row in result.runs} == {"done"}
    return result


def digests(result):
    return {row["key"]: (row["id"], row["digest"]) for row in result.runs}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return ran(tmp_path_factory.mktemp("images") / "store")


def seen(context, key):
    world = context.training_world(context.node(key))
    labels = world.train.labels
    return ({image.tobytes() for image in world.train.images[labels != NO_LABEL]},
            {image.tobytes() for image in world.train.images[labels == NO_LABEL]})  # fmt: skip


def test_each_student_sees_the_images_of_its_condition(whole):
    context = whole.context
    tutor, _ = seen(context, "r0/teacher/tutor")
    assert len(tutor) == 101
    own, other, hidden, extra = (
        seen(context, f"r0/{name}/s0") for name in ("own", "other", "hidden", "extra")
    )
    assert own == (tutor, set())
    assert len(other[0]) == 100
    assert not other[0] & tutor  # the teacher never saw the other half
    assert hidden == (tutor, other[0])
    assert extra[0] == tutor
    assert len(extra[1]) == 100
    assert not extra[1] & (tutor | other[0])
    for node in context.plan.nodes.values():
        assert node.start.data == context.training_world(node).training_fingerprint
    assert len({digest for _, digest in digests(whole).values()}) == 11


def test_every_condition_makes_equally_many_steps(whole):
    nodes = whole.context.plan.nodes.values()
    counts = {node.training.name: whole.context.trained_count(node.training) for node in nodes}
    assert counts == {"tutor": (101, 0), "scratch": (101, 0), "own": (101, 0), "other": (100, 0),
                      "hidden": (101, 100), "extra": (101, 100)}  # fmt: skip
    costs = {row["name"]: row["compute"]["own"] for row in whole.document["conditions"]}
    assert costs["own"] == pytest.approx(costs["extra"], rel=1e-3)
    seconds = predict(whole.context)
    assert seconds["r0/own/s0"] == pytest.approx(seconds["r0/extra/s0"], rel=0.2)


def test_readers_are_told_which_images(whole):
    told = {row["name"]: row["loss"] for row in whole.document["conditions"]}
    assert told["scratch"] == "cross-entropy (images: half-a)"
    assert told["hidden"].endswith("weights 0.1/0.9 (images: half-a, half-b without labels)")
    assert whole.document["study"]["data"]["unlabelled"] == 100


def test_the_labels_of_hidden_images_change_neither_ids_nor_weights(tmp_path, whole):
    source = load_source(whole.context.config.data, lambda kind, key: None)
    hidden = {image.tobytes() for image in whole.context.world(0).unlabelled}
    other = np.array([image.tobytes() in hidden for image in source.images])
    found = []
    assert other.sum() == 100
    for number, labels in enumerate((source.labels, (source.labels + 3 * other) % 10)):
        path = tmp_path / f"{number}.npz"
        np.savez(path, images=source.images, labels=labels)
        data = {"source": "files", "path": str(path), "train": 201, "validation": 100,
                "test": 200, "views": "shift-1", "unlabelled": 100}  # fmt: skip
        conditions = {"extra": CONDITIONS["extra"]}
        found.append(digests(ran(tmp_path / f"s{number}", conditions, data=data)))
    assert found[0] == found[1]
    assert found[0]["r0/extra/s0"] == digests(whole)["r0/extra/s0"]


def test_in_one_process_or_several_and_stopped_the_weights_are_the_same(
    tmp_path, whole, monkeypatch
):
    calls = []

    def stop_twice(runs, stop):
        calls.append(1)
        if len(calls) in (3, 9):
            for run in runs:
                if not run.is_over:
                    run.save()
            raise KeyboardInterrupt
        return original(runs, stop)

    original = loop._stop_if_asked
    monkeypatch.setattr(loop, "_stop_if_asked", stop_twice)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            study().run(tmp_path / "s", workers=0, device="cpu")
    assert digests(ran(tmp_path / "s")) == digests(whole)


def test_how_a_teacher_is_heard_changes_no_weight(tmp_path, whole, monkeypatch):
    from tutelage.study import hearing

    for how in ("live", "epochs"):
        monkeypatch.setattr(hearing, "cheapest", lambda *args, how=how, **more: how)
        result = ran(tmp_path / how)
        node = result.context.node("r0/extra/s0")
        (state,) = Hearings(result.context).heard(node)
        assert Hearings(result.context).of(node, state).how == how
        assert digests(result) == digests(whole)


def test_a_folder_of_images_adds_to_what_is_there(tmp_path, whole):
    folder = tmp_path / "more" / "deeper"
    folder.mkdir(parents=True)
    extra = whole.context.world(0).unlabelled
    for number, image in enumerate(extra):
        Image.fromarray(image[..., 0]).save(folder / f"{number}.png")
    data = {"source": "digits", "train": 201, "validation": 100, "test": 200, "views": "shift-1"}
    plain = ran(tmp_path / "s", {"own": CONDITIONS["own"]}, data=data)
    more = {"own": CONDITIONS["own"], "extra": CONDITIONS["extra"]}
    moved = tmp_path / "moved"
    with pytest.raises(UserError, match="test images are among those without labels"):
        ran(tmp_path / "s", more, data=data | {"unlabelled": str(tmp_path / "more")})
    keep = {image.tobytes() for image in plain.context.world(0).test.images}
    for number, image in enumerate(extra):
        if image.tobytes() in keep:
            (folder / f"{number}.png").unlink()
    (tmp_path / "more").rename(moved)
    result = ran(tmp_path / "s", more, data=data | {"unlabelled": str(moved)})
    assert digests(result).items() > digests(plain).items()
    assert str(moved) not in json.dumps(result.document)
    moved.rename(tmp_path / "elsewhere")
    again = ran(tmp_path / "s", more, data=data | {"unlabelled": str(tmp_path / "elsewhere")})
    assert again.document["study"]["id"] == result.document["study"]["id"]


BAD = {
    "a teacher is needed": ({"scratch": {"unlabelled": "extra"}}, "unlabelled needs a teacher"),
    "labels there": ({"kd": {"teacher": "tutor", "unlabelled": "half-b"}},
                     "labels of half-b are trained on, too.*Add `images: half-a`"),
    "the same half": ({"kd": HALF | {"teacher": "tutor", "unlabelled": "half-a"}},
                      "labels of half-a are trained on, too.*Add `images: half-b`"),
    "unused": ({"kd": {"teacher": "tutor"}}, "no condition makes use of these images"),
    "mixup": ({"kd": {"teacher": "tutor", "unlabelled": "extra", "recipe": {"mixup": 0.2}}},
              "mixup and cutmix mix the labels"),
    "dkd": ({"kd": {"teacher": "tutor", "unlabelled": "extra", "loss": "dkd"}}, "DKD tells"),
    "crd": ({"kd": {"teacher": "tutor", "unlabelled": "extra", "loss": "crd"}}, "CRD contrasts"),
    "adaptive": ({"kd": {"teacher": "tutor", "unlabelled": "extra",
                         "distill_until": {"adaptive": "gradients"}}}, "those of labels"),
    "cross-fitted": ({"kd": {"teacher": "parts", "unlabelled": "extra"}},
                     "speaks on one part of all training images"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_does_not_go_together_is_refused(case):
    conditions, message = BAD[case]
    teachers = {"tutor": {"model": "plain-8-8"}, "parts": {"of": "tutor", "cross_fit": 2}}
    with pytest.raises(UserError, match=f"(?s){message}"):
        study(conditions, teachers=teachers).plan()


def test_teachers_and_extra_images_that_are_none_are_refused(tmp_path):
    crossed = {"tutor": HALF | {"model": "plain-8-8"}, "it": {"of": "tutor", "cross_fit": 2}}
    with pytest.raises(UserError, match="not trained on all training images alone"):
        study(teachers=crossed).plan()
    varied = {"tutor": {"model": "plain-8-8"},
              "it": {"of": "tutor", "stop": {"truncated": 1}, "images": "half-a"}}  # fmt: skip
    with pytest.raises(UserError, match="images has no effect"):
        study(teachers=varied).plan()
    data = {"source": "digits", "train": 201, "validation": 100, "test": 200}
    with pytest.raises(UserError, match="there are no extra images"):
        study(data=data).plan()
    few = data | {"unlabelled": 4}
    with pytest.raises(UserError, match="4 images without labels beside 101 with are too few"):
        study(data=few).run(tmp_path / "s", workers=0, device="cpu")


@pytest.mark.parametrize("loss", ["mse", "dist", "at", "sp", "rkd", "fitnets"])
def test_losses_without_labels_take_images_without(tmp_path, loss):
    conditions = {"it": HALF | {"teacher": "tutor", "unlabelled": "half-b", "loss": loss}}
    data = {"source": "digits", "train": 80, "validation": 40, "test": 40}
    result = study(
        conditions, data=data, student={"model": "wrn-10-0.25"},
        teachers={"tutor": HALF | {"model": "wrn-10-0.5"}},
        recipe={"epochs": 1, "batch_size": 20, "optimizer": {"sgd": {"lr": 0.01}}},
        replicates={"count": 1, "students": 1},
    ).run(tmp_path / "s", workers=0, device="cpu")  # fmt: skip
    assert not result.failures
    assert {row["status"] for row in result.runs} == {"done"}


def test_the_control_sees_what_all_its_students_see():
    from tutelage.config.expand import expand

    for conditions, images in (
        ({"kd": CONDITIONS["own"], "hidden": CONDITIONS["hidden"]}, "half-a"),
        ({"kd": CONDITIONS["own"], "other": CONDITIONS["other"]}, None),
    ):
        data = {"source": "digits", "train": 201}
        found = expand(study(conditions, data=data).config).conditions["scratch"]
        assert found.images == images
