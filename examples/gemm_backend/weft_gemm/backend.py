"""What Weft asks of a backend, answered for the matrix multiplier."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from weft.backends import Accelerator, Backend, EmittedRegion, RegionRequest, RegionStorage, plan_storage
from weft.errors import ExecutableError, MachineError
from weft.ir import Convolution, Operator, RowProduct, Tensor
from weft_gemm.engine import ARRAY, Gemm, GemmDevice, decode
from weft_runtime import Layout, Processor, Region
from weft_sim.result import RunOptions

PROCESSOR = Processor("gemm-16", "gemm", "{}", ARRAY * ARRAY, 500)


def _layout(tensor: Tensor) -> Layout:
    """Positions × channels, row-major: all channels in one block."""
    return Layout(tensor.view, tensor.view[1])


class GemmAccelerator(Accelerator):
    """Takes constant matrix products: those of the model, and convolutions of one position."""

    processor = PROCESSOR

    def refuse(self, operator: Operator) -> str | None:
        if not isinstance(operator, Convolution):
            return "gemm-16 only multiplies matrices"
        if operator.weights.shape[2:] != (1, 1) or operator.group != 1:
            return "gemm-16 has no windows and no groups"
        if operator.strides != (1, 1) or operator.pads != (0, 0, 0, 0):
            return "gemm-16 takes every position, and none outside"
        if isinstance(operator, RowProduct) and len(operator.output.shape) > 2:
            return "gemm-16 takes rows along one axis"
        return None

    def cycles(self, operator: Operator) -> int:
        assert isinstance(operator, Convolution)
        n, columns, h, w = operator.output.view
        return Gemm(n * h * w, columns, operator.inputs[0].view[1], *[0] * 12).cycles

    def emit(self, request: RegionRequest) -> EmittedRegion:
        storage = plan_storage(request, _layout)
        program = [_instruction(operator, storage) for operator in request.operators]
        names = tuple(operator.name for operator in request.operators)
        return EmittedRegion(
            instructions=b"".join(instruction.encode() for instruction in program),
            constants=bytes(storage.constants),
            workspace_bytes=storage.workspace_bytes,
            io_bytes=storage.io_bytes,
            inputs=storage.inputs,
            outputs=storage.outputs,
            cycles=sum(instruction.cycles for instruction in program),
            sources=names,
            cycles_by_node={name: each.cycles for name, each in zip(names, program, strict=True)},
        )


def _instruction(operator: Operator, storage: RegionStorage) -> Gemm:
    assert isinstance(operator, Convolution)
    source, target, weights = operator.inputs[0], operator.output, operator.weights
    a, c = storage.tensors[source.name], storage.tensors[target.name]
    matrix = np.ascontiguousarray(weights.reshape(weights.shape[:2]).T)
    parameters = operator.bias.astype("<i4").tobytes() + operator.multiplier.astype("<f4").tobytes()
    types = (source.dtype, matrix.dtype.name, target.dtype)
    n, columns, h, w = target.view
    return Gemm(
        rows=n * h * w,
        columns=columns,
        depth=matrix.shape[0],
        a=a.offset,
        b=storage.add_constant(matrix.tobytes()),
        parameters=storage.add_constant(parameters),
        c=c.offset,
        a_register=a.register,
        c_register=c.register,
        signed=sum(1 << bit for bit, dtype in enumerate(types) if dtype == "int8"),
        a_zero=source.zero_point,
        b_zero=operator.weight_zero_point,
        c_zero=target.zero_point,
        low=operator.low,
        high=operator.high,
    )


class GemmBackend(Backend):
    """One target, one kind of device."""

    name = "gemm"
    targets = (PROCESSOR.name,)

    def accelerator(self, target: str) -> Accelerator:
        if target not in self.targets:
            raise MachineError(f"backend 'gemm' has no target {target!r}, only {PROCESSOR.name}")
        return GemmAccelerator()

    def check_region(self, processor: Processor, region: Region) -> None:
        if processor != PROCESSOR:
            raise ExecutableError(f"backend 'gemm' has no processor like {processor}")
        try:
            count = sum(1 for _ in decode(region.instructions))
        except ValueError as error:
            raise ExecutableError(f"region {region.name!r}: {error}") from error
        if not count or len(region.sources) != count:
            raise ExecutableError(f"region {region.name!r}: {len(region.sources)} node names for {count} instructions")

    def open_device(self, device: str, processor: Processor, dram_bytes: int, options: RunOptions) -> GemmDevice:
        return GemmDevice(dram_bytes, options)

    def disassemble(self, region: Region) -> Sequence[str]:
        return [f"{index:6} {found}" for index, found in enumerate(decode(region.instructions))]


BACKEND = GemmBackend()
