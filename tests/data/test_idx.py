"""idx files: names, gzip, and files that are not what their header says."""

from __future__ import annotations

import gzip
import os
import struct
import tracemalloc

import numpy as np
import pytest
from written_formats import idx_bytes, make_arrays, write_idx

from tutelage.config.schema import DataConfig
from tutelage.data import load_source
from tutelage.errors import UserError

IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


def load(path, cache, source="files"):
    return load_source(DataConfig(source=source, path=str(path)), cache)


def refused(path, cache, words, where):
    with pytest.raises(UserError, match=words) as caught:
        load(path, cache)
    assert caught.value.where == str(where)


@pytest.fixture
def arrays():
    return make_arrays(classes=3, shape=(9, 7, 1))


@pytest.fixture
def root(tmp_path, arrays):
    return write_idx(tmp_path / "idx", arrays)


def test_images_need_not_be_square_nor_have_a_test_set(cache, root, arrays):
    assert load(root, cache).images.shape == (18, 9, 7, 1)
    for path in root.glob("t10k*"):
        path.unlink()
    source = load(root, cache)
    assert source.test_images is None
    assert source.class_names == ("0", "1", "2")
    counts = {pixels.tobytes() for pixels in source.images}
    assert counts == {pixels.tobytes() for pixels in arrays.train}


def test_gzip_is_told_by_the_content(cache, root):
    before = load(root, cache).images
    (root / IMAGES).write_bytes(gzip.compress((root / IMAGES).read_bytes()))
    os.rename(root / LABELS, root / f"{LABELS}.gz")
    np.testing.assert_array_equal(load(root, cache).images, before)


def test_what_was_unzipped_is_taken_first(cache, root):
    (root / f"{IMAGES}.gz").write_bytes(b"left over")
    assert len(load(root, cache).images) == 18


@pytest.mark.parametrize(
    "name", [IMAGES, LABELS, "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"]
)
def test_a_missing_file_is_named(cache, root, name):
    (root / name).unlink()
    refused(root, cache, r"this file is missing.\n.*\.gz", root / name)


def test_a_file_in_two_spellings(cache, root):
    twice = root / "train-images.idx3-ubyte"
    twice.write_bytes((root / IMAGES).read_bytes())
    refused(root, cache, f"train images are here twice: {IMAGES} and {twice.name}", root)


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: b"", "starts with nothing, not 00 00 08 03"),
        (lambda data: data[:10], "starts with 00 00 08 03"),
        (lambda data: b"\x00\x00\x0d\x03" + data[4:], "starts with 00 00 0d 03"),
        (lambda data: b"\x00\x00\x08\x01" + data[4:], "starts with 00 00 08 01"),
        (lambda data: b"PNG!" + data, "starts with 50 4e 47 21"),
        (lambda data: data[:-1], "cut off: its header promises 1134 bytes of data"),
        (lambda data: data[:16], "cut off"),
        (lambda data: data + b"\x00", "goes on after the 1134 bytes"),
        (lambda data: data[:4] + bytes(4) + data[8:], "a length is 0"),
        (lambda data: data[:4] + b"\xff" * 12 + data[16:], "cut off"),
    ],
)
def test_damaged_images(cache, root, change, words, zipped):
    data = change((root / IMAGES).read_bytes())
    (root / IMAGES).write_bytes(gzip.compress(data) if zipped else data)
    refused(root, cache, words, root / IMAGES)


@pytest.mark.parametrize("keep", [2, 12, -20, -8, -1])
def test_a_cut_gzip_file(cache, root, keep):
    data = gzip.compress((root / IMAGES).read_bytes())
    (root / IMAGES).write_bytes(data[:keep])
    refused(root, cache, "gzip file is damaged or cut off", root / IMAGES)


def test_a_gzip_file_with_a_changed_byte(cache, root):
    data = bytearray(gzip.compress((root / IMAGES).read_bytes(), 0))
    data[-100] ^= 1
    (root / IMAGES).write_bytes(data)
    refused(root, cache, "gzip file is damaged .*CRC", root / IMAGES)


def test_a_gzip_bomb_is_not_inflated(cache, root):
    bomb = idx_bytes(np.zeros((18, 9, 7))) + bytes(300_000_000)
    (root / IMAGES).write_bytes(gzip.compress(bomb, 1))
    claims = bytes([0, 0, 8, 3]) + struct.pack(">3I", 2**31, 2**10, 2**10)
    del bomb
    tracemalloc.start()
    try:
        refused(root, cache, "goes on after", root / IMAGES)
        (root / IMAGES).write_bytes(gzip.compress(claims))
        refused(root, cache, "cut off", root / IMAGES)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


def test_labels_of_another_count(cache, root):
    (root / LABELS).write_bytes(idx_bytes(np.zeros(17)))
    refused(root, cache, "there are 17 labels for 18 images", root / LABELS)


def test_labels_from_1(cache, root, arrays):
    (root / LABELS).write_bytes(idx_bytes(arrays.train_labels + 1))
    refused(root, cache, r"labels start at 1.\n.*subtract 1", root)


def test_a_class_only_in_test(cache, root, arrays):
    (root / "t10k-labels-idx1-ubyte").write_bytes(idx_bytes(arrays.test_labels + 1))
    refused(root, cache, "class 3 has test images but no training image", root)


def test_one_class_is_too_few(cache, root, arrays):
    for name, labels in ((LABELS, arrays.train_labels), ("t10k-labels-idx1-ubyte", [0] * 6)):
        (root / name).write_bytes(idx_bytes(np.zeros(len(labels))))
    refused(root, cache, "only one class", root)


def test_train_and_test_of_different_size(cache, root):
    (root / "t10k-images-idx3-ubyte").write_bytes(idx_bytes(np.zeros((6, 7, 9))))
    words = "images of test are 7x9x1, those of train 9x7x1"
    refused(root, cache, words, root / "t10k-images-idx3-ubyte")


def test_images_too_large_to_keep_their_size(cache, root):
    (root / IMAGES).write_bytes(idx_bytes(np.zeros((18, 4, 513))))
    (root / "t10k-images-idx3-ubyte").write_bytes(idx_bytes(np.zeros((6, 4, 513))))
    refused(root, cache, "(?s)513x4 pixels is too large.*data.size", root)
    asked = DataConfig(source="files", path=str(root), size=4, fit="stretch")
    assert load_source(asked, cache).images.shape == (18, 4, 4, 1)


def test_other_images_are_not_mnist(cache, root):
    with pytest.raises(UserError, match="not mnist: its images are 9x7 with 1 channel in 3"):
        load(root, cache, "mnist")
