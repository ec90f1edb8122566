"""Models that ONNX Runtime quantized, in QDQ and QOperator form, and QOperators one by one."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from float_networks import by_onnx_runtime, classifier, samples
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantFormat, QuantType, quantize_dynamic

import weft
from weft.frontend import integerize, load, normalize, reference_session
from weft.frontend.session_options import plain_options

CONTRIBUTED = "com.microsoft"
TYPES = {"uint8": TensorProto.UINT8, "int8": TensorProto.INT8}


def literal(proto, feeds):
    session = onnxruntime.InferenceSession(proto.SerializeToString(), plain_options(), ["CPUExecutionProvider"])
    return session.run(None, feeds)


def rewritten(proto):
    return integerize(normalize(load(proto)))


def kinds(model):
    return [node.op_type for node in model.proto.graph.node]


@pytest.mark.parametrize("form", list(QuantFormat))
@pytest.mark.parametrize("storage", [QuantType.QUInt8, QuantType.QInt8])
@pytest.mark.parametrize("per_channel", [False, True])
def test_static_models_of_onnx_runtime_keep_their_bits_and_run_on_the_accelerator(tmp_path, form, storage, per_channel):
    proto = by_onnx_runtime(classifier(), samples(12), tmp_path, form, storage, per_channel=per_channel)
    model = rewritten(proto)
    assert kinds(model).count("QLinearConv") == 4 and "QGemm" not in kinds(model)
    for image in samples(3, seed=9):
        (expected,), (found,) = (
            literal(proto, {"x": image[None]}),
            reference_session(model).run(None, {"x": image[None]}),
        )
        np.testing.assert_array_equal(found, expected)
    program = weft.compile(load(proto))
    hosts = {node.op: node.reason for node in program.nodes if node.device == "host"}
    assert not {"QLinearConv", "Add", "Mul", "Sigmoid", "LeakyRelu", "MaxPool", "Concat", "QGemm"} & hosts.keys()
    if form is QuantFormat.QOperator:
        assert "rounds otherwise than Softmax" in hosts["QLinearSoftmax"]
        assert "rounds otherwise" in hosts["QLinearGlobalAveragePool"]
    assert weft.verify(load(proto), device="golden").mismatches == 0


@pytest.mark.parametrize("kind", ["conv", "product"])
def test_dynamic_quantization_stays_on_the_host_and_says_why(tmp_path, kind):
    source = classifier()
    onnx.save(source, tmp_path / "float.onnx")
    types = ["Conv"] if kind == "conv" else ["MatMul", "Gemm"]
    quantize_dynamic(
        str(tmp_path / "float.onnx"), str(tmp_path / "dynamic.onnx"), op_types_to_quantize=types,
        weight_type=QuantType.QUInt8 if kind == "conv" else QuantType.QInt8,
    )  # fmt: skip
    proto = onnx.load(tmp_path / "dynamic.onnx")
    assert ("ConvInteger" if kind == "conv" else "MatMulInteger") in [node.op_type for node in proto.graph.node]
    image = samples(1, seed=9)
    np.testing.assert_array_equal(
        reference_session(rewritten(proto)).run(None, {"x": image})[0], literal(proto, {"x": image})[0]
    )
    program = weft.compile(load(proto))
    hosts = {node.op: node.reason for node in program.nodes if node.device == "host"}
    assert "while the model runs" in hosts["DynamicQuantizeLinear"]
    assert "int32" in hosts["ConvInteger" if kind == "conv" else "MatMulInteger"]
    assert weft.verify(load(proto), device="golden").mismatches == 0


def one_node(op, inputs, shapes, storage, constants, **attributes):
    """A model of one com.microsoft node; the inputs that are not constants are stored tensors."""
    node = helper.make_node(op, inputs, ["y"], "node", domain=CONTRIBUTED, **attributes)
    graph = helper.make_graph(
        [node], "one", [helper.make_tensor_value_info(name, TYPES[storage], shape) for name, shape in shapes.items()],
        [helper.make_tensor_value_info("y", TYPES[storage], [None] * max(map(len, shapes.values())))],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )  # fmt: skip
    imports = [helper.make_opsetid("", 17), helper.make_opsetid(CONTRIBUTED, 1)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8)


def stored(generator, shape, storage):
    info = np.iinfo(storage)
    return generator.integers(info.min, info.max + 1, shape).astype(storage)


def scale(generator, low=0.003, high=0.09):
    return np.float32(generator.uniform(low, high))


SEEDS, STORAGE = st.integers(0, 10**6), st.sampled_from(["uint8", "int8"])


def assert_same_bits(proto, feeds):
    model = rewritten(proto)
    np.testing.assert_array_equal(reference_session(model).run(None, feeds)[0], literal(proto, feeds)[0])
    return kinds(model)


@given(SEEDS, STORAGE, st.booleans(), st.booleans(), st.booleans(), st.booleans())
def test_qgemm(seed, storage, per_channel, transposed_a, transposed_b, biased):
    generator = np.random.default_rng(seed)
    rows, depth, columns = (int(value) for value in generator.integers(1, 40, 3))
    weights = stored(generator, (columns, depth) if transposed_b else (depth, columns), "int8")
    count = (columns,) if per_channel else ()
    constants = {
        "sx": scale(generator), "zx": stored(generator, (), storage), "w": weights,
        "sw": generator.uniform(0.002, 0.02, count).astype(np.float32), "zw": np.zeros(count, np.int8),
        "sy": scale(generator, 0.1, 0.4), "zy": stored(generator, (), storage),
    }  # fmt: skip
    if biased:
        constants["b"] = generator.integers(-4000, 4000, columns).astype(np.int32)
    names = ["x", "sx", "zx", "w", "sw", "zw", "b" if biased else "", "sy", "zy"]
    shape = (depth, rows) if transposed_a else (rows, depth)
    proto = one_node(
        "QGemm", names, {"x": shape}, storage, constants, transA=int(transposed_a), transB=int(transposed_b)
    )
    found = assert_same_bits(proto, {"x": stored(generator, shape, storage)})
    assert "QGemm" not in found and {"QLinearConv", "QLinearMatMul"} & set(found)


@given(
    SEEDS,
    STORAGE,
    st.sampled_from(["QLinearAdd", "QLinearMul"]),
    st.sampled_from(["same", "row", "scalar", "constant"]),
)
def test_additions_and_products(seed, storage, op, other):
    generator = np.random.default_rng(seed)
    shape = tuple(int(value) for value in generator.integers(1, 20, 3))
    second = {"same": shape, "row": shape[-1:], "scalar": (), "constant": shape[-2:]}[other]
    constants = {name: scale(generator) for name in ("sa", "sb", "sy")}
    constants |= {name: stored(generator, (), storage) for name in ("za", "zb", "zy")}
    feeds = {"a": stored(generator, shape, storage), "b": stored(generator, second, storage)}
    if other == "constant":
        constants["b"] = feeds.pop("b")
    shapes = {name: values.shape for name, values in feeds.items()}
    proto = one_node(op, ["a", "sa", "za", "b", "sb", "zb", "sy", "zy"], shapes, storage, constants)
    assert_same_bits(proto, feeds)


@given(SEEDS, STORAGE, st.sampled_from(["QLinearSigmoid", "QLinearLeakyRelu"]))
def test_functions_of_one_value(seed, storage, op):
    generator = np.random.default_rng(seed)
    info = np.iinfo(storage)
    constants = {"sx": scale(generator), "zx": stored(generator, (), storage), "zy": stored(generator, (), storage)}
    constants["sy"] = scale(generator)
    attributes = {"alpha": float(generator.uniform(0.01, 0.5))} if op == "QLinearLeakyRelu" else {}
    values = np.arange(info.min, info.max + 1).astype(storage)
    proto = one_node(op, ["x", "sx", "zx", "sy", "zy"], {"x": values.shape}, storage, constants, **attributes)
    assert op not in assert_same_bits(proto, {"x": values})


@given(SEEDS, STORAGE, st.integers(-3, 2), st.integers(1, 3))
def test_concatenations(seed, storage, axis, count):
    generator = np.random.default_rng(seed)
    shapes, constants, names = {}, {"sy": scale(generator), "zy": stored(generator, (), storage)}, ["sy", "zy"]
    for index in range(count):
        shape = [2, 3, 4]
        shape[axis] = int(generator.integers(1, 70))
        shapes[f"x{index}"] = tuple(shape)
        constants |= {f"s{index}": scale(generator), f"z{index}": stored(generator, (), storage)}
        names += [f"x{index}", f"s{index}", f"z{index}"]
    feeds = {name: stored(generator, shape, storage) for name, shape in shapes.items()}
    found = assert_same_bits(one_node("QLinearConcat", names, shapes, storage, constants, axis=axis), feeds)
    assert "QLinearConcat" not in found


@given(SEEDS, STORAGE, st.sampled_from(["QLinearGlobalAveragePool", "QLinearAveragePool", "QLinearSoftmax"]))
def test_what_rounds_otherwise_stays_as_it_is(seed, storage, op):
    generator = np.random.default_rng(seed)
    shape = (1, 5, *(int(value) for value in generator.integers(3, 9, 2)))
    constants = {"sx": scale(generator), "zx": stored(generator, (), storage)}
    constants |= {
        "sy": np.float32(1 / 256) if op == "QLinearSoftmax" else scale(generator),
        "zy": np.zeros((), storage),
    }
    attributes = {"QLinearAveragePool": {"kernel_shape": [2, 3]}, "QLinearSoftmax": {"axis": 1, "opset": 13}}.get(
        op, {}
    )
    proto = one_node(op, ["x", "sx", "zx", "sy", "zy"], {"x": shape}, storage, constants, **attributes)
    feeds = {"x": stored(generator, shape, storage)}
    assert op in assert_same_bits(proto, feeds)
    proto.graph.output[0].CopyFrom(helper.make_tensor_value_info("z", TensorProto.INT32, [None] * 4))
    proto.graph.node.append(helper.make_node("Cast", ["y"], ["z"], "cast", to=TensorProto.INT32))
    known = {value.name: value for value in normalize(load(proto)).proto.graph.value_info}
    extents = [extent.dim_value for extent in known["y"].type.tensor_type.shape.dim]
    assert known["y"].type.tensor_type.elem_type == TYPES[storage]
    assert extents == list(literal(proto, feeds)[0].shape)


def test_an_addition_that_rounds_otherwise_is_found_and_kept():
    """Of many random scales, some make ONNX Runtime's kernel differ on one pair of 65,536."""
    generator = np.random.default_rng(0)
    outcomes = set()
    for _ in range(20):
        constants = {name: scale(generator, 0.002, 0.1) for name in ("sa", "sb", "sy")}
        constants |= {name: stored(generator, (), "uint8") for name in ("za", "zb", "zy")}
        pairs = np.arange(256, dtype=np.uint8)
        feeds = {"a": np.repeat(pairs, 256), "b": np.tile(pairs, 256)}
        shapes = {name: values.shape for name, values in feeds.items()}
        proto = one_node("QLinearAdd", ["a", "sa", "za", "b", "sb", "zb", "sy", "zy"], shapes, "uint8", constants)
        outcomes.add("QLinearAdd" in assert_same_bits(proto, feeds))
    assert False in outcomes  # most can be rewritten; whether one cannot depends on the CPU


@pytest.mark.parametrize(
    ("names", "constants"),
    [
        (["x", "s", "", "s", ""], {}),  # computed scales
        (["x", "sx", "zx", "sy", "zy"], {"sx": np.float32(-1)}),
        (["x", "sx", "zx", "sy", "zy"], {"sx": np.float32(np.nan)}),
    ],
)
def test_parameters_that_are_not_usable_leave_the_node_alone(names, constants):
    base = {"sx": np.float32(0.1), "zx": np.uint8(3), "sy": np.float32(0.1), "zy": np.uint8(1)}
    used = {name: value for name, value in (base | constants).items() if name in names}
    proto = one_node("QLinearSigmoid", names, {"x": (4,)}, "uint8", used)
    if "s" in names:
        proto.graph.input.append(helper.make_tensor_value_info("s", TensorProto.FLOAT, []))
    model = normalize(load(proto))
    assert kinds(model) == ["QLinearSigmoid"]
    assert model.proto.graph.node[0].metadata_props[0].value.startswith("its parameters are not constant")


def test_hostile_nodes_do_no_harm():
    """Attributes and inputs out of all bounds, and no outputs: the node stays, or the model is refused."""
    parameters = {"s": np.float32(0.1), "z": np.uint8(3)}
    part = ["x", "s", "z"]
    for axis in (10**9, -(10**9), 17):
        proto = one_node("QLinearConcat", ["s", "z", *part, *part], {"x": (4, 4)}, "uint8", parameters, axis=axis)
        assert kinds(normalize(load(proto))) == ["QLinearConcat"]
    for op in ("QGemm", "QLinearAdd", "QLinearConcat", "QLinearSigmoid", "QLinearAveragePool"):
        proto = one_node(op, ["x"], {"x": (4, 4)}, "uint8", {})
        assert kinds(normalize(load(proto))) == [op]
        proto.graph.node.append(helper.make_node(op, ["x"], [], "mute", domain=CONTRIBUTED))
        normalize(load(proto))
