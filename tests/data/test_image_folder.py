"""Decoding: colours, sizes, damaged files, and when the cache is used."""

from __future__ import annotations

import os
import threading

import numpy as np
import pytest
from PIL import Image

from tutelage.data import image_folder
from tutelage.data.image_folder import decode, list_split
from tutelage.errors import UserError


def save(pixels, path, mode=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels), mode).save(path)
    return path


@pytest.fixture
def root(tmp_path):
    """Where a test writes its classes, apart from the cache."""
    return tmp_path / "images"


@pytest.fixture
def count_decoded(monkeypatch):
    """How often an image was decoded, as the length of a list."""
    calls = []
    original = image_folder._decode

    def counted(*arguments):
        calls.append(arguments)
        return original(*arguments)

    monkeypatch.setattr(image_folder, "_decode", counted)
    return calls


def test_size_averages_over_boxes(cache, folder):
    listing = list_split(folder / "train")
    full = decode(listing, None, cache).astype(float)
    small = decode(listing, 4, cache)
    assert small.shape == (10, 4, 4, 3)
    means = full.reshape(10, 4, 2, 4, 2, 3).mean(axis=(2, 4))
    # rows and columns are averaged one after the other, each rounded
    np.testing.assert_allclose(small, means, atol=1.01)


def test_any_shape_is_brought_to_the_size(cache, folder, write_image):
    write_image(folder / "train" / "cat" / "wide.png", width=30, height=7)
    assert decode(list_split(folder / "train"), 16, cache).shape == (11, 16, 16, 3)


def test_grey_palette_and_alpha_become_rgb(cache, root):
    ramp = np.arange(64, dtype=np.uint8).reshape(8, 8)
    colour = np.stack([ramp, ramp + 1, ramp + 2], axis=-1)
    save(ramp, root / "c" / "0-grey.png")
    save(np.concatenate([colour, ramp[..., None]], axis=-1), root / "c" / "1-alpha.png")
    Image.fromarray(colour).quantize(64).save(root / "c" / "2-palette.png")
    save(np.stack([ramp, ramp + 9], axis=-1), root / "c" / "3-grey-alpha.png")
    grey, alpha, palette, grey_alpha = decode(list_split(root), None, cache)
    repeated = np.repeat(ramp[..., None], 3, axis=-1)
    np.testing.assert_array_equal(grey, repeated)
    np.testing.assert_array_equal(grey_alpha, repeated)
    np.testing.assert_array_equal(alpha, colour)
    np.testing.assert_array_equal(palette, colour)


@pytest.mark.parametrize("suffix", image_folder.SUFFIXES)
def test_every_suffix_is_read(cache, root, write_image, suffix):
    path = root / "c" / f"0{suffix}"
    save(np.full((8, 8), 7, np.uint8), path) if suffix == ".pgm" else write_image(path)
    os.rename(path, path.with_suffix(suffix.upper()))
    assert decode(list_split(root), None, cache).shape == (1, 8, 8, 3)


def test_more_than_8_bits_are_refused(cache, root):
    for name, kind in (("a.png", np.uint16), ("b.tiff", np.float32), ("c.tiff", np.int32)):
        path = save(np.full((8, 8), 300, kind), root / name / "c" / name)
        with pytest.raises(UserError, match="more than 8 bits") as caught:
            decode(list_split(root / name), None, cache)
        assert caught.value.where == str(path)


def test_non_square_images_need_a_size(cache, folder, write_image):
    wide = write_image(folder / "train" / "dog" / "2.png", width=9)
    with pytest.raises(UserError, match=r"(?s)not square \(9x8.*data\.size") as caught:
        decode(list_split(folder / "train"), None, cache)
    assert caught.value.where == str(wide)


def test_mixed_sizes_need_a_size(cache, folder, write_image):
    large = write_image(folder / "train" / "dog" / "2.png", width=9, height=9)
    with pytest.raises(UserError, match=r"(?s)side of 9 pixels.*split 8.*data\.size") as caught:
        decode(list_split(folder / "train"), None, cache)
    assert caught.value.where == str(large)


def test_images_too_large_for_memory_need_a_size(cache, root, write_image):
    write_image(root / "c" / "0.png", width=513, height=513)
    with pytest.raises(UserError, match=r"(?s)side of 513 pixels.*data\.size"):
        decode(list_split(root), None, cache)
    assert decode(list_split(root), 8, cache).shape == (1, 8, 8, 3)


def damage_truncate(path):
    path.write_bytes(path.read_bytes()[:-40])


def damage_empty(path):
    path.write_bytes(b"")


def damage_text(path):
    path.write_text("this is no image")


def damage_folder(path):
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".webp", ".gif", ".tiff"])
@pytest.mark.parametrize("damage", [damage_truncate, damage_empty, damage_text, damage_folder])
def test_a_damaged_image_is_named(cache, folder, write_image, damage, suffix):
    path = write_image(folder / "train" / "cat" / f"3b{suffix}", seed=5)
    damage(path)
    with pytest.raises(UserError, match="cannot be read") as caught:
        decode(list_split(folder / "train"), None, cache)
    assert caught.value.where == str(path)
    assert not list(cache("images", "x").parent.iterdir())


def test_a_broken_link_is_named(folder):
    link = folder / "train" / "cat" / "link.png"
    link.symlink_to("nowhere.png")
    with pytest.raises(UserError, match="cannot be read") as caught:
        list_split(folder / "train")
    assert caught.value.where == str(link)


def test_a_decompression_bomb_is_refused(cache, root, write_image, monkeypatch):
    path = write_image(root / "c" / "0.png", width=64, height=64)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(UserError, match="cannot be read") as caught:
        decode(list_split(root), 8, cache)
    assert caught.value.where == str(path)


def test_decoded_once_then_memory_mapped(cache, folder, count_decoded):
    first = decode(list_split(folder / "train"), None, cache)
    count_decoded.clear()
    again = decode(list_split(folder / "train"), None, cache)
    assert count_decoded == []
    assert isinstance(again, np.memmap)
    np.testing.assert_array_equal(first, again)
    decode(list_split(folder / "train"), 4, cache)
    assert count_decoded


def test_a_moved_folder_needs_no_decoding(cache, folder, count_decoded):
    decode(list_split(folder / "train"), None, cache)
    count_decoded.clear()
    os.rename(folder, folder.parent / "elsewhere")
    decode(list_split(folder.parent / "elsewhere" / "train"), None, cache)
    assert count_decoded == []


def test_a_changed_file_is_decoded_again(cache, root):
    path = save(np.zeros((8, 8, 3), np.uint8), root / "c" / "0.bmp")
    assert decode(list_split(root), None, cache).max() == 0
    before = path.stat()
    save(np.full((8, 8, 3), 9, np.uint8), path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert decode(list_split(root), None, cache).min() == 9


@pytest.mark.parametrize("keep", [0, 20, 200])
def test_a_damaged_cache_is_made_again(cache, folder, keep):
    first = np.array(decode(list_split(folder / "train"), None, cache))
    (file,) = cache("images", "x").parent.iterdir()
    file.write_bytes(file.read_bytes()[:keep])
    np.testing.assert_array_equal(decode(list_split(folder / "train"), None, cache), first)
    assert list(file.parent.iterdir()) == [file]


def test_a_cache_that_cannot_be_written(cache, folder, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(image_folder.np, "save", full)
    with pytest.raises(UserError, match="No space left"):
        decode(list_split(folder / "train"), None, cache)
    assert not list(cache("images", "x").parent.iterdir())


def test_several_may_decode_at_once(cache, folder):
    listing, results = list_split(folder / "train"), []
    threads = [
        threading.Thread(target=lambda: results.append(decode(listing, 4, cache))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    assert all(np.array_equal(results[0], other) for other in results[1:])
    assert len(list(cache("images", "x").parent.iterdir())) == 1
