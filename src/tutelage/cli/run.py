"""The verb `run`."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from tutelage.api import ENGINES, Study, run_context
from tutelage.cli.progress import StudyProgress
from tutelage.errors import unknown
from tutelage.reporting.text import print_results
from tutelage.study.cost import predict
from tutelage.study.progress import missing_tasks


def run_study(
    study: str,
    *,
    scale: str | None,
    data: str | None,
    overrides: list[str],
    store: Path | None,
    workers: int | None,
    engine: str,
    device: str,
) -> bool:
    """Run, print, report. Returns whether a run failed."""
    console = Console()
    if engine not in ENGINES:
        raise unknown("engine", engine, ENGINES)
    context = Study.load(study, scale=scale, overrides=overrides, data=data).prepare(store, device)
    missing = missing_tasks(context, thorough=True)
    runs = sum(key in context.plan.nodes for key in missing)
    console.print(
        f"[bold]{context.config.name}[/bold] ({context.id}): {len(context.plan.nodes)} runs, "
        f"{len(context.plan.nodes) - runs} of them done before, {runs} to train.",
        highlight=False,
    )
    cost = predict(context)
    with StudyProgress({key: cost[key] for key in missing}, console, cost) as progress:
        result = run_context(context, workers, on_event=progress, needs=missing)
    print_results(result.document, console)
    page = result.report()[0]
    console.print(f"\nReport: {page}", highlight=False, soft_wrap=True)
    for key, message in result.failures.items():
        console.print(f"failed: {key}: {message}", style="red", markup=False, soft_wrap=True)
    return bool(result.failures)
