"""Products of activations, softmax and layer normalization: bit for bit, or within the bound that is reported."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
import qdq
from hypothesis import assume, given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from weft.compiler import compile as compile_model
from weft.frontend import Model, integerize, normalize, reference_session
from weft.partition import placement
from weft_runtime.executable import Executable
from weft_runtime.session import Session

Case = tuple[onnx.ModelProto, dict[str, Any]]
seeds = st.integers(0, 2**32 - 1)
dtypes = st.sampled_from(("int8", "uint8"))
targets = st.sampled_from(("weft-8", "weft-16", "weft-32", "vta-16"))
devices = st.sampled_from(("golden", "sim"))


@pytest.fixture(autouse=True, scope="module")
def inexact_operators_alone() -> Iterator[None]:
    """Alone, an operator that is exact on the host only would stay there; here it is what is tested."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(placement, "_needlessly_inexact", lambda operators, insisted: None)
        yield


def run(case: Case, target: str, device: str) -> tuple[Executable, npt.NDArray[np.int32]]:
    """Compiles and runs; the executable, and the differences from the integer graph in ONNX Runtime."""
    proto, feeds = case
    model = Model(proto)
    executable = compile_model(model, target, host=qdq.SLOW_HOST)
    reference = reference_session(integerize(normalize(model)))
    wanted = reference.run(None, feeds)
    names = [output.name for output in reference.get_outputs()]
    with Session(executable, device=device) as session:
        answers = session.run(feeds)
    differences = [
        (answers[name].astype(np.int32) - each.astype(np.int32)).reshape(-1)
        for name, each in zip(names, wanted, strict=True)
    ]
    return executable, np.concatenate(differences)


def on_host(executable: Executable) -> list[str]:
    return [node.op for node in executable.nodes if node.device == "host"]


def requantize(graph: Any, name: str, scale: float, zero: int, dtype: str) -> str:
    """QuantizeLinear → DequantizeLinear."""
    zero_value = graph.constant(qdq.DTYPES[dtype][0](zero))
    stored = graph.node("QuantizeLinear", [name, graph.constant(np.float32(scale)), zero_value])
    return str(graph.dequantize(stored, scale, zero, dtype))


@st.composite
def products(draw: Any) -> Case:
    """[..., m, k] · [..., k, n] with broadcast batches; operands and result maybe transposed."""
    graph = qdq.Qdq(draw(seeds))
    rank = draw(st.integers(2, 4))
    m, k, n = (draw(st.integers(1, 70)) for _ in range(3))
    batch = [draw(st.integers(1, 4)) for _ in range(rank - 2)]
    dtype = draw(dtypes)

    def batches() -> tuple[int, ...]:
        kept = [draw(st.sampled_from((size, size, 1))) for size in batch]
        return tuple(kept[draw(st.integers(0, len(kept))) :] if draw(st.integers(0, 3)) == 0 else kept)

    def operand(rows: int, columns: int) -> str:
        """Directly, or as the transposition of a stored tensor: of its matrices, or of its heads and positions."""
        shape, zero = (*batches(), rows, columns), qdq.zero_point(draw, dtype)
        form = draw(st.sampled_from(("plain", "matrices", "heads"))) if shape else "plain"
        axes = list(range(len(shape)))
        if form == "matrices":
            axes[-1], axes[-2] = axes[-2], axes[-1]
        if form == "heads" and len(shape) > 2:
            axes[-2], axes[-3] = axes[-3], axes[-2]
        stored = graph.input(tuple(shape[axes.index(axis)] for axis in range(len(axes))), dtype)
        value = str(graph.dequantize(stored, 0.03, zero, dtype))
        if form == "plain":
            return value
        return requantize(graph, graph.node("Transpose", [value], perm=axes), 0.03, zero, dtype)

    a = operand(m, k)
    if draw(st.integers(0, 3)) == 0:
        b, _ = graph.weights((*batches(), k, n), "int8", 0, per_channel=False)
    else:
        b = operand(k, n)
    y, scale, zero = graph.node("MatMul", [a, b]), 0.02 * k**0.5, qdq.zero_point(draw, dtype)
    if rank > 2 and draw(st.booleans()):
        axes = draw(st.permutations(range(rank)))
        y = graph.node("Transpose", [requantize(graph, y, scale, zero, dtype)], perm=list(axes))
    graph.output(y, scale, zero, dtype)
    try:
        return graph.model(), graph.feeds()
    except onnx.shape_inference.InferenceError:  # both operands lost their leading batches: the result has fewer axes
        assume(False)
        raise


@given(products(), targets, devices)
def test_product_of_activations(case: Case, target: str, device: str) -> None:
    executable, differences = run(case, target, device)
    assert executable.offloaded_macs == executable.macs > 0
    assert not executable.inexact and not np.any(differences)


@st.composite
def row_products(draw: Any) -> Case:
    """[..., m, k] · constant [k, n], maybe with a bias: the rows of a tensor of any rank."""
    graph = qdq.Qdq(draw(seeds))
    shape = (*(draw(st.integers(1, 9)) for _ in range(draw(st.integers(1, 3)))), draw(st.integers(1, 90)))
    dtype, columns = draw(dtypes), draw(st.integers(1, 70))
    x = graph.dequantize(graph.input(shape, dtype), 0.03, qdq.zero_point(draw, dtype), dtype)
    weights, scales = graph.weights((shape[-1], columns), "int8", 0, per_channel=False)
    y = graph.node("MatMul", [x, weights])
    if draw(st.booleans()):
        y = graph.node("Add", [y, graph.bias(0.03, scales, columns, 3000.0)])
    graph.output(y, 0.02 * shape[-1] ** 0.5, qdq.zero_point(draw, dtype), dtype)
    return graph.model(), graph.feeds()


@given(row_products(), targets, devices)
def test_rows_times_constant(case: Case, target: str, device: str) -> None:
    executable, differences = run(case, target, device)
    assert executable.offloaded_macs == executable.macs > 0
    assert not executable.inexact and not np.any(differences)


@st.composite
def softmaxes(draw: Any) -> Case:
    graph = qdq.Qdq(draw(seeds))
    rank = draw(st.integers(1, 4))
    shape = tuple(draw(st.integers(1, 70 if axis >= rank - 2 else 3)) for axis in range(rank))
    x_type, y_type = draw(dtypes), draw(dtypes)
    x = graph.dequantize(graph.input(shape, x_type), draw(st.floats(1e-3, 0.3)), qdq.zero_point(draw, x_type), x_type)
    op = draw(st.sampled_from(("Softmax", "LogSoftmax")))
    y = graph.node(op, [x], axis=draw(st.sampled_from((-1, rank - 1, 1 if rank > 1 else 0))))
    low, high = (-128, 127) if y_type == "int8" else (0, 255)
    if op == "Softmax":
        graph.output(y, draw(st.sampled_from((1 / 256, 1 / 255, 0.003))), low, y_type)
    else:
        graph.output(y, draw(st.floats(0.02, 0.1)), high, y_type)
    return graph.model(), graph.feeds()


@given(softmaxes(), targets, devices)
def test_softmax_within_its_bound(case: Case, target: str, device: str) -> None:
    executable, differences = run(case, target, device)
    assert on_host(executable) == [] and len(executable.inexact) == 1
    assert "at most 1 step" in executable.inexact[0]
    assert np.max(np.abs(differences)) <= 1 and np.mean(differences != 0) <= 0.02 + 1 / differences.size


@st.composite
def normalizations(draw: Any) -> Case:
    """Rows of random values, constant rows, and rows of which one value differs by 1: the worst for a variance."""
    graph = qdq.Qdq(draw(seeds))
    shape = (*(draw(st.integers(1, 12)) for _ in range(draw(st.integers(1, 3)))), draw(st.integers(1, 100)))
    x_type, y_type = draw(dtypes), draw(dtypes)
    x_name = graph.input(shape, x_type)
    x = graph.dequantize(x_name, draw(st.floats(1e-3, 0.3)), qdq.zero_point(draw, x_type), x_type)
    inputs = [x, graph.constant(graph.random.normal(1, 0.2, shape[-1]).astype(np.float32))]
    if draw(st.booleans()):
        inputs.append(graph.constant(graph.random.normal(0, 0.5, shape[-1]).astype(np.float32)))
    y = graph.node("LayerNormalization", inputs, axis=-1, epsilon=draw(st.sampled_from((1e-12, 1e-6, 1e-5, 1e-3))))
    graph.output(y, draw(st.floats(0.02, 0.1)), qdq.zero_point(draw, y_type), y_type)
    feeds = graph.feeds()
    rows = feeds[x_name].reshape(-1, shape[-1])
    kind = draw(st.sampled_from(("random", "constant", "almost constant")))
    if kind != "random":
        rows[:] = rows[:, :1]
    if kind == "almost constant":
        rows[:, -1] ^= 1
    return graph.model(), feeds


@given(normalizations(), targets, devices)
def test_layer_normalization_within_its_bound(case: Case, target: str, device: str) -> None:
    executable, differences = run(case, target, device)
    assert on_host(executable) == [] and len(executable.inexact) == 1
    assert "at most 1 step" in executable.inexact[0]
    assert np.max(np.abs(differences)) <= 1 and np.mean(differences != 0) <= 0.02 + 1 / differences.size


def test_softmax_that_no_bound_covers_stays_on_the_host() -> None:
    """Inputs of scale 1000: one rounding of x moves exp(x) by more than a step."""
    graph = qdq.Qdq(1)
    x = graph.dequantize(graph.input((4, 10), "int8"), 1000.0, 0, "int8")
    graph.output(graph.node("Softmax", [x], axis=-1), 1 / 256, -128, "int8")
    executable, differences = run((graph.model(), graph.feeds()), "weft-16", "sim")
    assert "Softmax" in on_host(executable) and executable.inexact == () and not np.any(differences)


def test_product_with_a_vector_stays_on_the_host() -> None:
    graph = qdq.Qdq(2)
    a = graph.dequantize(graph.input((5, 7), "int8"), 0.03, 0, "int8")
    b = graph.dequantize(graph.input((7,), "int8"), 0.03, 0, "int8")
    graph.output(graph.node("MatMul", [a, b]), 0.1, 0, "int8")
    executable, differences = run((graph.model(), graph.feeds()), "weft-16", "sim")
    assert executable.offloaded_macs == 0 and not np.any(differences)


@pytest.mark.parametrize("target", ["weft-8", "weft-16"])
def test_rows_too_long_for_the_machine_stay_on_the_host(target: str) -> None:
    """An axis as long as the accumulators are deep, and a bit."""
    graph = qdq.Qdq(3)
    size = {"weft-8": 513, "weft-16": 2049}[target]
    x = graph.dequantize(graph.input((2, size), "int8"), 0.05, 0, "int8")
    graph.output(graph.node("Softmax", [x], axis=-1), 1 / 256, -128, "int8")
    executable, differences = run((graph.model(), graph.feeds()), target, "sim")
    (softmax,) = [node for node in executable.nodes if node.op == "Softmax"]
    assert softmax.device == "host" and "fits" in softmax.reason and not np.any(differences)


@st.composite
def reductions(draw: Any) -> tuple[Case, str]:
    """Over each axis or plane that the accelerator can reduce, the axis kept or (over planes) not."""
    graph = qdq.Qdq(draw(seeds))
    rank = draw(st.integers(2, 4))
    shape = tuple(draw(st.integers(1, 40 if axis == 1 else 12)) for axis in range(rank))
    op = draw(st.sampled_from(("ReduceMean", "ReduceSum", "ReduceMax")))
    choices = [[axis] for axis in range(2, rank)] + ([[2, 3], [-1, -2]] if rank == 4 else [])
    if op != "ReduceMax":
        choices += [[1], [-1]]
    assume(choices)
    axes = draw(st.sampled_from(choices))
    x_type, y_type = draw(dtypes), draw(dtypes)
    scale = draw(st.floats(1e-3, 0.3))
    x = graph.dequantize(graph.input(shape, x_type), scale, qdq.zero_point(draw, x_type), x_type)
    keep = draw(st.integers(0, 1)) if sorted(axis % rank for axis in axes) == list(range(2, rank)) else 1
    if op == "ReduceSum":
        y = graph.node(op, [x, graph.constant(np.array(axes, np.int64))], keepdims=keep)
        scale *= int(np.prod([shape[axis] for axis in axes])) ** 0.5
    else:
        y = graph.node(op, [x], axes=axes, keepdims=keep)
    if draw(st.booleans()):
        y = graph.node("Relu", [y])
    graph.output(y, scale * draw(st.sampled_from((1.0, 0.37, 0.73))), qdq.zero_point(draw, y_type), y_type)
    return (graph.model(), graph.feeds()), op


@given(reductions(), targets, devices)
def test_reduction(drawn: tuple[Case, str], target: str, device: str) -> None:
    case, op = drawn
    executable, differences = run(case, target, device)
    assert on_host(executable) == []
    assert np.max(np.abs(differences)) <= (0 if op == "ReduceMax" else 1)
    assert len(executable.inexact) == (0 if op == "ReduceMax" else 1)


@st.composite
def transposed_convolutions(draw: Any) -> Case:
    graph = qdq.Qdq(draw(seeds))
    spatial = draw(st.integers(1, 2))
    group = draw(st.sampled_from((1, 1, 1, 2, 3)))
    inputs, outputs = group * draw(st.integers(1, 24)), draw(st.integers(1, 24))
    strides = [draw(st.integers(1, 3)) for _ in range(spatial)]
    kernel = [draw(st.integers(stride, 5)) for stride in strides]
    pads = [draw(st.integers(0, extent - 1)) for extent in kernel * 2]
    extra = [draw(st.integers(0, stride - 1)) for stride in strides]
    size = [draw(st.integers(2, 11)) for _ in range(spatial)]
    for axis in range(spatial):
        reach = (size[axis] - 1) * strides[axis] + kernel[axis] + extra[axis]
        assume(reach - pads[axis] - pads[spatial + axis] >= 1)
    dtype = draw(dtypes)
    x = graph.dequantize(graph.input((draw(st.integers(1, 2)), inputs, *size), dtype), 0.03, 0, dtype)
    weights, scales = graph.weights((inputs, outputs, *kernel), "int8", 0, per_channel=False)
    operands = [x, weights]
    if draw(st.booleans()):
        operands.append(graph.bias(0.03, scales, group * outputs, 3000.0))
    y = graph.node(
        "ConvTranspose", operands, kernel_shape=kernel, strides=strides, pads=pads, output_padding=extra, group=group
    )
    if draw(st.booleans()):
        y = graph.node("Relu", [y])
    depth = inputs / group * float(np.prod(kernel)) / float(np.prod(strides))
    graph.output(y, 0.03 * 0.01 * 60 * depth**0.5, qdq.zero_point(draw, dtype), dtype)
    return graph.model(), graph.feeds()


@given(transposed_convolutions(), targets, devices)
def test_transposed_convolution_within_its_bound(case: Case, target: str, device: str) -> None:
    executable, differences = run(case, target, device)
    assert executable.offloaded_macs == executable.macs > 0 and len(executable.inexact) == 1
    assert np.max(np.abs(differences)) <= 1 and np.mean(differences != 0) <= 0.01 + 1 / differences.size


def test_transposed_convolution_with_gaps_stays_on_the_host() -> None:
    """Stride 3, kernel 2: every third output is the bias alone."""
    graph = qdq.Qdq(4)
    x = graph.dequantize(graph.input((1, 4, 5, 5), "int8"), 0.03, 0, "int8")
    weights, _ = graph.weights((4, 3, 2, 2), "int8", 0, per_channel=False)
    graph.output(graph.node("ConvTranspose", [x, weights], strides=[3, 3], kernel_shape=[2, 2]), 0.05, 0, "int8")
    executable, differences = run((graph.model(), graph.feeds()), "weft-16", "sim")
    (node,) = [each for each in executable.nodes if each.op == "ConvTranspose"]
    assert node.device == "host" and "smaller than its stride" in node.reason and not np.any(differences)


def test_form_that_contradicts_its_neighbour_is_refused_by_name() -> None:
    """A 1-D convolution stores channels in the lanes, a product of its result along the width needs the width there:
    the one with fewer products goes to the host, and the answer is right."""
    graph = qdq.Qdq(5)
    x = graph.dequantize(graph.input((2, 12, 20), "int8"), 0.03, 0, "int8")
    kernel, _ = graph.weights((16, 12, 3), "int8", 0, per_channel=False)
    y = graph.node("Conv", [x, kernel], kernel_shape=[3], pads=[1, 1])
    stored = requantize(graph, y, 0.1, 0, "int8")
    matrix, _ = graph.weights((20, 8), "int8", 0, per_channel=False)
    graph.output(graph.node("MatMul", [stored, matrix]), 0.2, 0, "int8")
    executable, differences = run((graph.model(), graph.feeds()), "weft-16", "sim")
    (convolution,) = [node for node in executable.nodes if node.op == "QLinearConv"]
    (product,) = [node for node in executable.nodes if node.op == "QLinearMatMul"]
    assert convolution.device == "weft-16" and product.device == "host"
    assert "is stored as image" in product.reason and not np.any(differences)


def test_reshapes_and_functions_take_the_form_of_their_neighbours() -> None:
    """Rows → table → heads → rows again, heads as deep as there are lanes: one region without a copy."""
    graph = qdq.Qdq(6)
    x = graph.dequantize(graph.input((2, 9, 32), "int8"), 0.03, 0, "int8")
    first, _ = graph.weights((32, 32), "int8", 0, per_channel=False)
    y = requantize(graph, graph.node("MatMul", [x, first]), 0.1, 0, "int8")
    y = requantize(graph, graph.node("Tanh", [y]), 0.008, 0, "int8")
    heads = graph.node("Reshape", [y, graph.constant(np.array([2, 9, 2, 16], np.int64))])
    y = requantize(graph, heads, 0.008, 0, "int8")
    rows = graph.node("Reshape", [y, graph.constant(np.array([18, 32], np.int64))])
    y = requantize(graph, rows, 0.008, 0, "int8")
    second, _ = graph.weights((32, 5), "int8", 0, per_channel=False)
    graph.output(graph.node("MatMul", [y, second]), 0.05, 0, "int8")
    executable, differences = run((graph.model(), graph.feeds()), "weft-16", "sim")
    assert len(executable.regions) == 1 and on_host(executable) == [] and not np.any(differences)
    reasons = {node.reason for node in executable.nodes if node.op == "Reshape"}
    assert all("View" in reason for reason in reasons)


def wide(kind: str) -> onnx.ModelProto:
    """DequantizeLinear → MatMul → QuantizeLinear in int16, or MatMul of float16 behind 8-bit activations."""
    rng = np.random.default_rng(4)
    scale, random = numpy_helper.from_array(np.float32(0.01), "s"), rng.normal(0, 1, (6, 5))
    if kind == "int16":
        weights = np.rint(random * 1000).astype(np.int16)
        nodes = [
            helper.make_node("DequantizeLinear", ["x", "s", "z"], ["a"], "da"),
            helper.make_node("DequantizeLinear", ["w", "s", "z"], ["b"], "db"),
            helper.make_node("MatMul", ["a", "b"], ["c"], "product"),
            helper.make_node("QuantizeLinear", ["c", "s", "z"], ["y"], "q"),
        ]
    else:
        weights = random.astype(np.float16)
        nodes = [
            helper.make_node("DequantizeLinear", ["x", "s", "z"], ["a"], "da"),
            helper.make_node("Cast", ["a"], ["half"], "half", to=TensorProto.FLOAT16),
            helper.make_node("MatMul", ["half", "w"], ["c"], "product"),
            helper.make_node("Cast", ["c"], ["full"], "full", to=TensorProto.FLOAT),
            helper.make_node("QuantizeLinear", ["full", "s", "z"], ["y"], "q"),
        ]
    stored = TensorProto.INT16 if kind == "int16" else TensorProto.INT8
    zero = np.int16(0) if kind == "int16" else np.int8(0)
    constants = [scale, numpy_helper.from_array(np.asarray(zero), "z"), numpy_helper.from_array(weights, "w")]
    values = [helper.make_tensor_value_info(name, stored, [3, size]) for name, size in (("x", 6), ("y", 5))]
    graph = helper.make_graph(nodes, "wide", values[:1], values[1:], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


@pytest.mark.parametrize("kind", ["int16", "float16"])
def test_products_of_wider_types_go_to_the_host_with_the_reason(kind: str) -> None:
    proto = wide(kind)
    limits = np.iinfo(np.int16 if kind == "int16" else np.int8)
    x = np.random.default_rng(5).integers(limits.min, limits.max + 1, (3, 6)).astype(limits.dtype)
    executable, differences = run((proto, {"x": x}), "weft-16", "sim")
    (product,) = [node for node in executable.nodes if node.op == "MatMul"]
    assert product.device == "host" and f"is {kind}; the accelerator multiplies int8 and uint8" in product.reason
    assert executable.offloaded_macs == 0 and executable.macs == 90 and not np.any(differences)


def test_numbers_of_elements_are_found_on_the_host() -> None:
    graph = qdq.Qdq(9)
    x = graph.dequantize(graph.input((1, 5, 8, 8), "int8"), 0.03, 4, "int8")
    weights, _ = graph.weights((7, 5, 1, 1), "int8", 0, per_channel=False)
    stored = requantize(graph, graph.node("Conv", [x, weights]), 0.1, 0, "int8")
    graph.outputs.append(helper.make_tensor_value_info(graph.node("ArgMax", [stored], axis=1), TensorProto.INT64, None))
    executable, differences = run((graph.model(), graph.feeds()), "weft-16", "sim")
    (node,) = [node for node in executable.nodes if node.op == "ArgMax"]
    assert node.device == "host" and "int64" in node.reason and not np.any(differences)
    assert executable.offloaded_macs == executable.macs > 0
