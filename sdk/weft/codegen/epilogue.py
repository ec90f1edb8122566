"""How results become bytes: the output's type, rounding and limits, and division by its scale."""

from __future__ import annotations

from weft.ir.operators import Tensor
from weft_sim.isa import Destination, Operation, Source, Vector

__all__ = ["destination", "divide", "output_clamp", "source"]


def destination(tensor: Tensor) -> Destination:
    """Where the VPU puts values of that tensor."""
    return Destination.SCRATCHPAD_S8 if tensor.dtype == "int8" else Destination.SCRATCHPAD_U8


def source(tensor: Tensor) -> Source:
    """How the VPU reads values of that tensor."""
    return Source.SCRATCHPAD_S8 if tensor.dtype == "int8" else Source.SCRATCHPAD_U8


def output_clamp(tensor: Tensor, low: int, high: int) -> dict[str, float | int]:
    """Fields that round to the tensor's q and clamp it to [low, high]: both bounds are whole, so clamping before
    rounding is the same."""
    return {
        "destination": destination(tensor), "d_zero": tensor.zero_point,
        "low": float(low - tensor.zero_point), "high": float(high - tensor.zero_point),
    }  # fmt: skip


def divide(rows: int, output: int, count: int, divisor: float, clamp: dict[str, float | int]) -> Vector:
    """Float rows divided by a constant and quantized: slow, and exact whatever the constant."""
    return Vector(
        **clamp, a_source=Source.ACCUMULATOR_F32, a=rows, b_source=Source.IMMEDIATE, b_scale=divisor,
        operation=Operation.DIVIDE, d=output, count_4=count, a_stride_4=1, d_stride_4=1,
    )  # fmt: skip
