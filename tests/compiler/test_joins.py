"""Concatenations of whole channel blocks move nothing, and change no bit."""

from __future__ import annotations

import numpy as np
import pytest
import qdq

from weft.bench.builder import Activation, QdqBuilder
from weft_runtime.executable import Executable

SCALE = 0.05


def check(build: QdqBuilder, *outputs: Activation) -> Executable:
    """One region whose answers are ONNX Runtime's, on the golden model and on the simulator."""
    proto = build.build(*outputs)
    random = np.random.default_rng(4)
    shapes = {each.name: [d.dim_value for d in each.type.tensor_type.shape.dim] for each in build.inputs}
    feeds = {name: random.normal(0, 1, shape).astype(np.float32) for name, shape in shapes.items()}
    qdq.run((proto, feeds), "weft-16", "golden")
    executable = qdq.run((proto, feeds), "weft-16", "sim")
    assert len(executable.regions) == 1
    return executable


def moving(executable: Executable) -> bool:
    """Whether any instruction belongs to the quantization behind a Concat."""
    concatenations = {node.name for node in executable.nodes if node.op == "Concat"}
    assert concatenations
    return any(source.startswith("QuantizeLinear") for source in executable.regions[0].sources)


@pytest.mark.parametrize(
    ("first", "second", "copied"), [(16, 32, False), (32, 5, False), (16, 3, False), (17, 16, True)]
)
def test_whole_blocks_are_written_in_place(first: int, second: int, copied: bool) -> None:
    """Only a partly filled block in front of another part has to be moved."""
    build = QdqBuilder("fire", 5)
    x = build.convolution(build.input((1, 16, 9, 11)), 16, 1)
    a = build.convolution(x, first, 3, scale=SCALE)
    b = build.convolution(x, second, 1, scale=SCALE)
    y = build.convolution(build.concat(a, b), 24, 3)
    assert moving(check(build, y)) == copied


def test_dense_block_has_one_home_for_all_its_parts() -> None:
    """Each layer reads the concatenation of all before: the last one holds all, the earlier ones are pieces of it."""
    build = QdqBuilder("dense", 6)
    parts = [build.convolution(build.input((1, 16, 8, 8)), 32, 3, scale=SCALE)]
    joined = parts[0]
    for _ in range(3):
        parts.append(build.convolution(joined, 16, 3, scale=SCALE))
        joined = build.concat(*parts)
    assert not moving(check(build, build.convolution(joined, 8, 1)))


def test_parts_that_leave_the_region_or_come_twice_are_copied() -> None:
    """A part that is a model output, a part of two concatenations in different places, and one part given twice."""
    build = QdqBuilder("shared", 7)
    x = build.convolution(build.input((1, 16, 6, 6)), 16, 1)
    a, b = (build.convolution(x, 16, 3, scale=SCALE) for _ in range(2))
    one, other, twice = build.concat(a, b), build.concat(b, a), build.concat(a, a)
    outputs = [build.convolution(each, 16, 1) for each in (one, other, twice)]
    assert moving(check(build, *outputs, a))


def test_batches_are_copied() -> None:
    build = QdqBuilder("batch", 8)
    x = build.convolution(build.input((2, 16, 5, 5)), 16, 1)
    a, b = (build.convolution(x, 16, 3, scale=SCALE) for _ in range(2))
    assert moving(check(build, build.convolution(build.concat(a, b), 16, 1)))
