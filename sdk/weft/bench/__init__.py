"""Benchmarks of the command line: `weft bench NAME`. A benchmark is one entry of `BENCHMARKS`."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["BENCHMARKS", "Benchmark"]


@dataclass(frozen=True)
class Benchmark:
    """A measurement with a name: the function `run` of the module `module`, which is imported when it is first needed
    (it imports the compiler, which listing benchmarks need not wait for)."""

    name: str
    summary: str
    module: str

    @property
    def run(self) -> Callable[..., dict[str, Any]]:
        """Measures and returns plain JSON values; each option is a string as given on the command line
        (`weft bench NAME --set key=value`), but for `progress`, which a long one may have: it is called with a stage,
        and how much of how many is done. It raises ValueError for an option's value that it cannot read, and
        WeftError where it cannot measure; it prints nothing.
        """
        function: Callable[..., dict[str, Any]] = importlib.import_module(self.module).run
        return function


BENCHMARKS: dict[str, Benchmark] = {
    each.name: each
    for each in (
        Benchmark(
            "simulator",
            "speed of the simulator, and of the RTL, on the convolutions of ResNet-18",
            "weft.bench.simulator",
        ),
        Benchmark(
            "accuracy",
            "float models against Weft's quantizer and ONNX Runtime's, on labelled data",
            "weft.bench.accuracy",
        ),
        Benchmark(
            "compile",
            "ResNet-50 from an ONNX file to an artifact: seconds by pass, peak memory",
            "weft.bench.compilation",
        ),
        Benchmark("deployment", "detectors with boxes decoded on the host, in simulated time", "weft.bench.deployment"),
        Benchmark(
            "lockstep", "all of ResNet-18 on simulator and RTL, every cycle and byte compared", "weft.bench.lockstep"
        ),
        Benchmark(
            "vta", "the convolutions of VTA's published log, each alone: cycles, use of peak, bytes", "weft.bench.vta"
        ),
        Benchmark("tune", "all of ResNet-18 tuned, against exhaustive search; rankers compared", "weft.bench.tune"),
        Benchmark(
            "networks", "whole models: cycles, utilization, rooflines, figures of record", "weft.bench.whole_models"
        ),
        Benchmark(
            "dynamic", "decided by device or host, both branches and a select, the static network", "weft.bench.dynamic"
        ),
        Benchmark("batches", "dynamic networks whose samples run together, against one by one", "weft.bench.batches"),
        Benchmark(
            "partition", "exact assignment of large random graphs to processors: seconds", "weft.bench.partition"
        ),
    )
}
"""Every benchmark by its name."""
