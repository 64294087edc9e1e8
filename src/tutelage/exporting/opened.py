"""A network that is ready to run, with what must be known of its images: an export read back, or
a run of the store."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tutelage.errors import UserError
from tutelage.exporting.card import SCHEMA
from tutelage.exporting.formats import FILES, SUFFIXES, Runner, has_onnx, open_runner
from tutelage.models.build import Shape
from tutelage.store.files import told

CARD, CARD_TEXT = "card.json", "README.md"
_PREFERRED = ("onnx", "torch", "safetensors", "onnx-int8")


@dataclass(frozen=True)
class Opened:
    """`name` is for readers; `shape` (H, W, C) that of its images, and `fit` how they get it.

    `data`, `seeds` and `fingerprint` say of which data set its test images are a part; `path` is
    where that was, if that is known.
    """

    name: str
    shape: Shape
    fit: str
    class_names: tuple[str, ...]
    data: Mapping[str, Any]
    seeds: tuple[int, int]
    fingerprint: str
    run: Runner
    path: str | None = None


def is_export(what: str | Path) -> bool:
    """Whether `what` is a path to an export, or can only be meant as one."""
    path = Path(what)
    return path.is_file() or path.suffix in SUFFIXES or (path / CARD).is_file()


def open_export(where: str | Path) -> Opened:
    """An exported student: a file with its card beside it, or the folder of both, of which the
    ONNX file is run where ONNX Runtime is installed.

    Raises UserError for what is missing, damaged, or not what the card vouches for.
    """
    path = Path(where)
    with told(path, "read"):
        path.stat()
    folder = path if path.is_dir() else path.parent
    card = read_card(folder)
    path = _file_in(folder, card) if path.is_dir() else path
    facts = card["files"].get(path.name)
    if facts is None:
        raise UserError(
            "the card beside this file does not know it.", where=str(path),
            fix=f"It vouches for {', '.join(card['files'])}. Export again, or take one of these.",
        )  # fmt: skip
    if not path.is_file():
        raise UserError(
            "this file is missing, and the card names it.", where=str(path), fix="Export it again."
        )
    with told(path, "read"):
        found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != facts["sha256"]:
        raise UserError(
            "this file is damaged, or another one than the card beside it describes: its digest "
            "differs.",
            where=str(path), fix="Copy both again, or export again.",
        )  # fmt: skip
    height, width = card["input"]["size"]
    return Opened(
        name=f"{card['model']['name']} of {card['study']['name']}, {path.name}",
        shape=(height, width, card["input"]["channels"]),
        fit=card["input"]["fit"],
        class_names=tuple(card["output"]["class_names"]),
        data=card["data"]["config"],
        seeds=(card["data"]["seeds"][0], card["data"]["seeds"][1]),
        fingerprint=card["data"]["fingerprint"],
        run=open_runner(path),
    )


def read_card(folder: Path) -> dict[str, Any]:
    """The facts of the card in `folder`. Raises UserError where there is none, or no such card."""
    path = folder / CARD
    if not path.is_file():
        raise UserError(
            f"there is no {CARD} here.", where=str(folder),
            fix="An exported student is a file with its card beside it: `tutelage export` writes "
            "both.",
        )  # fmt: skip
    problem = "this is no card of tutelage's, or it is damaged."
    try:
        card = json.loads(path.read_bytes())
        if card["made_by"] == "tutelage" and card["schema"] > SCHEMA:
            problem = "this card was written by a newer version of tutelage."
        elif card["made_by"] == "tutelage" and card["files"].keys():
            return card
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass
    raise UserError(problem, where=str(path), fix="Export the student again.")


def _file_in(folder: Path, card: Mapping[str, Any]) -> Path:
    """The file of an export that is run where none is named."""
    for name in _PREFERRED:
        if FILES[name] in card["files"] and (has_onnx() or not name.startswith("onnx")):
            return folder / FILES[name]
    return folder / next(iter(card["files"]))  # which will say what is missing
