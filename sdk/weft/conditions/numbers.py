"""Of which number made of stored elements a condition is a function, found by following its nodes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from weft.conditions.deferred import Composite
from weft.conditions.moving import moved
from weft.conditions.trial import Trial
from weft.frontend.graph import integer, is_standard
from weft.ir.device_control import NumberKind, Reading, Unjoinable
from weft.ir.patterns.movement import MOVES

__all__ = ["number_behind"]

Index = npt.NDArray[np.int64]
BYTE_VALUES = 256
MOST_SUM = 1 << 24
MOVING = MOVES - {"Pad", "Resize"}
ELEMENTWISE = frozenset({
    "Abs", "Add", "And", "Cast", "Ceil", "Clip", "Cos", "DequantizeLinear", "Div", "Elu", "Equal", "Erf", "Exp",
    "Floor", "Gelu", "Greater", "GreaterOrEqual", "HardSigmoid", "HardSwish", "Identity", "LeakyRelu", "Less",
    "LessOrEqual", "Log", "Max", "Min", "Mul", "Neg", "Not", "Or", "Pow", "QuantizeLinear", "Reciprocal", "Relu",
    "Round", "Selu", "Sigmoid", "Sign", "Sin", "Softplus", "Softsign", "Sqrt", "Sub", "Tanh", "ThresholdedRelu",
    "Where", "Xor",
})  # fmt: skip
"""With operands of one element beside the others, they do the same to every element."""
UNFORESEEN = frozenset({
    "Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Dropout",
})  # fmt: skip


@dataclass(frozen=True)
class _Constant:
    """Computed from constants alone."""


@dataclass(frozen=True)
class _Elements:
    """Every value is one function, the same for all, of the stored element with the number that `index` has there."""

    index: Index


@dataclass(frozen=True)
class _Differences:
    """Every value is a stored element, as a whole number, minus the greatest of `index`."""

    index: Index


@dataclass(frozen=True)
class _Looked:
    """Every value is table[(x − greatest x) mod 256]."""

    index: Index
    table: tuple[int, ...]


_State = _Constant | _Elements | _Differences | _Looked | Reading


def number_behind(composite: Composite, trial: Trial) -> Reading:
    """The number, of the composite's only input, that all of its output depends on. Raises Unjoinable where the nodes
    say of none that it does."""
    (name,) = composite.inputs
    found = _Follower(composite, trial).run(name)
    if not isinstance(found, Reading):
        raise Unjoinable("the condition depends on several elements, or on none")
    return replace(found, tensor=composite.inputs[name])


class _Follower:
    def __init__(self, composite: Composite, trial: Trial) -> None:
        self._composite, self._trial = composite, trial
        graph = composite.model.graph
        self._constants = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
        self._states: dict[str, _State] = {name: _Constant() for name in self._constants}
        self._recognizers: tuple[Callable[[onnx.NodeProto, list[_State]], _State | None], ...] = (
            self._elementwise, self._extremum, self._place, self._difference, self._looked, self._sum,
        )  # fmt: skip

    def run(self, name: str) -> _State:
        """What the output is."""
        shape = self._trial.shape
        self._states[name] = _elements(np.arange(math.prod(shape), dtype=np.int64).reshape(shape))
        for node in self._composite.model.graph.node:
            self._states.update(self._follow(node))
        return self._states[self._composite.output]

    def _follow(self, node: onnx.NodeProto) -> dict[str, _State]:
        """The states of a node's outputs."""
        if node.domain not in ("", "ai.onnx") or node.op_type in UNFORESEEN:
            raise Unjoinable(f"{node.op_type} in the condition is not followed")
        operands = [self._states[name] for name in node.input if name]
        variable = [each for each in operands if not isinstance(each, _Constant)]
        outputs = [name for name in node.output if name]
        if not variable:
            return dict.fromkeys(outputs, _Constant())
        if isinstance(variable[0], Reading) and all(each == variable[0] for each in variable):
            return dict.fromkeys(outputs, variable[0])
        if is_standard(node, *MOVING) and all(isinstance(each, _Elements) for each in variable):
            sources = {
                name: state.index for name in node.input if isinstance(state := self._states.get(name), _Elements)
            }
            return {name: _elements(index) for name, index in moved(self._composite.model, node, sources).items()}
        if is_standard(node, "TopK"):
            return self._greatest(node, variable[0])
        for recognize in self._recognizers:
            found = recognize(node, operands)
            if found is not None:
                return dict.fromkeys(outputs, found)
        raise Unjoinable(f"{node.op_type} makes the condition of several elements")

    def _elementwise(self, node: onnx.NodeProto, operands: Sequence[_State]) -> _State | None:
        sources = [each.index for each in operands if isinstance(each, _Elements)]
        constants = [self._constants.get(name) for name in node.input if isinstance(self._states.get(name), _Constant)]
        if not is_standard(node, *ELEMENTWISE) or len(sources) + len(constants) < len(operands):
            return None
        single = [each for each in constants if each is not None and each.size == 1]
        if len(single) < len(constants) or any(not np.array_equal(each, sources[0]) for each in sources):
            return None
        shape = np.broadcast_shapes(sources[0].shape, *(each.shape for each in single))
        return _elements(np.broadcast_to(sources[0], shape))

    def _extremum(self, node: onnx.NodeProto, operands: Sequence[_State]) -> _State | None:
        if not is_standard(node, "ReduceMax", "ReduceMin") or not isinstance(operands[0], _Elements):
            return None
        if self._trial.values(node.output[0]).shape[1] != 1:
            return None
        steps = self._steps(node.input[0])
        rises = bool(np.all(steps >= 0))
        if not rises and not np.all(steps <= 0):
            return None
        greatest = rises == (node.op_type == "ReduceMax")
        return _reading("maximum" if greatest else "minimum", operands[0].index)

    def _place(self, node: onnx.NodeProto, operands: Sequence[_State]) -> _State | None:
        if not is_standard(node, "ArgMax", "ArgMin") or not isinstance(operands[0], _Elements):
            return None
        if self._trial.values(node.output[0]).shape[1] != 1:
            return None
        last = bool(integer(node, "select_last_index", 0))
        return self._place_of(node.input[0], operands[0].index, greatest=node.op_type == "ArgMax", last=last)

    def _greatest(self, node: onnx.NodeProto, source: _State) -> dict[str, _State]:
        """TopK of one: a greatest or least value, and where the first of these stands."""
        if not isinstance(source, _Elements) or any(self._trial.values(name).shape[1] != 1 for name in node.output):
            raise Unjoinable("TopK of more than one value is not followed")
        largest = bool(integer(node, "largest", 1))
        steps = self._steps(node.input[0])
        place = self._place_of(node.input[0], source.index, greatest=largest, last=False)
        if place is None:
            raise Unjoinable("TopK of values that stand for several stored ones is not followed")
        value = _reading("maximum" if bool(np.all(steps > 0)) == largest else "minimum", source.index)
        return dict(zip(node.output, (value, place), strict=True))

    def _place_of(self, name: str, index: Index, *, greatest: bool, last: bool) -> Reading | None:
        """The place of the greatest or least; where two stored values give one, the first of them may not be it."""
        steps = self._steps(name)
        rises = bool(np.all(steps > 0))
        if not rises and not np.all(steps < 0):
            return None
        if greatest == rises:
            return _reading("last_maximum" if last else "first_maximum", index)
        return _reading("last_minimum" if last else "first_minimum", index)

    def _difference(self, node: onnx.NodeProto, operands: Sequence[_State]) -> _State | None:
        """x − max x, of stored elements as they are."""
        if not is_standard(node, "Sub") or not isinstance(operands[0], _Elements):
            return None
        index, greatest = operands[0].index, operands[1]
        if not isinstance(greatest, Reading) or greatest.kind != "maximum":
            return None
        if set(greatest.elements) != set(index.reshape(-1).tolist()):
            return None
        values = [self._trial.values(name) for name in node.input]
        plain = all(
            each.dtype in (np.int32, np.int64) and np.array_equal(each[:, 0], self._trial.domain) for each in values
        )
        return _Differences(index) if plain else None

    def _looked(self, node: onnx.NodeProto, operands: Sequence[_State]) -> _State | None:
        """table[x − max x]: Gather counts negative numbers from the end."""
        if not is_standard(node, "Gather") or len(operands) < 2 or not isinstance(operands[1], _Differences):
            return None
        table = self._constants.get(node.input[0])
        if table is None or table.shape != (BYTE_VALUES,) or table.dtype not in (np.int32, np.int64):
            return None
        return _Looked(operands[1].index, tuple(table.tolist())) if table.min() >= 0 else None

    def _sum(self, node: onnx.NodeProto, operands: Sequence[_State]) -> _State | None:
        if not is_standard(node, "ReduceSum") or not isinstance(operands[0], _Looked):
            return None
        looked = operands[0]
        if self._trial.values(node.output[0]).shape[1] != 1 or looked.index.size * max(looked.table) > MOST_SUM:
            return None
        return _reading("sum", looked.index, looked.table)

    def _steps(self, name: str) -> npt.NDArray[np.float64]:
        """From each stored value to the next, how much the value made of it rises. Raises Unjoinable for NaN."""
        values = self._trial.values(name)[:, 0].astype(np.float64)
        if np.isnan(values).any():
            raise Unjoinable("the condition compares values that are no numbers")
        with np.errstate(invalid="ignore"):
            return np.nan_to_num(np.diff(values), nan=0.0)  # between equal infinities


def _elements(index: Index) -> _State:
    return _reading("element", index.reshape(-1)[:1]) if np.unique(index).size == 1 else _Elements(index)


def _reading(kind: NumberKind, index: Index, table: tuple[int, ...] = ()) -> Reading:
    return Reading("", kind, tuple(index.reshape(-1).tolist()), table)
