"""Which run is meant: by the name of a study, its best student; or by a run's own id or key."""

from __future__ import annotations

from contextlib import suppress

from tutelage.errors import UserError
from tutelage.store import Store
from tutelage.study.context import Context, Diverged, list_manifests
from tutelage.study.plan import Node

_SHORTEST = 4  # letters of an id that name a run


def find_run(store: Store, what: str) -> tuple[Context, Node | None]:
    """The study that `what` names, and the run in it: None for a study, of which the best is meant.

    `what` is `last`, or a study's name or id; else a run's key such as `r0/kd/large/s0`, or its id
    or the beginning of it. Of several studies that have a run, the latest counts.

    Raises UserError for what is neither, and for the beginning of several runs' ids.
    """
    try:
        return Context.open(store, what), None
    except UserError as error:
        studies = list_manifests(store)
        if not studies:
            raise
        no_study = error
    matches = dict[str, tuple[Context, Node]]()
    for manifest in reversed(studies):
        try:
            context = Context(store, manifest)
        except UserError:  # of another version; `status` tells
            continue
        if what in context.plan.nodes:
            return context, context.plan.nodes[what]
        for node in context.plan.nodes.values():
            with suppress(Diverged):
                chain = context.trajectory(node)
                if chain and len(what) >= _SHORTEST and chain.id.startswith(what):
                    matches.setdefault(chain.id, (context, node))
    if len(matches) > 1:
        raise UserError(
            f"{len(matches)} runs begin with '{what}'.", where=str(store.root),
            fix="Give more of the id: `tutelage results --json` lists them.",
        )  # fmt: skip
    if not matches:
        raise UserError(
            f"no study and no run of this name: '{what}'.", where=no_study.where,
            fix=f"{no_study.fix} `tutelage results NAME --json` lists the runs of a study.",
        )  # fmt: skip
    return next(iter(matches.values()))


def check_finished(context: Context, node: Node) -> None:
    """UserError where a run has no weights to export: not trained to its end, or diverged."""
    try:
        run = context.run(node)
    except Diverged as error:
        raise UserError(
            f"the teacher of this run diverged ({error}), so it was not trained.", where=node.key,
            fix="Export another one.",
        ) from error  # fmt: skip
    if run is None:
        raise UserError(
            f"this run of {context.config.name} is not finished.", where=node.key,
            fix="`tutelage run` with the same study continues it; `tutelage status` tells how far "
            "it is.",
        )  # fmt: skip
    if run.result["status"] == "diverged":
        raise UserError(
            f"this run diverged in epoch {run.result['epochs'] + 1}: there is nothing to export.",
            where=node.key, fix="Export another one.",
        )  # fmt: skip
