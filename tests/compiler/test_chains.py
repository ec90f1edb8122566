"""Chains of operators in the scratchpad: whatever is chosen, bits, order and memory are right."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import qdq
from hypothesis import assume, given
from hypothesis import strategies as st

from weft.backends import npu
from weft.bench.builder import Activation, QdqBuilder
from weft.codegen import region as region_module
from weft.codegen.chain.layout import ChainPlan
from weft.codegen.chain.members import member_of
from weft.codegen.chain.plan import plan_chain
from weft.codegen.context import Context
from weft.codegen.estimate import estimate_region
from weft_runtime.executable import Executable
from weft_runtime.npu import machine_of
from weft_sim.isa import Load, Store
from weft_sim.isa.program import decode_program
from weft_sim.machine import machine
from weft_sim.races import check as find_races
from weft_sim.uninitialized import uninitialized_reads

SMALL = dataclasses.replace(machine("weft-8"), name="small", scratchpad_bytes=24 * 1024, accumulator_rows=512)
SCALE = 0.05


class Forced:
    """Takes the place of the choice: the whole region as one chain of `tiles` tiles, if it fits; else nothing."""

    def __init__(self, tiles: int) -> None:
        self.tiles = tiles
        self.plans: list[ChainPlan] = []

    def __call__(self, operators: Any, outputs: Any, context: Context, *_: Any) -> dict[int, ChainPlan]:
        members = [member_of(each, context) for each in operators]
        if len(members) < 2 or any(each.refusal for each in members):
            return {}
        plan = plan_chain(members, set(outputs), self.tiles, context)
        if plan is not None:
            self.plans.append(plan)
        return {} if plan is None else {0: plan}


def lowered(name: str, *given: Any) -> Any:
    """Takes the place of the search: chains also where the same operators one by one would be faster."""
    region = region_module.lower_region(*given)
    return region, estimate_region(name, region, given[2])


@contextlib.contextmanager
def chosen_by(forced: Forced) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(region_module, "choose_chains", forced)
        patch.setattr(npu, "lower_measured", lowered)
        yield


def feeds_of(build: QdqBuilder) -> dict[str, Any]:
    random = np.random.default_rng(4)
    shapes = {each.name: [d.dim_value for d in each.type.tensor_type.shape.dim] for each in build.inputs}
    return {name: random.normal(0, 1, shape).astype(np.float32) for name, shape in shapes.items()}


def assert_sound(executable: Executable, plan: ChainPlan) -> None:
    """No race, and nothing read that nothing has written, but for the ends of gathered windows (weights of zero)."""
    for region in executable.regions:
        size = (len(region.constants), region.workspace_bytes, region.io_bytes)
        starts = [int(start) for start in np.cumsum([0, *(-(-each // 4096) * 4096 for each in size)])]
        config, program = machine_of(executable.processors[0]), decode_program(region.instructions)
        assert find_races(config, program, starts[:3], starts[3]) == []
        assert plan.members[0].gathers or uninitialized_reads(config, program) == []


@st.composite
def networks(draw: Any) -> tuple[QdqBuilder, Activation]:
    """Two to six operators, every one reading what came before, some of them twice."""
    build = QdqBuilder("random", draw(st.integers(0, 1000)))
    size = draw(st.tuples(st.integers(5, 21), st.integers(5, 21)))
    x = build.input((1, draw(st.sampled_from((1, 3, 8, 20))), *size))
    known = [build.convolution(x, draw(st.sampled_from((8, 16, 24))), draw(st.sampled_from((1, 3))))]
    for _ in range(draw(st.integers(1, 5))):
        last = known[-1]
        kind = draw(st.sampled_from(("dense", "depthwise", "add", "pool", "concat")))
        stride = draw(st.sampled_from((1, 1, 2)))
        kernel = draw(st.sampled_from((1, 3, 5)))
        assume(min(last.shape[2:]) >= kernel)
        if kind == "dense":
            known.append(build.convolution(last, draw(st.sampled_from((8, 17, 40))), kernel, stride))
        elif kind == "depthwise":
            known.append(build.convolution(last, last.shape[1], kernel, stride, group=last.shape[1]))
        elif kind == "pool":
            pad = draw(st.integers(0, 1)) if kernel > 1 else 0
            known.append(build.max_pool(last, kernel, stride, pad))
        elif kind == "concat":
            parts = [build.convolution(last, channels, 1, scale=SCALE) for channels in (16, draw(st.integers(1, 20)))]
            known.append(build.concat(*parts))
        else:
            other = next((each for each in known[:-1] if each.shape == last.shape), None)
            known.append(build.add(last, build.convolution(last, last.shape[1], 1) if other is None else other))
    return build, known[-1]


@given(
    network=networks(), tiles=st.sampled_from((1, 1, 2, 3, 5)), target=st.sampled_from((SMALL, "weft-8", "weft-16")),
    device=st.sampled_from(("golden", "sim")),
)  # fmt: skip
def test_any_chain_of_any_tiles_gives_the_same_bits(network: Any, tiles: int, target: Any, device: str) -> None:
    build, last = network
    forced = Forced(tiles)
    with chosen_by(forced):
        executable = qdq.run((build.build(last), feeds_of(build)), target, device)
    assume(forced.plans)
    assert_sound(executable, forced.plans[-1])


def separable(size: int, channels: int) -> tuple[QdqBuilder, Activation]:
    """Expansion, depthwise, projection, addition: an inverted residual."""
    build = QdqBuilder("separable", 3)
    x = build.convolution(build.input((1, 16, size, size)), channels, 1)
    y = build.convolution(x, 4 * channels, 1)
    y = build.convolution(y, 4 * channels, 3, group=4 * channels)
    return build, build.add(build.convolution(y, channels, 1, relu=False), x, relu=False)


@pytest.mark.parametrize("tiles", [1, 3])
def test_nothing_between_the_members_crosses_the_bus(tiles: int) -> None:
    """Loads: the input, weights and parameters; stores: the output, once."""
    build, last = separable(12, 16)
    forced = Forced(tiles)
    with chosen_by(forced):
        executable = qdq.run((build.build(last), feeds_of(build)), "weft-16", "sim")
    (region,) = executable.regions
    program = decode_program(region.instructions)
    assert region.workspace_bytes == 0
    assert sum(moved(each) for each in program if isinstance(each, Store)) == 12 * 12 * 16
    loaded = sum(moved(each) for each in program if isinstance(each, Load))
    halo = 2 * (tiles - 1) * 12 * 16  # rows that two tiles need
    assert loaded == 12 * 12 * 16 + halo + len(region.constants)


def moved(instruction: Load | Store) -> int:
    counts = (instruction.count_0, instruction.count_1, instruction.count_2, instruction.count_3)
    return int(instruction.run_bytes * np.prod(counts))


def fits(rows: int) -> bool:
    """Whether two 1×1 convolutions of 16 channels on 16 columns are a chain of one tile in 64 banks of 96 bytes."""
    build = QdqBuilder("two", 1)
    x = build.convolution(build.input((1, 16, rows, 16)), 16, 1)
    config = dataclasses.replace(machine("weft-16"), name="tiny", scratchpad_bytes=64 * 96, scratchpad_banks=64)
    forced = Forced(1)
    with chosen_by(forced):
        qdq.run((build.build(build.convolution(x, 16, 1)), feeds_of(build)), config, "golden")
    return bool(forced.plans)


def test_capacity_and_one_more() -> None:
    """A row of a tensor is 256 bytes; the input and the output share room, so a row takes 512. The ring needs three
    pieces of 256 bytes of weights and 128 of parameters, 1,152: 9 rows leave it 1,536, 10 rows 960."""
    assert fits(9)
    assert not fits(10)
