"""What becomes part of a convolution's epilogue, what does not, and that the bits stay."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
import qdq

from weft.codegen.fusion import fuse_epilogues
from weft.compiler import compile as compile_model
from weft.frontend import Model, integerize, normalize, reference_session
from weft.ir import Graph, recognize
from weft.ir.fused import FusedConvolution
from weft.ir.operators import Convolution, Elementwise
from weft_runtime.session import Session
from weft_sim.machine import machine


def quantize(graph: Any, y: str, scale: float) -> str:
    return graph.node("QuantizeLinear", [y, graph.constant(np.float32(scale)), graph.constant(np.int8(-3))])


def convolution(graph: Any, x: str, inputs: int, outputs: int, kernel: int = 3) -> str:
    weights, _ = graph.weights((outputs, inputs, kernel, kernel), "int8", 0, per_channel=True)
    y = graph.node(
        "Conv", [graph.dequantize(x, 0.03, -3, "int8"), weights], kernel_shape=[kernel] * 2, pads=[kernel // 2] * 4
    )
    return quantize(graph, y, 0.03)


def output(graph: Any, name: str) -> None:
    graph.outputs.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.INT8, None))


def joined(graph: Any, kind: str, a: str, b: str, scale: float = 0.041) -> str:
    operands = [graph.dequantize(each, 0.03, -3, "int8") for each in (a, b)]
    return quantize(graph, graph.node(kind, operands), scale)


def fused_kinds(graph: Any, outputs: set[str]) -> list[str]:
    """Kinds of the operators after fusion, in order."""
    integer = Graph(integerize(normalize(Model(graph.model()))).proto)
    found = fuse_epilogues(recognize(integer).operators, outputs, machine("weft-16"))
    return [type(each).__name__ for each in found]


def same_bits(graph: Any, target: str) -> None:
    model, feeds = Model(graph.model()), graph.feeds()
    executable = compile_model(model, target, host=qdq.SLOW_HOST)
    reference = reference_session(integerize(normalize(model)))
    wanted = dict(zip((o.name for o in reference.get_outputs()), reference.run(None, feeds), strict=True))
    for device in ("golden", "sim"):
        with Session(executable, device=device) as session:
            for name, answer in session.run(feeds).items():
                np.testing.assert_array_equal(answer, wanted[name], err_msg=f"{device} {name}")


@pytest.mark.parametrize("target", ["weft-8", "weft-16"])
@pytest.mark.parametrize(("kind", "swapped"), [("Add", False), ("Add", True), ("Mul", True), ("Sub", False)])
def test_residual_join(kind: str, swapped: bool, target: str) -> None:
    graph = qdq.Qdq(11)
    x = graph.input((1, 20, 9, 7), "int8")
    y = convolution(graph, x, 20, 20)
    output(graph, joined(graph, kind, *((x, y) if swapped else (y, x))))
    assert fused_kinds(graph, set()) == [FusedConvolution.__name__]
    same_bits(graph, target)


@pytest.mark.parametrize("function", ["Sigmoid", "Tanh"])
def test_function_of_the_result(function: str) -> None:
    graph = qdq.Qdq(12)
    x = graph.input((2, 20, 9, 7), "int8")
    y = convolution(graph, x, 20, 37)
    output(graph, quantize(graph, graph.node(function, [graph.dequantize(y, 0.03, -3, "int8")]), 0.01))
    assert fused_kinds(graph, set()) == [FusedConvolution.__name__]
    same_bits(graph, "weft-16")


def test_refusals() -> None:
    """A subtraction from the other tensor, and a result that leaves the region."""
    graph = qdq.Qdq(13)
    x = graph.input((1, 20, 9, 7), "int8")
    y = convolution(graph, x, 20, 20)
    output(graph, joined(graph, "Sub", x, y))
    apart = [Convolution.__name__, Elementwise.__name__]
    assert fused_kinds(graph, set()) == apart
    same_bits(graph, "weft-16")
    graph = qdq.Qdq(14)
    x = graph.input((1, 20, 9, 7), "int8")
    y = convolution(graph, x, 20, 20)
    output(graph, y)
    output(graph, joined(graph, "Add", x, y))
    assert fused_kinds(graph, {y}) == apart
    same_bits(graph, "weft-16")


def test_two_convolutions_into_one_join() -> None:
    """Only one of them can have it; the other's result is read from memory."""
    graph = qdq.Qdq(15)
    x = graph.input((1, 20, 9, 7), "int8")
    output(graph, joined(graph, "Add", convolution(graph, x, 20, 24), convolution(graph, x, 20, 24, 1)))
    assert sorted(fused_kinds(graph, set())) == [Convolution.__name__, FusedConvolution.__name__]
    same_bits(graph, "weft-16")
