"""A region's tensors in buffers of their own, each with a base register, so that a launch reads and writes values in
place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from weft_runtime.executable import REGISTER_COUNT, REGISTER_IO, Region, TensorBinding
from weft_sim.isa import Instruction, Load, Space, Store
from weft_sim.isa.program import decode_program, encode_program
from weft_sim.machine import MachineConfig

__all__ = ["with_own_registers"]

NO_BASES = (0,) * REGISTER_COUNT


def with_own_registers(region: Region, machine: MachineConfig) -> Region:
    """The region with registers from 3 on for its inputs and outputs, as far as there are enough.

    Only base registers and offsets of LOAD and STORE change; every address stays the same if the registers hold where
    the tensors lay in the input/output area. A region in which one transfer touches two tensors stays as it is.
    """
    spans: dict[int, tuple[int, int]] = {}
    for binding in (*region.inputs, *region.outputs):
        end = max(binding.offset + binding.layout.nbytes, spans.get(binding.offset, (0, 0))[1])
        spans[binding.offset] = (binding.offset, end)
    chosen = sorted(spans)[: REGISTER_COUNT - REGISTER_IO - 1]
    registers = {offset: REGISTER_IO + 1 + index for index, offset in enumerate(chosen)}
    program = decode_program(region.instructions)
    moved = [_moved(each, spans, registers, machine) for each in program]
    if any(each is None for each in moved):
        return region
    return replace(
        region,
        instructions=encode_program([each for each in moved if each is not None]),
        io_bytes=region.io_bytes if len(chosen) < len(spans) else 0,
        inputs=tuple(_bound(each, registers) for each in region.inputs),
        outputs=tuple(_bound(each, registers) for each in region.outputs),
    )


def _bound(binding: TensorBinding, registers: Mapping[int, int]) -> TensorBinding:
    if binding.offset not in registers:
        return binding
    return replace(binding, register=registers[binding.offset], offset=0)


def _moved(
    instruction: Instruction, spans: Mapping[int, tuple[int, int]], registers: Mapping[int, int], machine: MachineConfig
) -> Instruction | None:
    """The instruction with its tensor's register; None where it does not lie in one tensor."""
    if not isinstance(instruction, Load | Store) or instruction.register != REGISTER_IO:
        return instruction
    stream = next(each for each in instruction.streams(machine, NO_BASES) if each.space == Space.DRAM)
    for offset, (start, end) in spans.items():
        if start <= stream.lowest and stream.highest < end:
            if offset not in registers:
                return instruction
            return instruction.replace(register=registers[offset], offset=instruction.offset - offset)
    return None
