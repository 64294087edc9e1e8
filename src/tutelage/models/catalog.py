"""The names of the models: `wrn-16-2`, `plain-8-8-8`. Nothing here imports PyTorch."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tutelage.errors import UserError, nearest

_NUMBER = re.compile(r"[1-9][0-9]{0,3}")
_NARROW = {"0.25": 0.25, "0.5": 0.5, "0.75": 0.75}  # widening factors of fewer than 16 channels
_EXAMPLES = {"plain": "plain-8-8-8", "wrn": "wrn-16-2"}

FAMILIES: dict[str, str] = {
    "plain": "plain-W-W-...: one 3x3 convolution of W channels a stage, each stage after the first "
    "at half the resolution, such as plain-8-8-8",
    "wrn": "wrn-d-k: wide ResNet of depth d = 6n + 4 and widening factor k, a whole number or "
    "0.25, 0.5, 0.75, such as wrn-16-2",
}


@dataclass(frozen=True)
class ModelName:
    """A model's name, taken apart.

    `numbers` are the widths of the stages (plain), or depth and widening factor (wrn).
    """

    family: str
    numbers: tuple[float, ...]

    @property
    def canonical(self) -> str:
        """The one spelling of this name, which goes into identities."""
        return "-".join((self.family, *(f"{number:g}" for number in self.numbers)))


def parse_model(name: str, *, where: str | None = None) -> ModelName:
    """The parts of a model's name. Capitals do not matter: `WRN-16-1` is `wrn-16-1`.

    `where` is the key that holds the name, for the message. Raises UserError for an unknown family,
    for what is no whole number from 1 to 9999, and for a depth that the family does not have.
    """
    family, *texts = name.strip().lower().split("-")
    if family not in FAMILIES:
        guess = nearest(family, FAMILIES)
        hint = f"Did you mean one like '{_EXAMPLES[guess]}'? " if guess else ""
        raise UserError(f"unknown model '{name}'.", where=where, fix=hint + _known())
    narrow = family == "wrn" and len(texts) == 2 and texts[1] in _NARROW
    whole = texts[:1] if narrow else texts
    if not texts or not all(_NUMBER.fullmatch(text) for text in whole):
        what = f"'{name}' is no model: after '{family}-' come whole numbers from 1 to 9999."
        raise UserError(what, where=where, fix=_known())
    numbers = tuple(_NARROW[text] if text in _NARROW else int(text) for text in texts)
    if family == "wrn":
        _check_wide_resnet(name, numbers, where)
    return ModelName(family, numbers)


def _check_wide_resnet(name: str, numbers: tuple[float, ...], where: str | None) -> None:
    if len(numbers) != 2:
        what = f"'{name}' is no model: a wide ResNet has a depth and a widening factor."
        raise UserError(what, where=where, fix="Write wrn-d-k, such as wrn-16-2.")
    depth, factor = numbers
    if depth < 10 or depth % 6 != 4:
        below = max(10, depth - (depth - 4) % 6)
        what = f"'{name}': the depth of a wide ResNet is 6n + 4 (10, 16, 22, ...), not {depth:g}."
        fix = f"The nearest are wrn-{below:g}-{factor:g} and wrn-{below + 6:g}-{factor:g}."
        raise UserError(what, where=where, fix=fix)


def _known() -> str:
    return "Known: " + "; ".join(FAMILIES.values()) + "."
