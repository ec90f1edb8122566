"""`weft bench vta`: the ten convolution shapes of VTA's published tuning log, each layer alone from DRAM to DRAM."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from weft.bench.builder import QdqBuilder
from weft.compiler import compile as compile_model
from weft.errors import WeftError
from weft.frontend import Model, integerize, normalize, reference_session
from weft_runtime.executable import Executable
from weft_runtime.session import Session
from weft_sim.machine import MachineConfig, machine

__all__ = ["LAYERS", "Layer", "compulsory_bytes", "run"]

PARAMETER_BYTES = 8
"""Of one output channel: an int32 bias and a float32 scale."""


@dataclass(frozen=True)
class Layer:
    """`times` in ResNet-18; a square image of `size`, "same" padding. `board`: per cent of the peak that VTA reached on
    the PYNQ board; `replay`: cycles of VTA's own instruction streams in a model of its units, by bytes per cycle."""

    name: str
    times: int
    size: int
    inputs: int
    outputs: int
    kernel: int
    stride: int
    board: int
    replay: Mapping[str, int]

    @property
    def output_size(self) -> int:
        """Height and width of the output."""
        return -(-self.size // self.stride)

    @property
    def shape(self) -> str:
        """Input height, channels, kernel and stride."""
        return f"{self.size}, {self.inputs}→{self.outputs}, {self.kernel}/{self.stride}"

    @property
    def macs(self) -> int:
        """Multiply-accumulates, those with padding included."""
        return self.output_size**2 * self.outputs * self.inputs * self.kernel**2


def _layer(name: str, times: int, shape: tuple[int, int, int, int, int], board: int, fast: int, slow: int) -> Layer:
    return Layer(name, times, *shape, board, {"8": fast, "3.3": slow})


LAYERS = (
    _layer("C2", 4, (56, 64, 64, 3, 1), 79, 533_876, 622_574),
    _layer("C4", 1, (56, 64, 128, 3, 2), 76, 276_429, 333_321),
    _layer("C5", 1, (56, 64, 128, 1, 2), 19, 91_819, 199_285),
    _layer("C6", 3, (28, 128, 128, 3, 1), 87, 494_156, 540_684),
    _layer("C7", 1, (28, 128, 256, 3, 2), 85, 253_082, 284_391),
    _layer("C8", 1, (28, 128, 256, 1, 2), 24, 53_173, 115_413),
    _layer("C9", 3, (14, 256, 256, 3, 1), 91, 474_426, 499_291),
    _layer("C10", 1, (14, 256, 512, 3, 2), 57, 241_806, 416_735),
    _layer("C11", 1, (14, 256, 512, 1, 2), 23, 39_497, 87_981),
    _layer("C12", 3, (7, 512, 512, 3, 1), 61, 466_972, 761_048),
)


def run(target: str = "vta-16", bandwidths: str = "8,3.3", layers: str = "all") -> dict[str, Any]:
    """One row per layer and bandwidth (DRAM bytes per cycle, reads and writes together), and one aggregate per
    bandwidth with the layers' multiplicities.

    `bound` is the larger of compute cycles and compulsory bytes ÷ bandwidth, `of_bound` how much of that is reached.
    Outputs are compared with ONNX Runtime's integer reference. Raises ValueError for a bandwidth that the machine's
    configuration cannot express and for unknown layers.
    """
    wanted = [layer for layer in LAYERS if layers == "all" or layer.name in layers.split(",")]
    if not wanted:
        raise ValueError(f"no layer in {layers!r}; known: {', '.join(layer.name for layer in LAYERS)}")
    rows: list[dict[str, Any]] = []
    totals: list[dict[str, Any]] = []
    for bandwidth in bandwidths.split(","):
        config = _with_bandwidth(machine(target), bandwidth)
        found = [_row(layer, config, bandwidth) for layer in wanted]
        rows += found
        totals.append(_total(wanted, found, bandwidth))
    return {"target": target, "layers": rows, "aggregate": totals}


def _with_bandwidth(config: MachineConfig, bandwidth: str) -> MachineConfig:
    rate = Fraction(bandwidth) / config.dram_beat_bytes
    if not 0 < rate <= 1:
        raise ValueError(f"{bandwidth} bytes per cycle: {config.name} moves at most {config.dram_beat_bytes}")
    return replace(config, dram_rate_numerator=rate.numerator, dram_rate_denominator=rate.denominator)


def compulsory_bytes(layer: Layer) -> int:
    """Every input element that is read at all, every weight, parameter and output element, once."""
    across = layer.output_size if layer.kernel < layer.stride else layer.size
    weights = layer.outputs * layer.inputs * layer.kernel**2 + layer.outputs * PARAMETER_BYTES
    return across**2 * layer.inputs + weights + layer.output_size**2 * layer.outputs


def _row(layer: Layer, config: MachineConfig, bandwidth: str) -> dict[str, Any]:
    build = QdqBuilder(layer.name, layer.size * layer.outputs)
    x = build.input((1, layer.inputs, layer.size, layer.size))
    model = Model(build.build(build.convolution(x, layer.outputs, layer.kernel, layer.stride)), name=layer.name)
    (name,) = (node.name for node in model.proto.graph.node if node.op_type == "Conv")
    executable = compile_model(model, config, pins={name: "accelerator"})
    cycles, moved, mismatches = _measure(model, executable)
    ideal = layer.macs // config.macs_per_cycle
    bytes_ = compulsory_bytes(layer)
    bound = max(ideal, bytes_ / config.dram_bytes_per_cycle)
    return {
        "layer": layer.name, "shape": layer.shape, "bytes_per_cycle": bandwidth, "times": layer.times, "ideal_cycles": ideal,
        "cycles": cycles, "utilization": ideal / cycles, "bytes": moved, "compulsory_bytes": bytes_, "bound": bound,
        "of_bound": bound / cycles, "mismatches": mismatches, "vta_board_percent": layer.board,
        "vta_replay_cycles": layer.replay.get(bandwidth, 0),
    }  # fmt: skip


def _measure(model: Model, executable: Executable) -> tuple[int, int, int]:
    """Cycles, bytes on the DRAM bus, and output elements that differ from ONNX Runtime's integer reference."""
    if len(executable.regions) != 1:
        raise WeftError(f"{model.name}: {len(executable.regions)} regions instead of one; give a larger machine")
    (signature,) = executable.inputs
    shape = tuple(int(extent) for extent in signature.shape)
    feeds = {signature.name: np.random.default_rng(0).normal(0, 0.8, shape).astype(np.float32)}
    with Session(executable, device="sim") as session:
        answers = session.run(feeds)
        (region,) = session.profile.regions
    reference = reference_session(integerize(normalize(model)))
    names = [output.name for output in reference.get_outputs()]
    wanted: list[npt.NDArray[Any]] = reference.run(names, feeds)
    mismatches = sum(int(np.count_nonzero(answers[name] != value)) for name, value in zip(names, wanted, strict=True))
    result = region.result
    return result.cycles, result.read_bytes + result.write_bytes, mismatches


def _total(layers: list[Layer], rows: list[dict[str, Any]], bandwidth: str) -> dict[str, Any]:
    def total(key: str) -> float:
        return sum(layer.times * float(row[key]) for layer, row in zip(layers, rows, strict=True))

    cycles = total("cycles")
    return {
        "bytes_per_cycle": bandwidth, "ideal_cycles": int(total("ideal_cycles")), "cycles": int(cycles),
        "utilization": total("ideal_cycles") / cycles, "of_bound": total("bound") / cycles,
        "least_utilization": min(row["utilization"] for row in rows),
        "mismatches": sum(row["mismatches"] for row in rows),
        "vta_board_utilization": total("ideal_cycles") / sum(
            layer.times * layer.macs / 256 * 100 / layer.board for layer in layers
        ),
        "vta_replay_cycles": int(total("vta_replay_cycles")),
    }  # fmt: skip
