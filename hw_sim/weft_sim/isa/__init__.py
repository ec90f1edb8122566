"""The instruction set: one table from which encoder, decoder, documentation, C++ and SystemVerilog follow."""

from __future__ import annotations

from weft_sim.isa.architecture import (
    DEPTHWISE_ROWS,
    INSTRUCTION_BYTES,
    MAILBOXES,
    MAX_WORK,
    PARAMETER_VECTORS,
    REGISTERS,
    TABLE_ENTRIES,
    TABLE_SLOTS,
    TIMING,
    TOKEN_LIMIT,
    FaultCause,
    Space,
    Unit,
)
from weft_sim.isa.control import NO_MAILBOX, NO_REGISTER, Condition, Halt, Jump, Register
from weft_sim.isa.instruction import OPCODES, AddressStream, Instruction, StaticFault, decode
from weft_sim.isa.matrix import Matmul, MatmulMode, WeightOrder
from weft_sim.isa.state import MachineState, addresses
from weft_sim.isa.transfer import Fill, Load, Store
from weft_sim.isa.vector import Destination, Operation, Reduction, Source, Table, Vector

__all__ = [
    "DEPTHWISE_ROWS",
    "INSTRUCTION_BYTES",
    "MAILBOXES",
    "MAX_WORK",
    "NO_MAILBOX",
    "NO_REGISTER",
    "OPCODES",
    "PARAMETER_VECTORS",
    "REGISTERS",
    "TABLE_ENTRIES",
    "TABLE_SLOTS",
    "TIMING",
    "TOKEN_LIMIT",
    "AddressStream",
    "Condition",
    "Destination",
    "FaultCause",
    "Fill",
    "Halt",
    "Instruction",
    "Jump",
    "Load",
    "MachineState",
    "Matmul",
    "MatmulMode",
    "Operation",
    "Reduction",
    "Register",
    "Source",
    "Space",
    "StaticFault",
    "Store",
    "Table",
    "Unit",
    "Vector",
    "WeightOrder",
    "addresses",
    "decode",
]
