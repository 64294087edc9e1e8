"""Folders of images: splits, classes, colours, sizes, and images that cannot be read."""

from __future__ import annotations

import os

import numpy as np
import pytest
from PIL import Image

from tutelage.config.schema import DataConfig
from tutelage.data import load_source
from tutelage.data.formats import Options, image_folder
from tutelage.data.formats.pixels import bring
from tutelage.errors import UserError


def save(pixels, path, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels)).save(path, **options)
    return path


def load(root, cache, source="image-folder", **options):
    return load_source(DataConfig(source=source, path=str(root), **options), cache)


def read(root, **options):
    """The images in the order of the files, without a cache."""
    (found,) = image_folder.find(root)
    return found.list_files(Options(**options)).read()


def refused(root, cache, words, where, **options):
    with pytest.raises(UserError, match=words) as caught:
        load(root, cache, **options)
    assert caught.value.where == str(where)


@pytest.fixture
def root(tmp_path):
    """Where a test writes its classes, apart from the cache."""
    return tmp_path / "images"


# Splits and classes


def test_train_and_test(cache, folder):
    source = load(folder, cache)
    assert source.class_names == ("cat", "dog")
    assert source.labels.tolist() == [0] * 6 + [1] * 4
    assert source.test_labels.tolist() == [0] * 3 + [1] * 3
    written = {
        (file.parent.name, np.asarray(Image.open(file)).tobytes())
        for file in (folder / "train").glob("*/*.png")
    }
    pairs = zip(source.labels, source.images, strict=True)
    assert {(source.class_names[label], pixels.tobytes()) for label, pixels in pairs} == written
    assert len(written) == 10


def test_classes_without_any_split(cache, folder):
    source = load(folder / "train", cache)
    assert source.test_images is None
    np.testing.assert_array_equal(source.images, load(folder, cache).images)


@pytest.mark.parametrize("name", ["val", "valid", "validation", "Testing", "TEST"])
def test_other_names_of_the_test_folder(cache, folder, name):
    before = load(folder, cache)
    os.rename(folder / "test", folder / name)
    os.rename(folder / "train", folder / "Training")
    after = load(folder, cache)
    np.testing.assert_array_equal(after.images, before.images)
    np.testing.assert_array_equal(after.test_images, before.test_images)


def test_validation_joins_train_where_there_is_a_test_set(cache, folder, write_image):
    test_before = load(folder, cache).test_images
    for number in range(3):  # validation need not have every class
        write_image(folder / "val" / "dog" / f"{number}.png", seed=50 + number)
    source = load(folder, cache)
    assert source.labels.tolist() == [0] * 6 + [1] * 7
    np.testing.assert_array_equal(source.test_images, test_before)
    extra = np.asarray(Image.open(folder / "val" / "dog" / "1.png"))
    assert any(np.array_equal(extra, pixels) for pixels in source.images)


def test_splits_that_are_not_clear(cache, folder):
    (folder / "val").mkdir()
    (folder / "validation").mkdir()
    refused(folder, cache, "val/ and validation/ are both here", folder)
    os.rename(folder / "validation", folder / "train2")
    os.rename(folder / "train", folder / "other")
    refused(folder, cache, "there is test/ here, and no train/", folder)


def test_other_files_and_folders_are_ignored(cache, folder, write_image):
    before = load(folder, cache)
    write_image(folder / "unlabelled" / "0.png")
    write_image(folder / "train" / "overview.png")
    write_image(folder / "train" / ".thumbnails" / "0.png")
    write_image(folder / "train" / "cat" / "._0.png")
    (folder / "train" / "cat" / "notes.txt").write_text("no image")
    (folder / "train" / "cat" / "empty.png").mkdir()
    np.testing.assert_array_equal(load(folder, cache).images, before.images)


def test_subfolders_belong_to_their_class_or_are_one(cache, root, write_image):
    files = ("pet/cat/0.png", "pet/dog/0.png", "pet/dog/old/1.png", "wild/emu/0.png", "wild/1.png")
    for seed, file in enumerate(files):
        write_image(root / file, seed)
    top = load(root, cache)
    assert top.class_names == ("pet", "wild")
    assert top.labels.tolist() == [0, 0, 0, 1, 1]
    leaf = load(root, cache, classes="leaf")
    assert leaf.class_names == ("pet/cat", "pet/dog", "pet/dog/old", "wild", "wild/emu")
    assert leaf.labels.tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("names", "order"),
    [
        (["10", "9", "1"], ["1", "9", "10"]),
        (["010", "9", "1"], ["1", "9", "010"]),
        (["10", "9", "1b"], ["10", "1b", "9"]),
        (["b", "B", "a"], ["B", "a", "b"]),
        (["²", "10", "9"], ["10", "9", "²"]),
    ],
)
def test_the_order_of_classes(cache, root, write_image, names, order):
    for name in names:
        write_image(root / name / "0.png")
    assert load(root, cache).class_names == tuple(order)


def test_names_of_a_known_data_set_get_its_labels(cache, root, write_image):
    official = ("T-shirt_top", "trouser", "Pullover", "dress", "coat")
    official += ("Sandal", "Shirt", "Sneaker", "bag", "Ankle-Boot")
    for seed, name in enumerate(official):
        pixels = np.full((28, 28), seed, np.uint8)
        save(pixels, root / name / "0.png")
    source = load(root, cache, "fashion-mnist")
    assert source.class_names[0] == "T-shirt/top"
    assert source.images[:, 0, 0, 0].tolist() == list(range(10))
    assert load(root, cache).class_names == tuple(sorted(official))


def test_no_class_folders(cache, root, write_image):
    write_image(root / "train" / "0.png")
    refused(root, cache, "(?s)no class folders.*train/<class>/<image>", root / "train")
    words = "(?s)images here, but no class folders.*CSV file with columns path and label"
    refused(root / "train", cache, words, root / "train")


def test_a_class_called_train(cache, root, write_image):
    for name in ("bus", "train"):
        write_image(root / name / "0.png")
    words = "(?s)no class folders.*If 'train' is itself a class, move"
    refused(root, cache, words, root / "train")


@pytest.mark.parametrize("split", ["train", "test"])
def test_an_empty_class(cache, folder, split):
    empty = folder / split / "dog"
    for file in empty.iterdir():
        file.unlink()
    (empty / "readme.md").write_text("")
    refused(folder, cache, "'dog' has no images", empty)


def test_one_class_is_too_few(cache, folder, root):
    os.rename(folder / "train" / "dog", folder / "dog")
    words = r"(?s)only one class.*If the classes lie in 'cat'"
    refused(folder, cache, words, folder / "train")


def test_a_folder_of_data_sets_is_no_data_set(cache, folder, tmp_path):
    words = "(?s)not one class: it holds training and test images.*--data"
    refused(tmp_path, cache, words, folder)


@pytest.mark.parametrize(("split", "other"), [("test", "train"), ("train", "test")])
def test_a_class_in_one_split_alone(cache, folder, write_image, split, other):
    write_image(folder / split / "emu" / "0.png")
    words = f"'emu' is in {split}/ but not in {other}/"
    refused(folder, cache, words, folder / split / "emu")


def test_a_class_in_validation_alone(cache, folder, write_image):
    write_image(folder / "val" / "emu" / "0.png")
    refused(folder, cache, "'emu' is in val/ but not in train/", folder / "val" / "emu")


def test_links_are_followed_but_not_in_circles(cache, folder):
    os.rename(folder / "train" / "dog", folder / "elsewhere")
    (folder / "train" / "dog").symlink_to(folder / "elsewhere")
    assert len(load(folder, cache).images) == 10
    (folder / "train" / "cat" / "again").symlink_to(folder / "train" / "cat")
    words = "leads back to a folder above"
    refused(folder, cache, words, folder / "train" / "cat" / "again")


# Colours


def test_palette_and_alpha_become_rgb(root):
    ramp = np.arange(64, dtype=np.uint8).reshape(8, 8)
    colour = np.stack([ramp, ramp + 1, ramp + 2], axis=-1)
    save(ramp, root / "a" / "0-grey.png")
    save(np.concatenate([colour, ramp[..., None]], axis=-1), root / "a" / "1-alpha.png")
    palette = Image.fromarray(colour).quantize(64)
    palette.save(root / "a" / "2-palette.png")
    palette.save(root / "a" / "3-transparent.png", transparency=bytes(range(64)))
    save(np.stack([ramp, ramp + 9], axis=-1), root / "b" / "4-grey-alpha.png")
    grey, *coloured, grey_alpha = read(root).train.images
    repeated = np.repeat(ramp[..., None], 3, axis=-1)
    np.testing.assert_array_equal(grey, repeated)
    np.testing.assert_array_equal(grey_alpha, repeated)
    assert len(coloured) == 3
    for pixels in coloured:
        np.testing.assert_array_equal(pixels, colour)


@pytest.mark.filterwarnings("error")
def test_one_channel_when_all_are_grey(cache, root):
    ramp = np.arange(64, dtype=np.uint8).reshape(8, 8)
    save(ramp, root / "train" / "a" / "0.png")
    save(np.stack([ramp, ramp + 9], axis=-1), root / "train" / "b" / "0.png")
    save(ramp > 30, root / "test" / "a" / "0.png")
    save(ramp, root / "test" / "b" / "0.jpg")
    source = load(root, cache)
    assert source.images.shape == (2, 8, 8, 1)
    np.testing.assert_array_equal(source.images[..., 0], [ramp, ramp])
    np.testing.assert_array_equal(source.test_images[0, ..., 0], (ramp > 30) * 255)
    save(np.stack([ramp] * 3, axis=-1), root / "test" / "b" / "1.png")  # colour, if only in test
    assert load(root, cache).images.shape == (2, 8, 8, 3)


def test_more_than_8_bits_are_refused(root):
    for name, kind in (("a.png", np.uint16), ("b.tiff", np.float32), ("c.tiff", np.int32)):
        path = save(np.full((8, 8), 300, kind), root / name / "c" / name)
        save(np.zeros((8, 8), np.uint8), root / name / "d" / "0.png")
        with pytest.raises(UserError, match="more than 8 bits") as caught:
            read(root / name)
        assert caught.value.where == str(path)


def test_orientation_is_applied(root):
    pixels = np.zeros((4, 6, 3), np.uint8)
    pixels[0, 0] = 255  # top left
    corners = {1: (0, 0), 3: (3, 5), 6: (0, 3), 8: (5, 0)}
    for orientation, corner in corners.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        for suffix in ("png", "tiff", "webp"):
            folder = root / f"{orientation}-{suffix}"
            options = {"lossless": True} if suffix == "webp" else {}
            for name in "ab":
                save(pixels, folder / name / f"0.{suffix}", exif=exif, **options)
            image = read(folder).train.images[0]
            assert image.shape[:2] == ((6, 4) if orientation in (6, 8) else (4, 6)), folder.name
            assert np.argwhere(image[..., 0] == 255).tolist() == [list(corner)], folder.name


@pytest.mark.parametrize("suffix", image_folder.SUFFIXES)
def test_every_suffix_is_read(root, write_image, suffix):
    for name in "ab":
        path = root / name / f"0{suffix}"
        save(np.full((8, 8), 7, np.uint8), path) if suffix == ".pgm" else write_image(path)
        os.rename(path, path.with_suffix(suffix.upper()))
    assert read(root).train.images.shape[:3] == (2, 8, 8)


# Sizes


def test_reducing_averages_over_boxes(folder):
    full = read(folder).train.images.astype(float)
    small = read(folder, size=4).train.images
    assert small.shape == (10, 4, 4, 3)
    means = full.reshape(10, 4, 2, 4, 2, 3).mean(axis=(2, 4))
    # rows and columns are averaged one after the other, each rounded
    np.testing.assert_allclose(small, means, atol=1.01)


def test_enlarging_interpolates_between_pixels():
    ramp = np.array([[0, 100]] * 2, np.uint8)
    large = np.asarray(bring(Image.fromarray(ramp), 4, "crop"))
    np.testing.assert_array_equal(large, [[0, 25, 75, 100]] * 4)
    wide = np.array([[10, 30, 50, 70], [20, 40, 60, 80]], np.uint8)  # one side each way
    both = np.asarray(bring(Image.fromarray(wide), 3, "stretch"))
    assert both.shape == (3, 3)
    np.testing.assert_allclose(both[1], (both[0].astype(float) + both[2]) / 2, atol=1)


def test_reducing_both_sides_is_pillows_own_reduction(write_image, tmp_path):
    image = Image.open(write_image(tmp_path / "0.png", width=37, height=53))
    ours = np.asarray(bring(image, 16, "stretch"))
    np.testing.assert_array_equal(ours, image.resize((16, 16), Image.Resampling.BOX))


@pytest.mark.parametrize(
    ("shape", "kept"),
    [((4, 9), np.s_[:, 2:6]), ((9, 4), np.s_[2:6, :]), ((4, 6), np.s_[:, 1:5]), ((4, 4), np.s_[:])],
)
def test_crop_keeps_the_central_square(shape, kept):
    pixels = np.arange(shape[0] * shape[1], dtype=np.uint8).reshape(shape)
    image = Image.fromarray(pixels)
    np.testing.assert_array_equal(np.asarray(bring(image, 4, "crop")), pixels[kept])
    assert bring(image, 4, "stretch").size == (4, 4)


def test_mixed_sizes_are_brought_to_one(cache, folder, write_image):
    write_image(folder / "train" / "cat" / "wide.png", width=30, height=7)
    for fit in ("crop", "stretch"):
        source = load(folder, cache, size=16, fit=fit)
        assert source.images.shape == (11, 16, 16, 3)
    whole = np.asarray(Image.open(folder / "train" / "cat" / "wide.png").convert("RGB"))
    stretched = np.asarray(bring(Image.fromarray(whole), 16, "stretch"))
    assert any(np.array_equal(stretched, pixels) for pixels in source.images)


@pytest.mark.parametrize("split", ["train", "test"])
def test_mixed_sizes_need_a_size(cache, folder, write_image, split):
    odd = write_image(folder / split / "dog" / "2.png", width=9, height=7)
    refused(folder, cache, r"(?s)is 9x7 pixels, the first one 8x8.*data\.size", odd)


def test_one_size_need_not_be_square(cache, root, write_image):
    for name in "ab":
        write_image(root / name / "0.png", width=9, height=7)
    assert load(root, cache).images.shape == (2, 7, 9, 3)


def test_images_too_large_for_memory_need_a_size(cache, root, write_image):
    for name in "ab":
        write_image(root / name / "0.png", width=513, height=5)
    refused(root, cache, r"(?s)513x5 pixels is too large.*data\.size", root / "a" / "0.png")
    assert load(root, cache, size=8).images.shape == (2, 8, 8, 3)


# Damage


def damage_truncate(path):
    path.write_bytes(path.read_bytes()[:-40])


def damage_empty(path):
    path.write_bytes(b"")


def damage_text(path):
    path.write_text("this is no image")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".webp", ".gif", ".tiff"])
@pytest.mark.parametrize("damage", [damage_truncate, damage_empty, damage_text])
def test_a_damaged_image_is_named(cache, folder, write_image, damage, suffix):
    path = write_image(folder / "train" / "cat" / f"3b{suffix}", seed=5)
    damage(path)
    refused(folder, cache, "cannot be read", path)
    assert not list(cache("images", "x").parent.iterdir())


def test_a_broken_link_is_named(cache, folder):
    link = folder / "train" / "cat" / "link.png"
    link.symlink_to("nowhere.png")
    refused(folder, cache, "no such file", link)


def test_a_decompression_bomb_is_refused(cache, root, write_image, monkeypatch):
    for name in "ab":
        path = write_image(root / name / "0.png", width=64, height=64)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    refused(root, cache, "cannot be read", root / "a" / path.name, size=8)
