"""The verb `run`, and what every verb that trains does."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Literal

from rich.console import Console

from tutelage.api import ENGINES, Study, StudyResult, run_context
from tutelage.cli.progress import StudyProgress
from tutelage.deciding import OPEN, run_until_decided
from tutelage.errors import UserError, unknown
from tutelage.findings.looks import LOOKS
from tutelage.reporting.text import print_results
from tutelage.study.context import Context
from tutelage.study.cost import is_predictable, predict
from tutelage.study.engines.events import Event
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
    until: str | None,
    most: int | None,
    looks: str | None,
) -> bool:
    """Run, print, report. Returns whether a run failed."""
    console = Console()
    if engine not in ENGINES:
        raise unknown("engine", engine, ENGINES)
    loaded = Study.load(study, scale=scale, overrides=overrides, data=data)

    if until is None:
        if most is not None or looks is not None:
            name = "--looks" if most is None else "--max-replicates"
            raise UserError(f"{name} goes with --until decided.")
        return bool(execute(loaded.prepare(store, device), workers, console).failures)
    if until != "decided":
        raise unknown("end", until, ["decided"], where="--until")
    if most is None:
        raise UserError("--until decided needs --max-replicates: when to stop in any case.")

    def run(study: Study) -> StudyResult:
        result = _train(study.prepare(store, device), workers, console)
        finding = result.findings[0]
        count = study.config.replicates.count
        console.print(
            f"After {count} replicates: {finding['claim']} is {finding['verdict']}.",
            highlight=False,
        )
        return result

    decision = run_until_decided(loaded, most, looks=_looks(looks), run=run)
    _show(decision.result, console)
    console.print(f"\n{decision.in_words}", highlight=False, soft_wrap=True)
    return bool(decision.result.failures)


def _looks(text: str | None) -> int | Literal["open"]:
    if text is None:
        return LOOKS
    if text == OPEN:
        return OPEN
    if not text.isdecimal():
        raise UserError(f"'{text}' is no number of looks.", where="--looks",
                        fix="Give a number, or open.")  # fmt: skip
    return int(text)


def execute(context: Context, workers: int | None, console: Console) -> StudyResult:
    """Run what is missing of a prepared study with progress, print its results, and report."""
    result = _train(context, workers, console)
    _show(result, console)
    return result


def _train(context: Context, workers: int | None, console: Console) -> StudyResult:
    missing = missing_tasks(context, thorough=True)
    runs = sum(key in context.plan.nodes for key in missing)
    console.print(
        f"[bold]{context.config.name}[/bold] ({context.id}): {len(context.plan.nodes)} runs, "
        f"{len(context.plan.nodes) - runs} of them done before, {runs} to train.",
        highlight=False,
    )
    progress = StudyProgress(_epochs(context, missing), console)
    with progress, _Costs(context, progress.weigh, wanted=runs > 0) as costs:

        def note(event: Event) -> None:
            costs.tell_once_known()
            progress(event)

        return run_context(context, workers, on_event=note, needs=missing)


def _show(result: StudyResult, console: Console) -> None:
    """Print the results and what failed, and write the report."""
    print_results(result.document, console)
    page = result.report()[0]
    console.print(f"\nReport: {page}", highlight=False, soft_wrap=True)
    for key, message in result.failures.items():
        console.print(f"failed: {key}: {message}", style="red", markup=False, soft_wrap=True)


def _epochs(context: Context, tasks: Iterable[str]) -> dict[str, float]:
    """What is known of the tasks' cost before any network was timed."""
    nodes = {key: context.plan.nodes.get(key) for key in tasks}
    return {
        key: float(node.training.recipe.epochs - node.shared) if node else 1.0
        for key, node in nodes.items()
    }


class _Costs:
    """Tells `listener` the predicted costs of a study's tasks, once they are known.

    Networks of which the pace is unknown are timed meanwhile, in a process of its own: nobody has
    to wait for it.
    """

    def __init__(
        self, context: Context, listener: Callable[[Mapping[str, float]], None], *, wanted: bool
    ) -> None:
        self._context, self._listener, self._wanted = context, listener, wanted
        self._timing: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> _Costs:
        if self._wanted and not is_predictable(self._context):
            command = [sys.executable, "-m", "tutelage.study.timing"]
            self._timing = subprocess.Popen(
                [*command, str(self._context.store.root), self._context.id],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                env={**os.environ, "OMP_NUM_THREADS": "1"}, start_new_session=True,
            )  # fmt: skip
        self.tell_once_known()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._timing is not None:
            self._timing.kill()
            self._timing.wait()

    def tell_once_known(self) -> None:
        """Tells the costs if they became known since this was asked last."""
        if self._wanted and (self._timing is None or self._timing.poll() is not None):
            self._wanted = False
            if is_predictable(self._context):
                self._listener(predict(self._context))
