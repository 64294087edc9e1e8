"""Streams: batches as a pure function of (seed, epoch), and what is in them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tutelage.data import Split, Stream, normalise, parse_views
from tutelage.errors import UserError

torch.set_num_threads(1)

MEAN = np.array([0.5, 0.4, 0.3], np.float32)
STD = np.array([0.25, 0.2, 0.3], np.float32)


def make_split(n=53, side=8, channels=3):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (n, side, side, channels), dtype=np.uint8)
    return Split(images, rng.integers(0, 5, n))


def make_stream(split=None, views="crop-2-flip", batch_size=10, seed=7, device="cpu"):
    split = split or make_split()
    channels = split.images.shape[-1]
    return Stream(
        split, parse_views(views), batch_size, seed, MEAN[:channels], STD[:channels], device
    )


def index_and_view(stream, epoch):
    batches = list(stream.epoch(epoch))
    return [(batch.index.tolist(), batch.view.tolist()) for batch in batches]


def test_shapes_types_and_memory():
    batch = next(make_stream().epoch(0))
    assert batch.index.shape == batch.view.shape == batch.labels.shape == (10,)
    assert batch.index.dtype == batch.view.dtype == batch.labels.dtype == torch.int64
    assert batch.pixels.shape == (10, 8, 8, 3)
    assert batch.pixels.dtype == torch.uint8
    assert batch.images.shape == (10, 3, 8, 8)
    assert batch.images.dtype == torch.float32
    assert batch.images.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("views", ["none", "shift-1", "crop-2-flip"])
def test_a_batch_holds_the_views_that_it_names(views):
    split = make_split()
    stream = make_stream(split, views)
    for batch in stream.epoch(3):
        chosen = torch.from_numpy(split.images)[batch.index]
        pixels = parse_views(views).apply(chosen, batch.view)
        assert torch.equal(batch.pixels, pixels)
        assert torch.equal(batch.images, normalise(pixels, MEAN, STD))
        assert torch.equal(batch.labels, torch.from_numpy(split.labels)[batch.index])


def test_normalise_follows_its_formula():
    pixels = torch.randint(0, 256, (4, 5, 6, 3), dtype=torch.uint8)
    expected = (pixels.numpy() / 255 - MEAN.astype(float)) / STD.astype(float)
    made = normalise(pixels, MEAN, STD)
    np.testing.assert_allclose(made.permute(0, 2, 3, 1).numpy(), expected, rtol=1e-6, atol=1e-6)
    same = normalise(pixels, torch.from_numpy(MEAN), torch.from_numpy(STD))
    assert torch.equal(made, same)


def test_normalise_takes_pixels_of_any_layout():
    pixels = torch.randint(0, 256, (4, 3, 5, 6), dtype=torch.uint8).permute(0, 2, 3, 1)
    made = normalise(pixels, MEAN, STD)
    assert torch.equal(made, normalise(pixels.contiguous(), MEAN, STD))
    assert made.is_contiguous(memory_format=torch.channels_last)


def test_every_image_at_most_once_an_epoch():
    stream = make_stream()
    assert stream.batches_per_epoch == 5
    seen = [i for index, _ in index_and_view(stream, 0) for i in index]
    assert len(seen) == len(set(seen)) == 50
    assert set(seen) <= set(range(53))


def test_all_images_when_batches_divide_them():
    seen = [i for index, _ in index_and_view(make_stream(make_split(50)), 2) for i in index]
    assert sorted(seen) == list(range(50))


def test_epochs_and_seeds_differ_in_order_and_views():
    stream = make_stream()
    base, later = index_and_view(stream, 0), index_and_view(stream, 1)
    other = index_and_view(make_stream(seed=8), 0)
    for changed in (later, other):
        assert base[0][0] != changed[0][0]
        assert base[0][1] != changed[0][1]


def test_an_epoch_is_independent_of_what_was_asked_before():
    first, second = make_stream(), make_stream()
    expected = [index_and_view(first, epoch) for epoch in range(3)]
    assert [index_and_view(second, epoch) for epoch in (2, 0, 1)] == [
        expected[2], expected[0], expected[1]
    ]  # fmt: skip
    next(second.epoch(5))
    half_read = second.epoch(0)
    next(half_read)
    assert index_and_view(second, 0) == expected[0]
    assert next(half_read).index.tolist() == expected[0][1][0]


def test_the_global_generators_are_left_alone():
    torch.manual_seed(3)
    np.random.seed(3)
    before = torch.rand(2), np.random.rand()
    torch.manual_seed(3)
    np.random.seed(3)
    list(make_stream().epoch(0))
    assert torch.equal(torch.rand(2), before[0])
    assert np.random.rand() == before[1]


def test_how_many_batches_are_made_at_once_changes_nothing(monkeypatch):
    together = list(make_stream().epoch(0))
    monkeypatch.setattr("tutelage.data.stream._BYTES_AT_ONCE", 1)
    alone = list(make_stream().epoch(0))
    monkeypatch.setattr("tutelage.data.stream._BYTES_AT_ONCE", 4000)
    some = list(make_stream().epoch(0))
    for batches in (alone, some):
        assert len(batches) == len(together)
        for one, other in zip(together, batches, strict=True):
            for name in ("index", "view", "pixels", "images", "labels"):
                assert torch.equal(getattr(one, name), getattr(other, name))


def test_the_order_does_not_depend_on_the_views():
    plain, moved = make_stream(views="none"), make_stream(views="crop-2-flip")
    assert [i for i, _ in index_and_view(plain, 4)] == [i for i, _ in index_and_view(moved, 4)]


def test_a_stream_does_not_change_its_split():
    split = make_split()
    images, labels = split.images.copy(), split.labels.copy()
    for batch in make_stream(split, "none").epoch(0):
        batch.images.zero_()
        batch.pixels.zero_()
        batch.labels.zero_()
    np.testing.assert_array_equal(split.images, images)
    np.testing.assert_array_equal(split.labels, labels)


def test_images_that_cannot_be_written(recwarn):
    split = make_split()
    split.images.setflags(write=False)
    assert len(list(make_stream(split).epoch(0))) == 5
    assert not recwarn.list


def test_golden_stream():
    """Fails when streams change unnoticed: then raise RESULTS_VERSION["data"]."""
    batch = next(make_stream(make_split(1000), "crop-4-flip", batch_size=6, seed=1).epoch(2))
    assert batch.index.tolist() == [948, 478, 54, 732, 991, 73]
    assert batch.view.tolist() == [129, 95, 91, 107, 34, 129]


def test_a_batch_as_large_as_the_split_is_the_limit():
    assert make_stream(batch_size=53).batches_per_epoch == 1
    with pytest.raises(UserError, match="54 is larger than the 53") as caught:
        make_stream(batch_size=54)
    assert caught.value.where == "recipe.batch_size"


def test_views_too_large_for_the_images():
    with pytest.raises(UserError, match=r"data\.views"):
        make_stream(views="crop-8")


@pytest.mark.gpu
def test_a_gpu_gives_the_same_batches():
    for here, there in zip(
        make_stream().epoch(0), make_stream(device="cuda").epoch(0), strict=True
    ):
        assert there.images.device.type == "cuda"
        for name in ("index", "view", "pixels", "labels"):
            assert torch.equal(getattr(here, name), getattr(there, name).cpu())
        np.testing.assert_allclose(here.images, there.images.cpu(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("at_once", [1, 25 * 8 * 8 * 3, 1 << 20])
def test_batches_are_numbered_however_many_are_made_at_once(monkeypatch, at_once):
    monkeypatch.setattr("tutelage.data.stream._BYTES_AT_ONCE", at_once)
    assert [batch.number for batch in make_stream().epoch(3)] == [0, 1, 2, 3, 4]


def test_streams_of_one_split_share_its_pixels():
    split = make_split()
    split.images.flags.writeable = False  # as images on disk are
    one, other = make_stream(split), make_stream(split, seed=8, batch_size=5)
    assert one._pixels.data_ptr() == other._pixels.data_ptr()
