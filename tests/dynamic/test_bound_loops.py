"""The count that a Loop gets where its condition bounds a counter: as many iterations as ONNX Runtime's Loop makes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnx_writer import BOOL, INT64, GraphWriter

from weft.frontend import load, normalize, reference_session
from weft.frontend.passes.bound_loops import BoundLoops
from weft.frontend.topology import all_graphs, all_nodes

TRAINED = Path(__file__).parents[2] / "examples/dynamic/trained"


def bound_of(proto: onnx.ModelProto) -> int | None:
    constants = {each.name: each for graph in all_graphs(proto.graph) for each in graph.initializer}
    (count,) = (node.input[0] for node in all_nodes(proto.graph) if node.op_type == "Loop")
    return int(numpy_helper.to_array(constants[count])) if count in constants else None


def counting(
    start: int, step: int, limit: int, comparison: str = "Less", counts: str = "after", given: int | None = None
) -> onnx.ModelProto:
    """A loop that adds up `step` while the counter, `after` or `before` the addition, compares so with the limit."""
    g = GraphWriter()
    going = g.node("Identity", [g.value("going", BOOL, [])])
    body = g.body()
    body.value("iteration", INT64, [])
    body.value("still", BOOL, [])
    counter = body.value("counter", INT64, [])
    following = body.node("Add", [body.constant(np.int64(step)), counter])
    operands = [following if counts == "after" else counter, body.constant(np.int64(limit))]
    more = body.node(comparison, operands if comparison.startswith("Less") else operands[::-1])
    count = "" if given is None else g.constant(np.int64(given))
    last = g.node("Loop", [count, going, g.constant(np.int64(start))], body=body.graph([more, following]))
    return g.model([(last, INT64, [])])


@pytest.mark.parametrize("comparison", ["Less", "LessOrEqual", "Greater", "GreaterOrEqual"])
@pytest.mark.parametrize("counts", ["after", "before"])
@pytest.mark.parametrize(
    ("start", "step", "limit"), [(0, 1, 8), (3, 2, 8), (3, 2, 9), (-5, 3, 0), (7, 1, 2), (0, 4, 4)]
)
def test_counters(start: int, step: int, limit: int, comparison: str, counts: str) -> None:
    proto = counting(start, step, limit, comparison, counts)
    bounded = BoundLoops().run(load(proto))
    (last,) = reference_session(load(proto)).run(None, {"going": np.asarray(True)})
    assert bound_of(bounded.proto) == (int(last) - start) // step
    for going in (True, False):
        feeds = {"going": np.asarray(going)}
        for ours, theirs in zip(
            reference_session(bounded).run(None, feeds), reference_session(load(proto)).run(None, feeds), strict=True
        ):
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("proto", "bound"),
    [
        (counting(0, -1, 8), None),
        (counting(0, 0, 8), None),
        (counting(2**31 - 4, 3, 2**31 - 2), None),
        (counting(0, 1, 8, given=5), 5),
        (counting(0, 1, 8, given=50), 8),
    ],
)
def test_what_is_no_bound(proto: onnx.ModelProto, bound: int | None) -> None:
    assert bound_of(BoundLoops().run(load(proto)).proto) == bound


@pytest.mark.parametrize(
    ("name", "bound"),
    [
        ("captioner", 5), ("decoder", 8), ("halting", 10), ("if_in_while", 8), ("while_in_if", 8),
        ("cond_in_while_loop", 8), ("while_loop_in_cond", 8),
    ],
)  # fmt: skip
def test_loops_of_programs(name: str, bound: int) -> None:
    """`and`, `&`, and a `break` behind which the counter is not the one that the condition saw."""
    model = load(TRAINED / f"{name}.onnx")
    assert bound_of(model.proto) is None
    assert bound_of(normalize(model).proto) == bound
