"""What an LSTM, GRU or RNN node asks for, read and checked once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx

from weft.frontend.graph import Array, Graph, attributes, integer, real, text
from weft.frontend.recurrent.activations import Activation, read_activations

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
DEFAULTS = {"LSTM": ("Sigmoid", "Tanh", "Tanh"), "GRU": ("Sigmoid", "Tanh"), "RNN": ("Tanh",)}
MAX_BATCH = 1 << 16
REVERSED = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}


class Unsupported(Exception):
    """Why a recurrent node stays one node; the text goes on from 'it stays on the host: '."""


@dataclass(frozen=True)
class Direction:
    """One direction. `weights` [gates·hidden, inputs], `recurrent` [gates·hidden, hidden], biases [gates·hidden],
    `peepholes` [3·hidden] of an LSTM (gates i, o, f) or None."""

    reverse: bool
    weights: Array
    recurrent: Array
    input_bias: Array
    recurrent_bias: Array
    peepholes: Array | None
    activations: tuple[Activation, ...]


@dataclass(frozen=True)
class Recurrence:
    """A recurrent node over [steps, batch, inputs]. `lengths` has the steps of each batch row; the initial states
    are names of tensors [directions, batch, hidden], or empty for zeros; `clip` bounds the activations' inputs."""

    node: onnx.NodeProto
    steps: int
    batch: int
    inputs: int
    hidden: int
    directions: tuple[Direction, ...]
    lengths: tuple[int, ...]
    initial_h: str
    initial_c: str
    clip: float | None
    input_forget: bool
    linear_before_reset: bool

    @property
    def kind(self) -> str:
        """LSTM, GRU or RNN."""
        return str(self.node.op_type)


def read_recurrence(graph: Graph, node: onnx.NodeProto) -> Recurrence:
    """Reads a node. Raises Unsupported where it depends on what is not known before the model runs, or breaks
    ONNX's rules."""
    shape = graph.static_shape(node.input[0])
    if shape is None or len(shape) != 3:
        raise Unsupported("the number of its steps is not known at compile time")
    if graph.element_type(node.input[0]) != onnx.TensorProto.FLOAT:
        raise Unsupported("it does not compute in float32")
    if integer(node, "layout", 0) != 0:
        raise Unsupported("its layout is batch first, which ONNX Runtime does not run")
    steps, batch, inputs = shape
    if min(shape) < 1:
        raise Unsupported("it has no element")
    if batch > MAX_BATCH:
        raise Unsupported(f"its batch of {batch} is larger than {MAX_BATCH}")
    gates, reversals = GATES[node.op_type], REVERSED.get(text(node, "direction", "forward"))
    if reversals is None:
        raise Unsupported("its direction is unknown")
    recurrent = _weights(graph, node, 2, "recurrence weights")
    hidden, count = recurrent.shape[-1], len(reversals)
    rows = gates * hidden
    if recurrent.shape != (count, rows, hidden) or integer(node, "hidden_size", hidden) != hidden or hidden < 1:
        raise Unsupported("its recurrence weights do not fit its hidden size")
    weights = _weights(graph, node, 1, "weights", (count, rows, inputs))
    biases = _weights(graph, node, 3, "biases", (count, 2 * rows), optional=True)
    peepholes = None
    if node.op_type == "LSTM" and _has(node, 7):
        peepholes = _weights(graph, node, 7, "peepholes", (count, 3 * hidden))
    functions = _activations(node, count)
    each = len(functions) // count
    directions = tuple(
        Direction(
            reverse, weights[index], recurrent[index], biases[index, :rows], biases[index, rows:],
            None if peepholes is None else peepholes[index], functions[index * each : (index + 1) * each],
        )
        for index, reverse in enumerate(reversals)
    )  # fmt: skip
    state = (count, batch, hidden)
    return Recurrence(
        node, steps, batch, inputs, hidden, directions, _lengths(graph, node, steps, batch),
        _state(graph, node, 5, state), _state(graph, node, 6, state) if node.op_type == "LSTM" else "",
        abs(real(node, "clip", 0.0)) if "clip" in attributes(node) else None,
        bool(integer(node, "input_forget", 0)), bool(integer(node, "linear_before_reset", 0)),
    )  # fmt: skip


def _has(node: onnx.NodeProto, index: int) -> bool:
    return len(node.input) > index and bool(node.input[index])


def _weights(
    graph: Graph, node: onnx.NodeProto, index: int, role: str, shape: tuple[int, ...] = (), *, optional: bool = False
) -> Array:
    if optional and not _has(node, index):
        return np.zeros(shape, np.float32)
    value = graph.constant(node.input[index]) if _has(node, index) else None
    if value is None:
        raise Unsupported(f"its {role} are not constant")
    if value.dtype != np.float32 or value.ndim == 0 or (shape and value.shape != shape):
        raise Unsupported(f"its {role} are {value.dtype} {list(value.shape)}, not float32 {list(shape) or ''}".strip())
    return value


def _state(graph: Graph, node: onnx.NodeProto, index: int, shape: tuple[int, ...]) -> str:
    """An initial state's name; empty where it is absent or known to be zero."""
    if not _has(node, index):
        return ""
    name = node.input[index]
    if graph.static_shape(name) != shape:
        raise Unsupported(f"its initial state '{name}' is not known to be of shape {list(shape)}")
    value = graph.constant(name)
    return "" if value is not None and not value.any() else name


def _lengths(graph: Graph, node: onnx.NodeProto, steps: int, batch: int) -> tuple[int, ...]:
    if not _has(node, 4):
        return (steps,) * batch
    value = graph.constant(node.input[4])
    if value is None:
        raise Unsupported("its sequence lengths are not constant")
    lengths = tuple(int(length) for length in value.reshape(-1))
    if len(lengths) != batch or not all(0 < length <= steps for length in lengths):
        raise Unsupported(f"its sequence lengths are not {batch} numbers from 1 to {steps}")
    return lengths


def _activations(node: onnx.NodeProto, directions: int) -> tuple[Activation, ...]:
    given = attributes(node)
    default = DEFAULTS[node.op_type] * directions
    names = [name.decode("utf-8", errors="replace") for name in given["activations"].strings] if (
        "activations" in given
    ) else list(default)  # fmt: skip
    alphas = given["activation_alpha"].floats if "activation_alpha" in given else ()
    betas = given["activation_beta"].floats if "activation_beta" in given else ()
    found = read_activations(names, alphas, betas) if len(names) == len(default) else None
    if found is None:
        raise Unsupported(f"its activations ({', '.join(names)}) are not {len(default)} that ONNX defines")
    return found
