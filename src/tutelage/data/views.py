"""Views: the augmented versions of an image, each with a number, made for a whole batch at once.

none            the image as it is
flip            and its mirror image
shift-P         moved by up to P pixels, black coming in: (2P + 1)^2 views
crop-P          the same, the image being reflected at its borders
shift-P-flip    each also mirrored: twice as many; crop-P-flip likewise
random-resized-crop[-flip]  a box of any place, size and shape, without number (see `crop_views`)
torchvision:[]  transforms of torchvision, in JSON: views without number (see `transforms`)
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from tutelage.data.crop_views import NAMES as CROPS
from tutelage.data.crop_views import CropViews
from tutelage.data.transforms import TransformedViews
from tutelage.data.view_names import GRAMMAR, count_views
from tutelage.errors import UserError, unknown

EXAMPLES = ("none", "flip", "shift-1", "crop-4", "shift-1-flip", "crop-4-flip",
            "random-resized-crop-flip")  # fmt: skip


AnyViews: TypeAlias = "Views | CropViews | TransformedViews"


def parse_views(text: str) -> AnyViews:
    """The views of a name such as `crop-4-flip`. Raises UserError for what is no such name."""
    if text.startswith("torchvision:["):
        return TransformedViews(tuple(json.loads(text.partition(":")[2])))
    if text in CROPS:
        return CropViews(flip=text.endswith("-flip"))
    match = GRAMMAR.fullmatch(text)
    if match is None:
        raise unknown("views", text, EXAMPLES, where="data.views")
    if match["only"]:
        return Views(pad=0, reflect=False, flip=text == "flip")
    return Views(int(match["pad"]), match["move"] == "crop", match["flip"] is not None)


@dataclass(frozen=True)
class Views:
    """The views of an image: moves by up to `pad` pixels in each direction, and mirroring.

    View v stands for the window at row v // F // (2 pad + 1) and column v // F % (2 pad + 1) of
    the padded image, mirrored if v % F is 1, where F is 2 with `flip` and otherwise 1.
    """

    pad: int
    reflect: bool
    flip: bool

    @property
    def count(self) -> int:
        """How many views an image has."""
        return count_views(self.pad, flip=self.flip)

    @property
    def clean(self) -> int:
        """The view that leaves an image as it is."""
        return (self.pad * (2 * self.pad + 1) + self.pad) * (1 + self.flip)

    @property
    def name(self) -> str:
        """The name in its one form."""
        move = [f"{'crop' if self.reflect else 'shift'}-{self.pad}"] if self.pad else []
        return "-".join(move + ["flip"] * self.flip) or "none"

    def check(self, shape: tuple[int, int, int]) -> None:
        """Raises UserError where images of `shape` (height, width, channels) are too small."""
        side = min(shape[:2])
        if self.pad >= side:
            raise UserError(
                f"{self.name} moves images by up to {self.pad} pixels, but their side is {side}.",
                where="data.views",
                fix="The number must be less than the side.",
            )

    def draw(self, rng: np.random.Generator, n: int) -> NDArray[np.int64]:
        """`n` views, each equally likely, int64 [n]."""
        return rng.integers(self.count, size=n)

    def apply(self, pixels: Tensor, view: Tensor) -> Tensor:
        """The view `view[b]` of image b: uint8 [B, H, W, C] of the same, on any device.

        `view` is int64 [B] on the device of `pixels`, with values below `count`.
        """
        if self.count == 1:
            return pixels
        batch, height, width, channels = pixels.shape
        if self.pad and not self.reflect:
            pixels = functional.pad(pixels, (0, 0, *[self.pad] * 4))
        sources = pixels.shape[1] * pixels.shape[2]  # pixels of one image, after padding
        rows, columns = _tables(self, height, width, pixels.device)
        down = view.div(len(columns), rounding_mode="floor")
        first = torch.arange(0, batch * sources, sources, device=pixels.device)
        row = rows.index_select(0, down) + first[:, None]
        column = columns.index_select(0, view - down * len(columns))
        source = row[:, :, None] + column[:, None, :]
        chosen = pixels.reshape(-1, channels).index_select(0, source.flatten())
        return chosen.view(batch, height, width, channels)


@functools.lru_cache(maxsize=64)
def _tables(views: Views, height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Where the rows and columns of each view come from, in the (zero-padded) image.

    Row starts int64 [2 pad + 1, H]; columns int64 [(2 pad + 1) F, W], mirrored ones beside.
    """
    rows, columns = (_windows(views, side) for side in (height, width))
    if views.flip:
        columns = np.stack([columns, columns[:, ::-1]], axis=1).reshape(-1, width)
    stride = width if views.reflect else width + 2 * views.pad
    tables = (rows * stride, columns)
    rows, columns = (torch.from_numpy(table.copy()).to(device) for table in tables)
    return rows, columns


def _windows(views: Views, side: int) -> NDArray[np.int64]:
    """The positions of each window along one axis, int64 [2 pad + 1, side]."""
    offsets = np.arange(2 * views.pad + 1, dtype=np.int64)[:, None] + np.arange(side)
    if not views.reflect:
        return offsets
    reflected = np.abs(offsets - views.pad)
    return np.minimum(reflected, 2 * (side - 1) - reflected)
