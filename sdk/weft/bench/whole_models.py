"""`weft bench networks`: whole models on the timing-only simulator, next to rooflines and figures of record."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from weft.backends import resolve_target
from weft.bench.ablation import ablation_rows
from weft.bench.launch import place_only_region
from weft.bench.mobile_networks import mobilenet_v1, mobilenet_v2, squeezenet
from weft.bench.networks import resnet18, resnet50
from weft.bench.roofline import operators_of, roofline
from weft.bench.transformer import bert_encoder
from weft.compiler import compile as compile_model
from weft.errors import WeftError
from weft.frontend import Model, load
from weft.quantize import quantize
from weft_runtime.npu import machine_of
from weft_sim import simulator
from weft_sim.result import RunOptions

__all__ = ["NETWORKS", "run"]

SAMPLES = 8


@dataclass(frozen=True)
class Network:
    """A quantized model to be measured, and what others reach with it on a 16×16 array, in percent of the peak."""

    model: Callable[[Path], Model]
    record: float | None = None
    source: str = ""


def _ultraface(folder: Path) -> Model:
    """The shared model, quantized with seeded random images. Raises ModelError where the folder has none."""
    model = load(str(folder / "ultraface" / "version-RFB-320.onnx"))
    shape = (SAMPLES, *(int(extent) for extent in model.inputs[0].shape[1:]))
    images = np.random.default_rng(0).normal(0, 1, shape).astype(np.float32)
    return quantize(model, calibration={model.inputs[0].name: images})


def _built(name: str, build: Callable[[], Any]) -> Callable[[Path], Model]:
    return lambda folder: Model(build(), name=name)


NETWORKS: dict[str, Network] = {
    "resnet18": Network(_built("resnet18", resnet18), 74.5, "ONNXim; pooling and additions are free in it"),
    "resnet50": Network(_built("resnet50", resnet50), 75.8, "ONNXim; pooling and additions are free in it"),
    "mobilenet_v1": Network(_built("mobilenet_v1", mobilenet_v1)),
    "mobilenet_v2": Network(_built("mobilenet_v2", mobilenet_v2), 19.5, "Vela 5.2's own estimate, Ethos-U55-256"),
    "squeezenet": Network(_built("squeezenet", squeezenet)),
    "bert_encoder": Network(_built("bert_encoder", bert_encoder)),
    "ultraface": Network(_ultraface),
}


def run(
    target: str = "weft-16", networks: str = "", models: str = "../shared/models", ablation: str = "no"
) -> dict[str, Any]:
    """One row for each of `networks` (comma-separated; all of them where it is empty), and those `absent`, whose file
    is not in the folder `models`; with `ablation` "yes" also a table of cycles without each mechanism. Raises
    ValueError for an unknown network or another answer."""
    if ablation not in ("yes", "no"):
        raise ValueError(f"ablation is yes or no, not {ablation!r}")
    names = [name for name in networks.split(",") if name] or list(NETWORKS)
    for name in names:
        if name not in NETWORKS:
            raise ValueError(f"unknown network {name!r}; known: {', '.join(NETWORKS)}")
    rows, absent, ablations = [], [], []
    for name in names:
        if name == "ultraface" and not (Path(models) / "ultraface").is_dir():
            absent.append(name)
            continue
        model = NETWORKS[name].model(Path(models))
        rows.append(_measure(name, NETWORKS[name], model, target))
        if ablation == "yes":
            ablations += ablation_rows(name, model, target, rows[-1]["cycles"])
    figures = {"target": target, "absent": absent, "networks": rows}
    return figures | {"ablation": ablations} if ablation == "yes" else figures


def _measure(name: str, network: Network, model: Model, target: str) -> dict[str, Any]:
    start = time.perf_counter()
    executable = compile_model(model, target)
    seconds = time.perf_counter() - start
    launch = place_only_region(executable)
    result = launch.on(simulator.run, RunOptions(timing_only=True))
    if result.cycles != sum(region.estimated_cycles for region in executable.regions):
        raise WeftError(f"{name}: the compiler's estimate and the simulator disagree")
    config = machine_of(resolve_target(target)[0].processor)
    bound = roofline(operators_of(model), config)
    return {
        "network": name,
        "macs": executable.macs,
        "cycles": result.cycles,
        "utilization": 100 * executable.macs / (result.cycles * config.macs_per_cycle),
        "of_record": network.record,
        "source": network.source,
        "roofline_by_layer": bound.by_layer / result.cycles,
        "roofline_whole": bound.whole / result.cycles,
        "mxu_busy": result.units["mxu"].busy / result.cycles,
        "vpu_busy": result.units["vpu"].busy / result.cycles,
        "dram_busy": (result.read_bytes + result.write_bytes) / (result.cycles * config.dram_bytes_per_cycle),
        "compile_seconds": seconds,
    }
