"""The formats of an export: each is written as one file, and run from that file alone."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from tutelage.errors import UserError, unknown
from tutelage.exporting.network import Deployed, load_student, write_weights
from tutelage.models.build import Shape

Images = NDArray[np.float32]
Logits = NDArray[np.float32]
Runner = Callable[[Images], Logits]
"""Images float32 [B, C, H, W] of pixels / 255 to logits float32 [B, classes]."""

FILES = {
    "safetensors": "student.safetensors",
    "torch": "student.pt2",
    "onnx": "student.onnx",
    "onnx-int8": "student-int8.onnx",
}
SUFFIXES = (".safetensors", ".pt2", ".onnx")
INPUT, OUTPUT = "images", "logits"
_EXAMPLES = 2  # of one image torch.export would take the batch for a constant


@dataclass(frozen=True)
class Subject:
    """What is written: the student, what it is called, the shape (H, W, C) of its images, and
    images [N, C, H, W] of which the int8 format learns its ranges."""

    student: Deployed
    model: str
    shape: Shape
    class_names: tuple[str, ...]
    calibration: Images


def wanted_formats(formats: Sequence[str] | None) -> list[str]:
    """The formats that are asked for, all without any, each once in the order of `FILES`.

    Raises UserError for an unknown one, and where a package that one needs is not installed.
    """
    for name in formats or ():
        if name not in FILES:
            raise unknown("format", name, FILES, where="--format")
    chosen = [name for name in FILES if not formats or name in formats]
    if any(name.startswith("onnx") for name in chosen):
        need_onnx()
    return chosen


def need_onnx() -> None:
    """UserError where the packages of the extra `export` are not installed."""
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"ONNX needs a package that is not installed ({error.name}).",
            fix="pip install 'tutelage[export]'; or leave it out: "
            "--format safetensors --format torch.",
        ) from error


def has_onnx() -> bool:
    """Whether those packages are installed."""
    try:
        need_onnx()
    except UserError:
        return False
    return True


def at_hand() -> list[str]:
    """The formats that the installed packages can write."""
    return [name for name in FILES if has_onnx() or not name.startswith("onnx")]


def write_formats(subject: Subject, formats: Sequence[str], folder: Path) -> dict[str, Path]:
    """Write each of `formats` as a file of `folder`, which exists. Returns the paths by format.

    Raises UserError where PyTorch cannot export the network.
    """
    paths = {name: folder / FILES[name] for name in formats}
    if "safetensors" in paths:
        write_weights(
            subject.student, paths["safetensors"], subject.model, subject.shape,
            subject.class_names,
        )  # fmt: skip
    if not set(paths) - {"safetensors"}:
        return paths
    program = _program(subject)
    if "torch" in paths:
        with _quiet():
            torch.export.save(program, paths["torch"])
    if "onnx" in paths or "onnx-int8" in paths:
        whole = paths.get("onnx", folder / ".whole.onnx")
        whole.write_bytes(_onnx(program, subject))
        if "onnx-int8" in paths:
            from tutelage.exporting.quantise import quantise

            with _quiet():
                quantise(whole, paths["onnx-int8"], INPUT, subject.calibration)
        if "onnx" not in paths:
            whole.unlink()
    return paths


def open_runner(path: Path) -> Runner:
    """What runs an exported file, by its ending, on the CPU in one thread.

    Raises UserError where it is missing, damaged or of another kind, and where its package lacks.
    """
    if path.suffix == ".onnx":
        need_onnx()
        return _onnx_runner(path)
    if path.suffix == ".safetensors":
        return torch_runner(load_student(path))
    if path.suffix == ".pt2":
        with _opening(path), _quiet():
            return torch_runner(torch.export.load(path).module())
    raise UserError(
        "this is no exported student.", where=str(path), fix=f"Known: {', '.join(SUFFIXES)}."
    )


def torch_runner(module: torch.nn.Module) -> Runner:
    """What runs a module that maps images to logits."""

    def run(images: Images) -> Logits:
        with torch.inference_mode():
            return module(torch.from_numpy(np.ascontiguousarray(images))).float().numpy()

    return run


def _program(subject: Subject) -> torch.export.ExportedProgram:
    height, width, channels = subject.shape
    images = torch.zeros(_EXAMPLES, channels, height, width)
    batch = torch.export.Dim("batch", min=1)
    try:
        with _quiet():
            program = torch.export.export(
                subject.student, (images,), dynamic_shapes=({0: batch},), strict=False
            )
    except Exception as error:  # whatever the tracer cannot follow, it says in its own way
        raise UserError(
            f"PyTorch cannot export {subject.model}: {str(error).strip().splitlines()[0]}",
            fix="Export the weights alone: --format safetensors.",
        ) from error
    for node in program.graph.nodes:  # they name the folders of this machine, and are long
        node.meta.pop("stack_trace", None)
    return program


def _onnx(program: torch.export.ExportedProgram, subject: Subject) -> bytes:
    """The program as one ONNX file, its classes and its input described in the metadata."""
    import onnx

    with _quiet():
        written = torch.onnx.export(
            program, dynamo=True, input_names=[INPUT], output_names=[OUTPUT], verbose=False,
            external_data=False,
        )  # fmt: skip
    assert written is not None, "dynamo gives the program back"
    model = written.model_proto
    values = (*model.graph.input, *model.graph.output, *model.graph.value_info)
    for part in (*values, *model.graph.node, *model.graph.initializer, *model.functions):
        del part.metadata_props[:]
    for value in values:
        first = value.type.tensor_type.shape.dim[:1]
        if first and first[0].dim_param:
            first[0].dim_param = "batch"
    onnx.helper.set_model_props(
        model,
        {
            "class_names": json.dumps(list(subject.class_names), ensure_ascii=False),
            "input": "float32 [batch, channels, height, width], pixels / 255: 0 to 1",
            "output": "logits; softmax gives probabilities",
            "model": subject.model,
        },
    )
    model.producer_name = "tutelage"
    onnx.checker.check_model(model)
    return model.SerializeToString(deterministic=True)


def _onnx_runner(path: Path) -> Runner:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    with _opening(path):
        session = onnxruntime.InferenceSession(
            path.read_bytes(), options, providers=["CPUExecutionProvider"]
        )
        source = session.get_inputs()[0].name

    def run(images: Images) -> Logits:
        return np.asarray(session.run(None, {source: np.ascontiguousarray(images)})[0])

    return run


@contextlib.contextmanager
def _opening(path: Path) -> Iterator[None]:
    """Turns whatever a reader raises on a file into a UserError."""
    try:
        yield
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"cannot be read ({error.strerror or error}).", where=str(path)) from error
    except Exception as error:
        why = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(
            f"this file is damaged, or no exported student ({why[:200]}).", where=str(path),
            fix="Export it again, or copy it again.",
        ) from error  # fmt: skip


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporters' own words, which are for their makers, go nowhere."""
    logging_was = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging_was)
