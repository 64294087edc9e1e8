"""A teacher of whom nothing is there but what it said: logits by image, as `logits@FILE`."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tutelage.data.prepare import pixel_marks
from tutelage.errors import UserError

Given = Callable[[], dict[str, NDArray[np.uint8]]]
"""Gives the images of train and perhaps test, uint8 [N, H, W, C], as the files have them."""

_SPLITS = ("train", "test")


class LoggedLogits(nn.Module):
    """Looks logits up by what an image shows: `keys` int64 [N, 2] are the marks of images (see
    `data.prepare.pixel_marks`), `logits` fp32 [N, classes] what was said of them.

    Takes images [B, C, H, W] of pixels from 0 to 1, as they are in their files, without any
    augmentation. Raises UserError for one of which nothing was said. Without any, as it is built,
    it says 0 of all of them. `factor` is 1, and stands there because a network has a parameter.
    """

    keys: Tensor
    logits: Tensor

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.ones(()))
        self.register_buffer("keys", torch.zeros(0, 2, dtype=torch.int64))
        self.register_buffer("logits", torch.zeros(0, classes))
        self._rows: dict[bytes, int] = {}
        self.register_load_state_dict_pre_hook(_make_room)

    def forward(self, images: Tensor) -> Tensor:
        """Logits [B, classes], fp32."""
        if not len(self.keys):
            return self.factor * self.logits.new_zeros(len(images), self.logits.shape[1])
        if not self._rows:
            keys = self.keys.cpu().numpy()
            self._rows = {key.tobytes(): row for row, key in enumerate(keys)}
        pixels = (images.detach().float() * 255).round().to(torch.uint8)
        seen = pixels.permute(0, 2, 3, 1).contiguous().cpu().numpy()
        try:
            rows = [self._rows[mark.tobytes()] for mark in pixel_marks(seen)]
        except KeyError:
            raise UserError(
                "nothing is said there of an image that is asked about.",
                where="a teacher's file of logits",
                fix="It needs a row for every image of the source, as it is without augmentation.",
            ) from None
        return self.factor * self.logits[torch.tensor(rows, device=self.logits.device)]


def _make_room(table: LoggedLogits, state: Mapping[str, Tensor], prefix: str, *_: Any) -> None:
    """Before weights are loaded: as many rows as they have."""
    for name in ("keys", "logits"):
        if prefix + name in state:
            setattr(table, name, torch.empty_like(state[prefix + name]))
    table._rows = {}


def read_logits(path: str | Path, outputs: int, given: Given) -> dict[str, np.ndarray]:
    """The state of a LoggedLogits: the rows of the .npz file `path`, arrays `train` and `test`
    [N, outputs] of numbers, each with the mark of the image at its place in what `given` gives.

    Equal images get the mean of what is said of them: nothing tells them apart.

    Raises UserError for another file, and for arrays of another shape or with what is no number.
    """
    arrays, images = _arrays(Path(path)), given()
    found: dict[str, np.ndarray] = {"factor": np.ones((), np.float32)}
    for split, each in images.items():
        if split not in arrays:
            raise UserError(f"has no array '{split}', and the data has {len(each):,} such images.",
                            where=str(path), fix="A teacher is tested, too: add what it says of "
                            "them, in the order of their files.")  # fmt: skip
        _check(arrays[split], len(each), outputs, f"{path}, {split}")
    logits = np.concatenate([arrays[split].astype(np.float64) for split in images])
    marks = np.concatenate([pixel_marks(each) for each in images.values()])
    found["keys"], row, count = np.unique(marks, axis=0, return_inverse=True, return_counts=True)
    total = np.zeros((len(count), outputs))
    np.add.at(total, row.reshape(-1), logits)
    found["logits"] = (total / count[:, None]).astype(np.float32)
    if other := [name for name in arrays if name not in images]:
        raise UserError(f"has an array '{other[0]}'; the data has {', '.join(images)}.",
                        where=str(path), fix="Leave it out.")  # fmt: skip
    return found


def _arrays(path: Path) -> dict[str, np.ndarray]:
    form = "An .npz file: np.savez(FILE, train=..., test=...), logits [images, classes] of each."
    try:
        with np.load(path, allow_pickle=False) as file:
            if isinstance(file, np.ndarray):
                raise ValueError("it holds a single array")
            return {name: np.asarray(file[name]) for name in file.files}
    except FileNotFoundError:
        raise UserError("there is no such file.", where=str(path), fix=form) from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"cannot be read as logits ({error}).", where=str(path), fix=form) from None


def _check(logits: np.ndarray, images: int, outputs: int, where: str) -> None:
    if logits.shape != (images, outputs) or logits.dtype.kind not in "fiu":
        shape = " x ".join(map(str, logits.shape)) or "no rows"
        raise UserError(
            f"these are {shape} of {logits.dtype}; wanted are {images:,} x {outputs} numbers: a "
            "row for each image, in the order of the files, and a column for each class.",
            where=where,
            fix="tutelage.images_in_order(PATH) gives the images in that order.",
        )
    # Beyond fp32 there is only infinity; NaN is not below anything.
    wrong = ~(np.abs(logits.astype(np.float64)) < np.finfo(np.float32).max)
    if wrong.any():
        row = int(np.argwhere(wrong)[0, 0])
        raise UserError("not all are finite numbers of fp32.", where=f"{where}, row {row}")
