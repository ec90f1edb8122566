"""Sub-networks rewritten for several samples: each operator as ONNX Runtime computes it sample by sample."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from weft.dynamic import batched, is_stacked
from weft.dynamic.types import Refused
from weft.frontend import Model

FLOAT, INT64, BOOL, UINT8 = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL, TensorProto.UINT8
KINDS: dict[int, Any] = {FLOAT: np.float32, INT64: np.int64, BOOL: np.bool_, UINT8: np.uint8}
Shape = tuple[int, ...]
weights = np.random.default_rng(1).standard_normal((6, 6)).astype(np.float32)
kernels = np.random.default_rng(2).standard_normal((4, 3, 3, 3)).astype(np.float32)
scales = (np.arange(1, 5, dtype=np.float32) / 8, np.zeros(4, np.uint8))


def whole(*values: int) -> np.ndarray:
    return np.asarray(values, np.int64)


CASES: list[tuple[str, list[Any], dict[str, Any]]] = [
    # operator, operands (shapes of what differs from sample to sample, or constants), attributes
    ("Relu", [(1, 5)], {}),
    ("Relu", [()], {}),
    ("Relu", [(3, 2)], {}),
    ("Clip", [(1, 5), np.float32(0), np.float32(1)], {}),
    ("Cast", [(2,)], {"to": INT64}),
    ("Add", [(1, 5), (1, 5)], {}),
    ("Add", [(1, 4, 5), (5,)], {}),
    ("Add", [(1, 4, 5), (1, 5)], {}),
    ("Add", [(1, 5), ()], {}),
    ("Add", [(1,), (5,)], {}),
    ("Add", [(4, 5), (1, 5)], {}),
    ("Add", [(4, 5), (1,)], {}),
    ("Add", [(1, 5), np.ones((4, 5), np.float32)], {}),
    ("Add", [(), np.ones((1, 5), np.float32)], {}),
    ("Mul", [(2, 3), np.full(3, 2, np.float32)], {}),
    ("Greater", [(1, 1), np.float32(0.1)], {}),
    ("Max", [(1, 3), (3,), np.float32(0)], {}),
    ("Reshape", [(1, 6), whole(1, 2, 3)], {}),
    ("Reshape", [(1, 1), np.zeros(0, np.int64)], {}),
    ("Reshape", [(), whole(1, 1)], {}),
    ("Reshape", [(1, 6), whole(6)], {}),
    ("Reshape", [(2, 3), whole(1, -1)], {}),
    ("Flatten", [(1, 2, 3)], {"axis": 1}),
    ("Flatten", [(1, 2, 3)], {"axis": 0}),
    ("Flatten", [(2, 3)], {"axis": 1}),
    ("Squeeze", [(1, 5), whole(0)], {}),
    ("Squeeze", [(2, 1), whole(1)], {}),
    ("Unsqueeze", [(5,), whole(0)], {}),
    ("Unsqueeze", [(1, 5), whole(0, 2)], {}),
    ("Conv", [(1, 3, 5, 5), kernels], {"pads": [1, 1, 1, 1]}),
    ("Conv", [(2, 3, 5, 5), kernels], {}),
    ("MaxPool", [(1, 3, 6, 6)], {"kernel_shape": [2, 2]}),
    ("GlobalAveragePool", [(1, 3, 4, 4)], {}),
    ("DepthToSpace", [(1, 4, 2, 2)], {"blocksize": 2}),
    ("Gemm", [(1, 6), weights, weights[0]], {}),
    ("Gemm", [(1, 6), weights, weights[:1]], {"transB": 1}),
    ("Gemm", [(2, 6), weights], {}),
    ("Gemm", [(1, 6), weights, (1, 6)], {}),
    ("MatMul", [(1, 6), weights], {}),
    ("MatMul", [(6,), weights], {}),
    ("MatMul", [(1, 2, 6), weights], {}),
    ("MatMul", [(1, 2, 6), weights[None]], {}),
    ("MatMul", [(4, 6), weights], {}),
    ("MatMul", [(1, 2, 6), (1, 6, 3)], {}),
    ("MatMul", [(1, 6), (6, 3)], {}),
    ("MatMul", [weights, (6, 2)], {}),
    ("MatMul", [weights, (1, 6, 2)], {}),
    ("MatMul", [weights[:, :1], (1, 4)], {}),
    ("Softmax", [(1, 5)], {"axis": 1}),
    ("Softmax", [(1, 5)], {"axis": 0}),
    ("Softmax", [(5,)], {"axis": -1}),
    ("Softmax", [(2, 5)], {"axis": 0}),
    ("ArgMax", [(1, 5)], {"axis": 1, "keepdims": 0}),
    ("ArgMax", [(1, 5)], {"axis": -1, "keepdims": 1}),
    ("ArgMax", [(5,)], {"axis": 0, "keepdims": 0}),
    ("Concat", [(1, 2), (1, 3)], {"axis": 1}),
    ("Concat", [(1, 2), (1, 2)], {"axis": 0}),
    ("Concat", [(2,), (3,)], {"axis": 0}),
    ("Split", [(1, 6)], {"axis": 1, "num_outputs": 3}),
    ("Split", [(4, 3), whole(1, 3)], {"axis": 0}),
    ("ReduceMax", [(1, 5), whole(1)], {"keepdims": 1}),
    ("ReduceMax", [(1, 5)], {"keepdims": 0}),
    ("ReduceMax", [(1, 5), whole(0)], {"keepdims": 0}),
    ("ReduceMax", [(1, 5, 4), whole(-1)], {"keepdims": 0}),
    ("ReduceMin", [(3, 5), whole(0)], {"keepdims": 1}),
    ("Transpose", [(1, 2, 3)], {"perm": [0, 2, 1]}),
    ("Transpose", [(1, 2, 3)], {"perm": [1, 0, 2]}),
    ("Transpose", [(2, 3)], {}),
    ("Slice", [(1, 6), whole(2), whole(5), whole(1)], {}),
    ("Slice", [(4, 6), whole(1, 0), whole(3, 6)], {}),
    ("Slice", [(1, 6), whole(0), whole(1), whole(0)], {}),
    ("Pad", [(1, 3), whole(0, 1, 0, 2)], {}),
    ("Pad", [(1, 3), whole(1, 1, 0, 2)], {}),
    ("Gather", [weights, (1, "index")], {"axis": 0}),
    ("Gather", [weights, ("index",)], {"axis": 0}),
    ("Gather", [weights, (2, "index")], {"axis": 0}),
    ("Gather", [(1, 6), whole(4, 2)], {"axis": 1}),
    ("Gather", [(1, 6), np.int64(0)], {"axis": 0}),
    ("Gather", [(1, 6, 3), ("index",)], {"axis": 1}),
    ("Gather", [(6, 3), ("index",)], {"axis": 0}),
    ("Gather", [(1, 2, 6), (1, "index")], {"axis": -1}),
    ("Resize", [(1, 2, 3, 3), np.zeros(0, np.float32), np.asarray([1, 1, 2, 2], np.float32)], {"mode": "nearest"}),
    ("Resize", [(1, 2, 3, 3), "", "", whole(1, 2, 6, 6)], {"mode": "nearest"}),
    ("QuantizeLinear", [(1, 3), np.float32(0.1), np.uint8(7)], {}),
    ("QuantizeLinear", [(1, 4, 2), *scales], {"axis": 1}),
    ("QuantizeLinear", [(3, 4), *scales], {"axis": -1}),
    ("QuantizeLinear", [(1, 3), np.ones(1, np.float32), np.zeros(1, np.uint8)], {"axis": 0}),
    ("Where", [(1, 3), (1, 3), np.float32(2)], {}),
]  # fmt: skip


def model_of(op: str, operands: list[Any], attributes: dict[str, Any]) -> tuple[Model, list[tuple[Shape, int]]]:
    names, inputs, constants, kinds = [], [], [], []
    for index, each in enumerate(operands):
        name = f"x{index}"
        if isinstance(each, tuple):
            shape = tuple(extent for extent in each if extent != "index")
            kind = INT64 if "index" in each else BOOL if op == "Where" and not index else FLOAT
            kinds.append((shape, kind))
            inputs.append(helper.make_tensor_value_info(name, kind, shape))
        elif isinstance(each, str):
            name = each
        else:
            constants.append(numpy_helper.from_array(np.asarray(each), name))
        names.append(name)
    count = attributes.get("num_outputs", 2 if op == "Split" else 1)
    node = helper.make_node(op, names, [f"y{index}" for index in range(count)], name="node", **attributes)
    outputs = [onnx.ValueInfoProto(name=name) for name in node.output]
    graph = helper.make_graph([node], "graph", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return Model(onnx.shape_inference.infer_shapes(model, strict_mode=True)), kinds


def session(model: Model) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(model.proto.SerializeToString(), providers=["CPUExecutionProvider"])


def name_of(case: tuple[str, list[Any], dict[str, Any]]) -> str:
    return f"{case[0]}-{[getattr(each, 'shape', each) for each in case[1]]}-{case[2]}"


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_several_samples_are_what_each_is_alone(case: tuple[str, list[Any], dict[str, Any]]) -> None:
    model, kinds = model_of(*case)
    size, random = 3, np.random.default_rng(5)
    rows = []
    for _ in range(size):
        values = [random.integers(-2, 2, each) if kind == INT64 else random.normal(0, 2, each) for each, kind in kinds]
        rows.append([np.asarray(each, KINDS[kind]) for each, (_, kind) in zip(values, kinds, strict=True)])
    names = [value.name for value in model.proto.graph.input]
    single = session(model)
    alone = [single.run(None, dict(zip(names, row, strict=True))) for row in rows]
    many = batched(model, size)
    feeds = {}
    for index, value in enumerate(model.proto.graph.input):
        join = np.stack if is_stacked(value.type) else np.concatenate
        feeds[value.name] = join([row[index] for row in rows])
    found = session(many).run(None, feeds)
    for index, value in enumerate(model.proto.graph.output):
        join = np.stack if is_stacked(value.type) else np.concatenate
        wanted = join([outputs[index] for outputs in alone])
        assert found[index].shape == wanted.shape and found[index].dtype == wanted.dtype
        if case[0] in ("MatMul", "Gemm", "Conv", "GlobalAveragePool"):  # float sums: their order is ONNX Runtime's
            np.testing.assert_allclose(found[index], wanted, rtol=1e-5, atol=1e-6)
        else:
            np.testing.assert_array_equal(found[index], wanted)


REFUSED: list[tuple[str, list[Any], dict[str, Any], str]] = [
    ("Gemm", [(1, 6), (6, 2)], {}, "its weights differ"),
    ("Gemm", [(6, 1), weights], {"transA": 1}, "is transposed"),
    ("Gemm", [(2, 6), weights, weights[:2]], {}, "has rows"),
    ("Concat", [(1, 2), np.ones((1, 2), np.float32)], {"axis": 1}, "with a constant"),
    ("Conv", [(1, 3, 5, 5), (4, 3, 3, 3)], {}, "besides the first"),
    ("Gather", [(1, 6), (2, "index")], {"axis": 1}, "several slices"),
    ("Gather", [weights, (1, "index")], {"axis": 1}, "behind the first"),
    ("NonZero", [(1, 3)], {}, "cannot take several samples"),
    ("CumSum", [(1, 3), np.int64(1)], {}, "cannot take several samples"),
    ("Relu", [(1, 0)], {}, "is 0"),
]  # fmt: skip


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case[0])
def test_what_cannot_be_said_is_refused(case: tuple[str, list[Any], dict[str, Any], str]) -> None:
    with pytest.raises(Refused, match=f"'node'.*{case[3]}"):
        batched(model_of(*case[:3])[0], 2)


def test_a_result_that_no_sample_changes_is_refused() -> None:
    nodes = [helper.make_node("Relu", ["x"], ["y"]), helper.make_node("Identity", ["c"], ["z"])]
    graph = helper.make_graph(
        nodes, "graph", [helper.make_tensor_value_info("x", FLOAT, (1, 2))],
        [helper.make_tensor_value_info(name, FLOAT, (1, 2)) for name in "yz"],
        [numpy_helper.from_array(np.ones((1, 2), np.float32), "c")],
    )  # fmt: skip
    model = Model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9))
    with pytest.raises(Refused, match="'z' is the same for all samples"):
        batched(model, 2)
