"""The names of views, without what makes them: to count views where PyTorch is not loaded."""

from __future__ import annotations

import re

GRAMMAR = re.compile(
    r"(?P<only>none|flip)|(?P<move>shift|crop)-(?P<pad>[1-9][0-9]{0,2})(?P<flip>-flip)?"
)


def count_views(pad: int, *, flip: bool) -> int:
    """How many views there are of moves by up to `pad` pixels each way, and perhaps mirroring."""
    return (2 * pad + 1) ** 2 * (1 + flip)


def views_of(text: str) -> int | None:
    """How many views an image has by a name such as `crop-4-flip`; None for those without number,
    and for what is no name of views."""
    match = GRAMMAR.fullmatch(text)
    if match is None:
        return None
    flip = text == "flip" or match["flip"] is not None
    return count_views(int(match["pad"] or 0), flip=flip)
