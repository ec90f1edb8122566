"""Conditions as comparisons of a number: for which of its values a condition holds, by trying them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from weft.conditions.deferred import Composite
from weft.conditions.numbers import number_behind
from weft.conditions.trial import Trial, program_of
from weft.frontend.graph import is_standard
from weft.ir.device_control import Comparison, Reading, Unjoinable

__all__ = ["Condition", "condition_of"]

BYTE_VALUES = 256
MOST_PLACES = 4096
"""Each place is tried by itself."""
SUM_LIMIT = 1 << 24
PASSING = ("Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze")
LOGICAL = ("And", "Not", "Or", "Xor")
COMPARING = ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual")

Truth = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Condition:
    """A comparison, and what the condition is where it holds; otherwise it is the contrary."""

    comparison: Comparison
    holds: bool


def condition_of(composite: Composite, shape: tuple[int, ...], dtype: str) -> Condition:
    """The condition that a composite of one input, a stored tensor of this shape and type, computes. Raises Unjoinable
    where it is no function of one number that the device can make, or not simple enough."""
    trial = Trial(composite.model, shape, dtype)
    reading = number_behind(composite, trial)
    values, truth = _tried(composite, trial, reading)
    return _compared(reading, values, truth)


def _tried(composite: Composite, trial: Trial, reading: Reading) -> tuple[list[int], Truth]:
    """Numbers in ascending order, and whether the condition holds for each. Of a sum those around the only place where
    anything can change."""
    if reading.kind == "sum":
        return _around(composite)
    if reading.kind in ("element", "maximum", "minimum"):
        return trial.domain.tolist(), _truth(trial.values(composite.output))
    count = len(reading.elements)
    if count > MOST_PLACES or len(set(reading.elements)) < count:
        raise Unjoinable(
            f"the condition chooses among {count} elements; at most {MOST_PLACES} different ones are tried"
        )
    least, greatest = trial.domain[0], trial.domain[-1]
    others, chosen = (least, greatest) if reading.kind.endswith("maximum") else (greatest, least)

    def standing_out(element: int) -> npt.NDArray[np.generic]:
        given = np.full(trial.shape, others, trial.dtype)
        given.reshape(-1)[element] = chosen
        return given

    found = trial.results(composite.output, (standing_out(element) for element in reading.elements))
    return list(range(count)), _truth(found)


def _truth(found: npt.NDArray[np.generic]) -> Truth:
    if found.shape[1] != 1:
        raise Unjoinable("the condition has several elements")
    return np.asarray(found[:, 0], np.bool_)


def _around(composite: Composite) -> tuple[list[int], Truth]:
    """A sum's condition is a comparison with a constant: what it is just below it, there, and just above."""
    makers = {name: node for node in composite.model.graph.node for name in node.output}
    constants = {each.name: numpy_helper.to_array(each) for each in composite.model.graph.initializer}
    name = composite.output
    while name in makers and is_standard(makers[name], *LOGICAL, *PASSING):
        others = [each for each in makers[name].input if each not in constants]
        if len(others) != 1:
            raise Unjoinable("the condition joins a sum with something else")
        name = others[0]
    comparing = makers.get(name)
    if comparing is None or not is_standard(comparing, *COMPARING):
        raise Unjoinable("the condition does more with a sum than compare it")
    limits = [constants[each] for each in comparing.input if each in constants]
    sums = [each for each in comparing.input if each not in constants]
    if len(limits) != 1 or limits[0].size != 1 or limits[0].dtype not in (np.int32, np.int64):
        raise Unjoinable("the condition does not compare a sum with a constant")
    value = sums[0]
    while value in makers and is_standard(makers[value], *PASSING):
        value = makers[value].input[0]
    if value not in makers or not is_standard(makers[value], "ReduceSum"):
        raise Unjoinable("the condition changes a sum before it compares it")
    limit = int(np.clip(limits[0].reshape(-1)[0], -1, SUM_LIMIT + 1))
    numbers = [limit - 1, limit, limit + 1]
    if sum(is_standard(node, *COMPARING) for node in composite.model.graph.node) > 1:
        raise Unjoinable("the condition compares several sums")
    tail = _tail(composite, makers[sums[0]].output[0], str(limits[0].dtype))
    program = program_of(tail, composite.output)
    shape = [1] * len(limits[0].shape)
    truth = [
        bool(np.all(program.run({sums[0]: np.full(shape, number, limits[0].dtype)})[composite.output]))
        for number in numbers
    ]
    return numbers, np.asarray(truth)


def _tail(composite: Composite, start: str, dtype: str) -> onnx.ModelProto:
    """The nodes behind a tensor, which becomes the input."""
    proto = onnx.ModelProto()
    proto.CopyFrom(composite.model)
    del proto.graph.node[:], proto.graph.input[:]
    known, kept = {start}, []
    for node in composite.model.graph.node:
        if not known.isdisjoint(node.input):
            kept.append(node)
            known.update(node.output)
    proto.graph.node.extend(kept)
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    proto.graph.input.append(helper.make_tensor_value_info(start, kind, None))
    return proto


def _compared(reading: Reading, values: list[int], truth: Truth) -> Condition:
    changes = np.flatnonzero(truth[1:] != truth[:-1]) + 1
    if not changes.size:
        return Condition(Comparison(reading, "below", values[0]), not truth[0])
    if changes.size == 1:
        return Condition(Comparison(reading, "below", values[changes[0]]), bool(truth[0]))
    for kind in (True, False):
        if np.count_nonzero(truth == kind) == 1:
            return Condition(Comparison(reading, "equal", values[int(np.argmax(truth == kind))]), kind)
    if len(values) > BYTE_VALUES:
        raise Unjoinable(f"the condition is no threshold, and has {len(values)} values to tell apart")
    lookup = [0] * BYTE_VALUES
    for value, each in zip(values, truth.tolist(), strict=True):
        lookup[value % BYTE_VALUES] = int(each)
    return Condition(Comparison(replace(reading, lookup=tuple(lookup)), "below", 1), False)
