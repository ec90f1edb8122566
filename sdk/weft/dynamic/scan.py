"""Scan as Loop: the body takes its slices itself."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from weft.dynamic.types import Refused
from weft.frontend.graph import integer, integers

__all__ = ["scan_as_loop"]

Shape = tuple[int | None, ...] | None


def scan_as_loop(
    node: onnx.NodeProto, shape_of: Callable[[str], Shape], fresh: Callable[[str], str]
) -> list[onnx.NodeProto]:
    """The Loop that computes the same, with the nodes around it: in each iteration Gather takes the slices of the scan
    inputs at the iteration's number; outputs along another axis or backwards are put in order behind the loop.

    `shape_of` gives shapes of outer tensors, `fresh` names that nothing uses. Raises Refused where the number of
    iterations is not known.
    """
    body = next((each.g for each in node.attribute if each.name == "body"), None)
    count = integer(node, "num_scan_inputs", 0)
    states = len(node.input) - count
    if body is None or count < 1 or states < 0 or len(body.input) != len(node.input):
        raise Refused("its body does not fit its inputs")
    axes = integers(node, "scan_input_axes") or (0,) * count
    backwards = integers(node, "scan_input_directions") or (0,) * count
    scanned = list(node.input)[states:]
    steps = _steps(scanned, axes, shape_of)
    loop_body = _loop_body(body, states, scanned, axes, backwards, steps, fresh)
    kept = len(node.output) - states
    output_axes = integers(node, "scan_output_axes") or (0,) * kept
    output_backwards = integers(node, "scan_output_directions") or (0,) * kept
    trip = _constant(np.asarray(steps, np.int64), fresh(f"{node.name}_steps"))
    outputs, after = list(node.output), []
    for place in range(kept):
        name = outputs[states + place]
        if name and (output_axes[place] or output_backwards[place]):
            outputs[states + place] = fresh(f"{name}_collected")
            known = shape_of(name)
            if known is None and output_axes[place]:
                raise Refused(f"the rank of its output {name!r} is not known")
            rank = 1 if known is None else len(known)
            after += _ordered(
                outputs[states + place], name, output_axes[place], rank, output_backwards[place], steps, fresh
            )
    loop = helper.make_node(
        "Loop", [trip.output[0], "", *list(node.input)[:states]], outputs, name=node.name, body=loop_body
    )
    return [trip, loop, *after]


def _steps(scanned: list[str], axes: tuple[int, ...], shape_of: Callable[[str], Shape]) -> int:
    for name, axis in zip(scanned, axes, strict=True):
        shape = shape_of(name)
        if shape is None or not -len(shape) <= axis < len(shape) or shape[axis] is None:
            raise Refused(f"the extent of its scan input {name!r} is not known")
        steps = shape[axis]
    assert steps is not None
    return steps


def _loop_body(
    body: onnx.GraphProto, states: int, scanned: list[str], axes: tuple[int, ...], backwards: tuple[int, ...],
    steps: int, fresh: Callable[[str], str],
) -> onnx.GraphProto:  # fmt: skip
    result = onnx.GraphProto()
    result.CopyFrom(body)
    del result.input[:], result.output[:], result.node[:]
    index, going, on = fresh("scan_index"), fresh("scan_going"), fresh("scan_on")
    result.input.append(helper.make_tensor_value_info(index, TensorProto.INT64, []))
    result.input.append(helper.make_tensor_value_info(going, TensorProto.BOOL, []))
    result.input.extend(list(body.input)[:states])
    nodes = [helper.make_node("Identity", [going], [on], name=fresh("scan_condition"))]
    reversed_index = ""
    for value, name, axis, back in zip(list(body.input)[states:], scanned, axes, backwards, strict=True):
        if back and not reversed_index:
            last, reversed_index = fresh("scan_last"), fresh("scan_reversed")
            nodes.append(_constant(np.asarray(steps - 1, np.int64), last))
            nodes.append(helper.make_node("Sub", [last, index], [reversed_index], name=fresh("scan_reverse")))
        place = reversed_index if back else index
        nodes.append(helper.make_node("Gather", [name, place], [value.name], axis=axis, name=fresh("scan_slice")))
    result.node.extend([*nodes, *body.node])
    result.output.append(helper.make_tensor_value_info(on, TensorProto.BOOL, []))
    result.output.extend(body.output)
    return result


def _ordered(
    source: str, name: str, axis: int, rank: int, backwards: int, steps: int, fresh: Callable[[str], str]
) -> list[onnx.NodeProto]:
    """Nodes that bring collected slices, which lie along axis 0, into their place."""
    nodes = []
    axis %= rank
    if backwards:
        order = fresh(f"{name}_order")
        turned = name if not axis else fresh(f"{name}_turned")
        nodes.append(_constant(np.arange(steps, dtype=np.int64)[::-1].copy(), order))
        nodes.append(helper.make_node("Gather", [source, order], [turned], axis=0, name=fresh(f"{name}_turn")))
        source = turned
    if axis:
        order_of_axes = [*range(1, axis + 1), 0, *range(axis + 1, rank)]
        nodes.append(
            helper.make_node("Transpose", [source], [name], perm=order_of_axes, name=fresh(f"{name}_transpose"))
        )
    return nodes


def _constant(value: np.ndarray, name: str) -> onnx.NodeProto:
    return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(value), name=name)
