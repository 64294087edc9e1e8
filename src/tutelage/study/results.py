"""Gathering what the store holds of a study into one document of plain values (`schema: 1`)."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from tutelage.config.design import ScaledRef, Teacher, stages_of, states_heard
from tutelage.study.accounts import teacher_cost, training_cost
from tutelage.study.context import Context, Diverged
from tutelage.study.earlier import judged_before
from tutelage.study.images import image_tables
from tutelage.study.plan import Node
from tutelage.study.references import Network, Resolved, Scaled
from tutelage.study.softness import softness_of

SCHEMA = 1


def collect(context: Context, failures: dict[str, str] | None = None) -> dict[str, Any]:
    """The results document of a study, without its findings.

    `failures` maps keys of tasks that failed in this execution to their messages.
    """
    costs = context.manifest["costs"]
    return {
        **outline(context),
        "teachers": [_teacher(context, teacher, costs) for teacher in
                     context.expanded.teachers.values()],
        "runs": [_run(context, node, costs, failures or {}) for node in
                 context.plan.nodes.values()],
        "images": image_tables(context),
    }  # fmt: skip


def outline(context: Context) -> dict[str, Any]:
    """What of the results document is known before anything is trained."""
    return {"schema": SCHEMA, "study": _study(context), "conditions": _conditions(context)}


def _study(context: Context) -> dict[str, Any]:
    manifest = context.manifest
    # Where the images lie is no part of a study, and nothing for a report that is passed on.
    shown = {key: value for key, value in manifest["config"]["data"].items() if key != "path"}
    if isinstance(shown.get("unlabelled"), str):
        shown["unlabelled"] = "folder"
    data = manifest["data"] | {
        "source": context.config.data.source,
        "label_noise": context.config.data.label_noise,
        "fingerprints": manifest["fingerprints"],
    }
    return {
        "name": context.config.name,
        "id": context.id,
        "question": context.config.question,
        "config": manifest["config"] | {"data": shown},
        "data": data,
        "device": manifest["device"],
        "created": manifest["created"],
        "judged_before": judged_before(context),
        "versions": manifest["versions"],
        "machine": manifest["machine"],
    }


def _conditions(context: Context) -> list[dict[str, Any]]:
    return [
        {
            "name": training.name,
            "group": training.group,
            "teacher": training.teacher,
            "student": training.model,
            "loss": training.loss_text,
            **({"images": training.images} if training.images else {}),
            "epochs": training.recipe.epochs,
            "precision": training.recipe.precision,
            "searched": training.searched,
            "compute": {
                "own": training_cost(context, training),
                "teacher": teacher_cost(context, training.teacher) if training.teacher else 0.0,
            },
            "decays": training.recipe.decays,
            "distil_until": training.until if training.teacher else None,
        }
        for training in context.expanded.conditions.values()
    ]


def _teacher(context: Context, teacher: Teacher, costs: dict[str, Any]) -> dict[str, Any]:
    training = context.expanded.trainings[teacher.training]
    heard = dict.fromkeys(states_heard(teacher.reference))
    # What is asked at a time: all members of an ensemble, and of teachers in turn the last.
    asked = dict.fromkeys(states_heard(stages_of(teacher.reference)[-1]))
    models, last = (
        [context.expanded.trainings[state.training].model for state in states]
        for states in (heard, asked)
    )
    rows = []
    for replicate in range(context.plan.replicates):
        try:
            resolved = context.resolve(teacher.reference, replicate)
        except Diverged:
            rows.append({"replicate": replicate, "status": "diverged"})
            continue
        if resolved is not None:
            rows.append(_reference_row(context, teacher, resolved, replicate))
    return {
        "name": teacher.name,
        "model": ", ".join(dict.fromkeys(models)),
        **{name: sum(costs[model][name] for model in last) for name in costs[training.model]},
        "training": teacher.training,
        "made_of": teacher.made_of,
        "figures_of": teacher.figures_of,
        "stop": teacher.stop,
        "epochs": training.recipe.epochs,
        "stop_epoch": rows[0].get("epoch") if rows else None,
        "scaled": teacher.scaled,
        "taught_by": teacher.taught_by,
        "full": teacher.is_full,
        "replicates": rows,
    }


def _reference_row(
    context: Context, teacher: Teacher, resolved: Resolved, replicate: int
) -> dict[str, Any]:
    base = resolved.of if isinstance(resolved, Scaled) else resolved
    alone = base if isinstance(base, Network) else None
    row: dict[str, Any] = {
        "replicate": replicate,
        "status": "done",
        "digest": alone.weights if alone else resolved.identity,
        "epoch": alone.epoch if alone else None,
        "factor": resolved.factor if isinstance(resolved, Scaled) else None,
    }
    if isinstance(teacher.reference, ScaledRef):
        key = context.scale_id(teacher.reference, replicate)
        record = context.store.get("scale", key) if key else None
    elif isinstance(resolved, Network):
        record = context.evaluation(resolved.model, resolved.weights, replicate)
    else:
        record = context.store.get("reference", context.figures_id(resolved, replicate))
    row |= _by_split(record.result["metrics"]) if record else {}
    return row | (softness_of(context, resolved, replicate) if record else {})


def _by_split(figures: dict[str, dict[str, float]]) -> dict[str, float]:
    """{"test": {"error": 3.1}} as {"test_error": 3.1}."""
    return {
        f"{split}_{name}": value for split, part in figures.items() for name, value in part.items()
    }


def _run(
    context: Context, node: Node, costs: dict[str, Any], failures: dict[str, str]
) -> dict[str, Any]:
    training = node.training
    teacher = context.expanded.teachers.get(training.teacher or "")
    row: dict[str, Any] = {
        "id": None,
        "key": node.key,
        "condition": training.name,
        "role": node.role,
        "model": node.model,
        **costs[training.model],
        "teacher": training.teacher,
        "stop": teacher.stop if teacher else None,
        "loss": training.loss_text,
        "replicate": node.replicate,
        "seed": node.seed,
        "status": "failed" if node.key in failures else "pending",
        "reason": failures.get(node.key),
        "epochs": training.recipe.epochs,
        "taught_epochs": None,
        "continues": node.continues,
        "shared_epochs": node.shared,
        "val_error": None,
        "test_error": None,
        "digest": None,
        "timing": {},
        "history": [],
    }
    try:
        run, trajectory = context.run(node), context.trajectory(node)
    except Diverged as error:
        return row | {"status": "diverged", "reason": f"its teacher diverged: {error}"}
    if run is None or trajectory is None:
        return row
    result = run.result
    row |= {
        "id": run.id,
        "status": result["status"],
        "timing": {k: run.timing[k] for k in ("attributed_s", "spent_s", "images_per_s")},
        "history": result["history"],
        "taught_epochs": result.get("taught_epochs", training.until),
    }
    if result["status"] == "diverged":
        return row | {"reason": f"the loss was not finite in epoch {result['epochs'] + 1}"}
    weights = result["blobs"]["final"]
    row |= {
        "digest": weights,
        "best_epoch": result["best_epoch"],
        "best_val_error": _best_val_error(result),
    }
    record = context.evaluation(node.start.model, weights, node.replicate)
    if record:
        row |= _by_split(record.result["metrics"])
        row["test_class_errors"] = record.result["class_errors"]["test"]
    if teacher is not None and node.role == "student":
        row |= _mimicry(context, node, weights, teacher)
    if teacher is None and node.role == "student":
        row |= _toward(context, node, weights)
    return row


def _best_val_error(result: dict[str, Any]) -> float | None:
    """In percent; None of a network that came from outside and was not trained."""
    history = result["history"]
    return history[result["best_epoch"] - 1]["val_error"] if history else None


def _toward(context: Context, node: Node, weights: str) -> dict[str, Any]:
    """How far a control is from the teachers of its own network: another seed of each."""
    found = {}
    for name, teacher in context.expanded.teachers.items():
        same = context.expanded.trainings[teacher.training].model == node.training.model
        if not (same and teacher.is_full):
            continue
        with suppress(Diverged):
            if figures := _mimicry(context, node, weights, teacher):
                found[name] = figures
    return {"toward": found} if found else {}


def _mimicry(context: Context, node: Node, weights: str, teacher: Teacher) -> dict[str, float]:
    """How closely a student follows a teacher, such as train_kl_shape_t4."""
    resolved = context.resolve(teacher.reference, node.replicate)
    if resolved is None:
        return {}
    key = context.mimicry_id(node.start.model, weights, resolved, node.replicate)
    record = context.store.get("mimicry", key)
    return _by_split(record.result) if record else {}
