"""Hostile models and inputs through the command line, each in a child process: one line and exit status 1, or an
answer; never a crash, a hang or a traceback."""

from __future__ import annotations

import itertools
import pickle
import re
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from fuzz import attempt, seeds
from onnx import TensorProto, helper, numpy_helper
from sandbox import call

import weft
from weft.api.execution import run as run_model
from weft.errors import ModelError, WeftError
from weft.frontend import load, normalize

FLOAT = TensorProto.FLOAT
value = helper.make_tensor_value_info


def model(nodes, constants=(), shape=(1, 4), functions=(), **options) -> onnx.ModelProto:
    open_shape = [f"o{axis}" for axis in range(len(shape))]
    graph = helper.make_graph(
        nodes, "hostile", [value("x", FLOAT, shape)], [value("y", FLOAT, open_shape)], list(constants)
    )
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("mine", 1)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8, functions=list(functions), **options)


def constant(array, name: str) -> TensorProto:
    return numpy_helper.from_array(np.asarray(array), name)


def one(kind: str, inputs=("x",), output="y", **attributes) -> onnx.NodeProto:
    return helper.make_node(kind, list(inputs), [output], **attributes)


def nested(depth: int) -> onnx.ModelProto:
    graph = helper.make_graph([one("Identity", output="z0")], "g0", [], [value("z0", FLOAT, ["a", "b"])])
    for level in range(1, depth):
        node = helper.make_node("If", ["c"], [f"z{level}"], then_branch=graph, else_branch=other(f"e{level}"))
        graph = helper.make_graph([node], f"g{level}", [], [value(f"z{level}", FLOAT, ["a", "b"])])
    return model(
        [helper.make_node("If", ["c"], ["y"], then_branch=graph, else_branch=other("e"))], [constant(True, "c")]
    )


def other(name: str) -> onnx.GraphProto:
    return helper.make_graph([one("Neg", output=name)], name, [], [value(name, FLOAT, ["a", "b"])])


def wrapped(field: int, content: bytes) -> bytes:
    length, size = b"", len(content)
    while size > 127:
        length, size = length + bytes([size & 127 | 128]), size >> 7
    return bytes([field << 3 | 2]) + length + bytes([size]) + content


def bottomless(depth: int) -> bytes:
    """A model file whose one node holds a graph whose one node holds a graph, and so on."""
    graph = b""
    for _ in range(depth):
        node = wrapped(4, b"If") + wrapped(5, wrapped(1, b"then_branch") + wrapped(6, graph) + b"\xa0\x01\x05")
        graph = wrapped(1, node)
    return b"\x08\x08" + wrapped(7, graph) + wrapped(8, b"\x10\x11")


def calls_itself() -> onnx.ModelProto:
    body = [helper.make_node("f", ["a"], ["b"], domain="mine")]
    function = helper.make_function("mine", "f", ["a"], ["b"], body, [helper.make_opsetid("mine", 1)])
    return model([helper.make_node("f", ["x"], ["y"], domain="mine")], functions=[function])


def call_each_other() -> onnx.ModelProto:
    imports = [helper.make_opsetid("mine", 1)]
    functions = [
        helper.make_function("mine", a, ["a"], ["b"], [helper.make_node(b, ["a"], ["b"], domain="mine")], imports)
        for a, b in (("f", "g"), ("g", "f"))
    ]
    return model([helper.make_node("f", ["x"], ["y"], domain="mine")], functions=functions)


def doubling_functions(levels: int) -> onnx.ModelProto:
    """Each calls the one before twice: 2^levels nodes when inlined."""
    imports = [helper.make_opsetid("mine", 1), helper.make_opsetid("", 17)]
    functions = [helper.make_function("mine", "f0", ["a"], ["b"], [helper.make_node("Neg", ["a"], ["b"])], imports)]
    for level in range(1, levels):
        body = [helper.make_node(f"f{level - 1}", [a], [b], domain="mine") for a, b in (("a", "m"), ("m", "b"))]
        functions.append(helper.make_function("mine", f"f{level}", ["a"], ["b"], body, imports))
    return model([helper.make_node(f"f{levels - 1}", ["x"], ["y"], domain="mine")], functions=functions)


def calling_functions(depth: int) -> onnx.ModelProto:
    imports = [helper.make_opsetid("mine", 1), helper.make_opsetid("", 17)]
    functions = [helper.make_function("mine", "f0", ["a"], ["b"], [helper.make_node("Neg", ["a"], ["b"])], imports)]
    for level in range(1, depth):
        body = [helper.make_node(f"f{level - 1}", ["a"], ["b"], domain="mine")]
        functions.append(helper.make_function("mine", f"f{level}", ["a"], ["b"], body, imports))
    return model([helper.make_node(f"f{depth - 1}", ["x"], ["y"], domain="mine")], functions=functions)


def names(count: int) -> list[str]:
    return ["x", *(f"t{index}" for index in range(count - 1)), "y"]


def chain(length: int, kind: str = "Neg", more: tuple[str, ...] = (), name: str = "") -> onnx.ModelProto:
    constants = [constant(np.asarray([number], np.int64), each) for each, number in (("begin", 0), ("end", 9))]
    nodes = [helper.make_node(kind, [a, *more], [b], name=name) for a, b in itertools.pairwise(names(length))]
    return model(nodes, constants)


def fan(count: int, kind: str) -> onnx.ModelProto:
    """Many readers of one tensor, all of whose results are wanted."""
    nodes = [one(kind, ("x",), f"t{index}") for index in range(count)]
    sums = [one("Sum", (f"t{2 * index}", f"t{2 * index + 1}"), f"s{index}") for index in range(count // 2)]
    return model([*nodes, *sums, one("Sum", tuple(f"s{index}" for index in range(0, count // 2, 100)), "y")])


def wide(count: int) -> onnx.ModelProto:
    """One node that reads the results of many, each of which another one replaces."""
    nodes = [one("Identity", ("x",), f"t{index}") for index in range(count)]
    nodes += [one("Identity", (f"t{index}",), f"u{index}") for index in range(count)]
    return model([*nodes, one("Max", tuple(f"u{index}" for index in range(count)), "y")])


def constants_and_sums(count: int) -> onnx.ModelProto:
    nodes = [helper.make_node("Constant", [], [f"c{index}"], value_float=1.0) for index in range(count)]
    sums = [one("Add", (a, f"c{index}"), b) for index, (a, b) in enumerate(itertools.pairwise(names(count)))]
    return model([*nodes, *sums])


def stored(dims, raw: bytes, kind: int = FLOAT) -> TensorProto:
    return TensorProto(name="w", data_type=kind, dims=dims, raw_data=raw)


def quantized(scale, zero_point, axis: int = 1) -> onnx.ModelProto:
    nodes = [
        one("QuantizeLinear", ("x", "s", "z"), "q", axis=axis),
        one("DequantizeLinear", ("q", "s", "z"), "d", axis=axis),
        one("Conv", ("d", "w"), "c"),
        one("QuantizeLinear", ("c", "s", "z"), "o", axis=axis),
        one("DequantizeLinear", ("o", "s", "z"), "y", axis=axis),
    ]
    constants = [constant(np.ones((4, 4, 1, 1), np.float32), "w"), constant(np.asarray(scale, np.float32), "s")]
    return model(nodes, [*constants, constant(np.asarray(zero_point, np.int8), "z")], (1, 4, 3, 3))


def external(**entries: str) -> onnx.ModelProto:
    tensor = TensorProto(name="w", data_type=FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    for key, text in entries.items():
        tensor.external_data.add(key=key, value=text)
    return model([one("Add", ("x", "w"))], [tensor])


REFUSED: dict[str, Callable[[], onnx.ModelProto]] = {
    "missing initializer": lambda: model([one("Add", ("x", "absent"))]),
    "cycle": lambda: model([one("Add", ("x", "b"), "a"), one("Neg", ("a",), "b"), one("Neg", ("b",))]),
    "unknown domain": lambda: model([helper.make_node("f", ["x"], ["y"], domain="elsewhere")]),
    "unknown operator": lambda: model([one("Nothing\nlike\x1b[31mit")]),
    "bad shapes": lambda: model([one("MatMul", ("x", "w"))], [constant(np.ones((7, 3), np.float32), "w")]),
    "two producers": lambda: model([one("Neg"), one("Abs")]),
    "wrong raw data": lambda: model([one("Add", ("x", "w"))], [stored([4], b"123")]),
    "negative extent": lambda: model([one("Add", ("x", "w"))], [stored([-4], b"")]),
    "huge extent": lambda: model([one("Add", ("x", "w"))], [stored([2**60], b"")]),
    "product of extents beyond 64 bits": lambda: model([one("Add", ("x", "w"))], [stored([2**40, 2**40], b"")]),
    "huge input": lambda: model([one("Neg")], shape=(2**60, 4)),
    "huge expansion": lambda: model([one("Expand", ("x", "w"))], [constant([2**40, 4], "w")]),
    "negative input": lambda: model([one("Neg")], shape=(-3, 4)),
    "attribute of the wrong type": lambda: model([one("Softmax", axis="first")]),
    "axis out of range": lambda: model([one("Softmax", axis=9)]),
    "function calls itself": calls_itself,
    "functions call each other": call_each_other,
    "functions that double": lambda: doubling_functions(40),
    "functions 5000 deep": lambda: calling_functions(5000),
    "absent external data": lambda: external(location="absent.bin"),
    "external data above": lambda: external(location="../outside.bin"),
    "external data above, by a detour": lambda: external(location="inside/../../outside.bin"),
    "external data through a linked folder": lambda: external(location="linked/outside.bin"),
    "external data at a root": lambda: external(location="/etc/hostname"),
    "external data through a link": lambda: external(location="link.bin"),
    "external offset beyond": lambda: external(location="beside.bin", offset="99", length="16"),
    "external offset negative": lambda: external(location="beside.bin", offset="-1", length="16"),
    "external offset no number": lambda: external(location="beside.bin", offset="many"),
    "zero points of another shape": lambda: quantized(0.1, [0, 0]),
    "quantized axis out of range": lambda: quantized([0.1] * 4, [0] * 4, axis=9),
}
ANY: dict[str, Callable[[], onnx.ModelProto]] = {
    "scale not a number": lambda: quantized(np.nan, 0),
    "scale infinite": lambda: quantized(np.inf, 0),
    "scale zero": lambda: quantized(0.0, 0),
    "scale negative": lambda: quantized(-0.5, 0),
    "scale denormal": lambda: quantized(1e-45, 0),
    "control characters in names": lambda: model(
        [one("Neg", ("x",), "a\nb\x00\x1b[31m"), one("Neg", ("a\nb\x00\x1b[31m",))]
    ),
    "no extent": lambda: model([one("Neg")], shape=(0, 4)),
    "branches 20 deep": lambda: nested(20),
    "chain of 3000": lambda: chain(3000),
}


LARGE: dict[str, Callable[[], onnx.ModelProto]] = {
    "chain": lambda: chain(10_000),
    "one name for all nodes": lambda: chain(10_000, name="same"),
    "nodes that do nothing": lambda: chain(10_000, "Identity"),
    "slices": lambda: chain(10_000, "Slice", ("begin", "end")),
    "many readers": lambda: fan(10_000, "Identity"),
    "many inputs": lambda: wide(10_000),
    "many constants": lambda: constants_and_sums(10_000),
}


def write(folder: Path, proto: onnx.ModelProto) -> Path:
    outside = folder / "outside"
    inside = folder / "folder"
    (inside / "inside").mkdir(parents=True)
    outside.mkdir()
    for file in (inside / "beside.bin", folder / "outside.bin", outside / "outside.bin"):
        file.write_bytes(bytes(16))
    (inside / "link.bin").symlink_to(folder / "outside.bin")
    (inside / "linked").symlink_to(outside)
    (inside / "hostile.onnx").write_bytes(proto.SerializeToString())
    return inside / "hostile.onnx"


def run(folder: Path, proto: onnx.ModelProto):
    return call(["run", str(write(folder, proto))], folder)


@pytest.mark.parametrize("name", REFUSED)
def test_refused_in_one_line(name, tmp_path):
    outcome = run(tmp_path, REFUSED[name]())
    assert outcome.problem == "" and outcome.stderr.startswith("weft: ") and outcome.stderr.count("\n") == 1
    assert "no --input" not in outcome.stderr


@pytest.mark.parametrize("name", REFUSED)
def test_refused_in_one_line_of_a_typed_error(name, tmp_path):
    with pytest.raises(WeftError) as found:
        run_model(write(tmp_path, REFUSED[name]()))
    assert str(found.value).isprintable()


def test_text_that_is_not_utf_8_is_refused_wherever_it_is():
    """Protobuf accepts it when it reads, and answers with bytes where text is expected."""
    given = model([one("Neg", name="marker!")], [constant(np.zeros(1, np.float32), "marker!")])
    given.graph.name = given.graph.doc_string = given.producer_name = given.graph.input[0].doc_string = "marker!"
    given.graph.value_info.add().name = given.metadata_props.add().key = "marker!"
    given.graph.node[0].attribute.append(helper.make_attribute("a", [1], doc_string="marker!"))
    data = given.SerializeToString()
    places = [found.start() for found in re.finditer(b"marker!", data)]
    assert len(places) == 9
    for place in places:
        with pytest.raises(ModelError, match="not UTF-8; the file is damaged"):
            load(data[:place] + b"\xa0" + data[place + 1 :])


def test_truncated_files(tmp_path):
    data = quantized(0.1, 0).SerializeToString()
    for length in (1, len(data) // 3, len(data) // 2, len(data) - 1):
        file = tmp_path / "truncated.onnx"
        file.write_bytes(data[:length])
        outcome = call(["run", str(file)], tmp_path)
        assert outcome.problem == "" and outcome.stderr.startswith("weft: "), length
        with pytest.raises(WeftError):
            weft.load(file)


@pytest.mark.parametrize("name", LARGE)
def test_time_does_not_grow_with_the_square_of_the_model(name):
    """In seconds of this process; with a step for every pair of nodes these would be minutes."""
    data = LARGE[name]().SerializeToString()
    start = time.process_time()
    normalize(load(data))
    assert time.process_time() - start < 30


def test_graphs_too_deep_to_copy():
    """Made in memory, as files cannot hold them: copying would overflow the stack."""
    deep = model([])
    graph = deep.graph
    for _ in range(20_000):
        graph = graph.node.add(op_type="If").attribute.add(name="then_branch", type=5).g
    with pytest.raises(ModelError, match="graphs within graphs"):
        load(deep)


@pytest.mark.parametrize("name", ANY)
def test_answered_or_refused_in_one_line(name, tmp_path):
    assert run(tmp_path, ANY[name]()).problem == ""


@pytest.mark.parametrize("depth", (50, 2000))
def test_graphs_without_bottom(depth, tmp_path):
    (tmp_path / "deep.onnx").write_bytes(bottomless(depth))
    outcome = call(["run", str(tmp_path / "deep.onnx")], tmp_path)
    assert outcome.problem == "" and outcome.stderr.startswith("weft: ")


@pytest.mark.parametrize("size", (0, 1, 100, 10_000_000))
def test_noise(size, tmp_path):
    (tmp_path / "noise.onnx").write_bytes(np.random.default_rng(size).bytes(size))
    outcome = call(["run", str(tmp_path / "noise.onnx")], tmp_path)
    assert outcome.problem == "" and outcome.stderr.startswith("weft: ")


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((1, 4)),
        np.zeros((1, 5), np.float32),
        np.zeros((2, 3, 4), np.float32),
        np.zeros(0, np.float32),
        np.array("text"),
        np.zeros((1, 4), "M8[s]"),
        np.zeros((1, 4), [("a", "f4")]),
        np.float32(1),
    ],
    ids=lambda array: f"{array.dtype.name}{list(array.shape)}",
)
def test_inputs_that_do_not_fit(array, tmp_path):
    (tmp_path / "m.onnx").write_bytes(model([one("Neg")]).SerializeToString())
    np.savez(tmp_path / "in.npz", x=array)
    outcome = call(["run", str(tmp_path / "m.onnx"), "-i", str(tmp_path / "in.npz")], tmp_path)
    assert outcome.problem == "" and outcome.stderr.startswith("weft: ")


def test_pickles_are_refused(tmp_path):
    (tmp_path / "m.onnx").write_bytes(model([one("Neg")]).SerializeToString())
    np.savez(tmp_path / "objects.npz", x=np.array([{}], object))
    (tmp_path / "pickle.npz").write_bytes(pickle.dumps([1]))
    np.save(tmp_path / "single.npy", np.zeros((1, 4), np.float32))
    for name in ("objects.npz", "pickle.npz", "single.npy", "m.onnx", "absent.npz"):
        outcome = call(["run", str(tmp_path / "m.onnx"), "-i", str(tmp_path / name)], tmp_path)
        assert outcome.problem == "" and outcome.stderr.startswith("weft: "), name


def test_values_that_are_no_numbers_are_answered(tmp_path):
    (tmp_path / "m.onnx").write_bytes(quantized(0.1, 0).SerializeToString())
    np.savez(tmp_path / "in.npz", x=np.full((1, 4, 3, 3), np.nan, np.float32))
    outcome = call(["run", str(tmp_path / "m.onnx"), "-i", str(tmp_path / "in.npz")], tmp_path)
    assert outcome.problem == "" and outcome.stderr == ""


def test_freshly_damaged_files(tmp_path):
    """A small part of `make fuzz`; a failure names its seed, from which the same file comes again."""
    import secrets

    seed = secrets.randbelow(2**40)
    print(f"fuzz seed {seed}")
    found = seeds(tmp_path)
    for each in range(seed, seed + 12):
        finding = attempt(found, each, tmp_path)
        assert finding is None, f"seed {each}: {finding}"
