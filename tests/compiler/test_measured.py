"""Chains are kept only where they pay."""

from __future__ import annotations

from collections.abc import Callable

import onnx
import pytest
import qdq

from weft.backends.npu import NpuAccelerator
from weft.bench.builder import QdqBuilder
from weft.bench.mobile_networks import mobilenet_v2, squeezenet
from weft.compiler import compile as compile_model
from weft.frontend import Model
from weft.schedule.options import ScheduleOptions
from weft_sim.machine import machine


def cycles(proto: onnx.ModelProto, target: str, *, chains: bool) -> int:
    accelerator = NpuAccelerator(machine(target), options=ScheduleOptions(chains=chains))
    executable = compile_model(Model(proto, name="network"), accelerator, host=qdq.SLOW_HOST)
    (region,) = executable.regions
    return region.estimated_cycles


def heavy() -> onnx.ModelProto:
    """Two convolutions with long sums over few positions: their weights are what counts, chained or not."""
    build = QdqBuilder("heavy", 1)
    x = build.convolution(build.input((1, 512, 2, 2)), 512, 3)
    return build.build(build.convolution(x, 512, 3))


@pytest.mark.parametrize("target", ["weft-8", "weft-16", "vta-16"])
@pytest.mark.parametrize("build", [mobilenet_v2, squeezenet])
def test_cheap_layers_gain(target: str, build: Callable[..., onnx.ModelProto]) -> None:
    proto = build(64, classes=10)
    assert cycles(proto, target, chains=True) < cycles(proto, target, chains=False)


def test_where_nothing_is_gained_nothing_is_lost() -> None:
    assert cycles(heavy(), "weft-16", chains=True) <= cycles(heavy(), "weft-16", chains=False)
