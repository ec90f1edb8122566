"""Gates kept float on the host: what belongs to a gate, fewer flips against the float model, and still equal bits."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import numpy as np
import onnx
import pytest
from agreement import agreed

import weft
from weft.api.describe import explain
from weft.dynamic import FormRunner, gate_nodes, split
from weft.errors import QuantizationError
from weft.frontend import Model, load, normalize

pytest.importorskip("sklearn")
from networks import NETWORKS, Network, Weights
from onnx_writer import BOOL, FLOAT, INT64, GraphWriter
from suite import SUITE

INPUTS = 500
SAVED = ("blockdrop", "block_policy", "experts", "skip_gates")
"""Networks whose gates compute more than a comparison of what the outputs also need."""

MOST_LEFT = 0.4
"""Share of the flips that the 8 bits of the data path may still cause."""


def recurrent_gate() -> Network:
    """A residual layer in a loop runs where a gate says so, which has a state of its own."""
    weights, size, own = Weights(21), 32, 8
    g = GraphWriter()
    state = g.dense(g.value("vector", FLOAT, [1, size]), *weights.dense(size, size), relu=True)
    b = g.body()
    b.value("step", INT64, [])
    going = b.value("going", BOOL, [])
    hidden, memory = b.value("hidden", FLOAT, [1, size]), b.value("memory", FLOAT, [1, own])
    seen = b.node("Add", [b.dense(hidden, *weights.dense(size, own)), b.dense(memory, *weights.dense(own, own))])
    remembered = b.node("Tanh", [seen])
    opened = b.above(b.dense(remembered, *weights.dense(own, 1, 2.0)), -0.5)
    then, otherwise = b.body(), b.body()
    added = then.node("Add", [hidden, then.dense(hidden, *weights.dense(size, size), relu=True)])
    following = b.if_(opened, then, [added], otherwise, [hidden])
    zero, steps = g.constant(np.zeros((1, own), np.float32), "zero"), g.constant(np.int64(4), "steps")
    result, _ = g.node("Loop", [steps, "", state, zero], 2, body=b.graph([going, following, remembered]))
    rows = np.random.default_rng(21).standard_normal((INPUTS + 100, size)).astype(np.float32)
    return Network(g.model([(g.dense(result, *weights.dense(size, 10)), FLOAT, [1, 10])]), {"vector": rows})


def quantized(network: Network, gates: str) -> Model:
    samples = {key: rows[:200] for key, rows in network.inputs.items()}
    return weft.quantize(load(network.model), samples, weft.QuantizeOptions(gates=gates))  # type: ignore[arg-type]


def runner(model: Model) -> FormRunner:
    form = split(normalize(model)).form
    assert form is not None
    return FormRunner(form)


@cache
def flips(name: str) -> tuple[int, int]:
    """Samples that go another way than in the float model: with gates in 8 bits, and in float. The program with float
    gates computes, and decides, what an independent interpreter says, bit for bit."""
    source, calibration, samples = case(name)
    wanted = runner(source)
    paths = [wanted.run(sample)[1] for sample in samples]
    small = runner(weft.quantize(source, calibration))
    model = weft.quantize(source, calibration, weft.QuantizeOptions(gates="float"))
    agreed(model, [weft.compile(model)], samples, 0)
    found = (
        sum(each.run(sample)[1] != path for sample, path in zip(samples, paths, strict=True))
        for each in (small, runner(model))
    )
    return next(found), next(found)


@pytest.mark.parametrize("name", SAVED)
def test_decisions_do_not_flip_more(name: str) -> None:
    before, after = flips(name)
    assert after <= before


def test_fewer_decisions_flip() -> None:
    """Of all these networks together: one by one they flip a handful of 500."""
    before, after = (sum(each) for each in zip(*map(flips, SAVED), strict=True))
    assert after <= MOST_LEFT * before


def case(name: str) -> tuple[Model, Mapping[str, np.ndarray], list[dict[str, np.ndarray]]]:
    """A float model, its calibration data, and samples."""
    if name in SUITE:
        data = SUITE[name].data()
        samples = [data.evaluation.sample(index) for index in range(INPUTS)]
        return weft.load(SUITE[name].model), data.calibration.inputs, samples
    network = NETWORKS[name]()
    rows = [{key: each[index : index + 1] for key, each in network.inputs.items()} for index in range(INPUTS)]
    return load(network.model), {key: each[:200] for key, each in network.inputs.items()}, rows


def test_a_state_of_its_own_belongs_to_the_gate() -> None:
    """The slice goes around the loop; what data need too is none of it."""
    form = split(normalize(load(recurrent_gate().model))).form
    assert form is not None
    gates = gate_nodes(form)
    operators = sorted(
        node.op_type
        for network, names in zip(form.networks, gates, strict=True)
        for node in network.proto.graph.node
        if node.name in names
    )
    assert operators == sorted(["Gemm"] * 3 + ["Add", "Tanh", "Greater", "Reshape"] + ["Identity"] * 2)


def products(model: Model) -> tuple[int, int]:
    """Numbers of products with stored and with float operands."""
    graphs = [model.proto.graph]
    stored = plain = 0
    while graphs:
        graph = graphs.pop()
        restored = {name for node in graph.node if node.op_type == "DequantizeLinear" for name in node.output}
        for node in graph.node:
            graphs += [each.g for each in node.attribute if each.type == onnx.AttributeProto.GRAPH]
            if node.op_type in ("Conv", "Gemm", "MatMul"):
                stored, plain = stored + (node.input[1] in restored), plain + (node.input[1] not in restored)
    return stored, plain


def test_the_data_path_is_quantized_as_before() -> None:
    network = recurrent_gate()
    assert products(quantized(network, "int8")) == (6, 0)
    assert products(quantized(network, "float")) == (3, 3)


def test_explain_says_what_only_decisions_depend_on() -> None:
    network = recurrent_gate()
    for gates in ("int8", "float"):
        nodes = explain(weft.compile(quantized(network, gates)).executable)["nodes"]
        marked = [each for each in nodes if "only decisions depend on it" in each["reason"]]
        assert sum(each["macs"] > 0 for each in marked) == 3 < sum(each["macs"] > 0 for each in nodes) == 6
        assert {each["device"] for each in marked if each["macs"]} == {"host" if gates == "float" else "weft-16"}


def test_unknown_choice() -> None:
    with pytest.raises(QuantizationError, match="choice for gates 'int4'; use one of 'int8', 'float'"):
        quantized(recurrent_gate(), "int4")
