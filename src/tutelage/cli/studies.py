"""`list studies`: what each built-in study asks, what it costs at each scale, and how far it is."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tutelage.api import default_store
from tutelage.config.load import builtin_studies, load_study, predicted_costs, scales_of
from tutelage.store import Store
from tutelage.study.context import list_manifests


def show_studies(*, as_json: bool, store: Path | None, console: Console) -> None:
    """Print a row for each study and scale; as JSON, an object for each by the study's name."""
    states = _states(store or default_store())
    rows = {name: _row(name, states) for name in sorted(builtin_studies())}
    if as_json:
        json.dump(rows, sys.stdout, indent=1)
        print()
        return
    table = Table("study", "scale", "core-minutes", "state", "purpose", box=box.SIMPLE_HEAD)
    for name, row in rows.items():
        for number, scale in enumerate(row["scales"]):
            cost = "?" if scale["core_minutes"] is None else f"{scale['core_minutes']:,.0f}"
            purpose = escape(row["question"]) if number == 0 else ""
            table.add_row(name if number == 0 else "", scale["scale"] or "–", cost,
                          scale["state"], purpose)  # fmt: skip
    console.print(table)
    console.print("Core-minutes are predicted for one core of the machine that docs/speed.md is "
                  "about; `tutelage plan` measures yours.", highlight=False)  # fmt: skip


def _row(name: str, states: Mapping[str, str]) -> dict[str, Any]:
    costs = predicted_costs().get(name, {})
    scales = []
    for scale in scales_of(name) or [""]:
        config = load_study(name, scale=scale or None)
        scales.append({
            "scale": scale,
            "name": config.name,
            "core_minutes": costs.get(scale),
            "state": states.get(config.name, "not run"),
        })  # fmt: skip
    return {"question": load_study(name).question, "scales": scales}


def _states(root: Path) -> dict[str, str]:
    """By the names of studies whether they were finished in the store once, or only begun."""
    if not root.is_dir():
        return {}
    found: dict[str, str] = {}
    for manifest in list_manifests(Store.open(root, create=False)):
        done = "finished" in manifest or found.get(manifest["name"]) == "complete"
        found[manifest["name"]] = "complete" if done else "begun"
    return found
