"""Views: every view of every grammar against slow references, one image at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tutelage.data import parse_views
from tutelage.data.view_names import views_of
from tutelage.errors import UserError

torch.set_num_threads(1)

NAMES = ["none", "flip", "shift-1", "shift-2-flip", "crop-1", "crop-4", "crop-3-flip"]
SHAPES = [(8, 8, 1), (7, 9, 3), (5, 6, 2)]


def reference(name: str, image: np.ndarray, view: int) -> np.ndarray:
    """One view of one image, by padding, cutting and mirroring."""
    parts = name.split("-")
    flips = 2 if "flip" in parts else 1
    view, mirrored = divmod(view, flips)
    if parts[0] in ("shift", "crop"):
        pad = int(parts[1])
        down, right = divmod(view, 2 * pad + 1)
        mode = "reflect" if parts[0] == "crop" else "constant"
        padded = np.pad(image, ((pad, pad), (pad, pad), (0, 0)), mode=mode)
        height, width = image.shape[:2]
        image = padded[down : down + height, right : right + width]
    return image[:, ::-1] if mirrored else image


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", NAMES)
def test_every_view_is_that_of_the_reference(name, shape):
    views = parse_views(name)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (views.count, *shape), dtype=np.uint8)
    ids = rng.permutation(views.count)
    made = views.apply(torch.from_numpy(images), torch.from_numpy(ids))
    expected = np.stack(
        [reference(name, image, view) for image, view in zip(images, ids, strict=True)]
    )
    assert made.dtype == torch.uint8
    np.testing.assert_array_equal(made.numpy(), expected)


@pytest.mark.parametrize("name", NAMES)
def test_the_clean_view_leaves_images_alone(name):
    views = parse_views(name)
    images = torch.randint(0, 256, (6, 9, 9, 3), dtype=torch.uint8)
    made = views.apply(images, torch.full((6,), views.clean))
    assert torch.equal(made, images)


@pytest.mark.parametrize(
    ("name", "count"),
    [("none", 1), ("flip", 2), ("shift-1", 9), ("crop-4", 81), ("crop-4-flip", 162)],
)
def test_counts(name, count):
    assert parse_views(name).count == count


@pytest.mark.parametrize("name", NAMES)
def test_all_views_differ(name):
    views = parse_views(name)
    image = torch.randint(0, 256, (1, 9, 9, 1), dtype=torch.uint8)
    made = views.apply(image.expand(views.count, -1, -1, -1), torch.arange(views.count))
    assert len(torch.unique(made.flatten(1), dim=0)) == views.count


@pytest.mark.parametrize("name", NAMES)
def test_the_name_is_canonical(name):
    assert parse_views(name).name == name


def test_images_that_are_not_contiguous():
    images = torch.randint(0, 256, (4, 3, 8, 8), dtype=torch.uint8).permute(0, 2, 3, 1)
    views, ids = parse_views("crop-2-flip"), torch.tensor([0, 7, 31, 49])
    assert torch.equal(views.apply(images, ids), views.apply(images.contiguous(), ids))


def test_draws_are_uniform_and_follow_the_generator():
    views = parse_views("shift-1")
    drawn = views.draw(np.random.default_rng(1), 9000)
    assert drawn.dtype == np.int64
    np.testing.assert_array_equal(drawn, views.draw(np.random.default_rng(1), 9000))
    found = np.bincount(drawn, minlength=9)
    assert len(found) == 9
    assert abs(found - 1000).max() < 150  # standard deviation about 30


@pytest.mark.parametrize(
    "text",
    ["", "Flip", "crop", "crop-", "crop-0", "crop-04", "crop--4", "crop-4-flip-flip", "flip-crop-4",
     "shift-1.5", "none-flip", "crop-4 ", "crop-9999", "crop-4\n", "crop-1٣", "rotate-10"],
)  # fmt: skip
def test_unknown_views(text):
    with pytest.raises(UserError, match="unknown views") as caught:
        parse_views(text)
    assert caught.value.where == "data.views"


def test_the_nearest_name_is_offered():
    with pytest.raises(UserError, match="Did you mean 'crop-4-flip'"):
        parse_views("crop4-flip")


@pytest.mark.parametrize("name", ["shift-8", "crop-8", "crop-9-flip"])
def test_moves_beyond_the_image_are_refused(name):
    views = parse_views(name)
    with pytest.raises(UserError, match="side is 8") as caught:
        views.check((16, 8, 3))
    assert caught.value.where == "data.views"
    views.check((16, 16, 3))


@pytest.mark.parametrize("name", ["shift-7", "crop-7-flip"])
def test_the_largest_move_that_is_allowed(name):
    views = parse_views(name)
    views.check((8, 8, 1))
    image = np.random.default_rng(0).integers(0, 256, (8, 8, 1), dtype=np.uint8)
    last = views.count - 1
    made = views.apply(torch.from_numpy(image[None]), torch.tensor([last]))
    np.testing.assert_array_equal(made[0].numpy(), reference(name, image, last))


@pytest.mark.gpu
@pytest.mark.parametrize("name", NAMES)
def test_a_gpu_makes_the_same_views(name):
    views = parse_views(name)
    images = torch.randint(0, 256, (64, 9, 9, 3), dtype=torch.uint8)
    ids = torch.from_numpy(views.draw(np.random.default_rng(0), 64))
    made = views.apply(images.cuda(), ids.cuda())
    assert torch.equal(made.cpu(), views.apply(images, ids))


@pytest.mark.parametrize(
    ("name", "count"),
    [("none", 1), ("flip", 2), ("shift-1", 9), ("crop-4", 81), ("crop-4-flip", 162),
     ("shift-0", None), ("flip-shift-1", None), ('torchvision:["RandomInvert"]', None)],
)  # fmt: skip
def test_views_are_counted_by_their_name_alone(name, count) -> None:
    assert views_of(name) == count
