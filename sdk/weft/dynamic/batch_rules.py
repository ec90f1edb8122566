"""How each operator takes several samples at once, sample by sample the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper

from weft.dynamic.types import Refused
from weft.frontend.graph import attributes, integer, integers, set_attribute

__all__ = ["RULES", "Operands"]

Shape = tuple[int, ...]


class Operands:
    """What rules work on: `shapes` of one sample's tensors, constants, and the nodes written so far. `samples` names
    the tensors that differ from sample to sample."""

    def __init__(
        self, size: int, opset: int, shapes: Mapping[str, Shape], constants: Mapping[str, npt.NDArray[Any]]
    ) -> None:
        self.size, self.opset = size, opset
        self.shapes = {**{name: value.shape for name, value in constants.items()}, **shapes}
        self.constants = constants
        self.samples: set[str] = set()
        self.nodes: list[onnx.NodeProto] = []
        self.added: dict[str, npt.NDArray[Any]] = {}
        self._names = 0

    def together(self, shape: Shape) -> Shape:
        """Of all samples: in place of a leading 1, else in front."""
        return (self.size, *shape[1:]) if leads(shape) else (self.size, *shape)

    def fresh(self, base: str) -> str:
        """A new name."""
        self._names += 1
        return f"{base}__batch_{self._names}"

    def constant(self, value: Sequence[int], base: str) -> str:
        """A new constant of int64."""
        name = self.fresh(base)
        self.added[name] = np.asarray(value, np.int64)
        return name

    def as_shape(self, name: str, shape: Shape) -> str:
        """All samples of a tensor in another shape with the samples first: storage in row-major order stays."""
        if self.together(self.shapes[name]) == shape:
            return name
        result = self.fresh(name)
        self.reshape(name, result, shape)
        return result

    def reshape(self, source: str, target: str, shape: Shape) -> None:
        """A Reshape to these extents."""
        inputs, name = [source, self.constant(shape, target)], self.fresh(f"{target}_reshape")
        self.nodes.append(helper.make_node("Reshape", inputs, [target], name=name))

    def emit(self, node: onnx.NodeProto, inputs: Sequence[str], shapes: Sequence[Shape], **changed: Any) -> None:
        """The node on other inputs and with changed attributes; `shapes` are those of its outputs as it makes them."""
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        copy.input[:] = inputs
        for key, value in changed.items():
            set_attribute(copy, key, value)
        self.nodes.append(copy)
        for index, (name, shape) in enumerate(zip(node.output, shapes, strict=True)):
            wanted = self.together(self.shapes[name]) if name else shape
            if shape != wanted:
                copy.output[index] = self.fresh(name)
                self.reshape(copy.output[index], name, wanted)

    def only_first(self, node: onnx.NodeProto) -> str:
        """The first operand, where only that one differs from sample to sample."""
        if any(name in self.samples for name in node.input[1:]):
            raise Refused("an operand besides the first differs from sample to sample")
        return str(node.input[0])

    def whole(self, name: str) -> list[int]:
        """A constant list of integers."""
        if name not in self.constants:
            raise Refused(f"{name!r} is no constant")
        return [int(each) for each in self.constants[name].reshape(-1)]

    def outputs(self, node: onnx.NodeProto, prefix: Callable[[Shape], Shape]) -> list[Shape]:
        """The shapes of all outputs, each with the samples put to it."""
        return [prefix(self.shapes[name]) if name else () for name in node.output]


def leads(shape: Shape) -> bool:
    """Whether samples can take the place of the leading extent."""
    return bool(shape) and shape[0] == 1


def _in_front(operands: Operands) -> Callable[[Shape], Shape]:
    return lambda shape: (operands.size, *shape)


def _in_place(operands: Operands) -> Callable[[Shape], Shape]:
    return lambda shape: (operands.size, *shape[1:])


def _unary(o: Operands, node: onnx.NodeProto) -> None:
    source = o.only_first(node)
    o.emit(node, node.input, [o.together(o.shapes[source])])


def _stored(o: Operands, node: onnx.NodeProto) -> None:
    """QuantizeLinear and DequantizeLinear."""
    source = o.only_first(node)
    shape, axis = o.shapes[source], integer(node, "axis", 1)
    if o.shapes.get(node.input[1], ()) in ((), (1,)):
        o.emit(node, node.input, [o.together(shape)])
        return
    axis += len(shape) if axis < 0 else 0
    if leads(shape) and not axis:
        raise Refused("its scales are along the axis of the samples")
    o.emit(node, node.input, [o.together(shape)], axis=axis if leads(shape) else axis + 1)


def _broadcast(o: Operands, node: onnx.NodeProto) -> None:
    result = o.shapes[node.output[0]]
    place = _in_place(o) if leads(result) else _in_front(o)
    inputs = []
    for name in node.input:
        if name in o.samples:
            shape = o.shapes[name]
            inputs.append(o.as_shape(name, place((1,) * (len(result) - len(shape)) + shape)))
        else:
            inputs.append(name)
    o.emit(node, inputs, [place(result)])


def _view(o: Operands, node: onnx.NodeProto) -> None:
    source = o.only_first(node)
    shape, result = o.shapes[source], o.shapes[node.output[0]]
    if node.op_type == "Flatten" and leads(shape) and leads(result) and integer(node, "axis", 1) == 1:
        o.emit(node, node.input, [o.together(result)])
    else:
        o.reshape(source, node.output[0], o.together(result))


def _rows(o: Operands, node: onnx.NodeProto) -> None:
    """Operators whose leading axis is a batch already."""
    source = o.only_first(node)
    shape = o.shapes[source]
    if len(shape) < 3 or len(node.output) > 1:
        raise Refused("its input has no leading axis for samples, or it has several outputs")
    merged = o.as_shape(source, (o.size * shape[0], *shape[1:]))
    shapes = [(o.size * each[0], *each[1:]) if each else () for each in o.outputs(node, lambda given: given)]
    o.emit(node, [merged, *node.input[1:]], shapes)


def _gemm(o: Operands, node: onnx.NodeProto) -> None:
    first, second, *bias = node.input
    if first not in o.samples or second in o.samples:
        raise Refused("its weights differ from sample to sample")
    if integer(node, "transA", 0):
        raise Refused("its first operand is transposed")
    rows, depth = o.shapes[first]
    result = o.shapes[node.output[0]]
    for name in filter(None, bias):
        shape = o.shapes[name]
        if (len(shape) == 2 and shape[0] > 1) or (name in o.samples and (rows > 1 or len(shape) < 2)):
            raise Refused("its third operand has rows")
    o.emit(node, [o.as_shape(first, (o.size * rows, depth)), second, *bias], [(o.size * rows, result[1])])


def _matmul(o: Operands, node: onnx.NodeProto) -> None:
    first, second = node.input
    ours, theirs, result = o.shapes[first], o.shapes[second], o.shapes[node.output[0]]
    if first in o.samples and second in o.samples:
        if len(ours) != len(theirs) or len(ours) < 2:
            raise Refused("its operands have different ranks")
        whole = len(ours) > 2 and leads(ours) and leads(theirs)
        place = _in_place(o) if whole else _in_front(o)
        o.emit(node, [o.as_shape(first, place(ours)), o.as_shape(second, place(theirs))], [place(result)])
        return
    given, other = (ours, theirs) if first in o.samples else (theirs, ours)
    least = 2 if first in o.samples else 3
    whole = leads(given) and len(given) >= least
    if len(other) < 2 or (len(other) > len(given) and len(other) > 2):
        raise Refused("its constant operand has axes of its own")
    if whole and len(other) == len(given) > 2 and other[0] != 1:
        raise Refused("its constant operand has a leading axis")
    place = _in_place(o) if whole else _in_front(o)
    if place is not None and len(given) < 2 and first not in o.samples:
        raise Refused("its second operand is a vector")
    inputs = [o.as_shape(name, place(o.shapes[name])) if name in o.samples else name for name in node.input]
    o.emit(node, inputs, [place(result)])


def _along_axis(o: Operands, node: onnx.NodeProto) -> None:
    """Operators with one axis, all of whose varying operands have the same rank."""
    if node.op_type in ("Softmax", "LogSoftmax") and o.opset < 13:
        raise Refused("its operator set is older than 13")
    varying = list(node.input) if node.op_type == "Concat" else [o.only_first(node)]
    if any(name not in o.samples for name in varying):
        raise Refused("it joins what differs from sample to sample with a constant")
    rank = len(o.shapes[varying[0]])
    axis = integer(node, "axis", AXIS[node.op_type])
    axis += rank if axis < 0 else 0
    rest = node.input[len(varying) :]
    if axis and all(leads(o.shapes[name]) for name in varying):
        o.emit(node, node.input, o.outputs(node, _in_place(o)))
        return
    front = [o.as_shape(name, (o.size, *o.shapes[name])) for name in varying]
    o.emit(node, [*front, *rest], o.outputs(node, _in_front(o)), axis=axis + 1)


def _reduce(o: Operands, node: onnx.NodeProto) -> None:
    source = o.only_first(node)
    shape = o.shapes[source]
    as_input = len(node.input) > 1 and bool(node.input[1])
    given = o.whole(node.input[1]) if as_input else list(integers(node, "axes") or ())
    if not given and integer(node, "noop_with_empty_axes", 0):
        raise Refused("it reduces nothing")
    axes = sorted(axis % len(shape) for axis in given) if given else list(range(len(shape)))
    if leads(shape) and 0 not in axes:
        o.emit(node, node.input, o.outputs(node, _in_place(o)))
        return
    if not axes:
        raise Refused("it reduces a scalar")
    shifted = [axis + 1 for axis in axes]
    front = o.as_shape(source, (o.size, *shape))
    by_input = as_input or o.opset >= (13 if node.op_type == "ReduceSum" else 18)
    inputs = [front, o.constant(shifted, node.output[0])] if by_input else [front]
    changed: dict[str, Any] = {} if by_input else {"axes": shifted}
    o.emit(node, inputs, o.outputs(node, _in_front(o)), **changed)


def _transpose(o: Operands, node: onnx.NodeProto) -> None:
    source = o.only_first(node)
    shape = o.shapes[source]
    order = integers(node, "perm") or tuple(reversed(range(len(shape))))
    if leads(shape) and order[0] == 0:
        o.emit(node, node.input, o.outputs(node, _in_place(o)))
        return
    front = o.as_shape(source, (o.size, *shape))
    o.emit(node, [front], o.outputs(node, _in_front(o)), perm=[0, *(axis + 1 for axis in order)])


def _slice(o: Operands, node: onnx.NodeProto) -> None:
    source = o.only_first(node)
    if o.opset < 10:
        raise Refused("its operator set is older than 10")
    shape, count = o.shapes[source], len(o.whole(node.input[1]))
    has_axes = len(node.input) > 3 and bool(node.input[3])
    axes = [axis % len(shape) for axis in (o.whole(node.input[3]) if has_axes else range(count))]
    if leads(shape) and 0 not in axes:
        o.emit(node, node.input, o.outputs(node, _in_place(o)))
        return
    inputs = list(node.input[:3])
    inputs += [o.constant([axis + 1 for axis in axes], node.output[0]), *node.input[4:]]
    inputs[0] = o.as_shape(source, (o.size, *shape))
    o.emit(node, inputs, o.outputs(node, _in_front(o)))


def _pad(o: Operands, node: onnx.NodeProto) -> None:
    source = o.only_first(node)
    shape = o.shapes[source]
    if o.opset < 11 or (len(node.input) > 3 and node.input[3]):
        raise Refused("its pads are given in a way that has no rule")
    pads, rank = o.whole(node.input[1]), len(shape)
    if leads(shape) and pads[0] == pads[rank] == 0:
        o.emit(node, node.input, o.outputs(node, _in_place(o)))
        return
    wider = o.constant([0, *pads[:rank], 0, *pads[rank:]], node.output[0])
    front = o.as_shape(source, (o.size, *shape))
    o.emit(node, [front, wider, *node.input[2:]], o.outputs(node, _in_front(o)))


def _gather(o: Operands, node: onnx.NodeProto) -> None:
    data, indices = node.input
    shape, places, result = o.shapes[data], o.shapes[indices], o.shapes[node.output[0]]
    axis = integer(node, "axis", 0)
    axis += len(shape) if axis < 0 else 0
    if data not in o.samples:
        if axis:
            raise Refused("it takes slices of a constant along an axis behind the first")
        stored = o.together(places)
        o.emit(node, node.input, [(*stored, *shape[1:])])
        return
    if indices not in o.samples:
        if leads(shape) and axis:
            o.emit(node, node.input, o.outputs(node, _in_place(o)))
            return
        front = o.as_shape(data, (o.size, *shape))
        o.emit(node, [front, indices], o.outputs(node, _in_front(o)), axis=axis + 1)
        return
    if int(np.prod(places, dtype=np.int64)) != 1:
        raise Refused("each sample takes several slices of its own")
    front = o.as_shape(data, (o.size, *shape))
    if axis:  # each sample's own slice: along the first axis behind the samples
        others = [each for each in range(len(shape)) if each != axis]
        turned = o.fresh(data)
        order = [0, axis + 1, *(each + 1 for each in others)]
        o.nodes.append(helper.make_node("Transpose", [front], [turned], name=f"{turned}_transpose", perm=order))
        front = turned
    rows = o.as_shape(indices, (o.size, 1))
    taken = o.fresh(node.output[0])
    o.nodes.append(helper.make_node("GatherND", [front, rows], [taken], name=node.name, batch_dims=1))
    o.reshape(taken, node.output[0], o.together(result))


def _resize(o: Operands, node: onnx.NodeProto) -> None:
    source = o.only_first(node)
    shape, result = o.shapes[source], o.shapes[node.output[0]]
    by_size = len(node.input) > 3 and bool(node.input[3])
    if not leads(shape) or not leads(result) or "axes" in attributes(node):
        raise Refused("it has no leading axis for samples")
    inputs = list(node.input)
    if by_size:
        inputs[3] = o.constant([o.size, *o.whole(node.input[3])[1:]], node.output[0])
    o.emit(node, inputs, o.outputs(node, _in_place(o)))


UNARY = (
    "Abs", "Acos", "Asin", "Atan", "Cast", "Ceil", "Clip", "Cos", "Elu", "Erf", "Exp", "Floor", "Gelu", "HardSigmoid",
    "HardSwish", "Identity", "IsNaN", "LeakyRelu", "Log", "Mish", "Neg", "Not", "QLinearLeakyRelu", "QLinearSigmoid",
    "Reciprocal", "Relu", "Round", "Selu", "Sigmoid", "Sign", "Sin", "Softplus", "Softsign", "Sqrt", "Tanh",
    "ThresholdedRelu",
)  # fmt: skip
BROADCAST = (
    "Add", "And", "BitShift", "Div", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Max", "Mean", "Min",
    "Mod", "Mul", "Or", "PRelu", "Pow", "Sub", "Sum", "Where", "Xor",
)  # fmt: skip
ROWS = (
    "AveragePool", "BatchNormalization", "Conv", "ConvTranspose", "DepthToSpace", "GlobalAveragePool", "GlobalMaxPool",
    "InstanceNormalization", "MaxPool", "QLinearConv", "SpaceToDepth",
)  # fmt: skip
AXIS = {
    "ArgMax": 0, "ArgMin": 0, "Concat": 0, "LayerNormalization": -1, "LogSoftmax": -1, "Softmax": -1, "Split": 0,
}  # fmt: skip
"""Operators along one axis, with the axis that they take by default."""
REDUCE = (
    "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd",
    "ReduceSum", "ReduceSumSquare",
)  # fmt: skip
RULES: dict[str, Callable[[Operands, onnx.NodeProto], None]] = {
    **dict.fromkeys(UNARY, _unary),
    **dict.fromkeys(("QuantizeLinear", "DequantizeLinear"), _stored),
    **dict.fromkeys(BROADCAST, _broadcast),
    **dict.fromkeys(("Flatten", "Reshape", "Squeeze", "Unsqueeze"), _view),
    **dict.fromkeys(ROWS, _rows),
    **dict.fromkeys(REDUCE, _reduce),
    **dict.fromkeys(AXIS, _along_axis),
    "Gemm": _gemm, "MatMul": _matmul, "Transpose": _transpose, "Slice": _slice, "Pad": _pad, "Gather": _gather,
    "Resize": _resize,
}  # fmt: skip
"""By operator. Others run sample by sample."""
