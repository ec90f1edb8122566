"""What runs where: the cheapest partition, pins, and that the bits stay the same whatever is chosen."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import weft
from weft.api import PrepareOptions, prepare
from weft.bench.builder import QdqBuilder
from weft.compiler import compile as compile_model
from weft.errors import CompileError
from weft.frontend import Model, integerize, normalize, reference_session
from weft.partition.costs import HostProfile, host_profile
from weft_runtime import artifact
from weft_runtime.executable import Executable
from weft_runtime.session import Session

A53 = host_profile("cortex-a53")
FAR = dataclasses.replace(A53, name="far", bus_gbytes=0.001, launch_microseconds=10_000)
"""An accelerator at the end of a thin wire."""

INSTANT = dataclasses.replace(A53, name="instant", launch_microseconds=0, transfer_microseconds=0, bus_gbytes=1e6)


def residual(seed: int = 3) -> onnx.ModelProto:
    build = QdqBuilder("residual", seed)
    x = build.convolution(build.input((1, 3, 24, 24)), 16, 3)
    y = build.convolution(build.convolution(x, 16, 3), 16, 3, relu=False)
    z = build.max_pool(build.add(x, y), 2, 2, 0)
    return build.build(build.dense(build.global_average_pool(z), 10))


def transpose_between_host_nodes() -> onnx.ModelProto:
    """Quantize, transpose, dequantize: a movement that no operator beside it wants on the accelerator."""
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"], name="quantize"),
        helper.make_node("Transpose", ["q"], ["t"], name="turn", perm=[0, 1, 3, 2]),
        helper.make_node("DequantizeLinear", ["t", "s", "z"], ["y"], name="dequantize"),
    ]
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 16, 8, 8]) for name in "xy")
    constants = [
        numpy_helper.from_array(np.array(0.05, np.float32), "s"), numpy_helper.from_array(np.array(0, np.int8), "z"),
    ]  # fmt: skip
    graph = helper.make_graph(nodes, "turning", [x], [y], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)


def check_bits(model: Model, executable: Executable) -> None:
    feeds = {
        each.name: np.random.default_rng(4).normal(0, 1, [int(d) for d in each.shape]).astype(each.dtype)
        for each in model.inputs
    }
    wanted = reference_session(integerize(normalize(model))).run(None, feeds)
    with Session(executable, device="golden") as session:
        for found, expected in zip(session.run(feeds).values(), wanted, strict=True):
            np.testing.assert_array_equal(found, expected)


def homes(executable: Executable) -> dict[str, str]:
    return {node.name: node.device for node in executable.nodes}


def totals(executable: Executable) -> dict[str, int]:
    assert executable.partition is not None
    return {each.name: each.total for each in executable.partition.candidates}


@pytest.mark.parametrize("host", ["cortex-a53", "cortex-a72", "x86-server", FAR, INSTANT], ids=str)
def test_never_worse_than_all_cpu_or_take_everything(host: str | HostProfile) -> None:
    model = Model(residual())
    executable = compile_model(model, host=host)
    report, costs = executable.partition, totals(executable)
    assert report is not None and costs[report.chosen] == min(costs.values())
    assert costs.keys() == {"optimum", "take everything", "all cpu"}
    check_bits(model, executable)


def test_the_profile_decides() -> None:
    model = Model(residual())
    near, far = compile_model(model), compile_model(model, host=FAR)
    assert near.offloaded_macs == near.macs > 0 and len(near.regions) == 1
    assert far.offloaded_macs == 0 and not far.regions
    reason = next(node.reason for node in far.nodes if node.op == "QLinearConv")
    assert "cheaper on the host (far)" in reason


def test_candidates_cost_what_their_partition_costs_when_it_is_pinned() -> None:
    model = Model(residual())
    executable = compile_model(model)
    pins = {node.name: "cpu" for node in executable.nodes if node.device != "host"}
    pinned = compile_model(model, pins=pins)
    assert not pinned.regions
    assert set(totals(pinned).values()) == {totals(executable)["all cpu"]}


def test_part_of_a_model_goes_to_the_host_where_that_is_cheaper() -> None:
    """A fast host with a slow wire keeps the pool of a large tensor, and gives the products of small ones away."""
    build = QdqBuilder("hourglass", 5)
    x = build.max_pool(build.input((1, 16, 64, 64)), 8, 8, 0)
    x = build.convolution(build.convolution(x, 256, 3), 256, 3)
    model = Model(build.build(x))
    host = dataclasses.replace(A53, name="mixed", bus_gbytes=0.1, elementwise_gbytes=100.0, node_microseconds=0.1)
    executable = compile_model(model, host=host)
    found = {node.op: node.device for node in executable.nodes if node.op in ("MaxPool", "QLinearConv")}
    assert found == {"MaxPool": "host", "QLinearConv": "weft-16"}
    assert totals(executable)["optimum"] < min(totals(executable)["all cpu"], totals(executable)["take everything"])
    check_bits(model, executable)


def test_pins_by_name_hook_and_metadata() -> None:
    proto = residual()
    model = Model(proto)
    original = next(node.name for node in proto.graph.node if node.op_type == "Conv")
    by_name = compile_model(model, pins={original: "cpu"})
    by_hook = compile_model(model, annotate=lambda node: "cpu" if node.name == original else None)
    marked = onnx.ModelProto()
    marked.CopyFrom(proto)
    next(node for node in marked.graph.node if node.name == original).metadata_props.add(key="weft.pin", value="cpu")
    marked.ir_version = 10
    by_metadata = compile_model(Model(marked))
    for executable in (by_name, by_hook, by_metadata):
        assert homes(executable)[original] == "host" and 0 < executable.offloaded_macs < executable.macs
        reasons = {node.name: node.reason for node in executable.nodes}
        assert f"pinned to the host by '{original}'" in reasons[original]
    check_bits(model, by_name)
    unpinned = compile_model(Model(marked), pins={original: "accelerator"})
    assert homes(unpinned)[original] == "weft-16"


def test_a_pin_to_the_accelerator_holds_where_it_does_not_pay() -> None:
    model = Model(transpose_between_host_nodes())
    assert homes(compile_model(model))["turn"] == "host"
    for processor in ("accelerator", "weft-16"):
        executable = compile_model(model, pins={"turn": processor})
        assert homes(executable)["turn"] == "weft-16" and len(executable.regions) == 1
        check_bits(model, executable)


@pytest.mark.parametrize(
    ("pins", "reason"),
    [
        ({"trun": "cpu"}, "cannot pin 'trun': the model has no node of that name; did you mean 'turn'"),
        ({"turn": "gpu"}, "the processors here are 'cpu', 'accelerator', 'weft-16'"),
        ({"dequantize": "accelerator"}, "cannot pin 'dequantize' to 'accelerator': it gives floating-point values"),
        ({"turn": "weft-8"}, "the processors here are"),
    ],
)
def test_impossible_pins_say_why(pins: dict[str, str], reason: str) -> None:
    with pytest.raises(CompileError, match=reason):
        compile_model(Model(transpose_between_host_nodes()), pins=pins)


def test_pins_of_one_operator_must_agree() -> None:
    model = Model(residual())
    add = next(node for node in compile_model(model).nodes if node.op == "Add")
    inner = next(node for node in compile_model(model).nodes if f"pattern of {add.name}" in node.reason)
    with pytest.raises(CompileError, match="pinned to the host by"):
        compile_model(model, pins={add.name: "accelerator", inner.name: "cpu"})


def test_pins_reach_float_models_through_quantization(tmp_path: Path) -> None:
    weights = numpy_helper.from_array(np.random.default_rng(0).normal(0, 1, (8, 4, 3, 3)).astype(np.float32), "w")
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], name="first"), helper.make_node("Relu", ["a"], ["y"], name="relu"),
    ]  # fmt: skip
    x, y = (
        helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in (("x", [1, 4, 9, 9]), ("y", [1, 8, 7, 7]))
    )
    graph = helper.make_graph(nodes, "float", [x], [y], [weights])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "m.onnx")
    report = weft.verify(tmp_path / "m.onnx", pins={"first": "cpu"}, device="golden")
    assert report.exact
    model = prepare(tmp_path / "m.onnx", PrepareOptions()).model
    assert homes(compile_model(model, pins={"first": "cpu"}))["first"] == "host"


def test_costs_and_partition_survive_an_artifact(tmp_path: Path) -> None:
    executable = compile_model(Model(residual()))
    artifact.save(executable, tmp_path / "model.weft")
    assert artifact.load(tmp_path / "model.weft") == executable
    by_operator: dict[str, Any] = {node.op: node for node in executable.nodes}
    places = {cost.processor: cost.nanoseconds for cost in by_operator["QLinearConv"].costs}
    assert places.keys() == {"host", "weft-16"} and places["host"] > places["weft-16"] > 0


def test_equal_models_compile_alike_with_a_cold_and_a_warm_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for folder in ("a", "a", "b"):
        monkeypatch.setenv("WEFT_CACHE", str(tmp_path / folder))
        found.append(compile_model(Model(residual())))
    assert found[0] == found[1] == found[2]
