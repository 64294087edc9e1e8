"""`list studies`: what each built-in study asks, what it costs at each scale, and how far it is."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from tutelage.api import default_store
from tutelage.config.load import builtin_studies, load_study, predicted_costs, scales_of
from tutelage.store import Store
from tutelage.study.context import list_manifests


def show_studies(*, as_json: bool, store: Path | None, console: Console) -> None:
    """Print each study: what it asks, then a row for each scale; as JSON, an object by its name."""
    states = _states(store or default_store())
    rows = {name: _row(name, states) for name in sorted(builtin_studies())}
    if as_json:
        json.dump(rows, sys.stdout, indent=1)
        print()
        return
    width = max(len(scale["scale"]) for row in rows.values() for scale in row["scales"])
    for name, row in rows.items():
        console.print(Text(name, style="bold"))
        console.print(Padding(Text(row["question"]), (0, 0, 0, 2)))
        for scale in row["scales"]:
            words = f"{scale['scale']:<{width}}  {_cost(scale['core_minutes']):>17}"
            console.print(Text(f"    {words}  {scale['state']}", style="dim"))
        console.print()
    console.print("Costs are predicted for one core of the machine that docs/speed.md is "
                  "about; `tutelage plan` measures yours.", highlight=False)  # fmt: skip


def _cost(minutes: float | None) -> str:
    if minutes is None:
        return "cost unknown"
    if minutes < 600:
        return f"{minutes:,.0f} core-minutes"
    return f"{minutes / 60:,.0f} core-hours"


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
