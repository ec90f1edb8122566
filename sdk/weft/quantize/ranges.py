"""Ranges of activations, observed while ONNX Runtime runs the float model on the calibration samples."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime

from weft.errors import QuantizationError
from weft.frontend.graph import Array
from weft.frontend.model import Model
from weft.frontend.session import reference_session
from weft.frontend.session_options import RUNTIME_ERRORS
from weft.frontend.validate import first_line

Method = Literal["minmax", "percentile"]
Progress = Callable[[int, int], None]
Range = tuple[float, float]
BINS = 8192
# Attention masks add such numbers, or infinity, to switch values off; no 8-bit scale can hold them beside the
# rest.
UNBOUNDED = 1e6


def observe(
    model: Model,
    tensors: Sequence[str],
    samples: Sequence[Mapping[str, Array]],
    method: Method,
    percentile: float,
    progress: Progress | None,
) -> dict[str, Range]:
    """The range of each tensor over all samples.

    "minmax": least and greatest value. "percentile": the values that (100 - percentile) / 2 percent of all
    values lie below, and above, by a histogram of 8192 bins over the least and greatest (a second run over
    the samples). Tensors that reach a million in magnitude, or NaN, on any sample are left out of the result.
    One sample is held at a time. `progress(done, total)` is called after every run of the model.
    """
    runner = _Runner(model, tensors, len(samples) * (2 if method == "percentile" else 1), progress)
    extremes: dict[str, Range] = {}
    endless: set[str] = set()
    for values in runner.run(samples):
        for name, value in values.items():
            low, high = _extremes(value)
            if not (low > -UNBOUNDED and high < UNBOUNDED):
                endless.add(name)
                continue
            before = extremes.get(name, (low, high))
            extremes[name] = (min(before[0], low), max(before[1], high))
    extremes = {name: span for name, span in extremes.items() if name not in endless}
    if method == "minmax":
        return extremes
    counts = {name: np.zeros(BINS, np.int64) for name in extremes}
    for values in runner.run(samples):
        for name, value in values.items():
            if name not in extremes:
                continue
            counts[name] += np.histogram(value, BINS, _widened(extremes[name]))[0]
    return {name: _percentiles(counts[name], extremes[name], percentile) for name in extremes}


class _Runner:
    """Runs the model with the wanted tensors as outputs and reports progress."""

    def __init__(self, model: Model, tensors: Sequence[str], total: int, progress: Progress | None) -> None:
        proto = onnx.ModelProto()
        proto.CopyFrom(model.proto)
        inputs = {value.name for value in proto.graph.input}
        self._from_inputs = [name for name in tensors if name in inputs]
        self._computed = [name for name in tensors if name not in inputs]
        present = {value.name for value in proto.graph.output}
        kinds = {value.name: value for value in proto.graph.value_info}
        proto.graph.output.extend(kinds[name] for name in self._computed if name not in present)
        self._session: onnxruntime.InferenceSession = reference_session(model.with_proto(proto))
        self._total, self._done, self._progress = total, 0, progress

    def run(self, samples: Iterable[Mapping[str, Array]]) -> Iterable[dict[str, Array]]:
        for sample in samples:
            try:
                values = self._session.run(self._computed, dict(sample)) if self._computed else []
            except RUNTIME_ERRORS as error:
                raise QuantizationError(
                    f"the float model fails on calibration sample {self._done}: {first_line(error)}"
                ) from error
            self._done += 1
            if self._progress is not None:
                self._progress(self._done, self._total)
            observed = {name: np.asarray(sample[name]) for name in self._from_inputs}
            yield {
                **observed,
                **{name: np.asarray(value) for name, value in zip(self._computed, values, strict=True)},
            }


def _extremes(value: Array) -> Range:
    if value.size == 0:
        return 0.0, 0.0
    return float(value.min()), float(value.max())


def _widened(span: Range) -> Range:
    return span if span[1] > span[0] else (span[0], span[0] + 1.0)


def _percentiles(counts: npt.NDArray[np.int64], span: Range, percentile: float) -> Range:
    if span[1] <= span[0] or counts.sum() == 0:
        return span
    width = (span[1] - span[0]) / BINS
    cumulative = np.cumsum(counts) / counts.sum()
    tail = (100.0 - percentile) / 200.0
    first = int(np.searchsorted(cumulative, tail, side="right"))
    last = int(np.searchsorted(cumulative, 1.0 - tail, side="left"))
    return span[0] + width * min(first, BINS - 1), span[0] + width * (min(last, BINS - 1) + 1)
