"""What export, evaluate and predict print."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tutelage.exporting.card_text import int8_verdict
from tutelage.reporting.words import plural
from tutelage.shipping import evaluate, export, predict

if TYPE_CHECKING:
    from tutelage.exporting.export import Export

console = Console()


def export_student(
    what: str, folder: Path, formats: list[str] | None, *, data: str | None, store: Path | None
) -> None:
    """Export, and print what was written."""
    tell_export(export(what, folder, formats=formats, data=data, store=store))


def tell_export(made: Export) -> None:
    """Print the files of an export, and how each compares with the original."""
    card = made.card
    training, figures = card["training"], card["figures"]["test"]
    _say(
        f"{card['model']['name']} of {card['study']['name']}, run {training['key']}: "
        f"{figures['error']:.2f} % test error ({card['data']['images']['test']} images)."
    )
    times = {entry["what"]: entry for entry in card["latency"]["entries"]}
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("", no_wrap=True)
    for head in ("bytes", "diff.", "same", "error", "ms: 1", "64"):
        table.add_column(head, justify="right", no_wrap=True)
    for name in dict.fromkeys((*times, *card["files"])):
        facts, entry = card["files"].get(name), times.get(name)
        row = [name, *[""] * 6]
        if facts is not None:
            check = facts["check"]
            row[1:5] = (
                f"{facts['bytes']:,}", f"{check['difference']:.1e}", f"{check['same']:.2f} %",
                f"{check['error']:.2f} %",
            )  # fmt: skip
        if entry is not None:
            row[5:] = (f"{entry[key]['median_ms']:.3g}" for key in ("batch_1", "batch_64"))
        table.add_row(*row)
    console.print(table)
    _say(
        "diff.: the largest of a logit on the test images; same: the share of them that get the "
        "same class; ms: of a call with 1 and with 64 images, one thread of "
        f"{card['latency']['machine']['cpu']}."
    )
    for facts in card["files"].values():
        if facts["format"] == "onnx-int8":
            _say(int8_verdict(facts["check"]))
    for path in made.files:
        _say(str(path))


def evaluate_student(what: str, data: str | None, *, store: Path | None, as_json: bool) -> None:
    """Print how well a student does on images."""
    found = evaluate(what, data, store=store)
    if as_json:
        _print_json({"schema": 1, **found})
        return
    figures = found["metrics"]
    _say(f"{found['student']}, on {found['data']} ({plural(found['images'], 'image')}):")
    _say(
        f"error {figures['error']:.2f} %, likelihood (NLL) {figures['nll']:.3f} nats, "
        f"calibration (ECE) {figures['ece']:.1f} %."
    )
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("class")
    for head in ("images", "error", "mostly taken for"):
        table.add_column(head, justify="left" if head.startswith("mostly") else "right")
    for row in found["classes"]:
        error = "" if row["error"] is None else f"{row['error']:.2f} %"
        table.add_row(
            escape(row["name"]), str(row["images"]), error, escape(row["taken_for"] or "")
        )
    console.print(table)


def predict_images(student: str, images: list[str], *, as_json: bool) -> None:
    """Print the class and its probability for each image; what was skipped goes to stderr."""
    found = predict(student, *images)
    if as_json:
        _print_json({"schema": 1, **found})
    else:
        for row in found["predictions"]:
            _say(f"{row['file']}  {row['class']}  {100 * row['probability']:.1f} %")
    for row in found["skipped"]:
        print(f"skipped: {row['file']}: {row['why']}", file=sys.stderr)


def _say(text: str) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def _print_json(value: Any) -> None:
    json.dump(value, sys.stdout, indent=1)
    print()
