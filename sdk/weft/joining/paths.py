"""Values of the host that depend on the way alone: how often a decision came out as it did, or a loop went on. The host
computes them behind a joined launch, from the numbers that the way gives."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from weft.conditions import Composite, DeferredValues
from weft.conditions.trial import program_of
from weft.ir.device_control import Unjoinable
from weft_runtime.control import Branch, Loop
from weft_runtime.errors import HostError
from weft_runtime.executable import HostGraph

__all__ = ["branch_of_state", "counted_values", "select_graph", "tally_names", "value_without_branch"]

OPSET, IR_VERSION = 18, 10
Array = np.ndarray[Any, Any]


def tally_names(branch: Branch) -> tuple[str, str]:
    """What the host calls the numbers of times that each outcome was taken: then, else."""
    return f"{branch.name}/then", f"{branch.name}/else"


def branch_of_state(loop: Loop, following: str) -> tuple[Branch, str, str] | None:
    """The If of a loop's body that gives a state, and what its branches give."""
    for each in loop.body.statements:
        if isinstance(each, Branch) and following in each.results:
            place = each.results.index(following)
            return each, each.then.results[place], each.otherwise.results[place]
    return None


def counted_values(first: Array, following: Composite, most: int) -> Array:
    """A state after 0, 1, …, `most` times of what one branch makes of it. Raises Unjoinable."""
    program = program_of(following.model, following.output)
    (given,) = following.inputs
    values = [first]
    try:
        for _ in range(most):
            values.append(np.asarray(program.run({given: values[-1]})[following.output]))
    except HostError as error:
        raise Unjoinable(f"a state that counts cannot be computed: {error}") from error
    if any((each.dtype, each.shape) != (first.dtype, first.shape) for each in values):
        raise Unjoinable("a state that counts changes its type or shape")
    return np.stack(values)


def value_without_branch(name: str, known: Mapping[str, Array], deferred: DeferredValues, tallies: Set[str]) -> Array:
    """What a branch's result is where nothing in it ran, which tells its type and shape; it is a constant or computed
    from numbers of the way. Raises Unjoinable for others."""
    if name in known:
        return known[name]
    if name not in deferred:
        raise Unjoinable(f"{name!r} is no value that the way alone tells")
    composite = deferred.composite(name)
    if not tallies >= set(composite.inputs.values()):
        raise Unjoinable(f"the host computes {name!r} in a branch")
    try:
        feeds = {own: np.asarray(0, np.int64) for own in composite.inputs}
        return np.asarray(program_of(composite.model, composite.output).run(feeds)[composite.output])
    except HostError as error:
        raise Unjoinable(f"{name!r} cannot be computed: {error}") from error


def select_graph(result: str, then: Array | None, otherwise: Array | None, like: Array) -> HostGraph:
    """A host graph that takes the first value where the number "taken" is not 0, else the second. None stands for an
    input "then" or "else" of the type and shape of `like`."""
    nodes = [helper.make_node("Cast", ["taken"], ["choice"], to=onnx.TensorProto.BOOL),
             helper.make_node("Where", ["choice", "then", "else"], ["value"])]  # fmt: skip
    inputs = [helper.make_tensor_value_info("taken", onnx.TensorProto.INT64, [])]
    constants = []
    for name, value in (("then", then), ("else", otherwise)):
        if value is None:
            inputs.append(helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(like.dtype), like.shape))
        else:
            constants.append(numpy_helper.from_array(value, name))
    graph = helper.make_graph(nodes, "select", inputs, [onnx.ValueInfoProto(name="value")], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    names = tuple(each.name for each in inputs)
    return HostGraph(f"{result}/select", model.SerializeToString(deterministic=True), names, ("value",))
