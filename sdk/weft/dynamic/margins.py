"""How far decisions are from falling otherwise: margins of conditions and counts, from the values behind them.

The margin of a bool or integer element is by how much what it was made from would have to change for it to be another:
of a comparison the distance of its sides, of an argmax that of the largest to the second largest. Conditions made of
several follow Donzé and Maler's quantitative semantics (2010): And is the least of the signed margins, Or the greatest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, numpy_helper

from weft.frontend.graph import integer, integers, is_standard
from weft.frontend.model import Model

__all__ = ["Closeness", "MarginRule", "margin_rule"]

Array = npt.NDArray[Any]
COMPARISONS: Mapping[str, Callable[[Any, Any], Any]] = {
    "Equal": np.equal, "Greater": np.greater, "GreaterOrEqual": np.greater_equal, "Less": np.less,
    "LessOrEqual": np.less_equal,
}  # fmt: skip
SHAPING = ("Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze")
EXTREMES = ("ArgMax", "ArgMin")
REDUCING = ("ReduceMax", "ReduceMin")
DISCRETE = frozenset({TensorProto.BOOL, TensorProto.INT32, TensorProto.INT64})
MOST_CLASSES = 1 << 20


@dataclass(frozen=True)
class Closeness:
    """How close each element of a bool or integer tensor is to being another one. `scores`: of an argmax's only
    element, what it looked at, with the sign such that the largest wins."""

    margin: Array
    scores: Array | None = None


@dataclass(frozen=True)
class MarginRule:
    """How to get the margins of a sub-network's bool and integer outputs. `watched` are the values inside it that this
    takes, and that it does not return."""

    outputs: tuple[str, ...]
    watched: tuple[str, ...]
    _order: tuple[str, ...]
    _makers: Mapping[str, onnx.NodeProto]
    _constants: Mapping[str, Array]

    def apply(self, values: Mapping[str, Array], given: Mapping[str, Closeness]) -> dict[str, Closeness]:
        """The outputs' closeness, each in the output's shape; outputs are left out where it cannot be told.

        `values` holds the sub-network's inputs and outputs, and what is watched; `given` is the closeness of inputs.
        """
        found = _Margins({**self._constants, **values}, given, self._makers, frozenset(self._constants))
        for name in self._order:  # in order of computation, so that nothing nests deep
            found.of(name)
        margins = {name: found.of(name) for name in self.outputs}
        return {
            name: Closeness(margin, found.scores_of(name)) for name, margin in margins.items() if margin is not None
        }


def margin_rule(network: Model) -> MarginRule:
    """The rule of a sub-network; without outputs where it makes no bool or integer."""
    graph = network.proto.graph
    kinds = {value.name: value.type.tensor_type.elem_type for value in graph.output}
    outputs = tuple(name for name, kind in kinds.items() if kind in DISCRETE)
    makers = {name: node for node in graph.node for name in node.output if name}
    constants = {tensor.name: tensor for tensor in graph.initializer}
    cone = _cone(outputs, makers)
    order = tuple(name for name in makers if name in cone)
    fixed = {name: numpy_helper.to_array(constants[name]) for name in cone if name in constants}
    return MarginRule(outputs, tuple(name for name in order if name not in kinds), order, makers, fixed)


def _cone(outputs: Iterable[str], makers: Mapping[str, onnx.NodeProto]) -> dict[str, None]:
    """The names whose values the rules read."""
    found: dict[str, None] = {}
    waiting = list(outputs)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found[name] = None
        node = makers.get(name)
        if node is not None and is_standard(node, *_RULES):
            waiting += filter(None, node.input)
    return found


@dataclass
class _Margins:
    """One evaluation: `values` of everything in the cone, `given` the closeness of inputs."""

    values: Mapping[str, Array]
    given: Mapping[str, Closeness]
    makers: Mapping[str, onnx.NodeProto]
    constants: frozenset[str]
    known: dict[str, Array | None] = field(default_factory=dict)

    def of(self, name: str) -> Array | None:
        """A value's margins in its shape, not below 0; None where they cannot be told."""
        if name not in self.known:
            margin = self._find(name)
            fits = margin is not None and margin.size == self.values[name].size
            self.known[name] = margin.reshape(self.values[name].shape) if margin is not None and fits else None
        return self.known[name]

    def scores_of(self, name: str) -> Array | None:
        """What the argmax looked at of which a value is the only element, whatever its shape and type."""
        node = self.makers.get(name)
        while node is not None and is_standard(node, *SHAPING, "Cast"):
            name = node.input[0]
            node = self.makers.get(name)
        if name in self.given:
            return self.given[name].scores
        if node is None or not is_standard(node, *EXTREMES) or self.values[name].size != 1:
            return None
        scores = self._scores(node)
        return None if scores is None else scores.reshape(-1)

    def _find(self, name: str) -> Array | None:
        if name in self.given:
            return self.given[name].margin
        if name in self.constants:
            return np.full(self.values[name].shape, np.inf)
        node = self.makers.get(name)
        if node is None or not is_standard(node, *_RULES) or name not in self.values:
            return None
        return _RULES[node.op_type](self, node)

    def shaped(self, node: onnx.NodeProto) -> Array | None:
        """Of operators that only change the shape, and of Not."""
        return self.of(node.input[0])

    def cast(self, node: onnx.NodeProto) -> Array | None:
        """To bool and integers; what was discrete before keeps its margin."""
        value = self.values[node.input[0]]
        if value.dtype.kind != "f":
            return self.of(node.input[0])
        kind = integer(node, "to", 0)
        if kind == TensorProto.BOOL:
            return np.asarray(np.abs(value), np.float64)
        if kind not in DISCRETE:
            return self.of(node.input[0])
        fraction = np.abs(value.astype(np.float64)) % 1
        return np.where(np.abs(value) < 1, 1 - fraction, np.minimum(fraction, 1 - fraction))

    def comparison(self, node: onnx.NodeProto) -> Array | None:
        """The distance of the sides. Where one is an argmax, how far the best class on the one side of the comparison
        is from the best on the other; where one is a bool, its margin."""
        for place in (0, 1):
            scores = self.scores_of(node.input[place])
            if scores is not None:
                return self._between_classes(node, place, scores)
        ours, theirs = (self.values[name] for name in node.input)
        for name, other in ((node.input[0], node.input[1]), (node.input[1], node.input[0])):
            if self._is_bool(name) and other in self.constants:
                return self.of(name)
        distance = np.abs(np.asarray(ours, np.float64) - np.asarray(theirs, np.float64))
        if node.op_type == "Equal" and ours.dtype.kind in "iu":
            return np.where(distance == 0, 1.0, distance)
        return np.asarray(distance)

    def logic(self, node: onnx.NodeProto) -> Array | None:
        """And, Or and Xor."""
        first, second = (self._signed(name) for name in node.input)
        if first is None or second is None:
            return None
        if node.op_type == "Xor":
            return np.minimum(np.abs(first), np.abs(second))
        return np.abs((np.minimum if node.op_type == "And" else np.maximum)(first, second))

    def reduction(self, node: onnx.NodeProto) -> Array | None:
        """The greatest or least of bools, as Cast made them numbers."""
        signed = self._signed(node.input[0]) if self._is_bool(node.input[0]) else None
        if signed is None:
            return None
        axes = integers(node, "axes") or ()
        if len(node.input) > 1 and node.input[1]:
            axes = tuple(int(axis) for axis in self.values[node.input[1]].reshape(-1))
        reduce = np.max if node.op_type == "ReduceMax" else np.min
        return np.asarray(np.abs(reduce(signed, axis=tuple(axes) or None)))

    def picked(self, node: onnx.NodeProto) -> Array | None:
        """Elements of a tensor of bools or integers."""
        margin = self.of(node.input[0])
        places = self.values[node.input[1]]
        if margin is None or node.input[1] not in self.constants:
            return None
        return np.take(margin, places.astype(np.int64), axis=integer(node, "axis", 0))

    def extreme(self, node: onnx.NodeProto) -> Array | None:
        """Of an argmax, the distance of the largest to the second largest."""
        scores = self._scores(node)
        if scores is None or scores.shape[-1] < 2:
            return None
        largest = np.partition(scores, (-2, -1), axis=-1)
        return np.asarray(largest[..., -1] - largest[..., -2])

    def _scores(self, node: onnx.NodeProto) -> Array | None:
        """What an argmax looks at, its axis last, the sign such that the largest wins."""
        values = self.values[node.input[0]]
        axis = integer(node, "axis", 0)
        if not -values.ndim <= axis < values.ndim or not 0 < values.shape[axis] <= MOST_CLASSES:
            return None
        moved = np.moveaxis(values.astype(np.float64), axis, -1)
        return moved if node.op_type == "ArgMax" else -moved

    def _between_classes(self, node: onnx.NodeProto, place: int, scores: Array) -> Array | None:
        other = self.values[node.input[1 - place]]
        if other.size != 1:
            return None
        classes, wanted = np.arange(scores.size), other.reshape(())
        holds = COMPARISONS[node.op_type](*((classes, wanted) if place == 0 else (wanted, classes)))
        if holds.all() or not holds.any():
            return np.full(1, np.inf)
        return np.asarray(np.abs(scores[holds].max() - scores[~holds].max())).reshape(1)

    def _is_bool(self, name: str) -> bool:
        """Whether a value is a bool, or one cast to numbers."""
        while self.values[name].dtype != np.bool_:
            node = self.makers.get(name)
            if node is None or not is_standard(node, *SHAPING, *REDUCING, "Cast", "Gather"):
                return False
            name = node.input[0]
        return True

    def _signed(self, name: str) -> Array | None:
        margin = self.of(name)
        return None if margin is None else np.where(self.values[name] != 0, margin, -margin)


_RULES: Mapping[str, Callable[[_Margins, onnx.NodeProto], Array | None]] = {
    **dict.fromkeys((*SHAPING, "Not"), _Margins.shaped),
    **dict.fromkeys(COMPARISONS, _Margins.comparison),
    **dict.fromkeys(("And", "Or", "Xor"), _Margins.logic),
    **dict.fromkeys(REDUCING, _Margins.reduction),
    **dict.fromkeys(EXTREMES, _Margins.extreme),
    "Cast": _Margins.cast,
    "Gather": _Margins.picked,
}
