"""Sources: digits, and which folders and images are refused with which words."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from tutelage import data
from tutelage.config.schema import DataConfig
from tutelage.data import SOURCES, load_source
from tutelage.errors import UserError


def folder_config(path: Path | str | None, size: int | None = None) -> DataConfig:
    return DataConfig(source="image-folder", path=None if path is None else str(path), size=size)


def test_digits_are_scaled_from_16_grey_values_to_255(cache):
    source = load_source(DataConfig(source="digits"), cache)
    assert source.images.shape == (1797, 8, 8, 1)
    assert source.images.dtype == np.uint8
    assert source.labels.dtype == np.int64
    assert source.test_images is None
    assert source.test_labels is None
    assert source.class_names == tuple("0123456789")
    grey, labels = load_digits(return_X_y=True)
    table = [round(p * 255 / 16) for p in range(17)]
    assert table[8] == 128
    assert table[16] == 255
    expected = np.array(table)[grey.astype(int)].reshape(-1, 8, 8, 1)
    np.testing.assert_array_equal(source.images, expected)
    np.testing.assert_array_equal(source.labels, labels)


@pytest.mark.parametrize(("key", "value"), [("path", "/tmp"), ("size", 8)])
def test_digits_take_neither_path_nor_size(cache, key, value):
    with pytest.raises(UserError) as caught:
        load_source(DataConfig(source="digits", **{key: value}), cache)
    assert caught.value.where == f"data.{key}"


def test_an_unknown_source_names_the_nearest(cache):
    with pytest.raises(UserError, match="Did you mean 'image-folder'") as caught:
        load_source(DataConfig(source="imagefolder"), cache)
    assert caught.value.where == "data.source"
    assert set(SOURCES) == {"digits", "image-folder"}


def test_sources_and_worlds_need_no_torch():
    code = (
        "import sys; import tutelage.data, tutelage.data.sources, tutelage.data.world;"
        "assert 'torch' not in sys.modules, 'torch is imported';"
        "assert 'sklearn' not in sys.modules, 'scikit-learn is imported'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_public_name_exists():
    assert all(getattr(data, name) is not None for name in data.__all__)
    with pytest.raises(AttributeError, match="nothing"):
        _ = data.nothing


def test_a_folder_is_read_in_sorted_order(cache, folder, write_image):
    (folder / "train" / "cat" / "notes.txt").write_text("no image")
    (folder / "train" / "cat" / "._0.png").write_text("a hidden file is no image")
    (folder / "train" / ".hidden").mkdir()
    write_image(folder / "train" / "dog" / "10.PNG", seed=99)
    source = load_source(folder_config(folder), cache)
    assert source.class_names == ("cat", "dog")
    assert source.labels.tolist() == [0] * 6 + [1] * 5
    assert source.test_labels is not None
    assert source.test_labels.tolist() == [0] * 3 + [1] * 3
    files = [f"cat/{n}.png" for n in range(6)] + [
        f"dog/{n}" for n in ("0.png", "1.png", "10.PNG", "2.png", "3.png")
    ]
    for pixels, file in zip(source.images, files, strict=True):
        np.testing.assert_array_equal(pixels, np.asarray(Image.open(folder / "train" / file)))


def test_a_folder_without_test_has_none(cache, folder):
    os.rename(folder / "test", folder / "other")
    source = load_source(folder_config(folder), cache)
    assert source.test_images is None
    assert source.test_labels is None


def test_home_is_understood(cache, folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder.parent))
    assert len(load_source(folder_config(f"~/{folder.name}"), cache).images) == 10


@pytest.mark.parametrize("path", [None, ""])
def test_a_path_is_needed(cache, path):
    with pytest.raises(UserError, match="--data PATH") as caught:
        load_source(folder_config(path), cache)
    assert caught.value.where == "data.path"


@pytest.mark.parametrize("name", ["nowhere", "x" * 5000, "zero\0byte"])
def test_a_missing_folder_is_named(cache, tmp_path, name):
    with pytest.raises(UserError, match="no such folder") as caught:
        load_source(folder_config(tmp_path / name), cache)
    assert caught.value.where == str(tmp_path / name)


def test_a_file_is_no_folder(cache, folder):
    with pytest.raises(UserError, match="not a folder"):
        load_source(folder_config(folder / "train" / "cat" / "0.png"), cache)


def test_the_layout_is_explained(cache, folder):
    with pytest.raises(UserError, match="train/<class>/<image>"):
        load_source(folder_config(folder / "train"), cache)


def test_no_class_folders(cache, tmp_path, write_image):
    write_image(tmp_path / "train" / "0.png")
    with pytest.raises(UserError, match="no class folders") as caught:
        load_source(folder_config(tmp_path), cache)
    assert caught.value.where == str(tmp_path / "train")


@pytest.mark.parametrize("split", ["train", "test"])
def test_an_empty_class(cache, folder, split):
    empty = folder / split / "dog"
    for file in empty.iterdir():
        file.unlink()
    (empty / "readme.md").write_text("")
    with pytest.raises(UserError, match="'dog' has no images") as caught:
        load_source(folder_config(folder), cache)
    assert caught.value.where == str(empty)


def test_one_class_is_too_few(cache, tmp_path, write_image):
    write_image(tmp_path / "train" / "cat" / "0.png")
    with pytest.raises(UserError, match="only one class"):
        load_source(folder_config(tmp_path), cache)


def test_a_class_only_in_test(cache, folder, write_image):
    write_image(folder / "test" / "emu" / "0.png")
    with pytest.raises(UserError, match="'emu' is in test/ but not in train/"):
        load_source(folder_config(folder), cache)


def test_a_class_only_in_train(cache, folder, write_image):
    write_image(folder / "train" / "emu" / "0.png")
    with pytest.raises(UserError, match="'emu' is in train/ but not in test/"):
        load_source(folder_config(folder), cache)


def test_train_and_test_of_different_size(cache, folder, write_image):
    for file in (folder / "test").glob("*/*.png"):
        write_image(file, width=6, height=6)
    with pytest.raises(UserError, match=r"(?s)side of 6 pixels.*data\.size") as caught:
        load_source(folder_config(folder), cache)
    assert caught.value.where == str(folder / "test")
    source = load_source(folder_config(folder, size=4), cache)
    assert source.test_images is not None
    assert source.images.shape[1:] == source.test_images.shape[1:] == (4, 4, 3)
