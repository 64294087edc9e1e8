"""Whole studies, end to end: ours as it really runs, the peers' way by its measured steps.

The peers' way trains every run of the plan by itself, with the step and the loader of `peers.py`,
and asks the teacher live for every student; after each epoch it looks at the validation images, as
ours and theirs do. That would take very long. So some steps of each kind of run are measured, and
multiplied by the plan's steps of that kind: the peers' side is extrapolated. Their evaluations on
other images, checkpoints and starts are counted as nothing.
"""

from __future__ import annotations

import resource
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from measure import Evidence, evidence, interleaved, middle, one_core
from peers import Peer, PilImages, batches
from torch import nn

from tutelage.api import Study, StudyResult, open_result
from tutelage.data.world import World
from tutelage.errors import UserError
from tutelage.models.build import build_model
from tutelage.study.context import Context
from tutelage.study.cost import predict

GOALS = {"cifar10-quick": 3.0}
WORKERS, STEPS = 2, 30


@dataclass(frozen=True)
class Kind:
    """What decides how long a step of the peers takes in a study: of training, or of looking at a
    batch of validation images."""

    model: str
    teacher: str | None
    batch: int
    validation: bool = False


def measure(
    study: str, data: str | None = None, store: str | None = None, overrides: Sequence[str] = ()
) -> Evidence:
    """The study, run with WORKERS into a store of its own, against the peers' way.

    With `store` it is not run: the records of its run there tell the core-seconds. Raises UserError
    where a run of the study is not done.
    """
    with tempfile.TemporaryDirectory() as folder:
        if store is None:
            result, ours = run(study, folder, data, overrides)
        else:
            result = open_result(study, store)
            ours = {"spent_s": spent(result)}
        check_done(result)
        theirs = peers_way(result.context)
    seconds = theirs["core_seconds"]
    times = {
        name: seconds / (ours[name] * (WORKERS if name == "wall_s" else 1))
        for name in ("wall_s", "cpu_s", "spent_s")
        if name in ours
    }
    return evidence(
        "core-seconds of a whole study; the peers' side is extrapolated from measured steps",
        study=study, overrides=list(overrides), ours=ours, peers=theirs, ratios=times,
        threads=1,  # each worker has
    )  # fmt: skip


def ratios(found: Evidence) -> dict[str, float]:
    """The peers' core-seconds over ours: of the processor with everything where it was run, else
    what runs spent. A worker that waits for others uses no processor, and on the peers' side
    nobody waits."""
    value = found["ratios"].get("cpu_s", found["ratios"]["spent_s"])
    return {f"{found['study']}, end to end": value}


def run(
    study: str, store: str, data: str | None, overrides: Sequence[str]
) -> tuple[StudyResult, Evidence]:
    """The study run with WORKERS, and what it took: seconds of the clock, of the processor with
    everything, and of training alone as the records tell; beside what `plan` had predicted."""
    loaded = Study.load(study, data=data, overrides=overrides)
    with one_core():
        planned = sum(predict(loaded.prepare(store, "cpu")).values())
    began, used = time.perf_counter(), processor_seconds()
    result = loaded.run(store, workers=WORKERS, device="cpu")
    wall, used = time.perf_counter() - began, processor_seconds() - used
    return result, {"wall_s": wall, "cpu_s": used, "spent_s": spent(result), "workers": WORKERS,
                    "planned_s": planned}  # fmt: skip


def check_done(result: StudyResult) -> None:
    """Raises UserError where a run of the study is missing: times would be too short."""
    missing = [row["key"] for row in result.runs if row["status"] != "done"]
    if missing:
        raise UserError(
            f"{len(missing)} runs of the study are not done, {missing[0]} among them.",
            where=str(result.context.store.root),
            fix=f"Run it to its end: tutelage run {result.context.config.name}.",
        )


def spent(result: StudyResult) -> float:
    """Core-seconds that the trainings of a study took, epochs that runs share counted once."""
    by_run = {row["id"]: row["timing"].get("spent_s", 0.0) for row in result.runs}
    return sum(by_run.values())


def processor_seconds() -> float:
    """Seconds of the processor that this process and those it has waited for used."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in used)


def peers_way(context: Context) -> Evidence:
    """Core-seconds of all runs of the plan in the peers' way, extrapolated from STEPS steps of
    each kind of run."""
    work, rows, world = kinds(context), [], context.world(0)
    figures = world.mean.tolist(), world.std.tolist()
    views = context.config.data.views_text
    training = PilImages(world.train.images, world.train.labels, views, *figures)
    held_out = PilImages(world.validation.images, world.validation.labels, "none", *figures)
    with one_core():
        for kind, steps in work.items():
            images = held_out if kind.validation else training
            figures = middle(step_times(kind, images, world))
            rows.append(asdict(kind) | {"steps": steps, "step": figures,
                                        "seconds": steps * figures["median"]})  # fmt: skip
    return {"core_seconds": sum(row["seconds"] for row in rows), "measured_steps": STEPS,
            "runs": len(context.plan.nodes), "kinds": rows}  # fmt: skip


def kinds(context: Context) -> dict[Kind, float]:
    """How many steps of each kind all runs of the plan have, nothing being shared; a validation's
    last batch, which may be smaller, counts as what it is of one."""
    work: dict[Kind, float] = defaultdict(float)
    for node in context.plan.nodes.values():
        name = node.training.teacher
        teacher = None
        if name is not None:
            training = context.expanded.teachers[name].training
            teacher = context.expanded.trainings[training].model
        model, batch = node.start.model, node.start.batch_size
        steps = context.manifest["data"]["train"] // batch
        for epoch in node.training.steps(name):
            taught = teacher if epoch.distils else None
            work[Kind(model, taught, batch)] += steps
            seen = context.manifest["data"]["validation"]
            work[Kind(model, None, batch, validation=True)] += seen / batch
    return work


def step_times(kind: Kind, images: PilImages, world: World) -> list[float]:
    """Core-seconds of STEPS of the peers' steps of a kind, loader included."""

    def network(name: str) -> nn.Module:
        return build_model(name, world.shape, world.classes, 0)

    side = Peer(network(kind.model), network(kind.teacher) if kind.teacher else None)
    loader = batches(images, min(kind.batch, len(images)))
    do = side.validate if kind.validation else side.step
    return interleaved({"peers": lambda: do(*next(loader))}, STEPS)["peers"]
