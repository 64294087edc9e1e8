"""Static quantisation to int8 by ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

_BATCH = 32
# What computes, and what passes its values on. BatchNormalization is left out: where it follows a
# convolution it is part of it by then, and elsewhere its few weights are worth more in float32.
_QUANTISED = ["Conv", "Gemm", "MatMul", "Add", "Concat", "MaxPool", "AveragePool",
              "GlobalAveragePool"]  # fmt: skip


class _Batches(CalibrationDataReader):
    def __init__(self, name: str, images: NDArray[np.float32]) -> None:
        starts = range(0, len(images), _BATCH)
        self._batches = iter([{name: images[start : start + _BATCH]} for start in starts])

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        return next(self._batches, None)


def quantise(source: Path, target: Path, name: str, images: NDArray[np.float32]) -> None:
    """Write the ONNX file `source` as `target` with int8 weights and activations.

    Weights have a scale for each output channel; the range of each activation is the smallest and
    largest value seen on `images` [N, C, H, W], given to the input `name`. Normalisation and the
    last linear layer, which makes the logits, stay in float32: its weights are few, and without it
    the KL from the original fell by a third on digits. Explicit QuantizeLinear and
    DequantizeLinear nodes (QDQ) tell every runtime what is rounded where.
    """
    prepared = target.with_name(f".{target.name}.prepared")
    quant_pre_process(source, prepared)  # folds BatchNorm into the convolutions before it
    linear = [n.name for n in onnx.load(prepared).graph.node if n.op_type in ("Gemm", "MatMul")]
    try:
        quantize_static(
            prepared, target, _Batches(name, images), quant_format=QuantFormat.QDQ,
            op_types_to_quantize=_QUANTISED, nodes_to_exclude=linear[-1:], per_channel=True,
            activation_type=QuantType.QInt8, weight_type=QuantType.QInt8,
        )  # fmt: skip
    finally:
        prepared.unlink(missing_ok=True)
