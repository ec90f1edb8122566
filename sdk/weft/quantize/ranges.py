"""What activations hold while ONNX Runtime runs the float model on the calibration samples, and the ranges
that follow from it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime

from weft.errors import QuantizationError
from weft.frontend.graph import Array
from weft.frontend.model import Model
from weft.frontend.session import reference_session
from weft.frontend.session_options import RUNTIME_ERRORS
from weft.frontend.validate import first_line
from weft.quantize.histogram import Distribution, Histogram
from weft.quantize.options import Method
from weft.quantize.thresholds import Parametrize, entropy_range, mean_square_range, percentile_range

Progress = Callable[[int, int], None]
Range = tuple[float, float]
Trim = Callable[[str, Array], Array]
# Attention masks add numbers of this magnitude, or infinity, to switch values off.
MASKING = 1e6
# What is masked and what is not lie apart: nothing is within these fractions of the greatest magnitude.
GAP = (2.0**-10, 2.0**-4)
# Beyond it, products of scales would leave the normal float32 numbers.
GREATEST = 2.0**60


@dataclass(frozen=True)
class Observation:
    """A tensor's extremes over all samples, and the distribution of its values where it was asked for."""

    extremes: Range
    distribution: Distribution | None

    def range(self, method: Method, percentile: float, parametrize: Parametrize) -> Range:
        """The range by a method; `parametrize` says how a range is stored."""
        if method == "minmax" or self.distribution is None:
            return self.extremes
        if method == "percentile":
            return percentile_range(self.distribution, percentile)
        if method == "mse":
            return mean_square_range(self.distribution, parametrize)
        return entropy_range(self.distribution, parametrize)


def untrimmed(name: str, value: Array) -> Array:
    """All that a tensor holds."""
    return value


def observe(
    model: Model,
    tensors: Sequence[str],
    counted: frozenset[str],
    samples: Iterable[Mapping[str, Array]],
    total: int,
    progress: Progress | None,
    trimmed: Trim = untrimmed,
) -> dict[str, Observation]:
    """What each tensor holds over all samples, in one pass that holds one sample at a time.

    Tensors in `counted` get a histogram (128 KiB each), the others their extremes alone. Tensors that hold NaN,
    2^60 in magnitude, or numbers of a million and more beside small ones with nothing between them (a mask), on
    any sample, are left out of the result: no 8-bit scale holds them. `trimmed` says what of a tensor's values
    counts. `progress(done, total)` is called
    after every run of the model; `total` is 0 where it is not known.
    """
    extremes: dict[str, Range] = {}
    histograms = {name: Histogram() for name in tensors if name in counted}
    endless: set[str] = set()
    for values in Runner(model, tensors, total, progress).run(samples):
        for name in tensors:
            value = trimmed(name, values[name])
            low, high = _extremes(value)
            if not (low > -GREATEST and high < GREATEST) or _is_masked(value, max(-low, high)):
                endless.add(name)
                continue
            before = extremes.get(name, (low, high))
            extremes[name] = (min(before[0], low), max(before[1], high))
            if name in histograms and name not in endless:
                histograms[name].add(value)
    return {
        name: Observation(span, histograms[name].distribution() if name in histograms else None)
        for name, span in extremes.items()
        if name not in endless
    }


class Runner:
    """Runs a float model with the wanted tensors, inputs included, as outputs; reports progress."""

    def __init__(self, model: Model, tensors: Sequence[str], total: int, progress: Progress | None) -> None:
        proto = onnx.ModelProto()
        proto.CopyFrom(model.proto)
        inputs = {value.name for value in proto.graph.input}
        self._from_inputs = [name for name in tensors if name in inputs]
        self._computed = [name for name in tensors if name not in inputs]
        present = {value.name for value in proto.graph.output}
        kinds = {value.name: value for value in proto.graph.value_info}
        proto.graph.output.extend(kinds.get(name, float_value(name)) for name in self._computed if name not in present)
        self._session: onnxruntime.InferenceSession = reference_session(model.with_proto(proto))
        self._total, self._done, self._progress = total, 0, progress

    def run(self, samples: Iterable[Mapping[str, Array]]) -> Iterator[dict[str, Array]]:
        """The wanted tensors by name, for each sample. Raises QuantizationError where the model fails on one."""
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


def float_value(name: str) -> onnx.ValueInfoProto:
    """A float32 tensor of unknown shape, as an output's declaration."""
    tensor = onnx.TypeProto.Tensor(elem_type=onnx.TensorProto.FLOAT)
    return onnx.ValueInfoProto(name=name, type=onnx.TypeProto(tensor_type=tensor))


def _is_masked(values: Array, greatest: float) -> bool:
    """Whether huge numbers stand beside others that no scale can tell from 0."""
    if greatest < MASKING:
        return False
    magnitudes = np.abs(values[values != 0])
    return bool(
        np.any(magnitudes < GAP[0] * greatest)
        and not np.any((magnitudes >= GAP[0] * greatest) & (magnitudes <= GAP[1] * greatest))
    )


def _extremes(value: Array) -> Range:
    if value.size == 0:
        return 0.0, 0.0
    return float(value.min()), float(value.max())
