"""`weft bench accuracy`: float models, Weft's quantizer and ONNX Runtime's on the same data."""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime

from weft.bench.accuracy_data import TASKS, FloatArray, Fold, Task
from weft.errors import WeftError
from weft.frontend import Model, default_session, integerize, load, normalize, reference_session
from weft.quantize import QuantizeOptions, quantize

__all__ = ["run"]

GOAL_POINTS = 0.5
Scores = npt.NDArray[np.float64]


def run(
    models: str = "../shared/models", inputs: str = "../shared/inputs", examples: str = "examples"
) -> dict[str, Any]:
    """One row per model: top-1 accuracy in percent (where there are no labels, agreement with the float model)
    in float, quantized by Weft with its defaults (the integer graph that the accelerator computes) and by ONNX
    Runtime's quantize_static with its defaults, both calibrated on the same samples, none of which is counted.
    Models whose data are absent are listed apart.

    Raises WeftError where no data are there at all.
    """
    rows: list[dict[str, Any]] = []
    absent: list[dict[str, str]] = []
    for task in TASKS:
        try:
            path, folds = task.load(Path(models), Path(inputs), Path(examples))
        except WeftError as error:
            absent.append({"model": task.name, "reason": str(error)})
            continue
        rows.append(_row(task, load(path), folds))
    if not rows:
        raise WeftError(f"no data for any model: {absent[0]['reason']}; give their folders with --set")
    goals = {task.name for task in TASKS if task.has_goal}
    return {
        "rows": rows,
        "absent": absent,
        "goal_points": GOAL_POINTS,
        "within_goal": all(row["float"] - row["weft"] <= GOAL_POINTS for row in rows if row["model"] in goals),
        "never_below_onnx_runtime": all(row["weft"] >= row["onnx_runtime"] for row in rows),
    }


def _row(task: Task, model: Model, folds: Sequence[Fold]) -> dict[str, Any]:
    right = {"float": 0, "weft": 0, "onnx_runtime": 0}
    floats: list[Scores] = []
    quantized: list[Scores] = []
    theirs: list[Scores] = []
    name = model.inputs[0].name
    original = default_session(model)
    for fold in folds:
        expected = _scores(original, name, fold.samples)
        labels = expected.argmax(axis=1) if fold.labels is None else fold.labels
        weft = reference_session(integerize(normalize(quantize(model, {name: fold.calibration}, QuantizeOptions()))))
        other = default_session(_by_onnx_runtime(model, name, fold.calibration))
        for kind, scores, kept in (
            ("float", expected, floats),
            ("weft", _scores(weft, name, fold.samples), quantized),
            ("onnx_runtime", _scores(other, name, fold.samples), theirs),
        ):
            right[kind] += int(np.count_nonzero(scores.argmax(axis=1) == labels))
            kept.append(scores)
    count = sum(len(fold.samples) for fold in folds)
    return {
        "model": task.name,
        "samples": count,
        **{kind: 100.0 * number / count for kind, number in right.items()},
        "weft_snr": _decibels(np.concatenate(floats), np.concatenate(quantized)),
        "onnx_runtime_snr": _decibels(np.concatenate(floats), np.concatenate(theirs)),
        "data": task.data,
    }


def _scores(session: onnxruntime.InferenceSession, name: str, samples: FloatArray) -> Scores:
    """The first output for each sample, [samples, values]."""
    rows = [np.asarray(session.run(None, {name: sample[None]})[0]).reshape(-1) for sample in samples]
    return np.stack(rows).astype(np.float64)


def _decibels(expected: Scores, found: Scores) -> float:
    """Signal over noise of the first output; 200 where there is no noise."""
    noise = float(np.sum((expected - found) ** 2))
    return 200.0 if noise == 0 else float(10 * np.log10(np.sum(expected**2) / noise))


def _by_onnx_runtime(model: Model, name: str, calibration: FloatArray) -> onnx.ModelProto:
    """What ONNX Runtime's quantize_static makes of the model with its default settings."""
    from onnxruntime.quantization import CalibrationDataReader, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        """Hands out the samples one by one."""

        def __init__(self) -> None:
            self.samples = iter(calibration)

        def get_next(self) -> dict[str, FloatArray] | None:
            sample = next(self.samples, None)
            return None if sample is None else {name: sample[None]}

    with tempfile.TemporaryDirectory() as folder, _quiet_logging():
        source, target = Path(folder) / "float.onnx", Path(folder) / "quantized.onnx"
        onnx.save(model.proto, source)
        quantize_static(str(source), str(target), Reader())
        return onnx.load(target)


@contextlib.contextmanager
def _quiet_logging() -> Iterator[None]:
    """Without the advice that ONNX Runtime's quantizer writes to the root logger."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
