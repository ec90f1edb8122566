"""QDQ models as PyTorch's exporter writes them: biases quantized by Div and Cast or left in float, weights
quantized in the graph, Linear as a product with transposed weights."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import weft
from weft.errors import WeftError
from weft.frontend import default_session, integerize, load, normalize, reference_session

STEP = 0.02


class Exported:
    """Conv, Relu, GlobalAveragePool and Linear with quantized activations in uint8, weights in int8 per channel."""

    def __init__(self, linear: str, fake_quantized: bool) -> None:
        self.random = np.random.default_rng(5)
        self.fake_quantized = fake_quantized
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, np.ndarray] = {}
        x = self.quantized("x", "xd", 0.03, 120)
        conv = self.node(
            "Conv", [x, self.weights("w1", (8, 3, 3, 3)), self.bias("b1", 8, "w1", "xd")], "c", pads=[1] * 4
        )
        relu = self.quantized(self.node("Relu", [conv], "r"), "rd", 0.04, 0)
        mean = self.quantized(self.node("GlobalAveragePool", [relu], "p"), "pd", 0.01, 0)
        flat = self.quantized(self.node("Flatten", [mean], "f"), "fd", 0.01, 0)
        weights = self.weights("w2", (5, 8))
        if linear == "MatMul":
            product = self.node("MatMul", [flat, self.node("Transpose", [weights], "wt", perm=[1, 0])], "m")
            answer = self.node("Add", [product, self.bias("b2", 5, "w2", "fd")], "a")
        else:
            answer = self.node("Gemm", [flat, weights, self.bias("b2", 5, "w2", "fd")], "a", transB=1)
        self.quantized(answer, "y", STEP, 128)

    def constant(self, name, value):
        self.constants[name] = np.asarray(value)
        return name

    def node(self, op, inputs, output, **attributes):
        self.nodes.append(helper.make_node(op, inputs, [output], f"{op}_{output}", **attributes))
        return output

    def quantized(self, source, output, scale, zero_point):
        names = [self.constant(f"{output}_s", np.float32(scale)), self.constant(f"{output}_z", np.uint8(zero_point))]
        self.node("QuantizeLinear", [source, *names], f"{output}_q")
        return self.node("DequantizeLinear", [f"{output}_q", *names], output)

    def weights(self, name, shape):
        scale = self.random.uniform(0.003, 0.01, shape[0]).astype(np.float32)
        stored = self.random.integers(-127, 128, shape).astype(np.int8)
        names = [self.constant(f"{name}_s", scale), self.constant(f"{name}_z", np.zeros(shape[0], np.int8))]
        if self.fake_quantized:
            real = stored * scale.reshape(-1, *[1] * (len(shape) - 1))
            self.constant(f"{name}_f", real.astype(np.float32))
            self.node("QuantizeLinear", [f"{name}_f", *names], f"{name}_q", axis=0)
        else:
            self.constant(f"{name}_q", stored)
        return self.node("DequantizeLinear", [f"{name}_q", *names], name, axis=0)

    def bias(self, name, count, weights, source):
        self.constant(f"{name}_f", self.random.normal(0, 0.3, count).astype(np.float32))
        if self.fake_quantized:
            return f"{name}_f"
        scale = self.node("Mul", [f"{weights}_s", f"{source}_s"], f"{name}_scale")
        shape = self.node("Shape", [scale], f"{name}_shape")
        zero = self.node(
            "ConstantOfShape", [shape], f"{name}_zero", value=numpy_helper.from_array(np.zeros(1, np.int32))
        )
        quotient = self.node("Div", [f"{name}_f", scale], f"{name}_quotient")
        stored = self.node("Cast", [quotient], f"{name}_stored", to=TensorProto.INT32)
        return self.node("DequantizeLinear", [stored, scale, zero], name, axis=0)

    def model(self):
        graph = helper.make_graph(
            self.nodes, "exported",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 8, 8])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 5])],
            [numpy_helper.from_array(value, name) for name, value in self.constants.items()],
        )  # fmt: skip
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
        onnx.checker.check_model(made)
        return made


@pytest.mark.parametrize("linear", ["MatMul", "Gemm"])
@pytest.mark.parametrize("fake_quantized", [False, True])
def test_everything_with_weights_runs_in_integers(linear, fake_quantized):
    model = load(Exported(linear, fake_quantized).model())
    integers = integerize(normalize(model))
    kinds = [node.op_type for node in integers.proto.graph.node]
    assert kinds.count("QLinearConv") == 2 and not {"Conv", "MatMul", "Gemm", "Transpose"} & set(kinds)
    program = weft.compile(model)
    assert {node.op for node in program.nodes if node.device == "host"} == {"QuantizeLinear", "DequantizeLinear"}
    assert weft.verify(model, device="golden").mismatches == 0
    images = np.random.default_rng(6).standard_normal((200, 1, 3, 8, 8)).astype(np.float32)
    ours, literal = reference_session(integers), reference_session(model)
    steps = [(ours.run(None, {"x": x})[0] - literal.run(None, {"x": x})[0]) / STEP for x in images]
    differing = np.rint(np.abs(np.concatenate(steps)))
    assert differing.max() <= 1 and np.count_nonzero(differing) <= 0.01 * differing.size


@pytest.mark.parametrize("change", ["huge", "nan", "shape", "zero scale"])
def test_a_bias_that_cannot_be_stored_leaves_the_operator_in_float(change):
    exported = Exported("Gemm", fake_quantized=True)
    bias = exported.constants["b2_f"]
    exported.constants["b2_f"] = {
        "huge": bias + np.float32(1e6),
        "nan": bias * np.float32(np.nan),
        "shape": bias[:1],
        "zero scale": bias,
    }[change].astype(np.float32)
    if change == "zero scale":
        exported.constants["w2_s"] = exported.constants["w2_s"] * np.float32([0, 1, 1, 1, 1])
    model = load(exported.model())
    kinds = [node.op_type for node in integerize(normalize(model)).proto.graph.node]
    assert kinds.count("Gemm") == 1 and kinds.count("QLinearConv") == 1
    feed = {"x": np.random.default_rng(7).standard_normal((1, 3, 8, 8)).astype(np.float32)}
    found, expected = (session(model).run(None, feed)[0] for session in (reference_session, default_session))
    assert found.shape == expected.shape == (1, 5)


@pytest.mark.parametrize("order", [[0, 0], [1, 0, 2], [1, 5]])
def test_impossible_transpositions_of_weights_are_refused_without_a_crash(order):
    exported = Exported("MatMul", fake_quantized=False)
    next(node for node in exported.nodes if node.op_type == "Transpose").attribute[0].ints[:] = order
    with pytest.raises(WeftError):
        weft.compile(load(exported.model()))
