"""A teacher of whom only a file of logits is there: it teaches what the network itself would."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import tutelage as tt
from tutelage.data.prepare import pixel_marks
from tutelage.data.stream import normalise
from tutelage.errors import UserError
from tutelage.models.logged import LoggedLogits, read_logits
from tutelage.study.execute import _load

DIGITS = {"source": "digits", "train": 120, "validation": 60, "views": "none"}


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def study(model, views="none", **condition):
    return tt.Study(
        name="logits",
        data=DIGITS | {"views": views},
        recipe={"epochs": 2, "batch_size": 20, "optimizer": {"sgd": {"lr": 0.05}}},
        student={"model": "plain-4-4"},
        teachers={"given": {"model": model}},
        conditions={"scratch": {}, "kd": {"teacher": "given", **condition}},
        replicates={"count": 2, "students": 1},
    )


def students(result, condition="kd"):
    return [run["digest"] for run in result.runs
            if run["role"] == "student" and run["condition"] == condition]  # fmt: skip


def said_by(result, replicate, images):
    """The logits of the study's teacher on images uint8 [N, H, W, C]."""
    context = result.context
    world = context.world(replicate)
    network = context.resolve(context.expanded.teachers["given"].reference, replicate)
    model = _load(context, network.model, network.weights, world).eval()
    with torch.no_grad():
        return model(normalise(torch.from_numpy(images.copy()), world.mean, world.std)).numpy()


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    """A study with a network as its teacher, and what that says of all digits in replicate 0."""
    torch.set_num_threads(1)
    result = study("plain-8-8").run(tmp_path_factory.mktemp("live"), workers=0)
    images = tt.images_in_order(source="digits")["train"]
    return result, images, said_by(result, 0, images)


def write(folder: Path, **arrays) -> str:
    np.savez(folder / "teacher.npz", **arrays)
    return f"logits@{folder / 'teacher.npz'}"


def test_the_digits_are_those_of_scikit_learn_in_their_order(live):
    from sklearn.datasets import load_digits

    grey = load_digits().images
    np.testing.assert_array_equal(live[1][..., 0], np.rint(grey * 255 / 16).astype(np.uint8))


def test_a_file_teaches_the_same_student_as_the_network_that_it_is_of(live, tmp_path):
    result, _, logits = live
    given = study(write(tmp_path, train=logits)).run(tmp_path / "store", workers=0)
    assert students(given)[0] == students(result)[0]
    assert students(given, "scratch") == students(result, "scratch")
    rows = [next(r for r in each.runs if r["role"] == "teacher") for each in (given, result)]
    assert rows[0]["test_error"] == rows[1]["test_error"]
    assert rows[0]["val_error"] == rows[1]["val_error"]


def test_rows_in_another_order_are_another_teacher(live, tmp_path):
    result, _, logits = live
    given = study(write(tmp_path, train=logits[::-1])).run(tmp_path / "store", workers=0)
    assert students(given)[0] != students(result)[0]


def test_a_content_is_one_teacher_wherever_it_lies(live, tmp_path):
    logits = live[2]
    (tmp_path / "a").mkdir()
    first = study(write(tmp_path, train=logits)).run(tmp_path / "store", workers=0)
    again = study(write(tmp_path / "a", train=logits)).run(tmp_path / "store", workers=0)
    assert students(first) == students(again)
    assert first.context.run(first.context.node("r0/kd/s0")).id == (
        again.context.run(again.context.node("r0/kd/s0")).id
    )


def test_views_change_nothing_of_what_is_said(live, tmp_path):
    """The student sees moved images; what it hears is of the images as they are."""
    _, _, logits = live
    model = write(tmp_path, train=logits)
    result = study(model, views="shift-1").run(tmp_path / "store", workers=2)
    assert all(run["status"] == "done" for run in result.runs)
    from tutelage.data.stream import Batch
    from tutelage.study.signals import Listener

    context, node = result.context, result.context.node("r0/kd/s0")
    world, teacher = context.world(0), context.expanded.teachers["given"]
    resolved = context.resolve(teacher.reference, 0)
    listener = Listener(context, node, world, lambda n: _load(context, n.model, n.weights, world))
    (signal,) = listener.signals(teacher.reference, resolved).values()
    index = torch.tensor([5, 0, 7])
    images = torch.zeros(3, 1, 8, 8)
    batch = Batch(index, torch.tensor([3, 8, 1]), images.byte(), images, torch.zeros(3).long())
    images = tt.images_in_order(source="digits")["train"]
    rows = {mark.tobytes(): row for row, mark in enumerate(pixel_marks(images))}
    wanted = [rows[mark.tobytes()] for mark in pixel_marks(world.train.images[index.numpy()])]
    half = torch.from_numpy(logits[wanted]).half().float()
    assert torch.equal(signal(batch), half)


def test_images_of_a_folder_come_by_class_and_path_and_test_apart(tmp_path):
    from PIL import Image

    for number, name in enumerate(["test/b/0", "test/a/1", "train/b/2", "train/a/4", "train/a/3"]):
        file = tmp_path / "photos" / f"{name}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8, 3), 10 * number, np.uint8)).save(file)
    found = tt.images_in_order(str(tmp_path / "photos"), size=4)
    assert {name: each[:, 0, 0, 0].tolist() for name, each in found.items()} == {
        "train": [40, 30, 20],  # a/3, a/4, b/2
        "test": [10, 0],
    }
    assert found["train"].shape == (3, 4, 4, 3)


def test_a_scaled_file_and_an_order_of_classes_work(live, tmp_path):
    _, _, logits = live
    np.savez(tmp_path / "t.npz", train=logits[:, ::-1])
    order = list(range(9, -1, -1))
    config = study(f"logits@{tmp_path / 't.npz'}").config
    model = {"name": "logits", "weights": str(tmp_path / "t.npz"), "class_order": order}
    teachers = {"given": {"model": model}, "soft": {"of": "given", "scale": "calibrated"}}
    parts = config.model_dump(mode="json", exclude_none=True) | {
        "teachers": teachers, "conditions": {"kd": {"teacher": ["given", "soft"]}},
    }  # fmt: skip
    result = tt.Study(**parts).run(tmp_path / "store", workers=0)
    assert students(result, "kd/given")[0] == students(live[0])[0]
    assert students(result, "kd/soft")[0] != students(live[0])[0]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, "has no array 'train', and the data has 1,797 such images"),
        ({"train": np.zeros((3, 10))}, "these are 3 x 10 of float64; wanted are 1,797 x 10"),
        ({"train": np.zeros((1797, 9))}, "these are 1797 x 9 of float64; wanted are 1,797 x 10"),
        ({"train": np.full((1797, 10), "a")}, "wanted are 1,797 x 10 numbers"),
        ({"train": np.eye(1797, 10), "test": np.zeros((2, 10))}, "has an array 'test'; the"),
        ({"train": np.where(np.arange(17970).reshape(1797, 10) == 25, np.nan, 0.0)},
         "train, row 2: not all are finite"),
        ({"train": np.where(np.arange(17970).reshape(1797, 10) == 25, 1e39, 0.0)},
         "train, row 2: not all are finite numbers of fp32"),
    ],
)  # fmt: skip
def test_a_file_that_does_not_fit_is_one_message(tmp_path, arrays, message):
    with pytest.raises(UserError, match=message) as caught:
        study(write(tmp_path, **arrays)).prepare(tmp_path / "store")
    assert "the model of given" in str(caught.value)
    assert "teacher.npz" in str(caught.value)


def test_what_is_no_archive_is_told(tmp_path):
    (tmp_path / "t.npz").write_bytes(b"nothing")
    for name, message in (("t.npz", "cannot be read as logits"), ("none.npz", "no such file")):
        with pytest.raises(UserError, match=message):
            study(f"logits@{tmp_path / name}").prepare(tmp_path / "store")


@pytest.mark.parametrize(
    ("teacher", "condition", "message"),
    [
        ({"model": "logits"}, {}, "logits needs the file that holds them"),
        ({"model": "logits@t.npz", "fine_tune": True}, {}, "cannot be trained"),
        ({"model": "logits@t.npz", "stop": "best_validation"}, {}, "stop has no effect"),
        ({"model": {"name": "logits", "weights": "t.npz", "size": 8}}, {}, "size has no effect"),
        ({"model": "logits@t.npz"}, {"loss": "at"}, "given is a file of logits, and has no feat"),
        ({"model": "logits@t.npz"}, {"recipe": {"mixup": 0.2}}, "says nothing of mixed images"),
        ({"model": "logits@t.npz"}, {"student": {"model": "logits@t.npz"}}, "cannot learn"),
    ],
)
def test_what_only_a_network_can_do_is_refused(teacher, condition, message):
    parts = study("plain-8-8").config.model_dump(mode="json", exclude_none=True)
    parts["conditions"]["kd"] = {"teacher": "given", **condition}
    with pytest.raises(UserError, match=message):
        tt.Study(**parts | {"teachers": {"given": teacher}}).prepare()


def test_images_from_elsewhere_are_refused_and_those_of_the_source_are_not(live, tmp_path):
    parts = study(write(tmp_path, train=live[2])).config.model_dump(mode="json", exclude_none=True)
    parts["conditions"]["kd"]["unlabelled"] = "extra"
    parts["data"]["unlabelled"] = str(tmp_path)
    with pytest.raises(UserError, match="says nothing of images from elsewhere"):
        tt.Study(**parts).prepare(tmp_path / "store")
    parts["data"]["unlabelled"] = 60
    result = tt.Study(**parts).run(tmp_path / "store", workers=0)
    assert all(run["status"] == "done" for run in result.runs)


def test_doctor_tells_rows_in_a_wrong_order(tmp_path):
    from sklearn.datasets import load_digits

    from tutelage.distilling import distillation
    from tutelage.store import Store
    from tutelage.study.context import Context
    from tutelage.study.examine import examine_pair

    right = 5.0 * np.eye(10)[load_digits().target]
    mixed = np.random.default_rng(0).permutation(right)
    for name, logits, well in (("right", right, True), ("mixed", mixed, False)):
        np.savez(tmp_path / f"{name}.npz", train=logits)
        config = distillation(
            "plain-4-4", f"logits@{tmp_path / name}.npz", source="digits", epochs=2
        )
        context = Context.create(Store.open(tmp_path / name), config, "cpu")
        found = list(examine_pair(context))
        assert found[-1].well is well
        assert ("order of the files" in found[-1].fix) or well


def test_equal_images_get_the_mean_of_what_is_said_of_them(tmp_path):
    images = np.array([[7], [9], [7], [7]], np.uint8).reshape(4, 1, 1, 1)
    np.savez(tmp_path / "t.npz", train=[[1.0, 0], [5, 5], [2, 0]], test=[[6.0, 3]])
    given = {"train": images[:3], "test": images[3:]}
    table = LoggedLogits(2)
    state = read_logits(tmp_path / "t.npz", 2, lambda: given)
    table.load_state_dict({name: torch.from_numpy(array) for name, array in state.items()})
    seen = torch.from_numpy(images[:2]).permute(0, 3, 1, 2) / 255
    assert table(seen).tolist() == [[3.0, 1.0], [5.0, 5.0]]


def test_an_image_of_which_nothing_was_said_is_no_zero():
    table = LoggedLogits(3)
    assert table(torch.rand(2, 1, 2, 2)).tolist() == [[0, 0, 0], [0, 0, 0]]  # as it is built
    images = np.arange(8, dtype=np.uint8).reshape(2, 2, 2, 1)
    logits = torch.tensor([[1.0, 2, 3], [4, 5, 6]])
    state = {"factor": torch.ones(()), "keys": torch.from_numpy(pixel_marks(images).copy()),
             "logits": logits}  # fmt: skip
    table.load_state_dict(state)
    seen = torch.from_numpy(images).permute(0, 3, 1, 2) / 255
    assert torch.equal(table(seen.flip(0)), logits.flip(0))
    with pytest.raises(UserError, match="nothing is said there of an image"):
        table(seen + 0.1)
