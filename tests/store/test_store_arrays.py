"""Blobs and checkpoints: arrays come back bit for bit, damage is noticed."""

from __future__ import annotations

import hashlib
import struct
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save

from tutelage.store import DamageWarning, Store, checkpoints
from tutelage.store.files import DamagedError

Arrays = dict[str, np.ndarray]


def blob_path(store: Store, digest: str) -> Path:
    return store.root / "blobs" / digest[:2] / f"{digest}.safetensors"


def assert_same(found: Arrays, expected: Arrays) -> None:
    assert list(found) == sorted(expected)
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        assert found[name].tobytes() == array.tobytes()


def test_arrays_come_back(store: Store, arrays: Arrays):
    digest = store.put_arrays(arrays)
    assert store.has_arrays(digest)
    found = store.get_arrays(digest)
    assert found is not None
    assert_same(found, arrays)
    assert all(array.flags.writeable for array in found.values())


def test_the_digest_is_of_the_file_which_others_can_read(store: Store, arrays: Arrays):
    digest = store.put_arrays(arrays)
    path = blob_path(store, digest)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == digest
    assert_same(dict(sorted(load_file(path).items())), arrays)


def test_a_golden_digest(store: Store):
    """Computed from the bytes that the description of safetensors asks for, and kept."""
    arrays = {"b": np.arange(6, dtype=np.float32).reshape(2, 3), "a": np.array([1, 2])}
    header = (
        b'{"a":{"dtype":"I64","shape":[2],"data_offsets":[0,16]},'
        b'"b":{"dtype":"F32","shape":[2,3],"data_offsets":[16,40]}}'
    )
    header += b" " * (-len(header) % 8)
    data = struct.pack("<2q6f", 1, 2, 0, 1, 2, 3, 4, 5)
    expected = hashlib.sha256(struct.pack("<Q", len(header)) + header + data).hexdigest()
    assert store.put_arrays(arrays) == expected
    assert expected == "3ae5601fa6ee52c0781b484436ae42fd2360432a1e57deeb19160a8038bb77ed"


def test_equal_arrays_have_one_digest_whatever_their_layout(store: Store):
    plain = {"a": np.arange(12, dtype=np.float32).reshape(3, 4), "b": np.arange(3)}
    wide = np.zeros((6, 8), np.float32)
    wide[::2, ::2] = plain["a"]
    digest = store.put_arrays(plain)
    for a in (
        plain["a"].copy(order="F"),
        wide[::2, ::2],
        plain["a"].astype(">f4"),
        plain["a"][::-1][::-1],
    ):
        assert store.put_arrays({"b": plain["b"], "a": a}) == digest
    assert len(list((store.root / "blobs").rglob("*.safetensors"))) == 1
    assert store.put_arrays({"a": plain["a"] + 1, "b": plain["b"]}) != digest
    assert store.put_arrays({"a": plain["a"].astype(np.float64), "b": plain["b"]}) != digest


def test_values_that_are_not_finite_are_kept(store: Store):
    digest = store.put_arrays({"x": np.array([np.nan, np.inf, -0.0])})
    found = store.get_arrays(digest)
    assert found is not None
    assert np.isnan(found["x"][0])
    assert np.isposinf(found["x"][1])
    assert np.signbit(found["x"][2])


@pytest.mark.parametrize(
    "bad",
    [np.array(["x"]), np.array([None]), np.array(["2020"], "datetime64[s]"), [1.0], 1.0, None],
)
def test_other_types_are_refused_by_name(store: Store, bad: object):
    with pytest.raises(TypeError, match="'odd' is"):
        store.put_arrays({"odd": bad})  # type: ignore[dict-item]
    with pytest.raises(TypeError, match="'odd' is"):
        store.put_checkpoint("s1", {"odd": bad}, {})  # type: ignore[dict-item]


def test_the_reserved_name_is_refused(store: Store):
    with pytest.raises(ValueError, match="__metadata__"):
        store.put_arrays({"__metadata__": np.ones(1)})


def test_missing_arrays_and_bad_digests(store: Store):
    assert store.get_arrays("0" * 64) is None
    assert not store.has_arrays("0" * 64)
    for bad in ("", "0" * 63, "A" * 64, "../" + "0" * 61):
        with pytest.raises(ValueError, match="not a SHA-256 digest"):
            store.get_arrays(bad)


def test_damaged_arrays_are_set_aside_and_can_be_put_again(
    store: Store, arrays: Arrays, flip: Callable[[Path], None]
):
    digest = store.put_arrays(arrays)
    flip(blob_path(store, digest))
    with pytest.warns(DamageWarning, match=digest):
        assert store.get_arrays(digest) is None
    assert not store.has_arrays(digest)
    assert len(list((store.root / "damaged").iterdir())) == 1
    assert store.put_arrays(arrays) == digest
    assert store.get_arrays(digest) is not None


def test_whether_arrays_are_whole_is_asked_of_their_bytes(
    store: Store, arrays: Arrays, flip: Callable[[Path], None]
):
    digest = store.put_arrays(arrays)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert store.is_whole(digest, expected=True)
        assert not store.is_whole("0" * 64)
    with pytest.warns(DamageWarning, match=f"{'0' * 64}.safetensors is missing"):
        assert not store.is_whole("0" * 64, expected=True)
    flip(blob_path(store, digest))
    with pytest.warns(DamageWarning, match=f"{digest}.safetensors is damaged"):
        assert not store.is_whole(digest)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # one warning of a file is enough
        assert not store.is_whole(digest, expected=True)


def test_putting_mends_a_damaged_blob(store: Store, arrays: Arrays, flip: Callable[[Path], None]):
    digest = store.put_arrays(arrays)
    flip(blob_path(store, digest))
    assert store.put_arrays(arrays) == digest
    assert store.verify() == []


def test_a_whole_blob_is_not_written_again(store: Store, arrays: Arrays):
    path = blob_path(store, store.put_arrays(arrays))
    inode = path.stat().st_ino
    store.put_arrays(arrays)
    assert path.stat().st_ino == inode


def test_a_checkpoint_comes_back_is_replaced_and_dropped(store: Store, arrays: Arrays):
    assert store.get_checkpoint("s1") is None
    meta = {"epoch": 3, "history": [{"lr": 0.1, "kd": None}], "text": 'a "b" ü\n'}
    store.put_checkpoint("s1", arrays, meta)
    assert store.has_checkpoint("s1")
    found = store.get_checkpoint("s1")
    assert found is not None
    assert_same(found[0], arrays)
    assert found[1] == meta

    store.put_checkpoint("s1", {"w": np.ones(2)}, {"epoch": 4})
    found = store.get_checkpoint("s1")
    assert found is not None
    assert list(found[0]) == ["w"]
    assert found[1] == {"epoch": 4}

    store.drop_checkpoint("s1")
    assert not store.has_checkpoint("s1")
    store.drop_checkpoint("s1")


def test_a_checkpoint_without_arrays(store: Store):
    store.put_checkpoint("s0", {}, {"epoch": 0})
    assert store.get_checkpoint("s0") == ({}, {"epoch": 0})


def test_meta_must_be_plain_and_finite(store: Store):
    with pytest.raises(ValueError, match="'loss' is nan"):
        store.put_checkpoint("s1", {}, {"loss": float("nan")})


@pytest.mark.parametrize("damage", ["flip", "truncate", "empty", "plain"])
def test_a_damaged_checkpoint_is_set_aside(
    store: Store, arrays: Arrays, damage: str, flip: Callable[[Path], None]
):
    store.put_checkpoint("s1", arrays, {"epoch": 3})
    path = store.root / "checkpoints" / "s1.safetensors"
    if damage == "flip":
        flip(path)
    elif damage == "plain":  # a safetensors file, but no checkpoint
        path.write_bytes(blob_path(store, store.put_arrays(arrays)).read_bytes())
    else:
        path.write_bytes(path.read_bytes()[:-1] if damage == "truncate" else b"")
    with pytest.warns(DamageWarning, match="s1"):
        assert store.get_checkpoint("s1") is None
    assert not store.has_checkpoint("s1")
    assert len(list((store.root / "damaged").iterdir())) == 1


def test_the_checksum_covers_names_types_and_shapes():
    """Files with the same bytes of data, under the checksum of another."""
    array = np.arange(6, dtype=np.float32)
    metadata = {"meta": "{}", "sha256": checkpoints._checksum({"w": array}, "{}")}
    assert checkpoints.parse(save({"w": array}, metadata))[1] == {}
    for other in ({"v": array}, {"w": array.view(np.int32)}, {"w": array.reshape(2, 3)}):
        with pytest.raises(DamagedError, match="checksum"):
            checkpoints.parse(save(other, metadata))
    with pytest.raises(DamagedError, match="checksum"):
        checkpoints.parse(save({"w": array}, metadata | {"meta": "{ }"}))


def test_every_flipped_bit_of_a_checkpoint_is_noticed_or_harmless(store: Store):
    arrays = {"w": np.linspace(0, 1, 6, dtype=np.float32).reshape(2, 3), "step": np.array(7)}
    store.put_checkpoint("s1", arrays, {"epoch": 3})
    data = (store.root / "checkpoints" / "s1.safetensors").read_bytes()
    noticed = 0
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        try:
            found, meta = checkpoints.parse(bytes(flipped))
        except DamagedError:
            noticed += 1
        else:
            assert_same(found, arrays)
            assert meta == {"epoch": 3}
    assert noticed > 8 * len(data) - 100  # some of the header is padding
