"""Random operators over odd shapes, strides, pads, dilations and groups: bit for bit ONNX Runtime's answer."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import qdq
from hypothesis import assume, given
from hypothesis import strategies as st

from weft.compiler import compile as compile_model
from weft.frontend import Model, integerize, normalize, reference_session
from weft_runtime.executable import Executable
from weft_runtime.session import Session
from weft_sim.machine import machine

TARGETS = ("weft-8", "weft-16", "weft-32", "vta-16")
DEVICES = ("golden", "sim")
seeds = st.integers(0, 2**32 - 1)
dtypes = st.sampled_from(("int8", "uint8"))
targets = st.sampled_from(TARGETS)
devices = st.sampled_from(DEVICES)


def check(proto: onnx.ModelProto, feeds: dict[str, Any], target: str, device: str) -> Executable:
    """Compiles, runs on both devices, compares with the integer graph in ONNX Runtime without optimizations."""
    model = Model(proto)
    executable = compile_model(model, target, host=qdq.SLOW_HOST)
    reference = reference_session(integerize(normalize(model)))
    wanted = dict(zip((o.name for o in reference.get_outputs()), reference.run(None, feeds), strict=True))
    with Session(executable, device=device) as session:
        answers = session.run(feeds)
    for name, expected in wanted.items():
        np.testing.assert_array_equal(answers[name], expected, err_msg=name)
    return executable


@st.composite
def convolutions(draw: Any) -> tuple[onnx.ModelProto, dict[str, Any]]:
    graph = qdq.Qdq(draw(seeds))
    kind = draw(st.sampled_from(("dense", "dense", "shallow", "depthwise", "multiplied", "grouped", "1d")))
    group, per_group_in, per_group_out = {
        "dense": (1, draw(st.integers(1, 70)), draw(st.integers(1, 70))),
        "shallow": (1, draw(st.integers(1, 4)), draw(st.integers(1, 40))),
        "depthwise": (draw(st.integers(2, 70)), 1, 1),
        "multiplied": (draw(st.integers(2, 30)), 1, draw(st.integers(2, 4))),
        "grouped": (draw(st.integers(2, 6)), draw(st.integers(1, 20)), draw(st.integers(1, 20))),
        "1d": (1, draw(st.integers(1, 20)), draw(st.integers(1, 20))),
    }[kind]
    spatial = 1 if kind == "1d" else 2
    kernel = [draw(st.integers(1, 5)) for _ in range(spatial)]
    strides = [draw(st.integers(1, 3)) for _ in range(spatial)]
    dilations = [draw(st.sampled_from((1, 1, 1, 2, 3))) for _ in range(spatial)]
    pads = [draw(st.integers(0, 3)) for _ in range(2 * spatial)]
    size = [draw(st.integers(1, 19)) for _ in range(spatial)]
    automatic = draw(st.sampled_from(("", "", "SAME_UPPER", "SAME_LOWER", "VALID")))
    padding: dict[str, Any] = {"auto_pad": automatic} if automatic else {"pads": pads}
    if automatic:  # SAME pads as far as needed, VALID not at all
        pads = [0] * (2 * spatial)
    for axis in range(spatial):
        reach = (kernel[axis] - 1) * dilations[axis] + 1
        assume(automatic.startswith("SAME") or size[axis] + pads[axis] + pads[spatial + axis] >= reach)
    batch = draw(st.sampled_from((1, 1, 2)))
    x_type, w_type, y_type = draw(dtypes), draw(dtypes), draw(dtypes)
    if x_type == "int8":
        w_type = "int8"  # ONNX Runtime's QLinearConv has no kernel for int8 inputs with uint8 weights
    y_type = x_type  # nor for outputs of another type than the inputs
    channels, depth = group * per_group_out, per_group_in * int(np.prod(kernel))
    x = graph.input((batch, group * per_group_in, *size), x_type)
    x_scale = 0.03
    fx = graph.dequantize(x, x_scale, qdq.zero_point(draw, x_type), x_type)
    w_zero = 0 if w_type == "int8" else qdq.zero_point(draw, w_type)
    per_channel = draw(st.booleans()) and w_type == "int8"
    fw, scales = graph.weights((channels, per_group_in, *kernel), w_type, w_zero, per_channel=per_channel)
    inputs = [fx, fw]
    if draw(st.booleans()):
        inputs.append(graph.bias(x_scale, scales, channels, 3000.0 * depth**0.5))
    y = graph.node("Conv", inputs, kernel_shape=kernel, strides=strides, dilations=dilations, group=group, **padding)
    activation = draw(st.sampled_from(("", "Relu", "Clip")))
    if activation == "Relu":
        y = graph.node("Relu", [y])
    if activation == "Clip":
        y = graph.node("Clip", [y, graph.constant(np.float32(-0.7)), graph.constant(np.float32(6.0))])
    graph.output(y, 0.03 * 0.01 * 60 * depth**0.5, qdq.zero_point(draw, y_type), y_type)
    return graph.model(), graph.feeds()


@given(convolutions(), targets, devices)
def test_convolution(case: tuple[onnx.ModelProto, dict[str, Any]], target: str, device: str) -> None:
    executable = check(*case, target, device)
    assert executable.offloaded_macs == executable.macs > 0


@st.composite
def products(draw: Any) -> tuple[onnx.ModelProto, dict[str, Any]]:
    graph = qdq.Qdq(draw(seeds))
    rows, depth, columns = draw(st.integers(1, 40)), draw(st.integers(1, 300)), draw(st.integers(1, 90))
    dtype = draw(dtypes)
    is_gemm = draw(st.booleans())
    turned, weights_turned = (draw(st.integers(0, 1)), draw(st.integers(0, 1))) if is_gemm else (0, 0)
    x = graph.input((depth, rows) if turned else (rows, depth), dtype)
    fx = graph.dequantize(x, 0.03, qdq.zero_point(draw, dtype), dtype)
    if is_gemm:
        extents = (columns, depth) if weights_turned else (depth, columns)
        fw, scales = graph.weights(extents, "int8", 0, per_channel=False)
        inputs = [fx, fw]
        if draw(st.booleans()):
            inputs.append(graph.bias(0.03, scales, columns, 3000.0 * depth**0.5))
        y = graph.node("Gemm", inputs, transA=turned, transB=weights_turned)
    else:
        fw, _ = graph.weights((depth, columns), "int8", 0, per_channel=False)
        y = graph.node("MatMul", [fx, fw])
    graph.output(y, 0.02 * depth**0.5, qdq.zero_point(draw, dtype), dtype)
    return graph.model(), graph.feeds()


@given(products(), targets, devices)
def test_product(case: tuple[onnx.ModelProto, dict[str, Any]], target: str, device: str) -> None:
    executable = check(*case, target, device)
    assert executable.offloaded_macs == executable.macs > 0


@st.composite
def binaries(draw: Any) -> tuple[onnx.ModelProto, dict[str, Any]]:
    """Two activations of one shape, or the second per channel, or a constant."""
    graph = qdq.Qdq(draw(seeds))
    op = draw(st.sampled_from(("Add", "Sub", "Mul", "Max", "Min")))
    shape = tuple(draw(st.integers(1, 21)) for _ in range(draw(st.integers(2, 4))))
    a_type, b_type, y_type = draw(dtypes), draw(dtypes), draw(dtypes)
    scales = [float(draw(st.floats(1e-3, 1.0))) for _ in range(3)]
    a = graph.dequantize(graph.input(shape, a_type), scales[0], qdq.zero_point(draw, a_type), a_type)
    form = draw(st.sampled_from(("same", "channel", "constant")))
    b_shape = shape
    if len(shape) == 4 and form != "same":
        forms = [(1, shape[1], 1, 1), (shape[0], shape[1], 1, 1)] + ([(shape[1], 1, 1)] if form == "constant" else [])
        b_shape = draw(st.sampled_from(forms))
    if form == "constant":
        info = np.iinfo(qdq.DTYPES[b_type][0])
        stored = graph.constant(graph.random.integers(info.min, info.max + 1, b_shape).astype(info.dtype))
    else:
        stored = graph.input(b_shape, b_type)
    b = graph.dequantize(stored, scales[1], qdq.zero_point(draw, b_type), b_type)
    first_is_second = op != "Sub" and draw(st.booleans())
    y = graph.node(op, [b, a] if first_is_second else [a, b])
    if draw(st.booleans()):
        y = graph.node("Relu", [y])
    spread = scales[0] * scales[1] * 127 if op == "Mul" else max(scales)
    graph.output(y, spread, qdq.zero_point(draw, y_type), y_type)
    return graph.model(), graph.feeds()


@given(binaries(), targets, devices)
def test_binary(case: tuple[onnx.ModelProto, dict[str, Any]], target: str, device: str) -> None:
    executable = check(*case, target, device)
    assert len(executable.regions) == 1


UNARY = (
    "Sigmoid",
    "Tanh",
    "Erf",
    "Exp",
    "HardSigmoid",
    "HardSwish",
    "LeakyRelu",
    "Elu",
    "Abs",
    "Neg",
    "Softplus",
    "Relu",
)


@st.composite
def functions(draw: Any) -> tuple[onnx.ModelProto, dict[str, Any]]:
    """Chains of functions of one value, also joined with themselves (SiLU) and with constants."""
    graph = qdq.Qdq(draw(seeds))
    x_type, y_type = draw(dtypes), draw(dtypes)
    shape = tuple(draw(st.integers(1, 30)) for _ in range(draw(st.integers(1, 4))))
    x = graph.dequantize(graph.input(shape, x_type), draw(st.floats(1e-3, 0.1)), qdq.zero_point(draw, x_type), x_type)
    y = x
    for _ in range(draw(st.integers(0, 3))):
        kind = draw(st.sampled_from((*UNARY, "times x", "plus constant")))
        if kind == "times x":
            y = graph.node("Mul", [y, x])
        elif kind == "plus constant":
            y = graph.node("Add", [graph.constant(np.float32(draw(st.floats(-3, 3)))), y])
        else:
            y = graph.node(kind, [y])
    graph.output(y, draw(st.floats(1e-3, 0.1)), qdq.zero_point(draw, y_type), y_type)
    return graph.model(), graph.feeds()


@given(functions(), targets, devices)
def test_function_of_one_value(case: tuple[onnx.ModelProto, dict[str, Any]], target: str, device: str) -> None:
    check(*case, target, device)


@st.composite
def poolings(draw: Any) -> tuple[onnx.ModelProto, dict[str, Any], str]:
    graph = qdq.Qdq(draw(seeds))
    op = draw(st.sampled_from(("MaxPool", "AveragePool", "GlobalAveragePool")))
    x_type, y_type = draw(dtypes), draw(dtypes)
    shape = (
        draw(st.integers(1, 2)),
        draw(st.integers(1, 40)),
        draw(st.integers(1, 17)),
        draw(st.integers(1, 17)),
    )
    x_scale = float(draw(st.floats(1e-3, 1.0)))
    x = graph.dequantize(graph.input(shape, x_type), x_scale, qdq.zero_point(draw, x_type), x_type)
    attributes: dict[str, Any] = {}
    if op != "GlobalAveragePool":
        kernel = [draw(st.integers(1, 5)), draw(st.integers(1, 5))]
        pads = [draw(st.integers(0, min(2, kernel[axis % 2] - 1))) for axis in range(4)]
        assume(all(shape[2 + axis] + pads[axis] + pads[2 + axis] >= kernel[axis] for axis in range(2)))
        strides = [draw(st.integers(1, 4)), draw(st.integers(1, 4))]
        ceil = draw(st.sampled_from((0, 0, 1)))
        if op == "AveragePool" and ceil:  # shape inference states windows behind the image that ONNX Runtime leaves out
            sizes = [(shape[2 + axis], pads[axis], pads[2 + axis]) for axis in range(2)]
            spare = [(sum(each) - kernel[axis]) % strides[axis] for axis, each in enumerate(sizes)]
            assume(
                all(
                    rest == 0 or strides[axis] - rest < kernel[axis] - sizes[axis][2] for axis, rest in enumerate(spare)
                )
            )
        attributes = {"kernel_shape": kernel, "strides": strides, "ceil_mode": ceil}
        automatic = draw(st.sampled_from(("", "", "", "SAME_UPPER", "SAME_LOWER", "VALID")))
        assume(automatic != "VALID" or all(shape[2 + axis] >= kernel[axis] for axis in range(2)))
        attributes |= {"auto_pad": automatic} if automatic and not ceil else {"pads": pads}
        if op == "AveragePool":
            attributes["count_include_pad"] = draw(st.integers(0, 1))
    y = graph.node(op, [x], **attributes)
    graph.output(y, x_scale * float(draw(st.sampled_from((1.0, 1.0, 0.7, 1.9)))), qdq.zero_point(draw, y_type), y_type)
    return graph.model(), graph.feeds(), op


@given(poolings(), targets, devices)
def test_pooling(case: tuple[onnx.ModelProto, dict[str, Any], str], target: str, device: str) -> None:
    executable = check(case[0], case[1], target, device)
    assert executable.inexact == () and (case[2] == "MaxPool" or not executable.host_graphs)


def test_lanes_of_targets_differ() -> None:
    assert {machine(name).lanes for name in TARGETS} == {8, 16, 32}
