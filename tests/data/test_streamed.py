"""Images that stay in their files: the same pixels however they are read, and damage told."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from tutelage.config.schema import DataConfig
from tutelage.data import Split, Stream, load_source, make_world, parse_views
from tutelage.data.crop_views import draw_crop
from tutelage.data.image_files import ImageFiles, decode_crop
from tutelage.errors import UserError

CLASSES, PER_CLASS, SIZE = 3, 8, 16


@pytest.fixture
def photos(tmp_path):
    """ImageNet's layout: train/<wnid>/*.JPEG and val/<wnid>/*.JPEG, of several shapes."""
    root, rng = tmp_path / "photos", np.random.default_rng(0)
    for split, count in (("train", PER_CLASS), ("val", 2)):
        for label in range(CLASSES):
            folder = root / split / f"n0000000{label}"
            folder.mkdir(parents=True)
            for number in range(count):
                height, width = rng.integers(20, 90, 2)
                coarse = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
                image = Image.fromarray(coarse).resize((int(width), int(height)))
                image.save(folder / f"n0000000{label}_{number}.JPEG")
    return root


def config(root, **options):
    settings = {"source": "image-folder", "size": SIZE, "streamed": True, "validation": CLASSES}
    return DataConfig(path=str(root), **settings | options)


def world_of(root, cache, **options):
    own = config(root, **options)
    return make_world(load_source(own, cache), own, 0, 0)


def some_batches(world, views, threads=2, epoch=1):
    split = replace(world.train, images=replace(world.train.images, threads=threads))
    stream = Stream(split, parse_views(views), 6, 5, world.mean, world.std)
    return list(stream.epoch(epoch))


def test_a_folder_in_imagenets_layout_stays_on_disk(photos, cache):
    source = load_source(config(photos), cache)
    assert isinstance(source.images, ImageFiles)
    assert source.images.shape == (CLASSES * PER_CLASS, SIZE, SIZE, 3)
    assert source.class_names == ("n00000000", "n00000001", "n00000002")
    assert source.labels.tolist() == [label for label in range(CLASSES) for _ in range(PER_CLASS)]
    assert source.test_labels is not None
    assert len(source.test_labels) == 2 * CLASSES
    for place in (0, 9, 23):
        assert source.images.path(place).parent.name == source.class_names[source.labels[place]]


def test_evaluation_sees_the_central_square(tmp_path):
    pixels = np.zeros((64, 128, 3), np.uint8)
    pixels[4:60, 36:92] = 200  # 56 x 56, seven eighths of 64, around the centre
    Image.fromarray(pixels).save(tmp_path / "a.png")
    files = ImageFiles(
        tmp_path, np.array([b"a.png"]), np.zeros((1, 16), np.uint8), np.arange(1), 14
    )
    assert np.unique(files[:1]).tolist() == [200]
    wider = decode_crop(tmp_path / "a.png", 16, lambda w, h: ((32, 0, 96, 64), False))
    assert wider[0].max() < 40  # the frame, but for the neighbours that come in
    assert wider[8, 8].tolist() == [200] * 3


@pytest.mark.parametrize("views", ["random-resized-crop-flip", "crop-2-flip", "none"])
def test_the_number_of_threads_changes_no_pixel(photos, cache, views):
    world = world_of(photos, cache)
    one, five = some_batches(world, views, 1), some_batches(world, views, 5)
    assert len(one) == 3
    for a, b in zip(one, five, strict=True):
        assert torch.equal(a.pixels, b.pixels)
        assert torch.equal(a.labels, b.labels)
        assert torch.equal(a.images, b.images)
    other = some_batches(world, views, 1, epoch=2)
    assert not torch.equal(one[0].index, other[0].index)


def test_labels_go_with_their_images(photos, cache):
    world = world_of(photos, cache)
    for batch in some_batches(world, "none"):
        index = batch.index.numpy()
        assert np.array_equal(batch.pixels.numpy(), world.train.images[index])
        names = [world.train.images.path(i).parent.name for i in index]
        assert names == [world.class_names[label] for label in batch.labels]


def test_a_stream_that_is_left_early_begins_anew(photos, cache):
    world = world_of(photos, cache)
    stream = Stream(world.train, parse_views("random-resized-crop"), 6, 5, world.mean, world.std)
    first = next(iter(stream.epoch(0)))
    assert torch.equal(first.pixels, next(iter(stream.epoch(0))).pixels)


def test_a_large_jpeg_is_decoded_small_and_lands_in_the_same_place(tmp_path):
    ramp = np.linspace(0, 255, 640).astype(np.uint8)
    pixels = np.broadcast_to(ramp[None, :, None], (480, 640, 3))
    Image.fromarray(pixels.copy()).save(tmp_path / "a.jpg", quality=95)
    Image.fromarray(pixels.copy()).save(tmp_path / "a.png")
    made = [
        decode_crop(tmp_path / name, 16, lambda w, h: ((100, 50, 500, 450), False)).astype(int)
        for name in ("a.jpg", "a.png")
    ]
    assert np.abs(made[0] - made[1]).max() <= 3
    mirrored = decode_crop(tmp_path / "a.png", 16, lambda w, h: ((100, 50, 500, 450), True))
    assert np.array_equal(mirrored, made[1][:, ::-1])


def test_images_are_turned_as_their_camera_says(tmp_path):
    pixels = np.zeros((20, 40, 3), np.uint8)
    pixels[:, :20] = 250
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise: 20 wide, 40 high, bright above
    Image.fromarray(pixels).save(tmp_path / "a.jpg", exif=exif, quality=95)
    shapes = []

    def whole(width, height):
        shapes.append((width, height))
        return (0, 0, width, height), False

    made = decode_crop(tmp_path / "a.jpg", 8, whole)
    assert shapes == [(20, 40)]
    assert made[:3].min() > 200
    assert made[5:].max() < 50


def test_boxes_have_the_asked_area_and_shape():
    areas, shapes, mirrored = [], [], 0
    for seed in range(2000):
        (left, top, right, bottom), mirror = draw_crop(True, seed, 500, 400)
        assert 0 <= left < right <= 500
        assert 0 <= top < bottom <= 400
        areas.append((right - left) * (bottom - top) / 200_000)
        shapes.append((right - left) / (bottom - top))
        mirrored += mirror
    assert min(areas) > 0.078
    assert 0.4 < np.mean(areas) < 0.56  # 0.54, less what large boxes lose that do not fit
    assert 0.74 < min(shapes) < 0.78
    assert 1.29 < max(shapes) < 1.35
    assert 900 < mirrored < 1100
    assert not any(draw_crop(False, seed, 50, 40)[1] for seed in range(50))


def test_an_image_of_extreme_shape_is_cropped_in_its_middle():
    boxes = {draw_crop(False, seed, 1000, 10)[0] for seed in range(20)}
    assert (493, 0, 506, 10) in boxes


def test_crops_of_images_in_memory_keep_their_shape():
    views = parse_views("random-resized-crop-flip")
    pixels = torch.randint(256, (4, 12, 10, 1), dtype=torch.uint8)
    made = views.apply(pixels, torch.arange(4))
    assert made.shape == pixels.shape
    assert torch.equal(made, views.apply(pixels, torch.arange(4)))
    assert views.name == "random-resized-crop-flip"
    assert parse_views("random-resized-crop").name == "random-resized-crop"


def test_the_data_set_is_what_is_in_the_files(photos, cache, tmp_path):
    before = world_of(photos, cache)
    (photos / "train/n00000000/n00000000_0.JPEG").rename(photos / "train/n00000000/zz.JPEG")
    moved = photos.rename(tmp_path / "elsewhere")
    after = world_of(moved, cache)
    assert after.fingerprint == before.fingerprint
    assert np.array_equal(before.mean, after.mean)
    Image.new("RGB", (30, 30)).save(moved / "train/n00000000/zz.JPEG")
    assert world_of(moved, cache).training_fingerprint != before.training_fingerprint


def test_a_second_look_reads_only_what_has_changed(photos, cache, monkeypatch):
    looked = []
    original = "tutelage.data.streamed.check_image"
    monkeypatch.setattr("tutelage.data.streamed._PIECE", 8)
    monkeypatch.setattr(original, looked.append)
    load_source(config(photos), cache)
    assert len(looked) == CLASSES * (PER_CLASS + 2)
    load_source(config(photos), cache)
    assert len(looked) == CLASSES * (PER_CLASS + 2)
    os.utime(photos / "train/n00000001/n00000001_3.JPEG", (1, 1))
    looked.clear()
    load_source(config(photos), cache)
    assert {path.parent.name for path in looked} == {"n00000001"}
    assert len(looked) == 8
    for file in (cache("files", "").parent / "files").iterdir():  # damaged: read again
        file.write_bytes(file.read_bytes()[:-1])
    looked.clear()
    load_source(config(photos), cache)
    assert len(looked) == CLASSES * (PER_CLASS + 2)


def test_a_damaged_image_is_named(photos, cache):
    broken = photos / "train/n00000002/n00000002_5.JPEG"
    broken.write_bytes(broken.read_bytes()[:-200])
    with pytest.raises(UserError, match="cannot be read") as caught:
        load_source(config(photos), cache)
    assert caught.value.where == str(broken)
    assert caught.value.fix


def test_an_image_that_vanishes_is_named_by_the_stream(photos, cache):
    world = world_of(photos, cache)
    gone = world.train.images.path(4)
    gone.unlink()
    with pytest.raises(UserError, match="no such file") as caught:
        some_batches(world, "none")
    assert caught.value.where == str(gone)


@pytest.mark.parametrize(
    ("options", "words"),
    [({"size": None}, "need a size"), ({"fit": "stretch"}, "are cropped")],
)
def test_options_that_do_not_go_with_streaming_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        config("x", **options)


def test_only_folders_are_streamed(cache, tmp_path):
    for source in ("digits", "cifar10"):
        with pytest.raises(UserError, match="streamed") as caught:
            load_source(DataConfig(source=source, size=16, streamed=True), cache)
        assert caught.value.where == "data.streamed" or source == "digits"
    np.savez(tmp_path / "a.npz", images=np.zeros((4, 4, 4), np.uint8), labels=np.arange(4) % 2)
    with pytest.raises(UserError, match="only a folder"):
        load_source(config(tmp_path / "a.npz", source="files"), cache)


def test_of_streamed_training_images_some_are_measured(photos, cache, monkeypatch):
    monkeypatch.setattr("tutelage.data.world._MEASURED", 7)
    world = world_of(photos, cache)
    measured = world.measured["train"]
    assert len(measured) == 7
    assert set(measured.labels) == set(range(CLASSES))
    assert measured.images.path(6) == world.train.images.path(len(world.train) - 1)
    in_memory = Split(np.zeros((9, 2, 2, 1), np.uint8), np.zeros(9, np.int64))
    assert replace(world, train=in_memory).measured["train"] is in_memory


def test_false_leaves_no_trace_in_an_identity():
    plain = DataConfig(source="digits")
    assert DataConfig(source="digits", streamed=False) == plain
    assert "streamed" not in plain.model_dump(exclude_none=True)
