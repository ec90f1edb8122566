"""Elements that decide are read from the scratchpad only where they certainly still lie there."""

from __future__ import annotations

import pytest

from weft.codegen.device_kept import kept_vector
from weft_sim.isa import Destination, Fill, Instruction, Jump, Load, Register, Source, Store, Vector
from weft_sim.machine import machine

MACHINE = machine("weft-16")
LANES = MACHINE.lanes
MADE = Vector(
    a_source=Source.ACCUMULATOR_F32, b_source=Source.IMMEDIATE, destination=Destination.SCRATCHPAD_U8, d=20, count_4=4,
    d_stride_4=1,
)  # fmt: skip
STORED = Store(register=5, offset=64, run_bytes=LANES, scratchpad=20 * LANES, count_3=4, dram_stride_3=LANES,
               scratchpad_stride_3=LANES)  # fmt: skip
OVER = Fill(run_bytes=1, scratchpad=21 * LANES + 3)


@pytest.mark.parametrize(
    ("program", "address", "vector"),
    [
        ([MADE, STORED], 64, 20), ([MADE, STORED], 64 + 2 * LANES, 22),
        ([MADE, STORED], 65, None),  # in lane 1
        ([MADE, STORED], 63, None), ([MADE, STORED], 64 + 4 * LANES, None),  # not stored
        ([STORED, MADE], 64, None), ([MADE, STORED, OVER], 64 + LANES, None), ([MADE, STORED, OVER], 64, 20),
        ([OVER, MADE, STORED], 64 + LANES, 21), ([MADE, OVER, STORED], 64 + LANES, None),
        ([MADE, Jump(), STORED], 64, None), ([MADE, STORED, Jump()], 64, None), ([Jump(), MADE, STORED], 64, 20),
        ([Load(run_bytes=LANES, scratchpad=20 * LANES), STORED], 64, None),
        ([MADE, STORED, Register(destination=5, source=5, offset=4)], 64, None),
        ([MADE, STORED, Register(destination=6, source=5, offset=4)], 64, 20),
        ([MADE, STORED, MADE.replace(d=40), STORED.replace(scratchpad=40 * LANES)], 64, 40),
        ([MADE, STORED.replace(register=4)], 64, None),
    ],
)  # fmt: skip
def test_where_an_element_is(program: list[Instruction], address: int, vector: int | None) -> None:
    assert kept_vector(program, 5, address, MACHINE) == vector
