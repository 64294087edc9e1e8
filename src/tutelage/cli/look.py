"""The verbs that look and train nothing."""

from __future__ import annotations

import contextlib
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any, get_args

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from tutelage.api import Study, default_store, open_result, outlook
from tutelage.config.recipe import NAMED
from tutelage.config.schema import StudyConfig
from tutelage.config.schema_losses import FEATURE_METHODS, METHODS, LossConfig
from tutelage.data.sources import SOURCES
from tutelage.errors import UserError, unknown
from tutelage.findings.budgets import budgets
from tutelage.findings.wording_planning import outlook_sentence
from tutelage.models.catalog import FAMILIES, FOREIGN
from tutelage.reporting.words import plural
from tutelage.store import Store
from tutelage.study.context import Context, list_manifests
from tutelage.study.progress import missing_tasks

console = Console()


def show_plan(
    study: str,
    *,
    scale: str | None,
    data: str | None,
    overrides: list[str],
    store: Path | None,
    device: str,
    as_json: bool,
) -> None:
    """Print the plan of a study."""
    from tutelage.reporting.words import magnitude
    from tutelage.study.cost import predict
    from tutelage.study.results import outline

    loaded = Study.load(study, scale=scale, overrides=overrides, data=data)
    context = loaded.prepare(store, device, keep=False)
    plan, cost, missing = context.plan, predict(context), missing_tasks(context)
    seconds = sum(cost[key] for key in missing)
    found, measured_in = outlook(context, cost)
    charged = budgets(outline(context))
    if as_json:
        rows = [
            {
                "key": key, "role": node.role, "condition": node.training.name,
                "replicate": node.replicate, "seed": node.seed, "model": node.model,
                "epochs": node.training.recipe.epochs, "teacher": node.training.teacher,
                "continues": node.continues, "shared_epochs": node.shared,
                "needs": list(node.needs), "done": key not in missing,
                "predicted_s": round(cost[key], 2),
            }
            for key, node in plan.nodes.items()
        ]  # fmt: skip
        _print_json(
            {
                "schema": 1,
                "study": context.config.name,
                "id": context.id,
                "runs": rows,
                "predicted_core_s": round(seconds, 1),
                "outlooks": [each.to_dict() for each in found],
                "spread_measured_in": measured_in,
                "equal_compute": charged,
            }
        )
        return
    for role in ("teacher", "student"):
        table = Table(box=box.SIMPLE_HEAD, title=f"{role.capitalize()}s", title_justify="left")
        table.add_column("training", no_wrap=True)
        table.add_column("model", no_wrap=True)
        for name in ("size", "epochs", "shared", "s a run", "runs", "done"):
            table.add_column(name, justify="right", no_wrap=True)
        ours = [node for node in plan.nodes.values() if node.role == role]
        for name in dict.fromkeys(node.training.name for node in ours):
            nodes = [node for node in ours if node.training.name == name]
            training = nodes[0].training
            table.add_row(
                name,
                training.model,
                magnitude(context.manifest["costs"][training.model]["parameters"]),
                str(training.recipe.epochs),
                str(nodes[0].shared or ""),
                f"{cost[nodes[0].key]:.1f}",
                str(len(nodes)),
                str(sum(node.key not in missing for node in nodes)),
            )
        if ours:
            console.print(table)
    todo = sum(key in plan.nodes for key in missing)
    console.print(
        f"{len(plan.nodes)} runs of {plan.epochs:,} epochs in all, {plan.shared_epochs:,} of them "
        f"shared; {todo} runs to train, roughly {seconds / 60:.1f} core-minutes.",
        highlight=False,
    )
    for each in found:
        console.print(f"[bold]{escape(each.claim)}[/bold] [dim]{each.rank}[/dim]", highlight=False)
        console.print(Padding(Text(outlook_sentence(each)), (0, 0, 0, 2)))
    if measured_in is not None:
        console.print(f"The spreads are those of study {measured_in}.", highlight=False)
    if charged:
        console.print(Text("Equal compute: 1x is one plain training of the student", "bold"))
    for row in charged:
        console.print(Padding(Text(row["text"]), (0, 0, 0, 2)))


def show_status(study: str | None, *, store: Path | None, as_json: bool) -> None:
    """Print how far studies are."""
    opened = Store.open(store or default_store(), create=False)
    found = list_manifests(opened) if study is None else [Context.open(opened, study).manifest]
    rows = []
    for manifest in found:
        try:
            context = Context(opened, manifest)
        except UserError as error:  # written by another version; the other studies are still fine
            console.print(f"{manifest['name']} ({manifest['id']}): {error}", markup=False)
            continue
        missing = missing_tasks(context)
        todo = sum(key in context.plan.nodes for key in missing)
        total = len(context.plan.nodes)
        rows.append(
            {
                "name": context.config.name,
                "id": context.id,
                "runs": total,
                "done": total - todo,
                "complete": not missing,
                "started": manifest["started"],
            }
        )
    if as_json:
        _print_json({"schema": 1, "studies": rows})
        return
    table = Table("study", "id", "runs done", "state", "last started", box=box.SIMPLE_HEAD)
    for row in rows:
        state = "complete" if row["complete"] else "incomplete"
        done = f"{row['done']} of {row['runs']}"
        table.add_row(row["name"], row["id"], done, state, row["started"][:16])
    console.print(table)


def show_results(study: str, *, store: Path | None, as_json: bool, history: bool) -> None:
    """Print results and findings."""
    document = open_result(study, store).document
    if as_json:
        if not history:
            runs = [{k: v for k, v in row.items() if k != "history"} for row in document["runs"]]
            document = document | {"runs": runs}
        _print_json(document)
        return
    from tutelage.reporting.text import print_results

    print_results(document, console)


def write_report(study: str, *, output: Path | None, store: Path | None) -> None:
    """Write the report and name its files."""
    for path in open_result(study, store).report(output):
        print(path)


def show_list(what: str, *, as_json: bool, store: Path | None = None) -> None:
    """Print what there is to choose from; of studies also how far they are in the store."""
    if what == "studies":
        from tutelage.cli.studies import show_studies

        show_studies(as_json=as_json, store=store, console=console)
        return
    makers = {
        "models": lambda: {**FAMILIES, **FOREIGN},
        "losses": _losses,
        "datasets": lambda: dict(SOURCES),
        "recipes": lambda: {name: json.dumps(recipe) for name, recipe in NAMED.items()},
    }
    if what not in makers:
        raise unknown("list", what, ["studies", *makers])
    found = makers[what]()
    if as_json:
        _print_json(found)
        return
    table = Table(what, "", show_header=False)
    for name, text in found.items():
        table.add_row(name, escape(text))
    console.print(table)


def _losses() -> dict[str, str]:
    # Each is an optional field; of its type, the first sentence.
    names = (*METHODS, *FEATURE_METHODS)
    configs = {name: get_args(LossConfig.model_fields[name].annotation)[0] for name in names}
    return {name: " ".join(config.__doc__.split()) for name, config in configs.items()}


def show_run(run: str, *, store: Path | None) -> None:
    """Print the record of a run."""
    opened = Store.open(store or default_store(), create=False)
    found = opened.find("run", run)
    if len(found) != 1:
        many = f"{len(found)} runs begin with" if found else "no run begins with"
        fix = "`tutelage results --json` lists the ids of a study's runs."
        raise UserError(f"{many} '{run}'.", where=str(opened.root), fix=fix)
    record = opened.get("run", found[0])
    assert record is not None, "it was just found"
    _print_json({"id": record.id, "result": record.result, "provenance": record.provenance,
                 "timing": record.timing})  # fmt: skip


def show_schema() -> None:
    """Print the JSON schema of a study file."""
    schema = StudyConfig.model_json_schema()
    schema["properties"] |= {
        "extends": {
            "type": "string",
            "description": "a study, by its file or built-in name, over whose keys these are laid",
        },
        "scales": {
            "type": "object",
            "description": "overrides by name, chosen with --scale; the first is the default",
        },
    }
    schema["properties"]["paper"] = {
        "type": "object",
        "description": "what a paper says where a claim, named by the key, asks the same",
    }
    # A study that extends another may leave out whatever that one has.
    schema["anyOf"] = [{"required": schema.pop("required")}, {"required": ["extends"]}]
    for part in schema["$defs"].values():
        part.pop("required", None)
    _print_json(schema)


def show_store(store: Path | None, *, as_json: bool) -> None:
    """Print how much of what the store holds."""
    opened = Store.open(store or default_store(), create=False)
    sizes: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    for path in opened.root.rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # a study may run meanwhile
            if path.is_file():
                parts = path.relative_to(opened.root).parts
                kind = "/".join(parts[:2]) if parts[0] == "records" else parts[0]
                sizes[kind] += path.stat().st_size
                counts[kind] += 1
    if as_json:
        _print_json({kind: {"files": counts[kind], "bytes": sizes[kind]} for kind in counts})
        return
    table = Table("kind", "files", "MB", title=str(opened.root))
    for kind in sorted(counts):
        table.add_row(kind, f"{counts[kind]:,}", f"{sizes[kind] / 1e6:.2f}")
    console.print(table)


def verify_store(store: Path | None) -> bool:
    """Check all checksums and print what is wrong; returns whether nothing is."""
    opened = Store.open(store or default_store(), create=False)
    problems = opened.verify()
    for problem in problems:
        console.print(f"{problem.path}: {problem.what}", markup=False, soft_wrap=True)
    if problems:
        console.print(
            f"Problems: {len(problems)}. Delete these files; `tutelage run` computes them again."
        )
    else:
        console.print("Every checksum is right.")
    return not problems


def merge_stores(other: Path, store: Path | None) -> bool:
    """Take over what `other` holds, and print what came; returns whether all of it was whole."""
    merged = Store.open(store or default_store()).merge(Store.open(other, create=False))
    studies = "1 study" if merged.studies == 1 else f"{merged.studies} studies"
    files = f"{plural(merged.records, 'record')}, {plural(merged.blobs, 'file')} of arrays"
    console.print(f"Taken over: {files}, {studies}.", highlight=False)
    for path in merged.differing:
        console.print(f"{path}: another result than here; ours is kept.", markup=False,
                      soft_wrap=True)  # fmt: skip
    for problem in merged.problems:
        console.print(f"{problem.path}: {problem.what}", markup=False, soft_wrap=True)
    return not merged.problems


def clean_store(store: Path | None, *, damaged: bool, cache: bool, dry_run: bool) -> None:
    """Remove what the store can do without, and print what went."""
    opened = Store.open(store or default_store(), create=False)
    removed = opened.clean(damaged=damaged, cache=cache, dry_run=dry_run)
    for item in removed:
        console.print(f"{item.path} ({item.size:,} bytes)", markup=False, soft_wrap=True)
    size = sum(item.size for item in removed) / 1e6
    console.print(f"{'Would free' if dry_run else 'Freed'} {size:.2f} MB, {len(removed)} files.")


def _print_json(value: Any) -> None:
    json.dump(value, sys.stdout, indent=1)
    print()
