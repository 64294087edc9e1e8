"""Transforms of torchvision as views: decided by their seed alone, and refused in words."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import torch

from tutelage.config.canonical import canonical
from tutelage.config.schema import DataConfig, TransformViews
from tutelage.data import Split, Stream, parse_views
from tutelage.errors import UserError

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("torchvision") is None, reason="torchvision is an extra"
)

MEAN, STD = np.array([0.5], np.float32), np.array([0.25], np.float32)
CROP = [
    {"RandomResizedCrop": {"size": 8, "scale": [0.3, 1.0], "antialias": True}},
    "RandomHorizontalFlip",
    {"RandomApply": {"transforms": [{"ColorJitter": {"brightness": 0.5}}], "p": 0.5}},
]


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def views_of(spec):
    return parse_views(TransformViews(torchvision=spec).text)


def images(n=20, channels=1, seed=0):
    return torch.from_numpy(
        np.random.default_rng(seed).integers(0, 256, (n, 8, 8, channels)).astype(np.uint8)
    )


def test_a_view_depends_on_its_number_and_its_image_alone():
    views, pixels = views_of(CROP), images()
    numbers = torch.arange(20) * 1000
    whole = views.apply(pixels, numbers)
    order = torch.randperm(20, generator=torch.Generator().manual_seed(1))
    assert torch.equal(views.apply(pixels[order], numbers[order]), whole[order])
    assert torch.equal(views.apply(pixels[3:4], numbers[3:4]), whole[3:4])
    assert not torch.equal(views.apply(pixels, numbers + 1), whole)
    assert whole.shape == pixels.shape
    assert whole.dtype == torch.uint8


def test_a_view_is_what_the_transform_makes_from_that_seed():
    from tutelage.data.torchvision import import_transforms

    pixels = images(6)
    transform = import_transforms().RandomCrop(size=8, padding=3)
    made = views_of([{"RandomCrop": {"size": 8, "padding": 3}}]).apply(pixels, torch.arange(6))
    for number in range(6):
        torch.manual_seed(number)
        expected = transform(pixels[number].permute(2, 0, 1)).permute(1, 2, 0)
        assert torch.equal(made[number], expected)


def test_a_flip_that_is_certain_mirrors():
    pixels = images(channels=3)
    made = views_of([{"RandomHorizontalFlip": {"p": 1.0}}]).apply(pixels, torch.arange(20))
    assert torch.equal(made, pixels.flip(2))


def test_global_generators_are_left_alone():
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    views_of(CROP).apply(images(), torch.arange(20))
    assert torch.equal(torch.rand(3), expected)


def test_streams_draw_other_views_each_epoch_and_the_same_again():
    split = Split(images(30).numpy(), np.arange(30) % 3)

    def epoch(number, seed=5):
        stream = Stream(split, views_of(CROP), 10, seed, MEAN, STD)
        batches = list(stream.epoch(number))
        return torch.cat([b.view for b in batches]), torch.cat([b.pixels for b in batches])

    assert torch.equal(epoch(1)[1], epoch(1)[1])
    numbers = torch.cat([epoch(0)[0], epoch(1)[0], epoch(0, seed=6)[0]])
    assert len(set(numbers.tolist())) == 90


def test_the_text_comes_back():
    views = views_of(CROP)
    assert views.name == f"torchvision:{canonical(CROP)}"
    assert parse_views(views.name) == views
    assert DataConfig(source="digits", views=TransformViews(torchvision=CROP)).views_text == (
        views.name
    )
    assert DataConfig(source="digits", views="shift-1").views_text == "shift-1"


def test_grey_and_colour_pass_the_check():
    for channels in (1, 3):
        views_of(CROP).check((8, 8, channels))
    views_of([{"AutoAugment": {"policy": "cifar10", "interpolation": "bilinear"}}]).check((8, 8, 3))


@pytest.mark.parametrize(
    ("spec", "where", "words"),
    [
        (["RandomHorizontalFlap"], "[0]", ("RandomHorizontalFlip",)),
        (["Lambda"], "[0].Lambda", ("no transform",)),
        (["os.system"], "[0]", ("no transform",)),
        (["__class__"], "[0]", ("no transform",)),
        (["MixUp"], "[0].MixUp", ("recipe.mixup",)),
        (["CutMix"], "[0].CutMix", ("recipe.cutmix",)),
        ([{"RandomCrop": {"size": 8, "pading": 3}}], "[0].RandomCrop", ("pading",)),
        ([{"RandomCrop": 8}], "[0].RandomCrop", ("mapping",)),
        ([{"Pad": {"padding": 0}, "RGB": {}}], "[0]", ("Pad, RGB",)),
        ([{"RandomCrop": {"size": 6}}], "[0]", ("8x8", "6x6")),
        (["Identity", {"RandomCrop": {"size": 6}}], "[1]", ("8x8", "6x6")),
        (["RGB"], "[0]", ("1 channel", "3 channels")),
        ([{"Normalize": {"mean": [0.5], "std": [0.5]}}], "[0]", ("Normalize",)),
        (["ToPILImage"], "[0]", ("ToPILImage",)),
        ([{"RandomCrop": {"size": 20}}], "[0]", ("RandomCrop fails",)),
        ([{"RandomRotation": {"degrees": 9, "interpolation": "linear"}}],
         "[0].RandomRotation.interpolation", ("bilinear",)),
        ([{"RandomApply": {"transforms": ["Flip"]}}], "[0].RandomApply.transforms[0]", ("Flip",)),
    ],
)  # fmt: skip
def test_what_is_refused(spec, where, words):
    with pytest.raises(UserError) as caught:
        views_of(spec).check((8, 8, 1))
    assert caught.value.where.startswith(f"data.views.torchvision{where}")
    for word in words:
        assert word in str(caught.value)
