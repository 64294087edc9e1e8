"""Parts of the training images: disjoint, balanced, and left out where they should be."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.config.schema import DataConfig
from tutelage.data.parts import check_parts, parts_of, without_part
from tutelage.data.sources import load_source
from tutelage.data.world import make_world
from tutelage.errors import UserError


@pytest.fixture(scope="module")
def world():
    config = DataConfig(source="digits", train=100, validation=50, test=100, label_noise=0.3)
    return make_world(load_source(config, lambda kind, key: None), config, 1, 2)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=80), st.integers(2, 7))
def test_parts_are_even_in_all_and_in_every_class(labels, parts):
    labels = np.array(labels)
    found = parts_of(labels, parts)
    for chosen in (slice(None), *(labels == label for label in np.unique(labels))):
        counts = np.bincount(found[chosen], minlength=parts)
        assert len(counts) == parts
        assert counts.max() - counts.min() <= 1
    assert (found == parts_of(labels, parts)).all()


def test_the_order_in_a_class_is_drawn():
    found = parts_of(np.zeros(60, int), 3)
    assert not (found == np.arange(60) % 3).all()


def test_a_world_without_a_part_has_the_rest_and_all_else(world):
    part, seen = parts_of(world.train.labels, 4), []
    for k in range(4):
        rest = without_part(world, k, 4)
        kept = np.flatnonzero(part != k)
        assert (rest.train.images == world.train.images[kept]).all()
        assert (rest.train.labels == world.train.labels[kept]).all()
        assert (rest.clean_train_labels == world.clean_train_labels[kept]).all()
        assert rest.validation is world.validation
        assert (rest.mean == world.mean).all()
        seen.append(rest.training_fingerprint)
    assert len({world.training_fingerprint, *seen}) == 5


def test_more_parts_than_images_of_a_class_are_refused(world):
    fewest = np.bincount(world.train.labels).min()
    check_parts(world, int(fewest), where="x")
    with pytest.raises(UserError, match=f"there are {fewest} training images, fewer than the"):
        check_parts(world, int(fewest) + 1, where="x")
