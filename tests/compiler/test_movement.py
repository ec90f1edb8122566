"""Operators that move elements, alone and in chains, between operators that compute: bit for bit, and in one region."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
import qdq
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from weft.codegen.movement import MAX_COPIES
from weft.codegen.nests import Nest, factor
from weft.compiler import compile as compile_model
from weft.frontend import Model, integerize, normalize, reference_session
from weft.ir import Graph, Movement, View, recognize
from weft_runtime.executable import Executable
from weft_runtime.npu import machine_of
from weft_runtime.session import Session
from weft_sim.isa.program import decode_program
from weft_sim.races import check as find_races

TARGETS = ("weft-8", "weft-16", "weft-32", "vta-16")
OPERATORS = (
    "Slice", "Pad", "PadEdge", "Concat", "Split", "Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Expand",
    "DepthToSpace", "SpaceToDepth", "Gather", "Resize", "Identity", "Tile",
)  # fmt: skip
SCALE, ZERO = 0.02, -5


class Chain:
    """A tensor on its way through a model: quantized int8 values of one scale, between sigmoids."""

    def __init__(self, draw: Any, graph: Any, literal: bool) -> None:
        self.draw, self.graph, self.literal = draw, graph, literal

    def integer(self, low: int, high: int) -> int:
        return int(self.draw(st.integers(low, high)))

    def quantize(self, value: str, scale: float = SCALE, zero: int = ZERO) -> str:
        return self.graph.node(
            "QuantizeLinear", [value, self.graph.constant(np.float32(scale)), self.graph.constant(np.int8(zero))]
        )

    def computed(self, name: str, scale: float = SCALE, zero: int = ZERO, read: tuple[float, int] | None = None) -> str:
        """Something that the accelerator computes, whatever the shape."""
        value = self.graph.dequantize(name, *(read or (SCALE, ZERO)), "int8")
        return self.quantize(self.graph.node("Sigmoid", [value]), scale, zero)

    def between(self, name: str) -> str:
        return self.graph.dequantize(name, SCALE, ZERO, "int8") if self.literal else name

    def behind(self, name: str) -> str:
        return self.quantize(name) if self.literal else name

    def constant(self, *values: int) -> str:
        return str(self.graph.constant(np.array(values, np.int64)))

    def move(self, kind: str, name: str, shape: tuple[int, ...]) -> tuple[list[str], tuple[int, ...]]:
        """Appends one operator; the new tensors (all of one shape) and that shape."""
        value = self.between(name)
        inputs, attributes, shape, count = getattr(self, kind.lower())(value, shape)
        kind = kind.removesuffix("Edge")
        names = [f"{kind}{len(self.graph.nodes)}_{i}" for i in range(count)]
        self.graph.nodes.append(
            onnx.helper.make_node(kind, inputs, names, name=f"n{len(self.graph.nodes)}_{kind}", **attributes)
        )
        return [self.behind(each) for each in names], shape

    def slice(self, value: str, shape: tuple[int, ...]) -> Any:
        starts, ends, steps, sizes = [], [], [], []
        for extent in shape:
            step = self.draw(st.sampled_from((1, 1, 1, 2, 3, -1, -2)))
            first = self.integer(0, extent - 1)
            count = self.integer(1, 1 + ((extent - 1 - first) if step > 0 else first) // abs(step))
            end = first + (count - 1) * step + (1 if step > 0 else -1)
            starts.append(first)
            ends.append(end if end >= 0 else -(1 << 40))
            steps.append(step)
            sizes.append(count)
        axes = self.constant(*range(len(shape)))
        given = [value, self.constant(*starts), self.constant(*ends), axes, self.constant(*steps)]
        return given, {}, tuple(sizes), 1

    def pad(self, value: str, shape: tuple[int, ...]) -> Any:
        pads = [
            self.integer(-min(1, extent - 1), 4) if extent > 1 else self.integer(0, 4) for extent in (*shape, *shape)
        ]
        pads = [max(0, pad) if extent < 3 else pad for pad, extent in zip(pads, (*shape, *shape), strict=True)]
        fill = np.float32(self.draw(st.floats(-9, 9, width=32))) if self.literal else np.int8(self.integer(-128, 127))
        rank = len(shape)
        sizes = tuple(extent + pads[i] + pads[rank + i] for i, extent in enumerate(shape))
        return [value, self.constant(*pads), str(self.graph.constant(fill))], {}, sizes, 1

    def padedge(self, value: str, shape: tuple[int, ...]) -> Any:
        pads = [self.integer(0, 2) for _ in (*shape, *shape)]
        sizes = tuple(extent + pads[i] + pads[len(shape) + i] for i, extent in enumerate(shape))
        return [value, self.constant(*pads)], {"mode": "edge"}, sizes, 1

    def concat(self, value: str, shape: tuple[int, ...]) -> Any:
        axis = self.integer(0, len(shape) - 1)
        other = tuple(self.integer(1, 20) if i == axis else extent for i, extent in enumerate(shape))
        scale = float(self.draw(st.sampled_from((SCALE, SCALE, 0.013)))) if self.literal else SCALE
        added = self.computed(self.graph.input(other, "int8"), scale, ZERO)
        added = self.graph.dequantize(added, scale, ZERO, "int8") if self.literal else added
        sizes = tuple(extent + other[i] if i == axis else extent for i, extent in enumerate(shape))
        return self.draw(st.permutations([value, added])), {"axis": axis}, sizes, 1

    def split(self, value: str, shape: tuple[int, ...]) -> Any:
        axis = self.integer(0, len(shape) - 1)
        parts = self.draw(st.sampled_from([n for n in (1, 2, 3, 4) if shape[axis] % n == 0]))
        sizes = tuple(extent // parts if i == axis else extent for i, extent in enumerate(shape))
        return [value, self.constant(*[shape[axis] // parts] * parts)], {"axis": axis}, sizes, parts

    def transpose(self, value: str, shape: tuple[int, ...]) -> Any:
        order = self.draw(st.permutations(range(len(shape))))
        return [value], {"perm": order}, tuple(shape[i] for i in order), 1

    def reshape(self, value: str, shape: tuple[int, ...]) -> Any:
        factors = [p for extent in shape for p in primes(extent)]
        sizes = [1] * self.integer(1, 4)
        for each in factors:
            sizes[self.integer(0, len(sizes) - 1)] *= each
        return [value, self.constant(*sizes)], {}, tuple(sizes), 1

    def flatten(self, value: str, shape: tuple[int, ...]) -> Any:
        axis = self.integer(0, len(shape))
        return [value], {"axis": axis}, (int(np.prod(shape[:axis])), int(np.prod(shape[axis:]))), 1

    def squeeze(self, value: str, shape: tuple[int, ...]) -> Any:
        ones = [i for i, extent in enumerate(shape) if extent == 1][: len(shape) - 1]
        if not ones:
            return [self.graph.node("Unsqueeze", [value, self.constant(0)]), self.constant(0)], {}, shape, 1
        kept = tuple(extent for i, extent in enumerate(shape) if i not in ones)
        return [value, self.constant(*ones)], {}, kept, 1

    def unsqueeze(self, value: str, shape: tuple[int, ...]) -> Any:
        if len(shape) == 4:
            return [value, self.constant(self.integer(0, 4))], {}, (*shape, 1), 1
        place = self.integer(0, len(shape))
        return [value, self.constant(place)], {}, (*shape[:place], 1, *shape[place:]), 1

    def expand(self, value: str, shape: tuple[int, ...]) -> Any:
        sizes = tuple(self.integer(1, 5) if extent == 1 else extent for extent in shape)
        return [value, self.constant(*sizes)], {}, sizes, 1

    def tile(self, value: str, shape: tuple[int, ...]) -> Any:
        repeats = [self.integer(1, 2) for _ in shape]
        sizes = tuple(extent * count for extent, count in zip(shape, repeats, strict=True))
        return [value, self.constant(*repeats)], {}, sizes, 1

    def depthtospace(self, value: str, shape: tuple[int, ...]) -> Any:
        block = 2 if shape[1] % 4 == 0 else 1
        sizes = (shape[0], shape[1] // block**2, shape[2] * block, shape[3] * block)
        return [value], {"blocksize": block, "mode": self.draw(st.sampled_from(("DCR", "CRD")))}, sizes, 1

    def spacetodepth(self, value: str, shape: tuple[int, ...]) -> Any:
        block = 2 if shape[2] % 2 == shape[3] % 2 == 0 else 1
        sizes = (shape[0], shape[1] * block**2, shape[2] // block, shape[3] // block)
        return [value], {"blocksize": block}, sizes, 1

    def gather(self, value: str, shape: tuple[int, ...]) -> Any:
        axis = self.integer(0, len(shape) - 1)
        indices = [self.integer(-shape[axis], shape[axis] - 1) for _ in range(self.integer(1, 2 * shape[axis]))]
        sizes = tuple(len(indices) if i == axis else extent for i, extent in enumerate(shape))
        return [value, self.constant(*indices)], {"axis": axis}, sizes, 1

    def resize(self, value: str, shape: tuple[int, ...]) -> Any:
        sizes = (*shape[:2], *(extent * self.integer(1, 3) for extent in shape[2:]))
        modes = {
            "coordinate_transformation_mode": self.draw(st.sampled_from(("asymmetric", "half_pixel", "align_corners"))),
            "nearest_mode": self.draw(st.sampled_from(("floor", "ceil", "round_prefer_floor", "round_prefer_ceil"))),
            "mode": "nearest",
        }
        return [value, "", "", self.constant(*sizes)], modes, sizes, 1

    def identity(self, value: str, shape: tuple[int, ...]) -> Any:
        return [value], {}, shape, 1


def primes(number: int) -> list[int]:
    found = []
    for factor_ in (2, 3, 5, 7, 11, 13, 17, 19, 23):
        while number % factor_ == 0:
            found.append(factor_)
            number //= factor_
    return found + ([number] if number > 1 else [])


FOUR_AXES = ("DepthToSpace", "SpaceToDepth", "Resize")


@st.composite
def movements(draw: Any, kind: str) -> tuple[onnx.ModelProto, dict[str, Any]]:
    """sigmoid → the operator, one or two more → sigmoid."""
    graph = qdq.Qdq(draw(st.integers(0, 2**32 - 1)))
    chain = Chain(draw, graph, literal=kind in FOUR_AXES or draw(st.booleans()))
    rank = 4 if kind in FOUR_AXES else draw(st.integers(1, 4))
    shape = tuple(
        draw(st.integers(1, 2 if axis == 0 and rank == 4 else 24 if axis == 1 else 9)) for axis in range(rank)
    )
    names = [chain.computed(graph.input(shape, "int8"))]
    for each in [kind, *draw(st.lists(st.sampled_from(("Transpose", "Reshape", "Slice", "Gather")), max_size=2))]:
        made = [chain.move(each, name, shape) for name in names[:1]]
        names, shape = made[0]
        if len(shape) > 4:
            break
    if len(shape) > 4:
        names, shape = chain.move("Flatten", names[0], shape)
    for name in names:
        graph.output(graph.node("Sigmoid", [graph.dequantize(name, SCALE, ZERO, "int8")]), 0.01, 3, "int8")
    return graph.model(), graph.feeds()


def check(proto: onnx.ModelProto, feeds: dict[str, Any], target: str, *devices: str) -> Executable:
    model = Model(proto)
    executable = compile_model(model, target, host=qdq.SLOW_HOST)
    reference = reference_session(integerize(normalize(model)))
    wanted = dict(zip((o.name for o in reference.get_outputs()), reference.run(None, feeds), strict=True))
    for device in devices:
        with Session(executable, device=device) as session:
            answers = session.run(feeds)
        for name, expected in wanted.items():
            np.testing.assert_array_equal(answers[name], expected, err_msg=f"{device} {name}")
    return executable


def moved(proto: onnx.ModelProto) -> list[np.ndarray]:
    """Arrays of the shapes of the model's outputs: what was moved."""
    outputs = onnx.shape_inference.infer_shapes(proto).graph.output
    return [np.empty([dim.dim_value for dim in each.type.tensor_type.shape.dim]) for each in outputs]


def races(executable: Executable) -> list[Any]:
    found: list[Any] = []
    for region in executable.regions:
        size = (len(region.constants), region.workspace_bytes, region.io_bytes)
        starts = [int(start) for start in np.cumsum([0, *(-(-each // 4096) * 4096 for each in size)])]
        machine, program = machine_of(executable.processors[0]), decode_program(region.instructions)
        found += find_races(machine, program, starts[:3], starts[3])
    return found


@settings(max_examples=settings().max_examples // 3 + 1)
@pytest.mark.parametrize("kind", OPERATORS)
@given(data=st.data(), target=st.sampled_from(TARGETS), device=st.sampled_from(("golden", "sim")))
def test_moves_every_element_inside_one_region(kind: str, data: Any, target: str, device: str) -> None:
    proto, feeds = data.draw(movements(kind))
    executable = check(proto, feeds, target, device)
    assume(all("constant" not in node.reason for node in executable.nodes))  # all of the input was cut away
    stayed = [node for node in executable.nodes if node.device == "host"]
    if sum(len(array.reshape(-1)) for array in moved(proto)) > MAX_COPIES:  # fewer can always be moved one by one
        assume(not any("irregularly" in node.reason or "would take" in node.reason for node in stayed))
    assert not stayed, [(node.name, node.reason) for node in stayed]
    assert len(executable.regions) == 1
    assert races(executable) == []


class Fixed(Chain):
    """The same without chance: a graph of quantized tensors between DequantizeLinear and QuantizeLinear."""

    def __init__(self) -> None:
        super().__init__(None, qdq.Qdq(7), literal=True)

    def node(self, kind: str, names: list[str], *constants: str, **attributes: Any) -> str:
        values = [self.graph.dequantize(name, SCALE, ZERO, "int8") for name in names]
        return self.quantize(self.graph.node(kind, [*values, *constants], **attributes))

    def run(self, target: str = "weft-16") -> Executable:
        return check(self.graph.model(), self.graph.feeds(), target, "golden", "sim")

    def finish(self, name: str) -> None:
        self.graph.output(self.graph.node("Sigmoid", [self.between(name)]), 0.01, 3, "int8")


def operators(chain: Chain) -> list[Any]:
    return list(recognize(Graph(integerize(normalize(Model(chain.graph.model()))).proto)).operators)


def test_channel_shuffle_through_five_axes_is_one_movement() -> None:
    """Concat → Reshape → Transpose → Reshape → two Gathers, as in ShuffleNet: two movements of what the Concat read."""
    chain = Fixed()
    names = [chain.computed(chain.graph.input((1, 24, 6, 5), "int8")) for _ in range(2)]
    joined = chain.node("Concat", names, axis=1)
    folded = chain.node("Reshape", [joined], chain.constant(1, 2, 24, 6, 5))
    turned = chain.node("Transpose", [folded], perm=[0, 2, 1, 3, 4])
    halves = chain.node("Reshape", [turned], chain.constant(2, 1, 24, 6, 5))
    for half in range(2):
        chain.finish(chain.node("Gather", [halves], str(chain.graph.constant(np.int64(half))), axis=0))
    executable = chain.run()
    assert len(executable.regions) == 1 and all(node.device != "host" for node in executable.nodes)
    last = [each for each in operators(chain) if isinstance(each, Movement) and len(each.output.shape) == 4][-2:]
    assert [{tensor.shape for tensor in each.inputs} for each in last] == [{(1, 24, 6, 5)}] * 2
    assert all(len(each.inputs) == 2 for each in last)


def test_inner_result_for_the_host_too() -> None:
    """The host reads a transposed tensor that the accelerator only passes through."""
    chain = Fixed()
    name = chain.computed(chain.graph.input((2, 10, 4, 3), "int8"))
    turned = chain.node("Transpose", [name], perm=[0, 2, 3, 1])
    chain.graph.output(chain.graph.node("LRN", [chain.between(turned)], size=3), SCALE, ZERO, "int8")
    chain.finish(chain.node("Reshape", [turned], chain.constant(2, 12, 5, 2)))
    executable = chain.run()
    assert len(executable.regions) == 1
    assert [node.op for node in executable.nodes if node.device == "host" and node.op in ("LRN", "Reshape")] == ["LRN"]


def test_inputs_of_other_scales_go_through_tables() -> None:
    """Three inputs, three scales, channels that share vectors: 0 mismatches and still one region."""
    chain = Fixed()
    scales = ((SCALE, ZERO), (0.011, 4), (0.037, -90))
    made = [chain.computed(chain.graph.input((1, 5 + i, 4, 9), "int8"), *each) for i, each in enumerate(scales)]
    values = [chain.graph.dequantize(name, *each, "int8") for name, each in zip(made, scales, strict=True)]
    chain.finish(chain.quantize(chain.graph.node("Concat", values, axis=1)))
    executable = chain.run()
    assert len(executable.regions) == 1 and races(executable) == []


def test_movements_at_the_border_are_the_hosts() -> None:
    """In front of and behind all that computes they would only add transfers."""
    chain = Fixed()
    name = chain.node("Transpose", [chain.graph.input((1, 8, 8, 20), "int8")], perm=[0, 3, 1, 2])
    name = chain.computed(name)
    last = chain.node("Transpose", [name], perm=[0, 2, 3, 1])
    chain.graph.outputs.append(onnx.helper.make_tensor_value_info(last, onnx.TensorProto.INT8, None))
    executable = chain.run()
    reasons = {node.reason for node in executable.nodes if node.op == "Transpose" and node.device == "host"}
    assert [step.kind for step in executable.steps] == ["host", "device", "host"]
    assert any("in front" in reason for reason in reasons) and any("behind" in reason for reason in reasons)


def test_there_and_back_is_nothing() -> None:
    """Two transpositions that cancel are a view of the first tensor: no instruction moves anything."""
    chain = Fixed()
    name = chain.computed(chain.graph.input((1, 20, 6, 5), "int8"))
    turned = chain.node("Transpose", [name], perm=[0, 2, 3, 1])
    chain.finish(chain.node("Transpose", [turned], perm=[0, 3, 1, 2]))
    executable = chain.run()
    assert sum(isinstance(each, View) for each in operators(chain)) == 1
    moving = {node.name for node in executable.nodes if node.op == "Transpose" or node.reason.startswith("Movement")}
    assert not moving.intersection(executable.regions[0].sources)


def test_irregular_movement_stays_on_the_host() -> None:
    """100,000 elements in random order are no strided transfer."""
    chain = Fixed()
    name = chain.computed(chain.graph.input((100_000,), "int8"))
    order = np.random.default_rng(3).permutation(100_000)
    chain.finish(chain.node("Gather", [name], chain.constant(*order.tolist()), axis=0))
    executable = chain.run()
    (gather,) = [node for node in executable.nodes if node.op == "Gather"]
    assert gather.device == "host" and "irregular" in gather.reason


@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.sampled_from((1, 8, 16)))
def test_nests_cover_exactly_the_given_bytes(seed: int, rank: int, lanes: int) -> None:
    random = np.random.default_rng(seed)
    extents = random.integers(1, 7, rank)
    moved = np.arange(int(np.prod(extents))).reshape(extents).transpose(random.permutation(rank))
    if seed % 2:
        moved = moved[tuple(slice(None, None, -1) for _ in extents)]
    targets = np.sort(random.choice(4000, moved.size, replace=False)) if seed % 3 == 0 else np.arange(moved.size) + 5
    nests = factor(targets, moved.reshape(-1), lanes)
    assert nests is not None
    pairs = sorted(pair for nest in nests for pair in walk(nest))
    assert pairs == list(zip(targets.tolist(), moved.reshape(-1).tolist(), strict=True))


def walk(nest: Nest) -> list[tuple[int, int]]:
    places = [(nest.target, nest.source)]
    for loop in nest.loops:
        places = [(t + i * loop.target, s + i * loop.source) for t, s in places for i in range(loop.count)]
    return [(t + i, s + i) for t, s in places for i in range(nest.run)]
