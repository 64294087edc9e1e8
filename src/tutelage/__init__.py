"""tutelage: which teacher, stopped when, with which loss, and is distillation worth it at all?

    import tutelage as tt
    result = tt.Study.load("demo").run()
    result.report("report.html")

Importing the package loads no PyTorch; the parts that need it load it when they are used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tutelage.api import Study, StudyResult, open_result
    from tutelage.data.from_dataset import write_npz
    from tutelage.data.in_order import images_in_order
    from tutelage.deciding import run_until_decided
    from tutelage.errors import UserError
    from tutelage.exporting.network import load_student
    from tutelage.shipping import evaluate, export, predict

__all__ = [
    "Study",
    "StudyResult",
    "UserError",
    "evaluate",
    "export",
    "images_in_order",
    "load_student",
    "open_result",
    "predict",
    "run_until_decided",
    "write_npz",
]
__version__ = "0.1.0"

_HOMES = {
    "Study": "tutelage.api",
    "StudyResult": "tutelage.api",
    "open_result": "tutelage.api",
    "run_until_decided": "tutelage.deciding",
    "UserError": "tutelage.errors",
    "evaluate": "tutelage.shipping",
    "export": "tutelage.shipping",
    "predict": "tutelage.shipping",
    "load_student": "tutelage.exporting.network",
    "images_in_order": "tutelage.data.in_order",
    "write_npz": "tutelage.data.from_dataset",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
