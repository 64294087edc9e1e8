"""Worlds: exact counts, disjoint splits, label noise, statistics and the fingerprint."""

from __future__ import annotations

import dataclasses
import os

import numpy as np
import pytest

from tutelage.config.schema import DataConfig
from tutelage.data import Source, load_source, make_world
from tutelage.errors import UserError


def make_source(sizes, test_sizes=None, side=2):
    """Images whose first two bytes are their position, so that each can be told."""

    def images(count, third):
        pixels = np.zeros((count, side, side, 1), np.uint8)
        pixels[:, 0, 0, 0], pixels[:, 0, 1, 0] = np.divmod(np.arange(count), 256)
        pixels[:, 1, 0, 0] = third
        return pixels

    labels = np.repeat(np.arange(len(sizes)), sizes)
    names = tuple(f"c{label}" for label in range(len(sizes)))
    if test_sizes is None:
        return Source(images(len(labels), 0), labels, None, None, names, "made")
    tests = np.repeat(np.arange(len(test_sizes)), test_sizes)
    return Source(images(len(labels), 0), labels, images(len(tests), 1), tests, names, "made")


def positions(split):
    return split.images[:, 0, 0, 0].astype(int) * 256 + split.images[:, 0, 1, 0]


def counts(split, classes):
    return np.bincount(split.labels, minlength=classes).tolist()


def config(**values):
    return DataConfig(source="digits", **values)


@pytest.fixture(scope="module")
def digits():
    return load_source(DataConfig(source="digits"), lambda kind, key: None)  # type: ignore[arg-type]


def test_digits_as_the_demo_splits_them(digits):
    world = make_world(digits, config(train=500, validation=200), 3, 4)
    assert counts(world.train, 10) == [50] * 10
    assert counts(world.validation, 10) == [20] * 10
    assert (len(world.train), len(world.validation), len(world.test)) == (500, 200, 1097)
    assert world.shape == (8, 8, 1)
    assert world.classes == 10


def test_splits_share_no_image_and_keep_labels_with_pixels():
    source = make_source([40, 50, 60])
    world = make_world(source, config(train=31, validation=20), 1, 0)
    where = [positions(split) for split in (world.train, world.validation, world.test)]
    assert sorted(np.concatenate(where).tolist()) == list(range(150))
    for split, at in zip((world.train, world.validation, world.test), where, strict=True):
        np.testing.assert_array_equal(split.labels, source.labels[at])
        assert split.images.dtype == np.uint8
        assert split.labels.dtype == np.int64


@pytest.mark.parametrize(("train", "validation"), [(30, 9), (31, 10), (32, 11), (100, 50)])
def test_balanced_counts_are_exact_and_differ_by_at_most_one(train, validation):
    world = make_world(make_source([60, 60, 60]), config(train=train, validation=validation), 5, 0)
    for split, wanted in ((world.train, train), (world.validation, validation)):
        found = counts(split, 3)
        assert sum(found) == wanted
        assert max(found) - min(found) <= 1


def test_the_remainder_falls_on_different_classes():
    source = make_source([20, 20, 20])
    extra = {
        int(np.argmax(counts(make_world(source, config(train=4), seed, 0).train, 3)))
        for seed in range(20)
    }
    assert extra == {0, 1, 2}


def test_the_remainder_falls_where_images_are_left():
    for seed in range(10):
        world = make_world(make_source([5, 6, 9]), config(train=17, validation=1, test=1), seed, 0)
        assert len(world.train) == 17


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, (81, 9, 10)),
        ({"test": 20}, (72, 8, 20)),
        ({"validation": 20}, (72, 20, 8)),
        ({"train": 50}, (50, 5, 45)),
        ({"train": 50, "validation": 10}, (50, 10, 40)),
        ({"train": 50, "test": 20}, (50, 3, 20)),
        ({"train": 50, "validation": 10, "test": 20}, (50, 10, 20)),
        ({"train": 98}, (98, 1, 1)),
    ],
)
def test_default_numbers_without_a_test_set(asked, expected):
    world = make_world(make_source([50, 50]), config(**asked), 1, 0)
    assert (len(world.train), len(world.validation), len(world.test)) == expected


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, (90, 10, 30)),
        ({"train": 50}, (50, 5, 30)),
        ({"validation": 30}, (70, 30, 30)),
        ({"train": 50, "validation": 50, "test": 7}, (50, 50, 7)),
    ],
)
def test_default_numbers_with_a_test_set(asked, expected):
    world = make_world(make_source([50, 50], [15, 15]), config(**asked), 1, 0)
    assert (len(world.train), len(world.validation), len(world.test)) == expected
    assert (world.test.images[:, 1, 0, 0] == 1).all()
    assert (world.train.images[:, 1, 0, 0] == 0).all()


def test_default_validation_keeps_the_proportions_of_the_classes():
    world = make_world(make_source([500, 100, 20], [9, 9, 9]), config(), 1, 0)
    assert counts(world.validation, 3) == [50, 10, 2]
    assert counts(world.train, 3) == [450, 90, 18]


def test_the_split_follows_its_seed_alone():
    source = make_source([50, 50])
    asked = config(train=40, validation=20, label_noise=0.2)
    one, same, other = (make_world(source, asked, *seeds) for seeds in ((1, 5), (1, 6), (2, 5)))
    np.testing.assert_array_equal(positions(one.train), positions(same.train))
    np.testing.assert_array_equal(positions(one.validation), positions(same.validation))
    assert positions(one.train).tolist() != positions(other.train).tolist()
    assert (one.train.labels != same.train.labels).any()


def test_more_training_images_leave_validation_and_test_as_they_were():
    source = make_source([50, 50])
    few, many = (
        make_world(source, config(train=train, validation=10, test=20), 1, 0) for train in (20, 60)
    )
    np.testing.assert_array_equal(positions(few.validation), positions(many.validation))
    np.testing.assert_array_equal(positions(few.test), positions(many.test))
    assert set(positions(few.train)) < set(positions(many.train))


def test_a_subset_of_the_own_test_set_is_the_same_in_every_world():
    source = make_source([50, 50], [30, 30])
    one, other = (make_world(source, config(test=10), seed, seed) for seed in (1, 2))
    np.testing.assert_array_equal(positions(one.test), positions(other.test))
    assert counts(one.test, 2) == [5, 5]
    assert positions(one.train).tolist() != positions(other.train).tolist()


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.3, 0.333, 0.9, 0.999])
def test_label_noise_is_exact_and_never_the_original_class(rate):
    source = make_source([60, 60, 60, 60])
    world = make_world(source, config(train=101, validation=47, label_noise=rate), 1, 2)
    clean = source.labels[positions(world.train)]
    np.testing.assert_array_equal(world.clean_train_labels, clean)
    assert (world.train.labels != clean).sum() == round(rate * 101)
    wrong = world.validation.labels != source.labels[positions(world.validation)]
    assert wrong.sum() == round(rate * 47)
    np.testing.assert_array_equal(world.test.labels, source.labels[positions(world.test)])
    for split in (world.train, world.validation):
        assert split.labels.min() >= 0
        assert split.labels.max() <= 3


def test_every_other_class_is_equally_likely():
    world = make_world(make_source([4000] * 4), config(train=12000, label_noise=0.5), 1, 2)
    clean, noisy = world.clean_train_labels, world.train.labels
    changed = noisy != clean
    table = np.zeros((4, 4), int)
    np.add.at(table, (clean[changed], noisy[changed]), 1)
    assert table.trace() == 0
    off_diagonal = table[~np.eye(4, dtype=bool)]
    # 6,000 wrong labels over 12 cells: 500 each, standard deviation about 21
    assert abs(off_diagonal - 500).max() < 100


def test_more_noise_adds_to_less():
    source = make_source([60, 60, 60])
    less, more = (
        make_world(source, config(train=90, label_noise=rate), 1, 2) for rate in (0.2, 0.4)
    )
    wrong = less.train.labels != less.clean_train_labels
    np.testing.assert_array_equal(less.train.labels[wrong], more.train.labels[wrong])


def test_noise_on_train_and_validation_is_drawn_apart():
    source = make_source([100, 100, 100])
    world = make_world(source, config(train=90, validation=90, label_noise=0.3), 1, 2)
    train = world.train.labels != world.clean_train_labels
    validation = world.validation.labels != source.labels[positions(world.validation)]
    assert (train != validation).any()


def test_mean_and_deviation_are_those_of_the_training_pixels():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (40, 9, 7, 3), dtype=np.uint8)
    images[..., 2] = 51
    source = Source(images, np.arange(40) % 2, None, None, ("a", "b"), "made")
    world = make_world(source, config(train=20), 1, 0)
    pixels = world.train.images.astype(float) / 255
    np.testing.assert_allclose(world.mean, pixels.mean(axis=(0, 1, 2)), rtol=1e-6)
    np.testing.assert_allclose(world.std[:2], pixels.std(axis=(0, 1, 2))[:2], rtol=1e-6)
    assert world.std[2] == 1.0  # constant
    assert world.mean.dtype == world.std.dtype == np.float32
    assert world.shape == (9, 7, 3)


def test_statistics_of_many_pixels_are_the_same(monkeypatch, digits):
    whole = make_world(digits, config(train=500), 1, 2)
    monkeypatch.setattr("tutelage.data.world._PIXELS_AT_ONCE", 1000)
    parts = make_world(digits, config(train=500), 1, 2)
    assert whole.mean == parts.mean
    assert whole.std == parts.std


def test_the_fingerprint_changes_with_any_pixel_or_label_but_not_with_names():
    source = make_source([30, 30], [10, 10])
    asked = config(train=20, validation=20)

    def fingerprint(changed=source, **extra):
        return make_world(changed, asked.model_copy(update=extra), 1, 2).fingerprint

    base, world = fingerprint(), make_world(source, asked, 1, 2)
    assert base == fingerprint()
    seen = {base, fingerprint(label_noise=0.1), fingerprint(validation=18)}
    for split in (world.train, world.validation):
        images = source.images.copy()
        images[positions(split)[-1], 1, 1, 0] ^= 1
        seen.add(fingerprint(dataclasses.replace(source, images=images)))
    assert source.test_images is not None
    assert source.test_labels is not None
    test_images, test_labels = source.test_images.copy(), source.test_labels.copy()
    test_images[0, 1, 1, 0] ^= 1
    test_labels[0] ^= 1
    seen.add(fingerprint(dataclasses.replace(source, test_images=test_images)))
    seen.add(fingerprint(dataclasses.replace(source, test_labels=test_labels)))
    assert len(seen) == 7
    assert fingerprint(dataclasses.replace(source, class_names=("c0", "d"))) == base


def test_what_a_training_sees_has_a_fingerprint_without_the_test_images():
    source, asked = make_source([30, 30], [10, 10]), config(train=20, validation=20)
    base = make_world(source, asked, 1, 2)
    other = make_world(source, asked.model_copy(update={"test": 10}), 1, 2)
    assert other.training_fingerprint == base.training_fingerprint
    assert other.fingerprint != base.fingerprint
    for seeds in ((1, 3), (2, 2)):
        noisy = make_world(source, asked.model_copy(update={"label_noise": 0.2}), *seeds)
        assert noisy.training_fingerprint != base.training_fingerprint


def test_the_fingerprint_does_not_depend_on_the_path(cache, folder):
    def fingerprint(path):
        asked = DataConfig(source="image-folder", path=str(path))
        return make_world(load_source(asked, cache), asked, 1, 2).fingerprint

    before = fingerprint(folder)
    os.rename(folder, folder.parent / "moved")
    assert fingerprint(folder.parent / "moved") == before


def test_a_world_is_in_memory_not_mapped(cache, folder):
    asked = DataConfig(source="image-folder", path=str(folder))
    source = load_source(asked, cache)
    assert isinstance(source.images, np.memmap)
    world = make_world(source, asked, 1, 2)
    for split in (world.train, world.validation, world.test):
        assert type(split.images) is np.ndarray
        assert split.images.flags.writeable


def test_golden_fingerprint_of_digits(digits):
    """Fails when a world changes unnoticed: then raise RESULTS_VERSION["data"]."""
    world = make_world(digits, config(train=500, validation=200, label_noise=0.3), 1, 2)
    assert world.fingerprint == "c0350f6196ccdf5b310c52af0178b6277da18928e1bfa18636352bc097cc3d55"


@pytest.mark.parametrize(
    ("asked", "where", "words"),
    [
        ({"train": 101}, "data.train", ("101", "100")),
        ({"train": 60, "validation": 41}, "data.validation, data.train", ("101", "100")),
        ({"train": 60, "test": 41}, "data.test, data.train", ("101", "100")),
        ({"train": 99}, "data.train", ("99", "100", "test and validation")),
        ({"validation": 99}, "data.validation", ("99", "100", "test and train")),
        ({"validation": 98}, "data.train", ("1 training images", "2 classes")),
        ({"train": 1}, "data.train", ("1 training images", "2 classes")),
    ],
)
def test_more_than_there_is(asked, where, words):
    with pytest.raises(UserError) as caught:
        make_world(make_source([50, 50]), config(**asked), 1, 0)
    assert caught.value.where == where
    assert all(word in caught.value.what for word in words)


def test_more_test_images_than_there_are():
    with pytest.raises(UserError, match=r"data\.test: 21 images are asked for; there are 20"):
        make_world(make_source([50, 50], [10, 10]), config(test=21), 1, 0)


def test_a_class_that_is_too_small():
    with pytest.raises(UserError, match=r"data\.train: 60 .* need 30 of class 'c1'; 20 are left"):
        make_world(make_source([80, 20]), config(train=60), 1, 0)
