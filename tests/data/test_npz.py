"""NumPy archives: names, shapes and types that are read, and what is told of all others."""

from __future__ import annotations

import io
import os
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest
from written_formats import make_arrays, write_npz

from tutelage.config.schema import DataConfig
from tutelage.data import load_source
from tutelage.errors import UserError

LABELS = np.array([0, 1, 2] * 4)


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (12, 6, 8, 3), dtype=np.uint8)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.npz"


def load(path, cache, **options):
    return load_source(DataConfig(source="files", path=str(path), **options), cache)


def refused(path, cache, words, key=None, fix=None):
    with pytest.raises(UserError, match=words) as caught:
        load(path, cache)
    assert caught.value.where == (f"{path}, {key}" if key else str(path))
    if fix:
        assert fix in str(caught.value.fix)


@pytest.mark.parametrize(
    ("x", "y"),
    [("images", "labels"), ("x", "y"), ("x_train", "y_train"), ("train_images", "train_labels")],
)
def test_the_known_names(cache, path, images, x, y):
    np.savez(path, **{x: images, y: LABELS, "something_else": LABELS})
    source = load(path, cache)
    assert source.images.shape == (12, 6, 8, 3)
    assert source.test_images is None
    assert source.labels.tolist() == sorted(LABELS)
    assert source.class_names == ("0", "1", "2")


def test_validation_joins_train_where_there_is_a_test_set(cache, path, images):
    parts = {
        "train_images": images[:6],
        "train_labels": LABELS[:6, None],
        "val_images": images[6:9],
        "val_labels": LABELS[6:9, None],
    }
    np.savez(path, **parts)
    source = load(path, cache)
    assert (len(source.images), len(source.test_labels)) == (6, 3)
    np.savez(path, **parts, test_images=images[9:], test_labels=LABELS[9:, None])
    source = load(path, cache)
    assert (len(source.images), len(source.test_labels)) == (9, 3)
    assert {p.tobytes() for p in source.test_images} == {p.tobytes() for p in images[9:]}


def test_every_layout_and_type_is_the_same(cache, tmp_path, images):
    grey = images[..., :1]
    variants = [
        (images, [images.transpose(0, 3, 1, 2), np.asfortranarray(images)]),
        (grey, [grey[..., 0], grey.transpose(0, 3, 1, 2)]),
    ]
    for reference, others in variants:
        floats = [(reference / 255).astype(kind) for kind in (np.float16, np.float32, ">f8")]
        sources = []
        for number, values in enumerate([reference, *others, *floats]):
            file = tmp_path / f"{reference.shape[-1]}-{number}.npz"
            np.savez(file, images=values, labels=LABELS.astype(np.float32 if number else np.int8))
            sources.append(load(file, cache))
        for source in sources:
            np.testing.assert_array_equal(source.images, sources[0].images)
        assert sources[0].images.shape == reference.shape


def test_floats_are_rounded_to_the_nearest(cache, path):
    values = np.array([0, 0.4 / 255, 0.6 / 255, 1 - 0.4 / 255, 1.0]).repeat(2)
    np.savez(path, images=np.tile(values[:, None, None], (1, 4, 4)), labels=[0, 1] * 5)
    source = load(path, cache)
    assert sorted(source.images[source.labels == 0, 0, 0, 0].tolist()) == [0, 0, 1, 255, 255]


def test_class_names_in_the_file(cache, path, images):
    np.savez(path, images=images, labels=LABELS, class_names=np.array(["a", "b", "c"]))
    assert load(path, cache).class_names == ("a", "b", "c")
    np.savez(path, images=images, labels=LABELS, class_names=np.array(["a", "b", "c", "d"]))
    refused(path, cache, r"class 3 \('d'\) has no training image")
    np.savez(path, images=images, labels=LABELS, class_names=np.array(["a", "b"]))
    refused(path, cache, "label 2, and only 2 classes")
    np.savez(path, images=images, labels=LABELS, class_names=np.array(["a", "b", "a"]))
    refused(path, cache, "two classes have the name 'a'")
    np.savez(path, images=images, labels=LABELS, class_names=np.array([1, 2, 3]))
    refused(path, cache, "names are not a list of text", "class_names")


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (LABELS + 1, "labels start at 1"),
        (np.where(LABELS == 1, 3, LABELS), "class 1 has no training image"),
        (np.where(LABELS == 1, 10**12, LABELS), "class 1 has no training image"),
        (LABELS * 0, "only one class"),
    ],
)
def test_classes_without_sense(cache, path, images, labels, words):
    np.savez(path, images=images, labels=labels)
    refused(path, cache, words)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (LABELS - 1, r"label at \[0\] is -1"),
        (np.where(LABELS == 1, 0.5, LABELS), r"label at \[1\] is 0.5"),
        (np.where(LABELS == 2, np.nan, LABELS), r"label at \[2\] is nan"),
        (np.where(LABELS == 2, np.inf, LABELS), r"label at \[2\] is inf"),
        (np.full(12, 2**63, np.uint64), r"label at \[0\] is 9223372036854775808"),
        (LABELS[:11], "labels are 11; for 12 images"),
        (np.eye(3)[LABELS], "labels are 12x3; for 12 images"),
        (np.array(3), "labels are one number"),
        (LABELS.astype(str), "labels are <U21, not numbers"),
    ],
)
def test_labels_without_sense(cache, path, images, labels, words):
    np.savez(path, images=images, labels=labels)
    refused(path, cache, words, "labels")


def test_python_objects_are_not_read(cache, path, images):
    np.savez(path, images=images, labels=np.array([{"a": 1}] * 12), allow_pickle=True)
    refused(path, cache, "Python objects, which are not read", "labels")


@pytest.mark.parametrize(
    ("value", "index", "words"),
    [
        (np.nan, (7, 1, 2, 0), r"value at \[7, 1, 2, 0\] is nan"),
        (np.inf, (0, 0, 0, 1), r"value at \[0, 0, 0, 1\] is inf"),
        (-0.01, (11, 5, 7, 2), r"value at \[11, 5, 7, 2\] is -0.01"),
        (1.5, (3, 0, 0, 0), r"value at \[3, 0, 0, 0\] is 1.5"),
    ],
)
def test_floats_that_are_no_pixels(cache, path, images, value, index, words):
    floats = images / 255
    floats[index] = value
    floats[11, 5, 7, 2] = value  # a later one, which is not named
    np.savez(path, images=floats, labels=LABELS)
    refused(path, cache, words, "images", fix="normalisation")


def test_a_bad_float_far_behind(cache, path):
    floats = np.zeros((1000, 4, 4))
    floats[777, 2, 3] = np.nan
    np.savez(path, images=floats, labels=np.arange(1000) % 2)
    refused(path, cache, r"value at \[777, 2, 3, 0\] is nan", "images")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x: x.astype(np.int64), "images are int64; they must be uint8"),
        (lambda x: x > 3, "images are bool"),
        (lambda x: x[..., 0] + 0j, "images are complex128"),
        (lambda x: x[:, :, :, 0].reshape(12, -1), "images are 12x48: not a known shape"),
        (lambda x: np.concatenate([x, x[..., :1]], axis=-1), "12x6x8x4: not a known shape"),
        (lambda x: x[:, :3], "12x3x8x3: which side holds the colours is not clear"),
        (lambda x: x[:0], "there are no images here: the array is 0x6x8x3"),
        (lambda x: x[:, :0], "there are no images here: the array is 12x0x8x3"),
        (lambda x: x[..., None], "12x6x8x3x1: not a known shape"),
    ],
)
def test_arrays_that_are_no_images(cache, path, images, change, words):
    np.savez(path, images=change(images), labels=LABELS)
    refused(path, cache, words, "images")


def test_arrays_that_are_missing(cache, path, images):
    np.savez(path, pictures=images, labels2=LABELS)
    refused(path, cache, "no images and labels of known names", fix="pictures, labels2")
    np.savez(path, images=images)
    refused(path, cache, "no array labels")
    np.savez(path, x_test=images, y_test=LABELS)
    refused(path, cache, "no array x_train")
    np.savez(path, x_train=images, y_train=LABELS, x_test=images)
    refused(path, cache, "no array y_test")
    np.savez(path, x=images, y=LABELS, images=images, labels=LABELS)
    refused(path, cache, r"two sets of images \(images and x\)")
    np.savez(path)
    refused(path, cache, "no images and labels", fix="Its arrays: none")


def test_train_and_test_of_different_shape(cache, path, images):
    np.savez(path, x_train=images, y_train=LABELS, x_test=images[..., 0], y_test=LABELS)
    refused(path, cache, "images of test are 6x8x1, those of train 6x8x3", "x_test")


def test_an_empty_test_set(cache, path, images):
    np.savez(path, x_train=images, y_train=LABELS, x_test=images[:0], y_test=LABELS[:0])
    refused(path, cache, "there are no images here", "x_test")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("keep", [0, 1, 100, -100, -10, -1])
def test_a_cut_archive(cache, path, images, save, keep):
    save(path, images=images, labels=LABELS)
    path.write_bytes(path.read_bytes()[:keep])
    refused(path, cache, "damaged or cut off")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_changed_byte(cache, path, images, save):
    save(path, images=images, labels=LABELS)
    data = bytearray(path.read_bytes())
    data[600] ^= 0xFF
    path.write_bytes(data)
    refused(path, cache, "damaged or cut off")


def member(header: bytes, data: bytes = b"") -> bytes:
    head = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    return head + data


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no array at all",
        member(b"{'descr': '|u1', 'fortran_order': False, 'shape': (999999999999,), }\n"),
        member(b"{'descr': '|u1', 'fortran_order': False, 'shape': (2,), }\n", b"123"),
        member(b"{'descr': '|u1', 'fortran_order': False, 'shape': (-2,), }\n", b"12"),
        member(b"{'descr': '|u1', 'fortran_order': False}\n"),
        member(b"__import__('os').system('touch canary')\n"),
        b"\x93NUMPY\x09\x00",
    ],
)
def test_members_that_are_no_arrays(cache, path, images, content):
    whole = io.BytesIO()
    np.save(whole, images)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("images.npy", whole.getvalue())
        archive.writestr("labels.npy", content)
    refused(path, cache, "this array is damaged", "labels")
    assert not os.path.exists("canary")


def test_an_archive_that_claims_more_than_it_can_hold(cache, path, images):
    claimed = 2**31 - 1
    header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (%d,), }\n" % (claimed - 1000)
    content = member(header, bytes(1000))
    whole = io.BytesIO()
    np.save(whole, images)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("images.npy", whole.getvalue())
        archive.writestr("labels.npy", content)
    real, false = (struct.pack("<I", size) for size in (len(content), claimed))
    assert path.read_bytes().count(real) == 2  # beside the file, and in the list of files
    path.write_bytes(path.read_bytes().replace(real, false))
    tracemalloc.start()
    try:
        refused(path, cache, "shorter than its header promises", "labels")
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


def test_the_one_archive_of_a_folder(cache, tmp_path):
    arrays = make_arrays(classes=3, shape=(8, 8, 1))
    folder = write_npz(tmp_path / "one" / "a.npz", arrays).parent
    assert len(load(folder, cache).images) == 18
    write_npz(folder / "b.npz", arrays)
    refused(folder, cache, r"2 \.npz files here: a\.npz, b\.npz")


def test_the_size_is_the_rule_of_folders(cache, path, images):
    np.savez(path, images=images, labels=LABELS)
    assert load(path, cache, size=4).images.shape == (12, 4, 4, 3)
    crop, whole = load(path, cache, size=6), load(path, cache, size=6, fit="stretch")
    kept = {p.tobytes() for p in images[:, :, 1:7]}
    assert {p.tobytes() for p in crop.images} == kept
    assert {p.tobytes() for p in whole.images} != kept
