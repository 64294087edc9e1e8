"""What export, evaluate and predict print."""

from __future__ import annotations

from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from tutelage.api import export
from tutelage.exporting.card_text import int8_verdict

console = Console()


def export_student(
    what: str, folder: Path, formats: list[str] | None, *, data: str | None, store: Path | None
) -> None:
    """Export, and print what was written and how it compares with the original."""
    made = export(what, folder, formats=formats, data=data, store=store)
    card = made.card
    training, figures = card["training"], card["figures"]["test"]
    console.print(
        f"{card['model']['name']} of {card['study']['name']}, run {training['key']}: "
        f"{figures['error']:.2f} % test error ({card['data']['images']['test']} images).",
        highlight=False, markup=False,
    )  # fmt: skip
    times = {entry["what"]: entry for entry in card["latency"]["entries"]}
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("file", no_wrap=True)
    for head in ("bytes", "largest difference", "same class", "test error", "ms for 1", "for 64"):
        table.add_column(head, justify="right")
    for name, facts in card["files"].items():
        check, entry = facts["check"], times.get(name)
        shown = ["", ""]
        if entry is not None:
            shown = [f"{entry[key]['median_ms']:.3g}" for key in ("batch_1", "batch_64")]
        table.add_row(
            name, f"{facts['bytes']:,}", f"{check['difference']:.1e}", f"{check['same']:.2f} %",
            f"{check['error']:.2f} %", *shown,
        )  # fmt: skip
    console.print(table)
    for facts in card["files"].values():
        if facts["format"] == "onnx-int8":
            console.print(int8_verdict(facts["check"]), highlight=False)
    for path in made.files:
        console.print(str(path), highlight=False, markup=False, soft_wrap=True)
