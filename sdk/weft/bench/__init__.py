"""Benchmarks of the command line: `weft bench NAME`. A benchmark is one entry of `BENCHMARKS`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["BENCHMARKS", "Benchmark"]


@dataclass(frozen=True)
class Benchmark:
    """A measurement with a name.

    `run(**options)` measures and returns plain JSON values; each option is a string as given on the command
    line (`weft bench NAME --set key=value`). It raises ValueError for an option's value that it cannot read,
    and WeftError where it cannot measure; it prints nothing.
    """

    name: str
    summary: str
    run: Callable[..., dict[str, Any]]


def _simulator(
    target: str = "weft-16", repeats: str = "3", size: str = "224", with_rtl: str = "auto"
) -> dict[str, Any]:
    from weft.bench.simulator import run  # imports the compiler, which listing benchmarks need not wait for

    return run(target, repeats, size, with_rtl)


def _lockstep(target: str = "weft-16", size: str = "224", stall_seed: str = "0") -> dict[str, Any]:
    from weft.bench.lockstep import run

    return run(target, size, stall_seed)


def _partition(units: str = "10000", problems: str = "5", processors: str = "2") -> dict[str, Any]:
    from weft.bench.partition import run

    return run(units, problems, processors)


def _accuracy(
    models: str = "../shared/models", inputs: str = "../shared/inputs", examples: str = "examples"
) -> dict[str, Any]:
    from weft.bench.accuracy import run

    return run(models, inputs, examples)


def _vta(target: str = "vta-16", bandwidths: str = "8,3.3", layers: str = "all", hiding: str = "on") -> dict[str, Any]:
    from weft.bench.vta import run

    return run(target, bandwidths, layers, hiding)


def _compile(target: str = "weft-16", size: str = "224", network: str = "resnet50") -> dict[str, Any]:
    from weft.bench.compilation import run

    return run(target, size, network)


def _deployment(
    models: str = "../shared/models",
    target: str = "weft-16",
    requests: str = "200",
    hosts: str = "",
    detectors: str = "UltraFace,FastestDet",
) -> dict[str, Any]:
    from weft.bench.deployment import run

    return run(models, target, requests, hosts, detectors)


def _tune(
    target: str = "weft-16", trials: str = "48", ranker: str = "learned", layers: str = "3", size: str = "224"
) -> dict[str, Any]:
    from weft.bench.tune import run

    return run(target, trials, ranker, layers, size)


def _networks(
    target: str = "weft-16", networks: str = "", models: str = "../shared/models", ablation: str = "no"
) -> dict[str, Any]:
    from weft.bench.whole_models import run

    return run(target, networks, models, ablation)


def _dynamic(
    examples: str = "examples",
    networks: str = "",
    inputs: str = "60",
    target: str = "weft-16",
    host: str = "cortex-a53",
    offload: str = "all",
    seed: str = "0",
) -> dict[str, Any]:
    from weft.bench.dynamic import run

    return run(examples, networks, inputs, target, host, offload, seed)


BENCHMARKS: dict[str, Benchmark] = {
    each.name: each
    for each in (
        Benchmark("simulator", "speed of the simulator, and of the RTL, on the convolutions of ResNet-18", _simulator),
        Benchmark("accuracy", "float models against Weft's quantizer and ONNX Runtime's, on labelled data", _accuracy),
        Benchmark("compile", "ResNet-50 from an ONNX file to an artifact: seconds by pass, peak memory", _compile),
        Benchmark("deployment", "detectors with boxes decoded on the host, in simulated time", _deployment),
        Benchmark("lockstep", "all of ResNet-18 on simulator and RTL, every cycle and byte compared", _lockstep),
        Benchmark("vta", "the convolutions of VTA's published log, each alone: cycles, use of peak, bytes", _vta),
        Benchmark("tune", "all of ResNet-18 tuned, against exhaustive search; rankers compared", _tune),
        Benchmark("networks", "whole models: cycles, utilization, rooflines, figures of record", _networks),
        Benchmark("dynamic", "decided by device or host, both branches and a select, the static network", _dynamic),
        Benchmark("partition", "exact assignment of large random graphs to processors: seconds", _partition),
    )
}
"""Every benchmark by its name."""
