"""What was read is kept: read once, mapped afterwards, and never trusted when it changed."""

from __future__ import annotations

import json
import os
import threading

import numpy as np
import pytest
from written_formats import make_arrays, write_cifar10_binary, write_idx, write_npz

from tutelage.config.schema import DataConfig
from tutelage.data import array_cache, load_source, sources
from tutelage.errors import StorageError


@pytest.fixture
def reads(monkeypatch):
    """How often files were read, as the length of a list."""
    calls, original = [], sources.prepare

    def counted(*arguments):
        calls.append(arguments)
        return original(*arguments)

    monkeypatch.setattr(sources, "prepare", counted)
    return calls


@pytest.fixture
def npz(tmp_path):
    return write_npz(tmp_path / "data" / "a.npz", make_arrays(classes=3, shape=(8, 8, 3)))


def load(path, cache, source="files", **options):
    return load_source(DataConfig(source=source, path=str(path), **options), cache)


def kept(cache):
    return sorted(cache("images", "x").parent.iterdir())


def test_read_once_then_memory_mapped(cache, tmp_path, folder, npz, reads):
    arrays = make_arrays(each=2)
    grey = make_arrays(shape=(8, 8, 1), each=2)
    paths = (
        folder,
        npz,
        write_cifar10_binary(tmp_path / "b", arrays),
        write_idx(tmp_path / "i", grey),
    )
    for path in paths:
        reads.clear()
        first, again = load(path, cache), load(path, cache)
        assert len(reads) == 1
        for name in ("images", "labels", "test_images", "test_labels"):
            assert isinstance(getattr(again, name), np.memmap)
            np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
        assert first.class_names == again.class_names


def test_each_way_of_reading_is_kept_apart(cache, folder, reads):
    ways = [{}, {"size": 4}, {"size": 6}, {"size": 6, "fit": "stretch"}, {"classes": "leaf"}]
    for _ in range(2):
        for way in ways:
            load(folder, cache, **way)
        load(folder, cache, "image-folder")  # the same as `files`
    assert len(reads) == len(ways)


def test_a_moved_folder_needs_no_reading(cache, folder, reads):
    load(folder, cache)
    os.rename(folder, folder.parent / "elsewhere")
    load(folder.parent / "elsewhere", cache)
    assert len(reads) == 1


def test_a_changed_file_is_read_again(cache, npz, reads):
    before = npz.stat()
    load(npz, cache)
    data = npz.read_bytes()
    npz.write_bytes(data)
    os.utime(npz, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = npz.stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    load(npz, cache)
    assert len(reads) == 2


def test_a_new_or_renamed_file_is_seen(cache, folder, write_image):
    assert len(load(folder, cache).images) == 10
    extra = write_image(folder / "train" / "cat" / "new.png", seed=77)
    assert load(folder, cache).labels.tolist() == [0] * 7 + [1] * 4
    os.rename(extra, folder / "train" / "dog" / "new.png")
    assert load(folder, cache).labels.tolist() == [0] * 6 + [1] * 5


def flip(data: bytes) -> bytes:
    return data[:-7] + bytes([data[-7] ^ 1]) + data[-6:]


@pytest.mark.parametrize("which", range(5))
@pytest.mark.parametrize(
    "damage", [None, lambda data: b"", lambda data: data[: len(data) // 2], flip]
)
def test_a_damaged_cache_is_made_again(cache, npz, reads, which, damage):
    first = load(npz, cache)
    images, labels = np.array(first.images), np.array(first.test_labels)
    files = kept(cache)
    assert len(files) == 5
    if damage is None:
        files[which].unlink()
    else:
        files[which].write_bytes(damage(files[which].read_bytes()))
    again = load(npz, cache)
    assert len(reads) == 2
    np.testing.assert_array_equal(again.images, images)
    np.testing.assert_array_equal(again.test_labels, labels)
    assert kept(cache) == files


@pytest.mark.parametrize("content", ["[]", "{}", '{"arrays": []}', '{"arrays": {"a": 1}}', "null"])
def test_an_index_of_something_else(cache, npz, reads, content):
    load(npz, cache)
    (index,) = (file for file in kept(cache) if file.suffix == ".json")
    assert set(json.loads(index.read_text())) == {"class_names", "original", "arrays"}
    index.write_text(content)
    load(npz, cache)
    assert len(reads) == 2


def test_a_cache_that_cannot_be_written(cache, npz, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(array_cache.np, "save", full)
    with pytest.raises(StorageError, match="the disk is full"):
        load(npz, cache)
    assert not kept(cache)


def test_several_may_read_at_once(cache, folder):
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(load(folder, cache, size=4)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    assert all(np.array_equal(results[0].images, other.images) for other in results[1:])
    assert len(kept(cache)) == 5
