"""LSTM, GRU and RNN unrolled: equal to ONNX Runtime's own operators, and what stays one operator."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

import weft
from weft.frontend import load, normalize, reference_session
from weft.frontend.origins import origins, reason
from weft.frontend.passes.unroll_recurrent import UnrollRecurrent

FLOAT = TensorProto.FLOAT
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
FUNCTIONS = {"LSTM": 3, "GRU": 2, "RNN": 1}
PLAIN = ["Relu", "Tanh", "Sigmoid", "Softsign", "Softplus"]
WITH_ALPHA = ["LeakyRelu", "ThresholdedRelu", "Elu"]
WITH_BOTH = ["Affine", "ScaledTanh", "HardSigmoid"]


def recurrent(kind, steps, batch, width, hidden, seed=0, direction="forward", computed=(), **options):
    """A model of one recurrent node, and inputs. Options are attributes, or the optional inputs by name: `biases`,
    `lengths` (an array), `initial_h`, `initial_c`, `peepholes`; `computed` names constants that become inputs."""
    random = np.random.default_rng(seed)
    count = 2 if direction == "bidirectional" else 1

    def values(*shape):
        return random.normal(0, 0.6, shape).astype(np.float32)

    constants = {"W": values(count, GATES[kind] * hidden, width), "R": values(count, GATES[kind] * hidden, hidden)}
    feed = {"x": values(steps, batch, width)}
    names = ["x", "W", "R", "", "", "", "", ""]
    if options.pop("biases", True):
        names[3], constants["B"] = "B", values(count, 2 * GATES[kind] * hidden)
    if (lengths := options.pop("lengths", None)) is not None:
        names[4], constants["L"] = "L", np.asarray(lengths, np.int32)
    for index, name in ((5, "initial_h"), (6, "initial_c")):
        if options.pop(name, False):
            names[index], feed[name] = name, values(count, batch, hidden)
    if options.pop("peepholes", False):
        names[7], constants["P"] = "P", values(count, 3 * hidden)
    while not names[-1]:
        names.pop()
    outputs = {"Y": [steps, count, batch, hidden], "Y_h": [count, batch, hidden]}
    if kind == "LSTM":
        outputs["Y_c"] = outputs["Y_h"]
    for name in computed:
        feed[name] = constants.pop(name)
    node = helper.make_node(kind, names, list(outputs), name="cell", direction=direction, hidden_size=hidden, **options)
    graph = helper.make_graph(
        [node],
        "test",
        [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
            for name, value in feed.items()
        ],
        [helper.make_tensor_value_info(name, FLOAT, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), feed


def kinds(model):
    return {node.op_type for node in model.proto.graph.node}


@st.composite
def cases(draw):
    kind = draw(st.sampled_from(sorted(GATES)))
    steps, batch, width, hidden = (draw(st.integers(1, 5)) for _ in range(4))
    direction = draw(st.sampled_from(["forward", "reverse", "bidirectional"]))
    options = {"biases": draw(st.booleans()), "initial_h": draw(st.booleans())}
    if draw(st.booleans()):
        options["lengths"] = draw(st.lists(st.integers(1, steps), min_size=batch, max_size=batch))
    if draw(st.booleans()):
        options["clip"] = draw(st.floats(0.0625, 1.5, width=32))
    if kind == "LSTM":
        options |= {"initial_c": draw(st.booleans()), "peepholes": draw(st.booleans())}
        options["input_forget"] = draw(st.integers(0, 1))
    if kind == "GRU":
        options["linear_before_reset"] = draw(st.integers(0, 1))
    if draw(st.booleans()):
        count = FUNCTIONS[kind] * (2 if direction == "bidirectional" else 1)
        names = st.sampled_from([*PLAIN, *WITH_ALPHA, *WITH_BOTH])
        options["activations"] = draw(st.lists(names, min_size=count, max_size=count))
        for key, owners in (("activation_alpha", [*WITH_ALPHA, *WITH_BOTH]), ("activation_beta", WITH_BOTH)):
            most = sum(name in owners for name in options["activations"])
            given_values = draw(st.lists(st.floats(0.25, 0.75, width=32), max_size=most))
            if given_values:
                options[key] = given_values
    return recurrent(kind, steps, batch, width, hidden, draw(st.integers(0, 99)), direction, **options)


@given(cases())
def test_unrolled_equals_onnx_runtime(case):
    proto, feed = case
    model = normalize(load(proto))
    assert kinds(model).isdisjoint(GATES)
    expected = reference_session(proto).run(None, feed)
    # Beyond exp(88) the kernel's own Softplus overflows where the operator Softplus does not.
    assume(all(bool((np.abs(wanted) < 64).all()) for wanted in expected))
    for wanted, answer in zip(expected, reference_session(model).run(None, feed), strict=True):
        assert wanted.shape == answer.shape
        # Unbounded activations make numbers of all sizes, so the bound is relative to the greatest.
        np.testing.assert_allclose(answer, wanted, rtol=0, atol=2e-5 * max(1.0, float(np.abs(wanted).max())))


@given(cases())
@settings(max_examples=8)
def test_unrolled_quantized_and_compiled_agrees_in_every_bit(case):
    proto, feed = case
    quantized = weft.quantize(proto, feed)
    report = weft.verify(quantized, feed, device="golden")
    assert report.elements > 0 and report.mismatches == 0


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_products_run_on_the_accelerator_with_weights_stored_once(kind):
    steps, hidden = 12, 48
    proto, feed = recurrent(kind, steps, 1, 32, hidden, initial_h=True)
    quantized = weft.quantize(proto, feed)
    stored = [tensor for tensor in quantized.proto.graph.initializer if len(tensor.dims) == 2 and tensor.data_type == 3]
    assert sum(np.prod(tensor.dims) for tensor in stored) == GATES[kind] * hidden * (32 + hidden)
    program = weft.compile(quantized)
    assert program.executable.offloaded_macs == program.executable.macs == steps * GATES[kind] * hidden * (32 + hidden)
    (region,) = program.executable.regions
    few, feed = recurrent(kind, 2, 1, 32, hidden, initial_h=True)
    (short,) = weft.compile(weft.quantize(few, feed)).executable.regions
    # A further step adds its scales (a record of 8 bytes per gate unit, tables), and no weights (a byte per weight).
    assert len(region.constants) - len(short.constants) < (steps - 2) * GATES[kind] * hidden * hidden


def test_unrolled_nodes_name_the_operator_they_come_from():
    model = normalize(load(recurrent("LSTM", 2, 1, 3, 4)[0]))
    assert {origins(node) for node in model.proto.graph.node} == {("cell",)}


def test_constant_zero_states_cost_no_product():
    proto, _ = recurrent("LSTM", 1, 1, 3, 4)
    proto.graph.node[0].input.extend(["", "zero", "zero"])
    proto.graph.initializer.append(numpy_helper.from_array(np.zeros((1, 1, 4), np.float32), "zero"))
    products = [node for node in normalize(load(proto)).proto.graph.node if node.op_type == "MatMul"]
    assert len(products) == 1


@pytest.mark.parametrize("shape", [[3, 2**26, 4], [2**28, 2, 4]])
def test_extents_of_untrusted_files_cost_no_memory(shape):
    proto, _ = recurrent("LSTM", 3, 2, 4, 4)
    proto.graph.input[0].CopyFrom(helper.make_tensor_value_info("x", FLOAT, shape))
    for value, extents in zip(proto.graph.output, ([shape[0], 1, shape[1], 4], *[[1, shape[1], 4]] * 2), strict=True):
        value.CopyFrom(helper.make_tensor_value_info(value.name, FLOAT, extents))
    (node,) = normalize(load(proto)).proto.graph.node
    assert "larger than 65536" in reason(node) or "more than 4,096" in reason(node)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"computed": ("W",)}, "weights are not constant"),
        ({"lengths": [2, 1], "computed": ("L",)}, "sequence lengths are not constant"),
        ({"activations": ["Sigmoid", "Tanh", "Swish"]}, "Swish"),
        ({"layout": 1}, "batch first"),
    ],
)
def test_what_stays_says_why(change, words):
    proto, _ = recurrent("LSTM", 3, 2, 3, 4, **change)
    (node,) = normalize(load(proto)).proto.graph.node
    assert words in reason(node)


def test_long_sequences_stay_with_their_products_counted_and_the_reason_shown():
    proto, feed = recurrent("LSTM", 3, 1, 8, 8)
    model = load(proto)
    assert kinds(UnrollRecurrent(nodes=42).run(model)).isdisjoint(GATES)
    (node,) = UnrollRecurrent(nodes=41).run(model).proto.graph.node
    assert "3 steps" in reason(node)
    long, feed = recurrent("LSTM", 600, 1, 8, 8)
    program = weft.compile(weft.quantize(long, feed))
    (report,) = [node for node in program.nodes if node.op == "LSTM"]
    assert report.device == "host" and "600 steps" in report.reason
    assert program.executable.offloaded_macs == 0 and program.executable.macs == 600 * 32 * (8 + 8)


def test_quantized_models_keep_their_operator():
    proto, _ = recurrent("GRU", 2, 1, 3, 4)
    scale = [numpy_helper.from_array(np.float32(0.1), "s"), numpy_helper.from_array(np.uint8(128), "z")]
    proto.graph.initializer.extend(scale)
    proto.graph.node.insert(0, helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]))
    proto.graph.node.insert(1, helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]))
    proto.graph.node[2].input[0] = "d"
    assert "GRU" in kinds(normalize(load(proto)))


def test_shapes_that_break_the_rules_are_left_to_onnx_runtime():
    proto, _ = recurrent("LSTM", 2, 1, 3, 4)
    for tensor in proto.graph.initializer:
        if tensor.name == "B":
            tensor.CopyFrom(numpy_helper.from_array(np.zeros((1, 7), np.float32), "B"))
    (node,) = normalize(load(proto)).proto.graph.node
    assert isinstance(node, onnx.NodeProto) and "biases" in reason(node)


def test_excluding_the_operator_keeps_its_steps_float():
    proto, feed = recurrent("GRU", 2, 1, 3, 4)
    quantized = weft.quantize(proto, feed, exclude=["cell"])
    assert "QuantizeLinear" not in kinds(quantized)
