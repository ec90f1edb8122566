"""Small seeded float networks, and ONNX Runtime's own quantizer on them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

OPSET = 17


def model(nodes, inputs, outputs, constants) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    return onnx.shape_inference.infer_shapes(made, strict_mode=True)


def normal(generator, *shape, scale=1.0):
    return (generator.standard_normal(shape) * scale).astype(np.float32)


def classifier(seed: int = 0) -> onnx.ModelProto:
    """Every operator that has a quantized form in ONNX Runtime: convolutions, a residual Add, Mul with Sigmoid,
    LeakyRelu, Concat, poolings, Gemm, Softmax."""
    generator = np.random.default_rng(seed)
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["c1"], "conv1", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"], "relu1"),
        helper.make_node("Conv", ["r1", "w2", "b2"], ["c2"], "conv2", pads=[1, 1, 1, 1], group=8),
        helper.make_node("Add", ["r1", "c2"], ["s"], "add"),
        helper.make_node("Sigmoid", ["s"], ["g"], "sigmoid"),
        helper.make_node("Mul", ["s", "g"], ["m"], "mul"),
        helper.make_node("MaxPool", ["m"], ["p"], "pool", kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("LeakyRelu", ["p"], ["l"], "leaky", alpha=0.1),
        helper.make_node("Concat", ["p", "l"], ["k"], "concat", axis=1),
        helper.make_node("Conv", ["k", "w3"], ["c3"], "conv3"),
        helper.make_node("GlobalAveragePool", ["c3"], ["a"], "mean"),
        helper.make_node("Flatten", ["a"], ["f"], "flatten"),
        helper.make_node("Gemm", ["f", "w4", "b4"], ["logits"], "gemm", transB=1),
        helper.make_node("Softmax", ["logits"], ["y"], "softmax"),
    ]
    constants = {
        "w1": normal(generator, 8, 3, 3, 3, scale=0.3),
        "b1": normal(generator, 8, scale=0.2),
        "w2": normal(generator, 8, 1, 3, 3, scale=0.4),
        "b2": normal(generator, 8, scale=0.2),
        "w3": normal(generator, 12, 16, 1, 1, scale=0.3),
        "w4": normal(generator, 5, 12, scale=0.5),
        "b4": normal(generator, 5, scale=0.2),
    }
    return model(nodes, {"x": [1, 3, 8, 10]}, ["y"], constants)


def samples(count: int, seed: int = 1, shape: Sequence[int] = (3, 8, 10)):
    return normal(np.random.default_rng(seed), count, *shape)


class _Reader(CalibrationDataReader):
    def __init__(self, name, arrays):
        self._feeds = iter([{name: array[None]} for array in arrays])

    def get_next(self):
        return next(self._feeds, None)


def by_onnx_runtime(
    source: onnx.ModelProto, arrays, folder: Path, form: QuantFormat, storage: QuantType, *, per_channel: bool
) -> onnx.ModelProto:
    """The model as onnxruntime.quantization.quantize_static writes it."""
    onnx.save(source, folder / "float.onnx")
    quantize_static(
        str(folder / "float.onnx"), str(folder / "quantized.onnx"), _Reader(source.graph.input[0].name, arrays),
        quant_format=form, activation_type=storage, weight_type=QuantType.QInt8, per_channel=per_channel,
    )  # fmt: skip
    return onnx.load(folder / "quantized.onnx")
