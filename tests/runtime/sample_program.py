"""Small executables built by hand, with real instruction streams, for tests of the runtime and the command
line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import onnx
from onnx import TensorProto, helper

from weft_runtime.devices import GoldenDevice
from weft_runtime.executable import (
    REGISTER_CONSTANTS,
    REGISTER_IO,
    REGISTER_WORKSPACE,
    Executable,
    HostGraph,
    Layout,
    NodeReport,
    Region,
    Step,
    TensorBinding,
    TensorSignature,
)
from weft_runtime.npu import npu_processor
from weft_sim.isa import (
    INSTRUCTION_BYTES,
    Destination,
    Halt,
    Instruction,
    Load,
    Operation,
    Source,
    Store,
    Unit,
    Vector,
)
from weft_sim.isa.program import decode_program, encode_program
from weft_sim.machine import MachineConfig, machine
from weft_sim.result import EVENT_DTYPE, RunResult, UnitCounters

WAIT_STORE, WAIT_VPU, WAIT_LOAD = 1 << Unit.STORE, 1 << Unit.VPU, 1 << Unit.LOAD
BIAS = 3


def add_region(config: MachineConfig, shape: tuple[int, int, int, int], pads: tuple[int, int, int, int]) -> Region:
    """`sum` = saturate8(a + b + BIAS): loads both, stores a + b to the workspace, loads it back, adds a
    constant."""
    lanes = config.lanes
    layout = Layout(shape, lanes, pads, fill=7)
    size = layout.nbytes
    vectors = size // lanes
    first, second, constant = 0, vectors, 2 * vectors
    add = {"a_source": Source.SCRATCHPAD_S8, "b_source": Source.SCRATCHPAD_S8, "operation": Operation.ADD}
    add |= {"destination": Destination.SCRATCHPAD_S8, "count_0": vectors, "a_stride_0": 1, "d_stride_0": 1}
    program: list[Instruction] = [
        Load(register=REGISTER_IO, offset=0, scratchpad=first * lanes, run_bytes=size),
        Load(register=REGISTER_IO, offset=size, scratchpad=second * lanes, run_bytes=size),
        Load(
            register=REGISTER_CONSTANTS, scratchpad=constant * lanes, run_bytes=lanes, signal=1 << Unit.VPU
        ),
        Vector(**add, a=first, b=second, d=first, b_stride_0=1, wait=WAIT_LOAD, signal=1 << Unit.STORE),
        Store(
            register=REGISTER_WORKSPACE, scratchpad=first * lanes, run_bytes=size,
            wait=WAIT_VPU, signal=1 << Unit.LOAD,
        ),
        Load(
            register=REGISTER_WORKSPACE, scratchpad=second * lanes, run_bytes=size,
            wait=WAIT_STORE, signal=1 << Unit.VPU,
        ),
        Vector(**add, a=second, b=constant, d=first, wait=WAIT_LOAD, signal=1 << Unit.STORE),
        Store(register=REGISTER_IO, offset=2 * size, scratchpad=first * lanes, run_bytes=size, wait=WAIT_VPU),
        Halt(),
    ]  # fmt: skip
    sources = ("", "", "", "Add_0", "Add_0", "Bias:1", "Bias:1", "Bias:1", "")
    return Region(
        name="region_0",
        instructions=encode_program(program),
        sources=sources,
        constants=np.full(lanes, BIAS, np.uint8).tobytes(),
        workspace_bytes=size,
        io_bytes=3 * size,
        inputs=tuple(
            TensorBinding(name, shape, "int8", REGISTER_IO, index * size, layout)
            for index, name in enumerate(("a", "b"))
        ),
        outputs=(TensorBinding("sum", shape, "int8", REGISTER_IO, 2 * size, layout),),
        macs=0,
        estimated_cycles=500,
    )


def dequantize_graph(shape: tuple[int, int, int, int], scale: float) -> HostGraph:
    """`y` = sum × scale in float32."""
    graph = helper.make_graph(
        [helper.make_node("DequantizeLinear", ["sum", "scale"], ["y"], "Dequantize")],
        "tail",
        [helper.make_tensor_value_info("sum", TensorProto.INT8, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [helper.make_tensor("scale", TensorProto.FLOAT, [], [scale])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    return HostGraph("tail", model.SerializeToString(), ("sum",), ("y",))


def adder(
    config: MachineConfig | None = None,
    shape: tuple[int, int, int, int] = (1, 3, 5, 4),
    pads: tuple[int, int, int, int] = (1, 0, 2, 1),
    scale: float = 0.5,
) -> Executable:
    """Inputs a, b int8 [batch, c, h, w]; outputs sum int8 (device) and y float32 (host, sum × scale)."""
    config = config or machine("weft-16")
    dims = ("batch", *shape[1:])
    return Executable(
        processors=(npu_processor(config),),
        regions=(add_region(config, shape, pads),),
        host_graphs=(dequantize_graph(shape, scale),),
        steps=(Step("device", 0), Step("host", 0)),
        inputs=(TensorSignature("a", "int8", dims), TensorSignature("b", "int8", dims)),
        outputs=(TensorSignature("y", "float32", dims), TensorSignature("sum", "int8", dims)),
        batch=shape[0],
        nodes=(
            NodeReport("Add_0", "Add", config.name, "offloaded", "region_0", 300, 0),
            NodeReport("Bias:1", "Add", config.name, "offloaded", "region_0", 200, 0),
            NodeReport("Dequantize", "DequantizeLinear", "host", "float output", "", 0, 0),
        ),
        macs=1000,
        offloaded_macs=800,
        inexact=("Add_0: at most 1 step",),
        calibration="none",
    )


def expected_sum(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """What the region computes, by its definition: the first sum saturates before the constant is added."""
    first = np.clip(a.astype(np.int32) + b, -128, 127)
    return np.clip(first + BIAS, -128, 127).astype(np.int8)


class TimedDevice(GoldenDevice):
    """The golden model with a made-up clock: one instruction after the other, each CYCLES_EACH long."""

    name = "timed"
    CYCLES_EACH = 10

    def launch(self, program_address: int, program_bytes: int, registers: Sequence[int]) -> RunResult:
        result = super().launch(program_address, program_bytes, registers)
        program = self.read(program_address, program_bytes).tobytes()
        instruction_count = program_bytes // INSTRUCTION_BYTES
        events = np.zeros(instruction_count, EVENT_DTYPE)
        events["index"] = np.arange(instruction_count)
        events["unit"] = [instruction.UNIT for instruction in decode_program(program)]
        events["issue"] = np.arange(instruction_count) * self.CYCLES_EACH
        events["start"] = events["issue"] + 2
        events["end"] = events["issue"] + self.CYCLES_EACH
        units = {
            unit.name.lower(): UnitCounters(int((events["unit"] == unit).sum()) * self.CYCLES_EACH, {"token": 5})
            for unit in Unit
        }
        cycles = instruction_count * self.CYCLES_EACH + 1
        return replace(result, cycles=cycles, events=events, units=units, read_bytes=64, write_bytes=32)
