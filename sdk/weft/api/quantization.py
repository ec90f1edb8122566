"""Quantizing a model file into another."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from weft.api.progress import Progress, quiet
from weft.errors import ModelError, QuantizationError
from weft.frontend import Model, load
from weft.frontend.topology import all_nodes
from weft.quantize import QuantizeOptions, SensitivityReport, quantize, quantize_and_measure, random_calibration

__all__ = ["Written", "quantize_file", "save_model"]

NO_SHAPES: Mapping[str, int] = {}
WEIGHTED = ("Conv", "ConvTranspose", "MatMul", "Gemm")


@dataclass(frozen=True)
class Written:
    """A quantized model that was written: what it was calibrated with ("file" or "random"), how many of its
    operators with weights are quantized, and the sensitivity report if one was made."""

    model: Model
    calibration: str
    quantized_nodes: int
    report: SensitivityReport | None


def quantize_file(
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    samples: Mapping[str, Any] | None,
    options: QuantizeOptions,
    *,
    wants_report: bool = False,
    shapes: Mapping[str, int] = NO_SHAPES,
    seed: int = 0,
    progress: Progress = quiet,
) -> Written:
    """Quantizes a float model, with `samples` or else seeded random inputs, and writes it.

    Raises ModelError for a model that cannot be read, that is quantized already, or a file that cannot be
    written, and QuantizationError as `weft.quantize` does.
    """
    model = load(os.fspath(source))
    if model.is_quantized:
        raise QuantizationError(f"{model.name}: is quantized already; weft compile takes it as it is")
    calibration = random_calibration(model, seed, shapes=shapes) if samples is None else samples
    progress("calibrate", 0, 0)

    def calibrating(done: int, total: int) -> None:
        progress("calibrate", done, total)

    def measuring(done: int, total: int) -> None:
        progress("measure layers", done, total)

    report = None
    if wants_report or options.minimum_snr is not None:
        found = quantize_and_measure(
            model, calibration, options, shapes=shapes, progress=calibrating, measuring=measuring
        )
        quantized, report = found.model, found.report
    else:
        quantized = quantize(model, calibration, options, shapes=shapes, progress=calibrating)
    save_model(quantized, output)
    return Written(quantized, "random" if samples is None else "file", _quantized_nodes(quantized), report)


def save_model(model: Model, path: str | os.PathLike[str]) -> None:
    """Writes a model's protobuf, atomically. Raises ModelError where it cannot be written."""
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}.tmp")
    try:
        temporary.write_bytes(model.proto.SerializeToString(deterministic=True))
        temporary.replace(target)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise ModelError(f"{target}: cannot write the model: {error.strerror or error}") from error


def _quantized_nodes(model: Model) -> int:
    """Operators with weights whose first operand comes from a DequantizeLinear."""
    nodes = list(all_nodes(model.proto.graph))
    restored = {name for node in nodes if node.op_type == "DequantizeLinear" for name in node.output}
    return sum(node.op_type in WEIGHTED and node.input[0] in restored for node in nodes)
