"""Studies from Python: load, plan, run, look at the result."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tutelage.config.expand import expand
from tutelage.config.load import load_study, notes_by_name, validate
from tutelage.config.schema import StudyConfig
from tutelage.errors import UserError, unknown
from tutelage.findings import beside_paper, equal_compute, find, mimicry, sentences
from tutelage.findings.planning import Outlook, outlooks
from tutelage.store import Store
from tutelage.study.checks import check_names
from tutelage.study.context import Context, list_manifests
from tutelage.study.engines.events import Agenda, Event
from tutelage.study.progress import drop_branches, missing_tasks
from tutelage.study.results import collect

if TYPE_CHECKING:
    from tutelage.exporting.export import Export

DEFAULT_STORE = "tutelage-store"
ENGINES = ("local",)
_ROUNDS = 3  # of computing what is missing; more than one only where files get lost meanwhile


def default_store() -> Path:
    """Where results are kept: $TUTELAGE_STORE, or `tutelage-store` in the current folder."""
    return Path(os.environ.get("TUTELAGE_STORE", DEFAULT_STORE))


@dataclass
class StudyResult:
    """What a store holds of a study, and what follows from it.

    `failures` maps tasks that failed in this execution to messages; `trained` counts the runs
    that it really trained.
    """

    context: Context
    failures: dict[str, str] = field(default_factory=dict)
    trained: int = 0

    @cached_property
    def document(self) -> dict[str, Any]:
        """The results document (`schema: 1`): study, conditions, teachers, runs, findings."""
        document = collect(self.context, self.failures)
        found = find(document, self.context.config.claims)
        document["findings"] = [finding.to_dict() for finding in found]
        document["sentences"] = sentences(document)
        document["mimicry"] = mimicry(document)
        document["equal_compute"] = equal_compute(document)
        config, noise = self.context.config, document["study"]["data"]["label_noise"]
        told = beside_paper(document["findings"], notes_by_name(config.name), config.claims, noise)
        document["paper"] = {claim: asdict(each) for claim, each in told.items()}
        return document

    @property
    def findings(self) -> list[dict[str, Any]]:
        """One finding for each claim."""
        return self.document["findings"]

    @property
    def runs(self) -> list[dict[str, Any]]:
        """One row for each run."""
        return self.document["runs"]

    def best(self) -> dict[str, Any]:
        """The student to take: of the condition of least mean validation error, its best run.

        Both choices are made on the validation split; the test error of the row is for reading.
        Raises UserError while no student is trained.
        """
        students = [r for r in self.runs if r["role"] == "student" and r["val_error"] is not None]
        if not students:
            raise UserError("no student of this study is trained yet.")
        errors: dict[str, list[float]] = {}
        for row in students:
            errors.setdefault(row["condition"], []).append(row["val_error"])
        means = {name: sum(values) / len(values) for name, values in errors.items()}
        condition = min(means, key=lambda name: means[name])
        ours = [row for row in students if row["condition"] == condition]
        return min(ours, key=lambda row: row["val_error"])

    def report(self, path: str | Path | None = None) -> list[Path]:
        """Write the report: an HTML page, with Markdown and CSV beside it.

        `path` is the page's file (default: in the store's `reports` folder). Returns the files.
        """
        from tutelage.reporting import write_report

        if path is None:
            folder = self.context.store.folder("reports") / self.context.config.name
            path = folder / "report.html"
        return write_report(self.document, Path(path))

    def export(
        self,
        folder: str | Path,
        *,
        run: str | None = None,
        formats: Sequence[str] | None = None,
        data: str | None = None,
    ) -> Export:
        """Write a student as files that run without tutelage, each checked against the original.

        `run` is the key of a row of `runs`; without it `best()` is taken. `formats` are some of
        safetensors, torch, onnx and onnx-int8, all without any. `data` says where the images are
        now, if they were moved. Raises UserError for a run that is not finished, data that are
        gone, and a file that does not compute what the original does; see docs/export.md.
        """
        from tutelage.exporting.export import export_run

        nodes, key = self.context.plan.nodes, run or self.best()["key"]
        if key not in nodes:
            raise unknown("run", key, nodes)
        return export_run(
            self.context, nodes[key], self.document, Path(folder), formats=formats, data=data,
            chosen=run is None,
        )  # fmt: skip


class Study:
    """One question as data. `Study.load("study.yaml")`, or the file's keys as arguments.

    With a `dataset` (see `load`) it is about those images, whatever data.path says.
    """

    def __init__(
        self, config: StudyConfig | None = None, *, dataset: Any = None, **parts: Any
    ) -> None:
        self.config = config if config is not None else validate({"name": "study", **parts})
        self.dataset = dataset
        check_names(self.config, expand(self.config))

    @classmethod
    def load(
        cls,
        study: str | Path,
        *,
        scale: str | None = None,
        overrides: Sequence[str] = (),
        data: Any = None,
    ) -> Study:
        """A study from a YAML file or by a built-in name; see `tutelage.config.load.load_study`.

        `data` is where its images are, or the images themselves: a dataset of PyTorch or of
        Hugging Face, a pair of them for training and test, or a DatasetDict (see
        `tutelage.write_npz`).
        """
        is_path = data is None or isinstance(data, str | Path)
        path = str(data) if is_path and data is not None else None
        config = load_study(str(study), scale=scale, overrides=overrides, data=path)
        return cls(config, dataset=None if is_path else data)

    def prepare(
        self, store: str | Path | None = None, device: str = "auto", *, keep: bool = True
    ) -> Context:
        """Load the data and plan; nothing is trained. Raises UserError for what is wrong.

        With `keep` the study is written down in the store, for `status` and `results` to find.
        """
        opened = Store.open(store or default_store())
        config = self.config
        if self.dataset is not None:
            # Written down, because worker processes and later runs need the images too.
            parts = self.dataset if isinstance(self.dataset, tuple) else (self.dataset,)
            data = {"path": str(_keep(opened, *parts)), "source": "files"}
            config = config.model_copy(update={"data": config.data.model_copy(update=data)})
        return Context.create(opened, config, _device(device), keep=keep)

    def run(
        self,
        store: str | Path | None = None,
        *,
        workers: int | None = None,
        engine: str = "local",
        device: str = "auto",
        checkpoint_seconds: float | None = None,
        on_event: Callable[[Event], None] = lambda event: None,
    ) -> StudyResult:
        """Train whatever is missing, and return the result.

        `workers` single-thread processes (default: one per core, one for a GPU; 0: in this
        process). Finished runs are taken from the store, interrupted ones continue.
        """
        if engine not in ENGINES:
            raise UserError(f"unknown engine '{engine}'.", fix=f"Known: {', '.join(ENGINES)}.")
        return run_context(self.prepare(store, device), workers, checkpoint_seconds, on_event)


def run_context(
    context: Context,
    workers: int | None = None,
    checkpoint_seconds: float | None = None,
    on_event: Callable[[Event], None] = lambda event: None,
    needs: Mapping[str, tuple[str, ...]] | None = None,
) -> StudyResult:
    """Execute `needs` of a prepared study: what it still lacks, which is found out if not given.

    A file of the store that is found damaged or gone is told by a DamageWarning and computed
    again. Raises UserError when that happens over and over, and StorageError where the store
    cannot be read or written; what is finished by then is kept.
    """
    if workers is not None and workers < 0:
        raise UserError(f"{workers} workers cannot work.", fix="Give 1 or more; 0 is this process.")
    needs = missing_tasks(context, thorough=True) if needs is None else needs
    trained = rounds = 0
    while True:
        agenda = _execute(context, needs, workers, checkpoint_seconds, on_event)
        trained += sum(key in context.plan.nodes for key in agenda.over)
        rounds += 1
        if not agenda.stalled:
            break
        if rounds == _ROUNDS:
            raise UserError(
                f"its files keep getting lost: {next(iter(agenda.stalled.values()))}.",
                where=str(context.store.root),
                fix="Check the disk, and whether another program clears the folder; run again.",
            )
        context = Context(context.store, context.manifest)  # it remembers no record that is gone
        needs = missing_tasks(context, thorough=True)
    if not agenda.failures:
        drop_branches(context)
        context.finish()
    return StudyResult(context, agenda.failures, trained)


def _execute(
    context: Context,
    needs: Mapping[str, tuple[str, ...]],
    workers: int | None,
    checkpoint_seconds: float | None,
    report: Callable[[Event], None],
) -> Agenda:
    """Execute the tasks `needs` once, in this process or in others; returns their agenda."""
    if not needs:
        return Agenda(needs, report)
    from tutelage.study.engines.inline import run_inline
    from tutelage.study.engines.local import run_tasks
    from tutelage.training.run import CHECKPOINT_SECONDS

    seconds = CHECKPOINT_SECONDS if checkpoint_seconds is None else checkpoint_seconds
    if workers == 0:
        return run_inline(context, needs, checkpoint_seconds=seconds, report=report)
    return run_tasks(
        needs,
        context.store.root,
        context.id,
        workers=workers or _default_workers(context.manifest["device"]),
        checkpoint_seconds=seconds,
        report=report,
        cohort=context.plan.cohort,
    )


def _default_workers(device: str) -> int:
    """One a core; one alone where all would share a GPU, which trains runs side by side itself."""
    return 1 if device.startswith("cuda") else os.cpu_count() or 1


def open_result(study: str = "last", store: str | Path | None = None) -> StudyResult:
    """The result of a study that was run before, by name, id or `last`; needs no data."""
    return StudyResult(Context.open(Store.open(store or default_store(), create=False), study))


def outlook(context: Context, cost: Mapping[str, float]) -> tuple[list[Outlook], str | None]:
    """What each claim of a prepared study can expect of its design, and the id of the study that
    the spreads were measured in: the latest of its name in the store in which two replicates or
    more have what some claim compares. Without one, None, and the outlooks say how much spread the
    design can bear. `cost` are the predicted core-seconds of the plan's tasks.
    """
    replicates = context.config.replicates
    claims, count, students = context.config.claims, replicates.count, replicates.students
    price = partial(_replicate_seconds, context, cost)
    for manifest in reversed(list_manifests(context.store)):
        if manifest["name"] != context.config.name:
            continue
        found = outlooks(claims, count, students, collect(Context(context.store, manifest)), price)
        if any(each.measured for each in found):
            return found, manifest["id"]
    return outlooks(claims, count, students), None


def _replicate_seconds(context: Context, cost: Mapping[str, float], students: int) -> float:
    """The predicted core-seconds of a replicate with so many students."""
    nodes, replicates = context.plan.nodes, context.config.replicates
    ours = sum(cost[key] for key, node in nodes.items() if node.role == "student")
    rest = sum(cost.values()) - ours
    return (rest + ours * students / replicates.students) / replicates.count


def _keep(store: Store, train: Any, test: Any = None) -> Path:
    """The datasets as a file of the store, named by its content."""
    from tutelage.data.from_dataset import write_npz

    folder = store.folder("datasets")
    written = write_npz(folder / f".{os.getpid()}.npz", train, test)
    path = folder / f"{hashlib.sha256(written.read_bytes()).hexdigest()[:16]}.npz"
    os.replace(written, path)
    return path


def _device(name: str) -> str:
    """The device class of a name; `auto` takes a CUDA device where there is one."""
    import torch

    present = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
    }
    if name == "auto":
        return "cuda" if present["cuda"] else "cpu"
    if name not in present:
        raise UserError(f"unknown device '{name}'.", fix="Known: auto, cpu, cuda.")
    if not present[name]:
        raise UserError(f"this machine has no {name} device.", fix="Use --device cpu.")
    return name
