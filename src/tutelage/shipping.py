"""A student that leaves the store: exported, evaluated on any images, predicting files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tutelage.api import StudyResult, default_store
from tutelage.errors import UserError
from tutelage.store import Store

if TYPE_CHECKING:
    from tutelage.exporting.export import Export


def export(
    what: str = "last",
    folder: str | Path = "student",
    *,
    formats: Sequence[str] | None = None,
    data: str | None = None,
    store: str | Path | None = None,
) -> Export:
    """Export the best student of a study (its name, id, or `last`), or one run (its id or key).

    Otherwise as `StudyResult.export`.
    """
    from tutelage.exporting.subject import find_run

    context, node = find_run(Store.open(store or default_store(), create=False), what)
    key = node.key if node is not None else None
    return StudyResult(context).export(folder, run=key, formats=formats, data=data)


def evaluate(
    what: str | Path = "last",
    data: str | None = None,
    *,
    store: str | Path | None = None,
) -> dict[str, Any]:
    """The error, likelihood and calibration of a student on the images at `data`, and by class.

    `what` is an export (its folder, or a file with its card beside it), a run's id or key, or a
    study, of which the best student is meant. Without `data` it is the test set of its study. What
    is returned and raised: see `tutelage.exporting.measure.evaluate_on`.
    """
    from tutelage.exporting.export import open_run
    from tutelage.exporting.measure import evaluate_on
    from tutelage.exporting.opened import is_export, open_export
    from tutelage.exporting.subject import find_run

    if is_export(what):
        return evaluate_on(open_export(what), data)
    try:
        opened = Store.open(store or default_store(), create=False)
        context, node = find_run(opened, str(what))
    except UserError:
        if Path(what).exists():
            open_export(what)  # which says what it lacks
        raise
    if node is None:
        node = context.node(StudyResult(context).best()["key"])
    return evaluate_on(open_run(context, node, data), data, opened.cache_file)


def predict(student: str | Path, *images: str | Path) -> dict[str, Any]:
    """What an exported student says of image files, and of those in and below folders.

    See `tutelage.exporting.predict.predict_files`.
    """
    from tutelage.exporting.opened import open_export
    from tutelage.exporting.predict import predict_files

    return predict_files(open_export(student), images)
