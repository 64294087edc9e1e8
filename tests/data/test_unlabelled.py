"""Images without labels: which they are, that nothing reads their labels, how batches hold them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tutelage.config.schema import DataConfig
from tutelage.data.image_files import ImageFiles
from tutelage.data.parts import trained_count, trained_mark, trained_on
from tutelage.data.sources import load_source
from tutelage.data.stream import Stream, labelled_in_batch
from tutelage.data.views import parse_views
from tutelage.data.world import NO_LABEL, Split, make_world
from tutelage.errors import UserError

CONFIG = DataConfig(
    source="digits", train=101, validation=50, test=100, label_noise=0.3, unlabelled=60
)


def no_cache(kind, key):
    raise AssertionError("digits are not cached")


@pytest.fixture(scope="module")
def source():
    return load_source(CONFIG, no_cache)


@pytest.fixture(scope="module")
def world(source):
    return make_world(source, CONFIG, 1, 2)


def rows(images):
    return {image.tobytes() for image in images}  # no two digits are equal


def test_the_halves_are_disjoint_and_together_all_training_images(world):
    a, b = (trained_on(world, half, None).train for half in ("half-a", "half-b"))
    assert (len(a), len(b)) == (51, 50)
    assert rows(a.images) | rows(b.images) == rows(world.train.images)
    assert not rows(a.images) & rows(b.images)


@pytest.mark.parametrize("which", ["half-b", "extra"])
def test_images_without_labels_follow_those_with(world, which):
    seen = trained_on(world, "half-a", which)
    first = trained_on(world, "half-a", None)
    hidden = (
        world.unlabelled if which == "extra" else trained_on(world, "half-b", None).train.images
    )
    assert (seen.train.images == np.concatenate([first.train.images, hidden])).all()
    labels = [*first.train.labels, *[NO_LABEL] * len(hidden)]
    assert seen.train.labels.tolist() == labels
    assert (seen.clean_train_labels[len(first.train) :] == NO_LABEL).all()
    assert trained_count(101, 60, "half-a", which) == (len(first.train), len(hidden))
    assert seen.validation is world.validation
    assert (seen.mean == world.mean).all()
    assert seen.training_fingerprint == trained_mark(
        world.training_fingerprint, "half-a", which, world.unlabelled_fingerprint
    )


def test_every_choice_of_images_has_a_fingerprint_of_its_own(world):
    choices = [(None, None), (None, "extra"), ("half-a", None), ("half-b", None),
               ("half-a", "half-b"), ("half-b", "half-a"), ("half-a", "extra")]  # fmt: skip
    marks = {trained_on(world, *choice).training_fingerprint for choice in choices}
    assert len(marks) == len(choices)


def test_extra_images_are_in_no_other_split(world):
    others = [rows(split.images) for split in (world.train, world.validation, world.test)]
    assert len(world.unlabelled) == 60
    assert not rows(world.unlabelled) & set.union(*others)


def test_the_labels_of_extra_images_are_never_read(source, world):
    hidden = rows(world.unlabelled)
    labels = source.labels.copy()
    for place, image in enumerate(source.images):
        if image.tobytes() in hidden:
            labels[place] = (labels[place] + 1) % 10
    again = make_world(replace(source, labels=labels), CONFIG, 1, 2)
    assert (again.unlabelled == world.unlabelled).all()
    assert again.unlabelled_fingerprint == world.unlabelled_fingerprint
    assert again.fingerprint == world.fingerprint
    assert (again.train.labels == world.train.labels).all()


def test_extra_images_differ_with_the_split(source, world):
    assert rows(make_world(source, CONFIG, 2, 2).unlabelled) != rows(world.unlabelled)


def test_a_folder_adds_images_and_changes_nothing_else(tmp_path, source):
    bare = CONFIG.model_copy(update={"unlabelled": None})
    world = make_world(source, bare, 1, 2)
    extra = np.arange(64, dtype=np.uint8).reshape(1, 8, 8, 1)
    more = make_world(replace(source, unlabelled=extra), bare, 1, 2)
    assert more.fingerprint == world.fingerprint
    assert world.unlabelled_fingerprint is None
    assert trained_on(more, None, None).training_fingerprint == world.training_fingerprint
    assert (trained_on(more, None, "extra").train.images[-1] == extra[0]).all()


def split_of(labelled, without):
    count = labelled + without
    images = np.arange(count * 16, dtype=np.int64).astype(np.uint8).reshape(count, 4, 4, 1)
    labels = np.array([0, 1] * labelled)[:labelled]
    return Split(images, np.concatenate([labels, np.full(without, NO_LABEL)]))


def stream_of(split, batch_size, channels=1):
    figures = np.zeros(channels, np.float32), np.ones(channels, np.float32)
    return Stream(split, parse_views("none"), batch_size, 5, *figures)


@given(st.integers(2, 40), st.integers(1, 80), st.integers(2, 12), st.integers(0, 3))
def test_every_batch_has_its_labels_first_and_no_image_comes_twice(
    labelled, without, batch_size, epoch
):
    split = split_of(labelled, without)
    if batch_size > labelled or batch_size * without < labelled:
        with pytest.raises(UserError):
            stream_of(split, batch_size)
        return
    stream = stream_of(split, batch_size)
    batches = list(stream.epoch(epoch))
    assert len(batches) == labelled // batch_size == stream.batches_per_epoch
    shown = np.concatenate([batch.index.numpy() for batch in batches])
    assert len(set(shown.tolist())) == len(shown)
    for batch in batches:
        known = batch.labels != NO_LABEL
        assert len(known) == batch_size
        assert batch.labelled == stream.labelled == known.sum() >= batch_size / 2
        assert known[: batch.labelled].all()
        assert (batch.labels == stream._labels[batch.index]).all()


def test_half_of_a_batch_is_without_labels_where_there_are_enough():
    assert labelled_in_batch(50, 500, 1000) == 25
    assert labelled_in_batch(50, 500, 100_000) == 25
    assert labelled_in_batch(50, 500, 600) == 40  # each of the 100 once an epoch
    assert labelled_in_batch(50, 500, 500) == 50


def test_over_the_epochs_all_images_are_seen():
    stream = stream_of(split_of(20, 40), 4)
    seen = {int(i) for epoch in range(40) for batch in stream.epoch(epoch) for i in batch.index}
    assert seen == set(range(60))


def written(folder, images, mode="L"):
    folder.mkdir()
    for number, image in enumerate(images):
        Image.fromarray(image[..., 0]).convert(mode).save(folder / f"{number}.png")


def of_files(tmp_path, channels=1, resized=None):
    """A source of 8x8 images beside those in tmp_path / "more"."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (12, 8, 8, channels), dtype=np.uint8)
    labels = np.arange(12) % 2
    np.savez(tmp_path / "known.npz", train_images=images, train_labels=labels)
    config = DataConfig(
        source="files", path=str(tmp_path / "known.npz"), unlabelled=str(tmp_path / "more"),
        validation=2, test=4, size=resized,
    )  # fmt: skip

    def cache(kind, key):
        (tmp_path / "cache" / kind).mkdir(parents=True, exist_ok=True)
        return tmp_path / "cache" / kind / key

    return config, lambda: load_source(config, cache)


def test_a_folder_of_images_is_read_in_an_order_of_its_pixels(tmp_path):
    images = np.random.default_rng(1).integers(0, 256, (5, 8, 8, 1), dtype=np.uint8)
    config, load = of_files(tmp_path)
    written(tmp_path / "more", images)
    (tmp_path / "more" / "notes.txt").write_text("no image")
    first = load()
    assert rows(first.unlabelled) == rows(images)
    for file in (tmp_path / "more").glob("*.png"):
        file.rename(file.with_name(f"z{9 - int(file.stem)}.png"))
    assert (load().unlabelled == first.unlabelled).all()
    world = make_world(first, config, 1, 2)
    assert len(world.unlabelled) == 5


def test_grey_images_beside_coloured_ones_become_coloured(tmp_path):
    images = np.random.default_rng(1).integers(0, 256, (3, 8, 8, 1), dtype=np.uint8)
    _, load = of_files(tmp_path, channels=3)
    written(tmp_path / "more", images)
    found = load().unlabelled
    assert found.shape == (3, 8, 8, 3)
    assert rows(found) == rows(np.repeat(images, 3, 3))


def test_images_of_another_size_or_no_images_are_refused(tmp_path):
    _, load = of_files(tmp_path)
    with pytest.raises(UserError, match="there is no such folder"):
        load()
    (tmp_path / "more").mkdir()
    with pytest.raises(UserError, match="holds no images"):
        load()
    (tmp_path / "more").rmdir()
    written(tmp_path / "more", np.zeros((2, 9, 9, 1), np.uint8))
    with pytest.raises(UserError, match=r"9x9x1 .*, those with labels 8x8x1"):
        load()


def test_images_of_another_size_are_brought_to_the_one_asked_for(tmp_path):
    _, load = of_files(tmp_path, resized=6)
    written(tmp_path / "more", np.full((2, 9, 9, 1), 7, np.uint8))
    found = load().unlabelled
    assert found.shape == (2, 6, 6, 1)
    assert (found == 7).all()


def test_test_images_among_those_without_labels_are_refused(tmp_path):
    config, load = of_files(tmp_path)
    written(tmp_path / "more", np.load(tmp_path / "known.npz")["train_images"])
    with pytest.raises(UserError, match="4 of the 4 test images are among those without labels"):
        make_world(load(), config, 1, 2)


def test_more_images_without_labels_than_there_are_is_refused(source):
    with pytest.raises(UserError, match="the source has 1797"):
        make_world(source, CONFIG.model_copy(update={"unlabelled": 1797}), 1, 2)


def test_streamed_images_lose_their_labels_and_stay_in_their_files(tmp_path):
    rng = np.random.default_rng(0)
    for label in range(2):
        folder = tmp_path / "photos" / f"class{label}"
        folder.mkdir(parents=True)
        for number in range(14):
            image = rng.integers(0, 256, (12, 12, 3), dtype=np.uint8)
            Image.fromarray(image).save(folder / f"{number}.png")
    config = DataConfig(
        source="image-folder", path=str(tmp_path / "photos"), size=8, streamed=True, test=4,
        validation=4, unlabelled=8,
    )  # fmt: skip

    def cache(kind, key):
        (tmp_path / "cache" / kind).mkdir(parents=True, exist_ok=True)
        return tmp_path / "cache" / kind / key

    world = make_world(load_source(config, cache), config, 1, 2)
    seen = trained_on(world, None, "extra")
    assert isinstance(seen.train.images, ImageFiles)
    files = [str(seen.train.images.path(place)) for place in range(len(seen.train))]
    assert (len(set(files)), len(world.unlabelled)) == (20, 8)
    assert (seen.train.labels[12:] == NO_LABEL).all()
    batches = list(stream_of(seen.train, 4, channels=3).epoch(0))
    assert [batch.labelled for batch in batches] == [2, 2, 2]
    for batch in batches:
        assert (batch.pixels.numpy() == seen.train.images[batch.index.numpy()]).all()
