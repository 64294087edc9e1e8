"""CSV files of paths and labels: what is read, and one message for each mistake."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tutelage.data.formats.found import Options
from tutelage.data.formats.recognise import recognise
from tutelage.errors import UserError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for index in range(4):
        Image.fromarray(np.full((8, 8, 3), (index, 9, 7), np.uint8)).save(tmp_path / f"{index}.png")
    return tmp_path


def read(folder: Path, text: str):
    (folder / "labels.csv").write_text(text)
    return recognise(str(folder / "labels.csv")).list_files(Options()).read()


def test_rows_are_images_with_the_labels_and_splits_they_name(folder: Path) -> None:
    text = "split,path,label\ntrain,2.png,dog\nTest,1.png,cat\ntrain,0.png,cat\nval,3.png,dog\n"
    data = read(folder, text)
    assert data.class_names == ("cat", "dog")
    assert data.train.images[:, 0, 0, 0].tolist() == [2, 0, 3]
    assert data.train.labels.tolist() == [1, 0, 1]
    assert data.test is not None
    assert data.test.images[:, 0, 0, 0].tolist() == [1]


def test_whole_numbers_are_ordered_by_value_and_paths_may_be_absolute(folder: Path) -> None:
    data = read(folder, f"path,label\n{folder / '3.png'},10\n1.png,9\n")
    assert data.class_names == ("9", "10")
    assert data.train.labels.tolist() == [1, 0]
    assert data.test is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1.*no column 'path'"),
        ("path,class\n0.png,a\n", "line 1.*no column 'label'; the columns are path, class"),
        ("path,label\n0.png,a\n9.png,b\n", "line 3.*no file 9.png"),
        ("path,label\n0.png,\n", "line 2.*nothing in column 'label'"),
        ("path,label,split\n0.png,a,dev\n", "line 2, column 'split'.*'dev' is no split"),
        ("path,label\na,0.png,a\n", "line 2.*more values than columns"),
        ("path,label,split\n0.png,a,test\n", "no row is a training image"),
    ],
)
def test_each_mistake_is_one_message_with_its_line(folder: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read(folder, text)
