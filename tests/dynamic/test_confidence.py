"""A softmax's greatest value against a threshold, quantized to integers: the decision that exact arithmetic takes."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx_writer import FLOAT, GraphWriter

import weft
from weft.dynamic import FormRunner, split
from weft.frontend import Model, load, normalize
from weft.frontend.topology import all_nodes

CLASSES = 4
COMPARED = {
    "Greater": np.greater, "GreaterOrEqual": np.greater_equal, "Less": np.less, "LessOrEqual": np.less_equal
}  # fmt: skip


def deciding(comparison: str, threshold: float, *, constant_first: bool, classes: int = CLASSES) -> onnx.ModelProto:
    """Logits, which are an output too, and a gate on their confidence."""
    g = GraphWriter()
    x = g.dense(g.value("x", FLOAT, [1, classes]), np.eye(classes, dtype=np.float32), np.zeros(classes, np.float32))
    best = g.node("ReduceMax", [g.node("Softmax", [x], axis=1)], keepdims=0)
    constant = g.constant(np.float32(threshold), "threshold")
    decided = g.node(comparison, [constant, best] if constant_first else [best, constant])
    then, otherwise = g.body(), g.body()
    weights = np.ones((classes, 2), np.float32)
    sides = [each.dense(x, weights * k, np.zeros(2, np.float32)) for k, each in enumerate((then, otherwise), 1)]
    both = g.if_(decided, then, sides[:1], otherwise, sides[1:])
    return g.model([(both, FLOAT, [1, 2]), (x, FLOAT, [1, classes])])


def rows(classes: int = CLASSES) -> np.ndarray:
    random = np.random.default_rng(0)
    some = random.uniform(-6, 6, (150, classes)) * random.uniform(0, 1, (150, 1))
    equal = np.repeat(random.uniform(-6, 6, (20, 1)), classes, axis=1)
    return np.concatenate([some, equal, np.eye(classes) * 12 - 6]).astype(np.float32)


def decisions(model: Model, classes: int = CLASSES) -> tuple[np.ndarray, np.ndarray]:
    """For each row whether the gate says yes, and the logits as stored."""
    form = split(normalize(model)).form
    assert form is not None
    runner = FormRunner(form)
    results = [runner.run({"x": row[None]}) for row in rows(classes)]
    truth = np.asarray([path[0].outcome == "then" for _, path in results])
    return truth, np.stack([np.asarray(answer["output_1"], np.float64)[0] for answer, _ in results])


@pytest.mark.parametrize(
    ("threshold", "constant_first"),
    [(-0.5, False), (0.0, True), (0.25, False), (0.25, True), (0.6, False), (1.0, False)],
)
@pytest.mark.parametrize("comparison", COMPARED)
def test_decides_as_exact_arithmetic_does(comparison: str, threshold: float, constant_first: bool) -> None:
    model = weft.quantize(load(deciding(comparison, threshold, constant_first=constant_first)), {"x": rows()})
    kinds = {node.op_type for node in all_nodes(model.proto.graph)}
    assert "Softmax" not in kinds and "Gather" in kinds
    truth, logits = decisions(model)
    sums = np.exp(logits - logits.max(axis=1, keepdims=True)).sum(axis=1)
    best = 1 / sums
    wanted = COMPARED[comparison](*((threshold, best) if constant_first else (best, threshold)))
    limit = 1 / threshold if threshold > 0 else np.inf
    near = np.abs(sums - limit) < CLASSES * 2.0**-17
    near &= sums != CLASSES  # equal logits: nothing is rounded
    if threshold == 1:  # the sum is 1 and a little; in units of the table, perhaps nothing
        near |= sums < 1 + CLASSES * 2.0**-17
    assert near.mean() < 0.2
    np.testing.assert_array_equal(truth[~near], wanted[~near])


def test_more_classes_have_a_coarser_unit() -> None:
    model = weft.quantize(load(deciding("Greater", 0.01, constant_first=False, classes=600)), {"x": rows(600)})
    (table,) = [each for each in model.proto.graph.initializer if list(each.dims) == [256]]
    assert onnx.numpy_helper.to_array(table).max() == 1 << 14
    truth, logits = decisions(model, 600)
    best = 1 / np.exp(logits - logits.max(axis=1, keepdims=True)).sum(axis=1)
    np.testing.assert_array_equal(truth, best > 0.01)
    assert len(set(truth.tolist())) == 2


@pytest.mark.parametrize("kind", ["Softmax", "ReduceMax", "Greater"])
def test_what_is_kept_float_stays(kind: str) -> None:
    source = load(deciding("Greater", 0.6, constant_first=False))
    name = next(node.name for node in source.proto.graph.node if node.op_type == kind)
    model = weft.quantize(source, {"x": rows()}, exclude=[name])
    assert "Softmax" in {node.op_type for node in all_nodes(model.proto.graph)}
    executable = weft.compile(model, annotate=lambda node: "accelerator" if node.op_type == "QLinearConv" else None)
    assert executable.executable.control is not None
