"""Images in memory: sources, worlds (splits and label noise), views and streams.

Sources read the formats of `data.formats`, each into the same arrays, and keep what they read in a
cache of arrays; `data.from_dataset` writes any dataset of Python as a file that they read.
Views and streams need torch, which is imported when one of their names is first used, so that
listing sources or making a world stays light.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from tutelage.data.sources import SOURCES, Source, load_source
from tutelage.data.world import Split, World, make_world

if TYPE_CHECKING:
    from tutelage.data.stream import Batch, Stream, normalise
    from tutelage.data.views import Views, parse_views

__all__ = [
    "SOURCES",
    "Batch",
    "Source",
    "Split",
    "Stream",
    "Views",
    "World",
    "load_source",
    "make_world",
    "normalise",
    "parse_views",
]

_NEED_TORCH = {
    "Batch": "stream",
    "Stream": "stream",
    "normalise": "stream",
    "Views": "views",
    "parse_views": "views",
}


def __getattr__(name: str) -> Any:
    if name not in _NEED_TORCH:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_NEED_TORCH[name]}"), name)
