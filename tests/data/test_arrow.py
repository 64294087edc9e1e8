"""Parquet files and what Hugging Face's datasets saves: what is read, and each mistake."""

from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet
from written_formats import CIFAR10, make_arrays, to_datasets, write_parquet, write_saved

from tutelage.config.schema import DataConfig
from tutelage.data import load_source
from tutelage.data.formats.found import ImageSet, Options
from tutelage.data.formats.recognise import recognise
from tutelage.data.from_dataset import write_npz
from tutelage.errors import UserError


def png(value: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((8, 8, 3), (value, 9, 7), np.uint8)).save(file, "PNG")
    return file.getvalue()


def write(file: Path, classes: list[str] | None = None, **columns: list) -> Path:
    table = pa.table(columns)
    if classes is not None:
        features = {"label": {"_type": "ClassLabel", "names": classes}}
        noted = json.dumps({"info": {"features": features}})
        table = table.replace_schema_metadata({"huggingface": noted})
    file.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(table, file)
    return file


def read(place: Path) -> ImageSet:
    return recognise(str(place)).list_files(Options()).read()


def reds(part) -> list[int]:
    return part.images[:, 0, 0, 0].tolist()


def test_bytes_are_images_and_a_class_label_gives_names_in_its_order(tmp_path):
    rows = [{"bytes": png(value), "path": None} for value in (5, 6, 7)]
    data = read(write(tmp_path / "a.parquet", ["dog", "cat"], image=rows, label=[1, 0, 1]))
    assert data.class_names == ("dog", "cat")
    assert (reds(data.train), data.train.labels.tolist()) == ([5, 6, 7], [1, 0, 1])
    assert data.test is None


def test_words_are_classes_in_the_order_of_folders_and_a_column_names_the_split(tmp_path):
    file = write(tmp_path / "a.parquet", picture=[png(5), png(6), png(7), png(8)],
                 label=["b", "a", "a", "b"], split=["train", "Test", "train", "test"])  # fmt: skip
    data = read(file)
    assert data.class_names == ("a", "b")
    assert (reds(data.train), data.train.labels.tolist()) == ([5, 7], [1, 0])
    assert data.test is not None
    assert (reds(data.test), data.test.labels.tolist()) == ([6, 8], [0, 1])


def test_paths_are_files_beside_the_table_and_decide_what_is_kept(tmp_path):
    for value in (5, 6):
        (tmp_path / f"{value}.png").write_bytes(png(value))
    file = write(tmp_path / "a.parquet", path=["6.png", str(tmp_path / "5.png")], label=[10, 9])
    listed = recognise(str(file)).list_files(Options())
    assert listed.files == ("a.parquet", "6.png", "5.png")
    data = listed.read()
    assert (data.class_names, reds(data.train)) == (("9", "10"), [6, 5])
    assert data.train.labels.tolist() == [1, 0]


@pytest.mark.parametrize(
    "layout", ["{}-00000-of-00001.parquet", "data/{}-0.parquet", "{}/0.parquet"]
)
def test_splits_are_told_by_names(tmp_path, layout):
    for split, value in (("train", 5), ("validation", 6), ("test", 7)):
        images = [png(value), png(value)]
        write(tmp_path / f"{layout.format(split)}.parquet", image=images, label=["a", "b"])
    data = read(tmp_path)
    assert sorted(reds(data.train)) == [5, 5, 6, 6]  # validation joins train where there is a test
    assert data.test is not None
    assert reds(data.test) == [7, 7]


def test_of_two_configurations_one_has_to_be_named(tmp_path):
    for name in ("plain", "other"):
        write(tmp_path / name / "train-0.parquet", image=[png(5), png(6)], label=["a", "b"])
    with pytest.raises(UserError, match=r"Parquet files in other, plain.\n.*--data .*other"):
        read(tmp_path)
    assert reds(read(tmp_path / "plain").train) == [5, 6]


def test_files_of_numbers_are_all_train(tmp_path):
    for shard in (0, 1):
        write(tmp_path / f"000{shard}.parquet", image=[png(shard), png(9)], label=["a", "b"])
    data = read(tmp_path)
    assert (reds(data.train), data.test) == ([0, 9, 1, 9], None)


GOOD = {"image": [png(1), png(2)], "label": ["a", "b"]}


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"image": GOOD["image"]}, "no column is the label; the columns are image"),
        ({"label": GOOD["label"]}, "no column of images or paths; the columns are label"),
        ({**GOOD, "other": GOOD["image"]}, "more than one column of images"),
        ({**GOOD, "label": [0, -1]}, "row 1.*no label \\(-1\\).*\n.*Leave out"),
        ({**GOOD, "label": ["a", None]}, "row 1.*no label"),
        (
            {**GOOD, "image": [b"no image", png(1)]},
            "row 0: .* \\(its format is not known",
        ),
        ({**GOOD, "image": [None, png(1)]}, "row 0.*there is no image"),
        ({**GOOD, "split": ["train", "dev"]}, "row 1, column 'split'.*'dev' is no split"),
        ({**GOOD, "split": ["test", "test"]}, "no row is a training image"),
        ({"path": ["none.png"], "label": ["a"]}, "row 0.*there is no file none.png"),
    ],
)
def test_each_mistake_is_one_message_with_its_row(tmp_path, columns, message):
    with pytest.raises(UserError) as caught:
        read(write(tmp_path / "a.parquet", **columns))
    assert re.search(message, str(caught.value)), str(caught.value)


def test_a_number_beyond_the_classes_is_told(tmp_path):
    file = write(tmp_path / "a.parquet", ["a", "b"], image=GOOD["image"], label=[0, 2])
    with pytest.raises(UserError, match="row 1: the label is 2; there are 2 classes"):
        read(file)


def test_files_that_cannot_be_read_or_do_not_fit_are_named(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"no table")
    with pytest.raises(UserError, match=r"a.parquet: this cannot be read"):
        read(tmp_path / "a.parquet")
    write(tmp_path / "b" / "train-0.parquet", ["a", "b"], image=GOOD["image"], label=[0, 1])
    write(tmp_path / "b" / "test-0.parquet", ["a", "c"], image=GOOD["image"], label=[0, 1])
    with pytest.raises(UserError, match=r"its classes are not those of the files before it"):
        read(tmp_path / "b")
    write(tmp_path / "b" / "extra-0.parquet", image=GOOD["image"], label=[0, 1])
    with pytest.raises(UserError, match=r"extra-0.parquet: 'extra' is no split"):
        read(tmp_path / "b")


def test_a_saved_folder_that_lacks_its_files_is_one_message(tmp_path):
    arrays = make_arrays(classes=10, each=2, test_each=1)
    folder = write_saved(tmp_path / "saved", arrays, CIFAR10)
    (folder / "test" / "state.json").unlink()
    with pytest.raises(UserError, match=r"state.json: there is no such file"):
        read(folder)
    (folder / "test" / "state.json").write_text("[]")
    with pytest.raises(UserError, match="not hold what save_to_disk writes"):
        read(folder)


def test_without_pyarrow_it_says_what_to_install(tmp_path, monkeypatch):
    file = write(tmp_path / "a.parquet", **GOOD)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UserError, match=r"pip install 'tutelage\[tables\]'"):
        read(file)


def test_objects_of_hugging_face_are_the_same_data_as_their_files(tmp_path, cache):
    arrays = make_arrays(classes=10, each=2, test_each=1)
    found = to_datasets(arrays, CIFAR10)
    written = write_npz(tmp_path / "a.npz", found)
    assert np.load(written)["class_names"].tolist() == list(CIFAR10)
    pair = write_npz(tmp_path / "b.npz", found["train"], found["test"])
    assert pair.read_bytes() == written.read_bytes()
    places = (written, write_parquet(tmp_path / "p", arrays, CIFAR10))
    one, other = (load_source(DataConfig(source="files", path=str(p)), cache) for p in places)
    assert one.class_names == other.class_names
    np.testing.assert_array_equal(one.images, other.images)
    np.testing.assert_array_equal(one.test_images, other.test_images)
    np.testing.assert_array_equal(one.test_labels, other.test_labels)


def test_splits_of_a_dataset_dict_are_joined_as_those_of_folders(tmp_path):
    arrays = make_arrays(classes=10, each=2, test_each=1)
    found = to_datasets(arrays, CIFAR10)
    found["validation"] = found["test"]
    assert len(np.load(write_npz(tmp_path / "a.npz", found))["train_images"]) == 30
    del found["test"]
    with np.load(write_npz(tmp_path / "b.npz", found)) as both:
        assert (len(both["train_images"]), len(both["test_images"])) == (20, 10)
    with pytest.raises(UserError, match="has splits, and there is a second one"):
        write_npz(tmp_path / "c.npz", found, found["train"])
    del found["train"]
    with pytest.raises(UserError, match="no split train, but validation"):
        write_npz(tmp_path / "c.npz", found)


def test_a_dataset_with_two_columns_of_labels_needs_one_to_be_named(tmp_path):
    arrays = make_arrays(classes=10, each=2, test_each=1)
    train = to_datasets(arrays, CIFAR10)["train"]
    two = train.rename_column("label", "kind").add_column("other", train["label"])
    two = two.cast_column("other", train.features["label"])
    with pytest.raises(UserError, match="the columns are image, kind, other"):
        write_npz(tmp_path / "a.npz", two)
