"""The least cycles that a machine's peak and bandwidth allow, whatever the schedule."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from weft.frontend import Model, integerize, normalize
from weft.ir import Graph, Operator, View, recognize
from weft.ir.operators import Convolution
from weft_sim.machine import MachineConfig

__all__ = ["Roofline", "operators_of", "roofline"]

BIAS_BYTES = 4
MULTIPLIER_BYTES = 4


@dataclass(frozen=True)
class Roofline:
    """Cycles that nothing can go below. `by_layer`: every operator reads its inputs and constants and writes its output
    in DRAM once, or multiplies at the peak, whichever takes longer, one after the other. `whole`: the same for the
    model as one operator, whose inner tensors cost nothing."""

    by_layer: float
    whole: float


def operators_of(model: Model) -> tuple[Operator, ...]:
    """The operators that the compiler recognizes in a quantized model."""
    return recognize(Graph(integerize(normalize(model)).proto)).operators


def roofline(operators: Sequence[Operator], config: MachineConfig) -> Roofline:
    """Bytes are those of the elements, without the padding of channel blocks."""
    computing = [each for each in operators if not isinstance(each, View)]
    layers = sum(_bound(each.macs, _inner_bytes(each) + _constant_bytes(each), config) for each in computing)
    produced = {each.output.name for each in operators}
    consumed = {tensor.name for each in operators for tensor in each.inputs}
    outer = {tensor.name: _elements(tensor.shape) for each in computing for tensor in each.inputs}
    inputs = sum(size for name, size in outer.items() if name not in produced)
    outputs = sum(_elements(each.output.shape) for each in operators if each.output.name not in consumed)
    constants = sum(map(_constant_bytes, computing))
    whole = _bound(sum(each.macs for each in computing), inputs + outputs + constants, config)
    return Roofline(layers, whole)


def _bound(macs: int, nbytes: int, config: MachineConfig) -> float:
    return max(macs / config.macs_per_cycle, nbytes / config.dram_bytes_per_cycle)


def _inner_bytes(operator: Operator) -> int:
    inputs = {tensor.name: _elements(tensor.shape) for tensor in operator.inputs}
    return sum(inputs.values()) + _elements(operator.output.shape)


def _constant_bytes(operator: Operator) -> int:
    """Weights, and a bias and a multiplier for each output channel; other operators' constants are small."""
    if not isinstance(operator, Convolution):
        return 0
    return int(operator.weights.size) + len(operator.bias) * (BIAS_BYTES + MULTIPLIER_BYTES)


def _elements(shape: Iterable[int]) -> int:
    return math.prod(shape)
