"""Differences followed to their causes: whether operators that have a bound instead of a proof explain them all.

Each such operator's result is made visible, and ONNX Runtime gets the device's value in its place. Then everything
else must agree in every bit, and the operator itself, on the inputs that it really had, must keep to its bound. This
is sharper than any tolerance on the model's outputs: an error anywhere else cannot hide behind an inexact operator.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper

from weft.api.arrays import Arrays
from weft.api.compare import compare, output_scale
from weft.backends import Accelerator
from weft.compiler import compile as compile_model
from weft.errors import HostError
from weft.frontend import Model, reference_session
from weft.ir import Graph, recognize
from weft_runtime.executable import Executable
from weft_runtime.session import Session

__all__ = ["BOUND", "Attribution", "InexactReport", "attribute"]

BOUND = 1
"""Steps of the output's scale that an inexact operator may differ by."""


@dataclass(frozen=True)
class InexactReport:
    """One inexact operator on the inputs that it had on the device, against ONNX Runtime on the same inputs."""

    name: str
    elements: int
    mismatches: int
    max_abs_diff_lsb: int


@dataclass(frozen=True)
class Attribution:
    """`unexplained` counts elements of the model's outputs that differ although ONNX Runtime had the inexact operators'
    results, and elements of these operators beyond BOUND."""

    operators: tuple[InexactReport, ...]
    unexplained: int


def attribute(
    integer: Model, program: Executable, accelerators: Sequence[Accelerator], device: str, parts: Sequence[Arrays]
) -> Attribution:
    """Runs the samples again with every inexact operator's result visible.

    `integer` is the integer graph that `program` was compiled from. Raises HostError where ONNX Runtime cannot run it.
    """
    tensors = _inexact_tensors(integer, program)
    observed = compile_model(Model(_observed(integer.proto, tensors), name=integer.name), accelerators)
    reference = reference_session(Model(_substituted(integer.proto, tensors), name=integer.name))
    scales = {output.name: output_scale(integer.proto, output.name) for output in integer.outputs}
    taken = {value.name for value in reference.get_inputs()}
    computed = [value.name for value in reference.get_outputs()]
    found = {tensor: [0, 0, 0] for tensor in tensors}
    unexplained = 0
    with Session(observed, device) as session:
        for part in parts:
            actual = session.run(part)
            feeds = {name: array for name, array in (*part.items(), *actual.items()) if name in taken}
            try:
                expected = dict(zip(computed, map(np.asarray, reference.run(computed, feeds)), strict=True))
            except Exception as error:  # ONNX Runtime's exceptions share no public base class
                raise HostError(
                    f"ONNX Runtime cannot run the reference: {' '.join(str(error).split())[:400]}"
                ) from error
            for name, scale in scales.items():
                if name not in tensors:
                    unexplained += compare(expected[name], actual[name], scale).mismatches
            for tensor, totals in found.items():
                steps = np.abs(expected[_computed(tensor)].astype(np.int32) - actual[tensor].astype(np.int32))
                unexplained += int(np.count_nonzero(steps > BOUND))
                totals[0] += steps.size
                totals[1] += int(np.count_nonzero(steps))
                totals[2] = max(totals[2], int(steps.max(initial=0)))
    reports = tuple(InexactReport(tensors[tensor], *totals) for tensor, totals in found.items())
    return Attribution(reports, unexplained)


def _inexact_tensors(integer: Model, program: Executable) -> dict[str, str]:
    """Of every inexact operator in the program, the tensor that it gives, and its name."""
    lines = set(program.inexact)
    operators = recognize(Graph(integer.proto)).operators
    return {each.output.name: each.name for each in operators if f"{each.name}: {each.inexact}" in lines}


def _computed(tensor: str) -> str:
    return f"{tensor}/computed"


def _observed(proto: onnx.ModelProto, tensors: dict[str, str]) -> onnx.ModelProto:
    """The model with these tensors as further outputs."""
    result = onnx.ModelProto()
    result.CopyFrom(proto)
    given = {output.name for output in result.graph.output}
    values = {value.name: value for value in result.graph.value_info}
    result.graph.output.extend(values[tensor] for tensor in tensors if tensor not in given)
    return result


def _substituted(proto: onnx.ModelProto, tensors: dict[str, str]) -> onnx.ModelProto:
    """The model with these tensors as inputs; what their producers compute is an output under another name."""
    result = onnx.ModelProto()
    result.CopyFrom(proto)
    graph = result.graph
    kept = [output for output in graph.output if output.name not in tensors]
    values = {value.name: value for value in (*graph.value_info, *graph.output)}
    for node in graph.node:
        for index, name in enumerate(node.output):
            if name in tensors:
                node.output[index] = _computed(name)
    graph.input.extend(values[tensor] for tensor in tensors)
    del graph.output[:]
    graph.output.extend(kept)
    for tensor in tensors:
        kind = values[tensor].type.tensor_type.elem_type
        graph.output.append(helper.make_tensor_value_info(_computed(tensor), kind, None))
    return result
